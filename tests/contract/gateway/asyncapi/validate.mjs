// Validates an AsyncAPI document with the AsyncAPI project's parser: node validate.mjs FILE
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
// Severity 0 is an error, 1 a warning, 2 and 3 are hints (one says that there is a newer version of the format).
const problems = diagnostics.filter((diagnostic) => diagnostic.severity <= 1);
for (const { code, message, path } of problems) console.error(`${code}: ${message} (${path.join(".")})`);
process.exit(document && problems.length === 0 ? 0 : 1);

// Unpacks the package's Chromium, its shared libraries, software renderer and fonts into a folder: node unpack.mjs PACKAGE TARGET
import { createReadStream, createWriteStream } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createBrotliDecompress } from "node:zlib";

const [from, to] = process.argv.slice(2);
for (const name of ["chromium", "al2023.tar", "fonts.tar", "swiftshader.tar"]) {
  await pipeline(
    createReadStream(join(from, "bin", `${name}.br`)),
    createBrotliDecompress(),
    createWriteStream(join(to, name)),
  );
}

// Reads a JSON array of custom resources from stdin, writes a JSON array of complaints to stdout.
// Two looks: the schema (required fields, types, enums), and TypeScript's check of object literals (unknown fields).
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const PACKAGES = {
  "cert-manager.io/v1": "@kubernetes-models/cert-manager/cert-manager.io/v1",
  "gateway.networking.k8s.io/v1": "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1",
  "keda.sh/v1alpha1": "@kubernetes-models/keda/keda.sh/v1alpha1",
  "monitoring.coreos.com/v1": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
  "postgresql.cnpg.io/v1": "@kubernetes-models/cloudnative-pg/postgresql.cnpg.io/v1",
};

const complaints = [];
const typed = [];

for (const resource of JSON.parse(readFileSync(0, "utf8"))) {
  const name = `${resource.kind} ${resource.metadata?.name}`;
  const source = PACKAGES[resource.apiVersion];
  const model = source && (await import(source))[resource.kind];
  if (!model) {
    complaints.push(`${name}: no schema for ${resource.apiVersion} ${resource.kind}`);
    continue;
  }
  try {
    new model(resource).validate();
  } catch (error) {
    complaints.push(`${name}: ${error.message}`);
  }
  const { apiVersion: _apiVersion, kind, ...rest } = resource;
  typed.push({ name, source, kind, literal: JSON.stringify(rest) });
}

// Below node_modules' own folder, or the compiler would not find the packages.
const folder = mkdtempSync(join(dirname(fileURLToPath(import.meta.url)), "check-"));
try {
  const files = typed.map(({ source, kind, literal }, number) => {
    const file = join(folder, `resource${number}.ts`);
    writeFileSync(file, `import { ${kind} as Model } from "${source}";\nnew Model(${literal});\n`);
    return file;
  });
  const options = {
    noEmit: true,
    strict: true,
    skipLibCheck: true,
    types: [],
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    target: ts.ScriptTarget.ES2022,
  };
  for (const found of ts.getPreEmitDiagnostics(ts.createProgram(files, options))) {
    const { name } = typed[files.indexOf(found.file?.fileName)] ?? { name: "?" };
    complaints.push(`${name}: ${ts.flattenDiagnosticMessageText(found.messageText, " ")}`);
  }
} finally {
  rmSync(folder, { recursive: true });
}
process.stdout.write(JSON.stringify(complaints));

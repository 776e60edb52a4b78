// Everything that goes into the package and is not in git: the client in one file, the schema, the licence.

import { copyFileSync, mkdirSync } from "node:fs";
import { build } from "esbuild";

await build({
  entryPoints: ["src/extension.js"],
  outfile: "dist/extension.js",
  bundle: true,
  minify: true,
  platform: "node",
  target: "node18",
  format: "cjs",
  external: ["vscode"],
});
mkdirSync("schema", { recursive: true });
copyFileSync("../../schema/moe-2026.json", "schema/moe-2026.json");
copyFileSync("../../LICENSE", "LICENSE");

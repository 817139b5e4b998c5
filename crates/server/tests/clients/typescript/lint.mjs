// Holds the document against the rules of redocly.yaml: what `redocly lint` does, without the 180 packages of its pages.
import { fileURLToPath } from "node:url";
import { lint, loadConfig } from "@redocly/openapi-core";

const configPath = fileURLToPath(new URL("redocly.yaml", import.meta.url));
const found = await lint({ ref: process.argv[2], config: await loadConfig({ configPath }) });
for (const { severity, ruleId, message, location } of found) {
  console.error(`${severity} ${ruleId}: ${message} (${location[0]?.pointer})`);
}
process.exitCode = found.length === 0 ? 0 : 1;

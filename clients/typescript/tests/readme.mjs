// The examples of README.md, each as a module: compiled with everything else, and run by readme.test.ts.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";

mkdirSync("tests/readme", { recursive: true });
const text = readFileSync("README.md", "utf8");
for (const [, name, code] of text.matchAll(/^```ts (\w+)\n(.*?)^```$/gms)) writeFileSync(`tests/readme/${name}.ts`, code);

// The adapters in a browser, over IndexedDB, against a server of another origin.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, test } from "node:test";
import { build } from "esbuild";
import { MosaicClient } from "../src/index.js";
import { Browser } from "./browser.js";
import { PASSWORD, Server } from "./server.js";

describe("an app in a browser", () => {
  for (const library of ["watermelondb", "rxdb"]) {
    test(`on ${library} syncs, and is as it was after the page is loaded again`, { timeout: 60_000 }, () => inBrowser(library));
  }
});

const id = (n: number) => `0198f3a2-0000-7000-8000-00000000000${n}`;

async function inBrowser(library: string): Promise<void> {
  const options = { bundle: true, write: false, format: "esm", target: "es2022", logLevel: "error" } as const;
  const { outputFiles } = await build({ ...options, entryPoints: ["dist/tests/page.js"] });
  const site = createServer((request, response) => {
    const isPage = request.url === "/";
    response.setHeader("content-type", isPage ? "text/html" : "text/javascript");
    response.end(isPage ? '<script type="module" src="/page.js"></script>' : outputFiles[0]?.text);
  });
  await new Promise<void>((resolve) => site.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${(site.address() as AddressInfo).port}`;
  const server = await Server.start("--cors-allowed-origins", origin);
  const browser = await Browser.start();
  try {
    const { username, tokens } = await server.user();
    const other = new MosaicClient({ baseUrl: server.url, clientId: "other", tokens });
    const put = (n: number, content: string) =>
      other.request("put", "/memos/{id}", { params: { path: { id: id(n) } }, body: { content } });
    const theirs = async () =>
      Object.fromEntries((await other.request("get", "/memos")).items.map((memo) => [memo.id, memo.content]));

    const tab = await browser.tab(`${origin}/#${encodeURIComponent(`${library} ${server.url}`)}`);
    const app = (what: string) => tab(`app.${what}`);
    /** Until the page runs for that time. What ran in it before is ended with it. */
    const runs = async (time: number) => {
      while ((await tab("window.lives").catch(() => 0)) !== time) await new Promise((resolve) => setTimeout(resolve, 10));
    };
    await runs(1);
    await tab(`{ await app.client.login("${username}", "${PASSWORD}"); }`);
    for (const n of [1, 2, 3]) await app(`write("${id(n)}", "of the page")`);
    await app("sync()");
    assert.deepEqual(await theirs(), { [id(1)]: "of the page", [id(2)]: "of the page", [id(3)]: "of the page" });

    await put(1, "of the other");
    await other.request("delete", "/memos/{id}", { params: { path: { id: id(3) } } });
    await app("sync()");
    assert.deepEqual(await app("memos()"), { [id(1)]: "of the other", [id(2)]: "of the page" });

    await app(`write("${id(2)}", "edited before the page was loaded again")`);
    await app(`write("${id(4)}", "made before it")`);
    await app(`remove("${id(1)}")`);
    await app("saved()");
    await tab("void setTimeout(() => location.reload())");
    await runs(2);
    const edited = { [id(2)]: "edited before the page was loaded again", [id(4)]: "made before it" };
    assert.deepEqual(await app("memos()"), edited);
    const { pushed, pulled, reset } = (await app("sync()")) as Record<string, unknown>;
    assert.deepEqual([pushed, pulled, reset], [3, 0, []], "it goes on where it was");
    assert.deepEqual(await theirs(), edited);
    assert.equal(((await app("digest()")) as { same: boolean }).same, true);
  } finally {
    await browser.stop();
    await server.stop();
    site.close();
    site.closeAllConnections();
  }
}

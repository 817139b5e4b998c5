// Two tabs of a browser, with the modules as they are shipped.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import type { Tokens } from "../src/index.js";
import { Browser } from "./browser.js";
import { PASSWORD, Server } from "./server.js";

const MODULES = {
  "openapi-fetch": "/node_modules/openapi-fetch/dist/index.mjs",
  "@noble/hashes/sha2": "/node_modules/@noble/hashes/esm/sha2.js",
  "@noble/hashes/crypto": "/node_modules/@noble/hashes/esm/crypto.js",
};
const PAGE = `<script type="importmap">${JSON.stringify({ imports: MODULES })}</script>
<script type="module">
import { MosaicClient, webTokens } from "/dist/src/index.js";
window.open_ = (baseUrl) => (window.client = new MosaicClient({ baseUrl, clientId: "tabs", tokens: webTokens() }));
</script>`;

/** Until the tab sees this among its tokens. */
const seen = (text: string) =>
  `{ while (!localStorage.getItem("mosaic").includes("${text}")) await new Promise((go) => setTimeout(go, 10)); }`;

test("l2 two tabs of a browser share a login", { timeout: 60_000 }, async () => {
  const site = createServer((request, response) => {
    if (request.url === "/") return void response.setHeader("content-type", "text/html").end(PAGE);
    readFile(`.${request.url ?? ""}`).then(
      (text) => response.setHeader("content-type", "text/javascript").end(text),
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((resolve) => site.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${(site.address() as AddressInfo).port}`;
  const server = await Server.start("--cors-allowed-origins", origin);
  const browser = await Browser.start();
  try {
    const tabs = [await browser.tab(`${origin}/`), await browser.tab(`${origin}/`)] as const;
    const both = (expression: string) => Promise.all(tabs.map((tab) => tab(expression)));
    await both(`void open_("${server.url}")`);
    await tabs[0](`{ await client.login("admin", "${PASSWORD}"); }`);
    assert.deepEqual(await both("(await client.request('get', '/auth/me')).username"), ["admin", "admin"]);

    for (let round = 0; round < 3; round += 1) {
      await both("performance.clearResourceTimings()");
      const spoilt = `no.such.token.${round}`;
      await tabs[0](`localStorage.setItem("mosaic",
        JSON.stringify({ ...JSON.parse(localStorage.getItem("mosaic")), accessToken: "${spoilt}" }))`);
      await tabs[1](seen(spoilt));
      await both("{ await Promise.all([1, 2, 3].map(() => client.request('get', '/auth/me'))); }");
      const counts = (await both(`performance.getEntriesByType("resource")
        .filter(({ name, initiatorType }) => name.endsWith("/auth/refresh") && initiatorType === "fetch").length`)) as number[];
      // Chromium tells a tab of another one's storage a moment later, Web Locks or not: then both renew, and the server answers both
      // the same (L2). Each does it once.
      assert.ok(counts.every((count) => count <= 1) && counts.includes(1), counts.join());
      const { refreshToken } = (await tabs[0]('JSON.parse(localStorage.getItem("mosaic"))')) as Tokens;
      await both(seen(refreshToken));
    }

    const nudged = tabs[1]("{ for await (const { clock } of client.events()) if (clock > 0) return clock; }");
    await tabs[0]("{ await client.request('post', '/memos', { body: { content: 'figs' } }); }");
    assert.ok(((await nudged) as number) > 0);

    await tabs[0]("{ await client.logout(); }");
    assert.equal(await tabs[1]("client.request('get', '/auth/me').catch(({ code }) => code)"), "login_ended");
  } finally {
    await browser.stop();
    await server.stop();
    site.close();
    site.closeAllConnections();
  }
});

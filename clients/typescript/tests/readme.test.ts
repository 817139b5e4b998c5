// The examples of README.md do what they say, in as few lines as it says.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { getRxStorageMemory } from "rxdb/plugins/storage-memory";
import { MosaicClient } from "../src/index.js";
import { memoryAdapter } from "./devices.js";
import { listen } from "./readme/nudges.js";
import * as rxdb from "./readme/rxdb.js";
import "./readme/store.js";
import * as watermelondb from "./readme/watermelondb.js";
import { PASSWORD, Server } from "./server.js";

describe("the README", () => {
  let server: Server;
  let client: MosaicClient;
  before(async () => {
    server = await Server.start();
    client = new MosaicClient({ baseUrl: server.url, clientId: "tablet" });
    await client.login("admin", PASSWORD);
    await client.request("post", "/memos", { body: { content: "figs" } });
  });
  after(() => server.stop());

  test("a first sync takes 20 lines, and works", async () => {
    const rows = await watermelondb.firstSync(memoryAdapter("readme", watermelondb.schema), server.url, PASSWORD);
    assert.deepEqual(rows.map((row) => row.content), ["figs"]);
    const docs = await rxdb.firstSync(getRxStorageMemory(), server.url, PASSWORD);
    assert.deepEqual(docs.map((doc) => doc.get("content") as string), ["figs"]);
    for (const name of ["watermelondb", "rxdb"]) {
      const code = readFileSync(`tests/readme/${name}.ts`, "utf8").split("\n");
      assert.ok(code.filter((line) => line.trim() !== "").length <= 20, name);
    }
  });

  test("nudges sync", async () => {
    const stop = new AbortController();
    let synced = 0;
    await listen(client, () => Promise.resolve(stop.abort((synced += 1))), stop.signal);
    assert.equal(synced, 1);
  });
});

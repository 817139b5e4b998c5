import assert from "node:assert/strict";
import { test } from "node:test";
import { MosaicClient, compareDigests, sync } from "../src/index.js";
import { MemoryStore } from "./memory_store.js";
import { Network } from "./network.js";
import { Random } from "./random.js";
import { scenarios } from "./scenarios.js";
import { ADDRESS, Server } from "./server.js";

scenarios("an in-memory store", ["memory", "memory", "memory"]);

/** A store that has nothing to push this time. */
class Pulling extends MemoryStore {
  pulls = false;
  override push: MemoryStore["push"] = (send) => (this.pulls ? Promise.resolve() : super.push(send));
}

test("w3 an edit whose answer was lost, and which was pulled meanwhile, becomes what the server has", async (context) => {
  const server = await Server.start();
  context.after(() => server.stop());
  const network = new Network(server.fetch, new Random(1));
  const { tokens } = await server.user();
  const client = new MosaicClient({ baseUrl: ADDRESS, clientId: "phone", tokens, fetch: network.fetch as typeof fetch, attempts: 1 });
  const store = new Pulling();
  const memo = new Random(2).uuid();
  store.write("memo", memo, { content: "once", tags: ["a"] });
  network.meddle = async (request, send) => {
    await (await send(request)).arrayBuffer();
    throw new TypeError("the answer was lost");
  };
  await assert.rejects(sync(store, client));
  network.meddle = undefined;
  store.pulls = true;
  await sync(store, client);
  store.pulls = false;
  await sync(store, client);
  assert.equal(store.all("memo").get(memo)?.["revisionCount"], 1);
  assert.ok((await compareDigests(store, client)).same);
});

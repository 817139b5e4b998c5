import assert from "node:assert/strict";
import { test } from "node:test";
import { MosaicClient, STATE, compareDigests, rebuild, sync, type Schemas, type SyncState } from "../src/index.js";
import { MemoryStore } from "./memory_store.js";
import { Network } from "./network.js";
import { Random } from "./random.js";
import { scenarios } from "./scenarios.js";
import { ADDRESS, clock, Server, tick } from "./server.js";

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

test("w6 w3 an app that is killed at any of its writes sends what got another time once", async (context) => {
  const server = await Server.start();
  context.after(() => server.stop());
  const random = new Random(3);
  for (let survived = 0, killed = true; killed; survived += 1) {
    const { tokens } = await server.user();
    const [phone, tablet] = ["phone", "tablet"].map((clientId) => {
      const client = new MosaicClient({ baseUrl: ADDRESS, clientId, tokens, fetch: server.fetch as typeof fetch });
      return { client, store: new MemoryStore() };
    }) as [{ client: MosaicClient; store: MemoryStore }, { client: MosaicClient; store: MemoryStore }];
    const memo = random.uuid();
    clock.ahead = 24 * 3_600_000;
    phone.store.write("memo", memo, { content: "a day ahead" });
    clock.ahead = 0;
    let writes = 0;
    phone.store.killed = () => (writes += 1) > survived;
    killed = await sync(phone.store, phone.client).then(
      () => false,
      (error: Error) => error.message === "the app was killed",
    );
    phone.store.killed = () => false;
    await sync(tablet.store, tablet.client);
    const isThere = tablet.store.has("memo", memo);
    tick();
    if (isThere) tablet.store.write("memo", memo, { content: "edited elsewhere since" });
    await sync(tablet.store, tablet.client);
    await sync(phone.store, phone.client);
    assert.equal(phone.store.all("memo").get(memo)?.["content"], isThere ? "edited elsewhere since" : "a day ahead");
    await sync(tablet.store, tablet.client);
    assert.deepEqual(tablet.store.all("memo"), phone.store.all("memo"), `killed after ${survived} writes`);
    assert.ok((await compareDigests(phone.store, phone.client)).same);
    assert.deepEqual(((await phone.store.load(STATE)) as SyncState).rejected, { memo: {} });
  }
});

test("r3 an app that is killed while it is rebuilt goes on where it was, and drops what it was not given", async (context) => {
  const server = await Server.start();
  context.after(() => server.stop());
  const random = new Random(4);
  const { tokens } = await server.user();
  const network = new Network(server.fetch, random);
  const client = new MosaicClient({ baseUrl: ADDRESS, clientId: "phone", tokens, fetch: network.fetch as typeof fetch });
  const store = new Pulling();
  for (let n = 0; n < 410; n += 1) store.write("memo", random.uuid(), { content: "there" });
  await sync(store, client);
  store.pulls = true;
  const [gone, unsynced] = [random.uuid(), random.uuid()];
  const [record] = store.all("memo").values();
  // Pages of 200, 200 and 10: each record is a write, and so are what a page gave, the cursors behind it, what may go, and each note.
  for (const death of [1, 100, 201, 202, 203, 402, 403, 404, 405, 414, 415, 416, 417, 418, 419, 420, 421]) {
    await store.apply([{ type: "memo", key: gone, record: { ...record, id: gone } as unknown as Schemas["Memo"] }]);
    store.write("memo", unsynced, { content: `edited ${death}` });
    await rebuild(store);
    network.seen.length = 0;
    let writes = 0;
    store.killed = () => (writes += 1) === death;
    const done = await sync(store, client).then(
      () => true,
      () => false,
    );
    assert.equal(done, death === 421, `${writes} writes`);
    store.killed = () => false;
    await sync(store, client);
    assert.equal(network.seen.length, 4, `${network.seen.length} pulls, killed at ${death}`);
    assert.equal(store.has("memo", gone), false);
    assert.equal(store.all("memo").get(unsynced)?.["content"], `edited ${death}`);
    assert.equal(store.all("memo").size, 411);
    assert.deepEqual([...store.notes.keys()], [STATE], "nothing is left of it");
  }
});

// The server has another history than the devices know: what they rebuild, and what they keep.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Schemas } from "../src/index.js";
import type { Fleet } from "./scenarios.js";

export function rebuilding({ server, random, fleet, settle }: Fleet): void {
  test("p8 r3 what the server can't read stays, also while its type is rebuilt", async () => {
    const [phone, tablet] = await fleet("unreadable");
    const [memo, other] = [random.uuid(), random.uuid()];
    for (const key of [memo, other]) await phone.write("memo", key, { content: "still here" });
    await phone.sync();
    await tablet.sync();
    await server().pause();
    await server().run("epoch", "renew");
    await server().resume();
    tablet.network.meddle = async (request, send) => {
      const answer = await send(request);
      if (!request.url.endsWith("/sync/pull")) return answer;
      const page = (await answer.json()) as Schemas["PullResponse"];
      page.changes.memo!.updated = page.changes.memo!.updated.filter(({ id }) => id !== memo);
      return Response.json({ ...page, skipped: { memo: [memo] } });
    };
    assert.equal((await tablet.sync()).reset.length, 4);
    tablet.network.meddle = undefined;
    assert.deepEqual([...(await tablet.all("memo")).keys()].sort(), [memo, other].sort());
    await settle();
  });

  test("r2 r3 a restored server: what it lost goes, what was not synced stays", async () => {
    const [phone, tablet, laptop] = await fleet("restored");
    const [kept, changed, lost, unsynced] = [random.uuid(), random.uuid(), random.uuid(), random.uuid()];
    const resource = random.uuid();
    for (const memo of [kept, changed]) await phone.write("memo", memo, { content: "before" });
    await phone.write("resource", resource, { memoId: kept });
    await phone.sync();
    await tablet.sync();
    await laptop.sync();
    await server().run("backup", "saved.db");
    await phone.write("memo", lost, { content: "after the backup" });
    await phone.write("memo", changed, { content: "after the backup" });
    await phone.remove("resource", resource);
    await phone.sync();
    await tablet.sync();
    await tablet.write("memo", unsynced, { content: "never sent" });
    await tablet.write("memo", kept, { content: "edited offline" });
    await server().pause();
    await server().run("restore", "--yes", "saved.db");
    await server().resume();

    const reset = (await tablet.sync()).reset;
    assert.deepEqual([...reset].sort(), ["bot", "diary", "memo", "resource"]);
    assert.equal((await tablet.get("memo", unsynced))?.["content"], "never sent");
    assert.equal((await tablet.get("memo", kept))?.["content"], "edited offline");
    assert.equal((await tablet.get("memo", changed))?.["content"], "before");
    assert.equal(await tablet.get("memo", lost), undefined);
    assert.ok(await tablet.get("resource", resource), "it is there again");
    assert.deepEqual((await tablet.sync()).reset, []);
    await settle();
  });

  test("r3 a device that holds what it should not is rebuilt, and keeps its edits", async () => {
    const [phone, tablet] = await fleet("rebuilt");
    const [kept, hidden, unsynced] = [random.uuid(), random.uuid(), random.uuid()];
    for (const memo of [kept, hidden]) await phone.write("memo", memo, { content: "there" });
    await phone.sync();
    await tablet.sync();
    await phone.remove("memo", hidden);
    await phone.sync();
    tablet.network.meddle = async (request, send) => {
      const page = (await (await send(request)).json()) as Schemas["PullResponse"];
      return Response.json({ ...page, changes: {} });
    };
    await tablet.sync();
    tablet.network.meddle = undefined;
    await tablet.sync();
    assert.equal((await tablet.digest()).same, false);
    await tablet.write("memo", unsynced, { content: "never sent" });
    await tablet.rebuild();
    assert.equal((await tablet.sync()).reset.length, 4);
    assert.deepEqual([...(await tablet.all("memo")).keys()].sort(), [kept, unsynced].sort());
    await settle();
  });

  test("r2 r3 another epoch loses nothing, also where the network fails in the middle of rebuilding", async () => {
    const [phone, tablet] = await fleet("epoch");
    for (let n = 0; n < 450; n += 1) await phone.write("memo", random.uuid(), { content: `memo ${n}` });
    await phone.sync();
    await tablet.sync();
    const here = await tablet.all("memo");
    await server().pause();
    await server().run("epoch", "renew");
    await server().resume();
    let pulls = 0;
    tablet.network.meddle = (request, send) => {
      pulls += request.url.endsWith("/sync/pull") ? 1 : 0;
      return pulls < 3 ? send(request) : Promise.reject(new TypeError("offline"));
    };
    await assert.rejects(tablet.sync(), { code: "no_answer" });
    tablet.network.meddle = undefined;
    // It goes on where it was: two of the three pages are here.
    assert.equal((await tablet.sync()).pulled, 50);
    assert.deepEqual(await tablet.all("memo"), here);
    await settle();
  });
}

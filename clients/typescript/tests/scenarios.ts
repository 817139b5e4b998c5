// What an app's devices go through, on each library and on all of them mixed, against the real server.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import type { EntityType } from "../src/index.js";
import { Device, KINDS, type DeviceKind, type Fields } from "./devices.js";
import { Random } from "./random.js";
import { rebuilding } from "./rebuilding.js";
import { clock, Server } from "./server.js";

/** What the scenarios share. */
export interface Fleet {
  server: () => Server;
  random: Random;
  /** Three devices of a user of the test's own. */
  fleet: (test: string) => Promise<[Device, Device, Device]>;
  /** One quiet sync of each, until what all said has reached all; then all hold the same. */
  settle: () => Promise<void>;
}

export function scenarios(name: string, kinds: [DeviceKind, DeviceKind, DeviceKind]): void {
  describe(`three devices on ${name}`, () => {
    let server: Server;
    let devices: Device[] = [];
    const random = new Random(7);

    before(async () => {
      server = await Server.start();
    });
    after(() => server.stop());
    afterEach(() => Promise.all(devices.map((device) => device.stop())));

    async function fleet(test: string): Promise<[Device, Device, Device]> {
      const { tokens } = await server.user();
      const made = kinds.map((kind, index) => new KINDS[kind](`${test}${index}`, server, random, tokens).start());
      devices = await Promise.all(made);
      return devices as [Device, Device, Device];
    }

    async function settle(): Promise<void> {
      for (const device of devices) await device.sync();
      for (const device of devices) await device.sync();
      const first = await devices[0]!.everything();
      for (const device of devices) {
        assert.deepEqual(await device.everything(), first, device.name);
        const digest = await device.digest();
        assert.ok(digest.same, `${device.name}: ${JSON.stringify(digest)}`);
      }
    }

    test("a record of each type reaches the others, whole", async () => {
      const [phone, tablet, laptop] = await fleet("types");
      const memo = random.uuid();
      const records: [EntityType, string, Fields][] = [
        ["memo", memo, { content: "figs", tags: ["a", "b"], diaryDate: "2026-05-16" }],
        ["diary", "2026-05-16", { summary: "a day", moodKey: "joy", moodScore: 9, generatedFromMemoIds: [memo] }],
        ["bot", random.uuid(), { name: "Ada", aiConfig: { nested: { deep: [1, null, "x"] } }, autoReply: false }],
        ["resource", random.uuid(), { memoId: memo, filename: "figs.txt", metadata: { width: 3 } }],
      ];
      for (const [type, key, fields] of records) await phone.write(type, key, fields);
      assert.equal((await phone.sync()).pushed, 4);
      await tablet.sync();
      await laptop.sync();
      for (const [type, key, fields] of records) {
        const here = await laptop.get(type, key);
        for (const [field, value] of Object.entries(fields)) assert.deepEqual(here?.[field], value, field);
      }
      await tablet.write("memo", memo, { diaryDate: null });
      await settle();
      assert.deepEqual((await phone.sync()).pushed, 0);
    });

    test("w4 the newer edit wins everywhere, and whoever lost gets the winner", async () => {
      const [phone, tablet, laptop] = await fleet("conflict");
      const memo = random.uuid();
      await phone.write("memo", memo, { content: "first" });
      await phone.sync();
      await tablet.sync();
      await laptop.sync();
      await phone.write("memo", memo, { content: "older", tags: ["phone"] });
      await tablet.write("memo", memo, { content: "newer" });
      await tablet.sync();
      const report = await phone.sync();
      assert.equal(report.lost, 1);
      assert.equal((await phone.get("memo", memo))?.["content"], "newer");
      // The winner was pulled before the edit was made, or the edit before it was pushed: either way it loses.
      await laptop.write("memo", memo, { content: "newest" });
      await laptop.sync();
      await settle();
      assert.deepEqual(await revisions(phone, memo), ["first", "newer", "newest", "older"]);
    });

    test("w4 a device that passed over the winner, for it had an edit of its own, is given it again", async () => {
      const [phone, tablet] = await fleet("passed");
      const [memo, gone, back] = [random.uuid(), random.uuid(), random.uuid()];
      for (const key of [memo, gone, back]) await phone.write("memo", key, { content: "first" });
      await phone.sync();
      await tablet.sync();
      // Between the phone's push and its pull.
      phone.network.meddle = async (request, send) => {
        if (!request.url.endsWith("/sync/pull")) return send(request);
        phone.network.meddle = undefined;
        for (const key of [memo, gone]) await phone.write("memo", key, { content: "older" });
        await tablet.write("memo", memo, { content: "newer" });
        for (const key of [gone, back]) await tablet.remove("memo", key);
        await tablet.sync();
        await phone.write("memo", back, { content: "newer than the delete" });
        return send(request);
      };
      await phone.sync();
      assert.equal((await phone.get("memo", back))?.["content"], "newer than the delete");
      await phone.sync();
      assert.equal((await phone.get("memo", back))?.["content"], "newer than the delete");
      assert.equal((await phone.get("memo", memo))?.["content"], "newer");
      assert.equal(await phone.get("memo", gone), undefined);
      await settle();
    });

    test("a delete is as good as an edit, and the newer of the two wins", async () => {
      const [phone, tablet, laptop] = await fleet("deletes");
      const [gone, kept, both] = [random.uuid(), random.uuid(), random.uuid()];
      for (const memo of [gone, kept, both]) await phone.write("memo", memo, { content: "first" });
      const resource = random.uuid();
      await phone.write("resource", resource, { memoId: gone });
      await phone.sync();
      await tablet.sync();
      await laptop.sync();
      await tablet.write("memo", gone, { content: "older than the delete" });
      await phone.remove("memo", gone);
      await phone.remove("memo", kept);
      await tablet.write("memo", kept, { content: "newer than the delete" });
      await phone.remove("memo", both);
      await tablet.remove("memo", both);
      // The edits come after the deletes, and the other way round.
      await phone.sync();
      await tablet.sync();
      assert.equal(await tablet.get("memo", gone), undefined);
      assert.equal(await tablet.get("resource", resource), undefined);
      assert.equal((await laptop.sync(), await laptop.get("memo", kept))?.["content"], "newer than the delete");
      await laptop.remove("memo", kept);
      await tablet.write("memo", kept, { content: "the last word" });
      await tablet.sync();
      await laptop.sync();
      assert.equal((await laptop.get("memo", kept))?.["content"], "the last word");
      await settle();
    });

    test("199, 200, 201 and 450 records, with their parents", async () => {
      const [phone, tablet] = await fleet("many");
      for (const many of [199, 200, 201]) {
        const before = phone.network.seen.length;
        let resources = 0;
        for (let n = 0; n < many; n += 1) {
          const memo = random.uuid();
          await phone.write("memo", memo, { content: `memo ${n} of ${many}` });
          if (n % 3 > 0 && n < many - 1) continue;
          await phone.write("resource", random.uuid(), { memoId: memo, filename: `${n}.txt` });
          resources += 1;
        }
        const report = await phone.sync();
        assert.equal(report.pushed, many + resources);
        assert.equal(report.rejected, 0);
        assert.ok(phone.network.seen.slice(before).filter((one) => one.endsWith("/sync/push")).length <= 7);
        await tablet.sync();
      }
      assert.equal((await tablet.all("memo")).size, 600);
      await settle();
    });

    test("a record that is refused is told once, stays, and is sent again when it is edited", async () => {
      const [phone, tablet] = await fleet("refused");
      const [bad, good, shared] = [random.uuid(), random.uuid(), random.uuid()];
      await phone.write("memo", shared, { content: "first" });
      await phone.sync();
      await phone.write("memo", shared, { content: "mine", tags: ["x".repeat(101)] });
      await phone.sync();
      await tablet.sync();
      await tablet.write("memo", shared, { content: "theirs" });
      await tablet.sync();
      await phone.sync();
      assert.equal((await phone.get("memo", shared))?.["content"], "mine");
      await phone.write("memo", shared, { tags: [] });
      await phone.sync();
      assert.equal((await phone.get("memo", shared))?.["content"], "mine");
      phone.rejections.length = 0;
      await phone.write("memo", bad, { content: "bad", tags: ["x".repeat(101)] });
      await phone.write("memo", good, { content: "good" });
      const report = await phone.sync();
      assert.deepEqual([report.pushed, report.rejected], [1, 1]);
      assert.deepEqual(
        phone.rejections.map(({ edit, retryable, error }) => [edit.key, retryable, error.code]),
        [[bad, false, "validation_failed"]],
      );
      phone.network.bodies.length = 0;
      await phone.sync();
      assert.ok(!phone.network.bodies.join().includes(bad), "it is not sent again");
      assert.equal(phone.rejections.length, 1);
      assert.equal((await phone.get("memo", bad))?.["content"], "bad");
      await tablet.sync();
      assert.equal((await tablet.get("memo", shared))?.["content"], "mine");
      assert.equal(await tablet.get("memo", bad), undefined);
      await phone.write("memo", bad, { tags: ["short"] });
      assert.equal((await phone.sync()).pushed, 1);
      await settle();
    });

    test("w9 what waits for its memo is told once, and gets through when the memo is there", async () => {
      const [phone, tablet] = await fleet("waits");
      const [memo, resource] = [random.uuid(), random.uuid()];
      await phone.write("resource", resource, { memoId: memo });
      await phone.sync();
      await phone.sync();
      assert.deepEqual(
        phone.rejections.map(({ retryable, error }) => [retryable, error.code]),
        [[true, "unknown_memo"]],
      );
      await tablet.write("memo", memo, { content: "here it is" });
      await tablet.sync();
      assert.equal((await phone.sync()).pushed, 1);
      await settle();
    });

    test("an edit that was made while its record was pushed is pushed next", async () => {
      const [phone, tablet] = await fleet("meanwhile");
      const memo = random.uuid();
      const meanwhile = async (content: string) => {
        phone.network.meddle = async (request, send) => {
          phone.network.meddle = undefined;
          const answer = await send(request);
          await phone.write("memo", memo, { content });
          return answer;
        };
        await phone.sync();
        assert.equal((await phone.get("memo", memo))?.["content"], content);
      };
      await phone.write("memo", memo, { content: "pushed" });
      await meanwhile("after an edit that stands");
      await phone.sync();
      await tablet.sync();
      await phone.write("memo", memo, { content: "older" });
      await tablet.write("memo", memo, { content: "newer" });
      await tablet.sync();
      await meanwhile("after an edit that loses");
      await phone.sync();
      assert.equal((await phone.get("memo", memo))?.["content"], "after an edit that loses");
      await settle();
    });

    test("w3 a push whose answer was lost is sent again for nothing, also after a pull", async () => {
      const [phone, tablet] = await fleet("lost");
      const memo = random.uuid();
      await phone.write("memo", memo, { content: "once" });
      phone.network.meddle = async (request, send) => {
        if (request.url.endsWith("/sync/push")) {
          await (await send(request)).arrayBuffer();
          throw new TypeError("the answer was lost");
        }
        return send(request);
      };
      await assert.rejects(phone.sync(), { code: "no_answer" });
      phone.network.meddle = undefined;
      await tablet.sync();
      await tablet.write("memo", memo, { content: "twice" });
      await tablet.sync();
      const report = await phone.sync();
      assert.equal(report.lost, 1);
      await settle();
      assert.deepEqual(await revisions(phone, memo), ["once", "twice"]);
    });

    test("b3 a device is not sent its own records again, and is sent those of others, whenever they write", async () => {
      const [phone, tablet] = await fleet("own");
      await phone.sync();
      for (const type of ["memo", "bot"] as const) await phone.write(type, random.uuid(), {});
      assert.equal((await phone.sync()).pulled, 0);
      // Two pushes and a pull: another device writes before each.
      for (const [before, pulled] of [[1, 3], [2, 3], [3, 1]] as const) {
        for (const letter of ["a", "b"]) await phone.write("memo", random.uuid(), { content: letter.repeat(1_000_000) });
        const theirs = random.uuid();
        let requests = 0;
        phone.network.meddle = async (request, send) => {
          requests += 1;
          if (requests === before) {
            await tablet.write("memo", theirs, { content: "of the tablet" });
            await tablet.sync();
          }
          return send(request);
        };
        assert.equal((await phone.sync()).pulled, pulled, `before request ${before}`);
        phone.network.meddle = undefined;
        assert.equal((await phone.get("memo", theirs))?.["content"], "of the tablet");
      }
      await settle();
    });

    test("b1 what was answered before a push failed is settled", async () => {
      const [phone] = await fleet("partly");
      for (let n = 0; n < 250; n += 1) await phone.write("memo", random.uuid(), { content: `memo ${n}` });
      let pushes = 0;
      phone.network.meddle = (request, send) => {
        pushes += request.url.endsWith("/sync/push") ? 1 : 0;
        const fails = pushes >= 2 && request.url.endsWith("/sync/push");
        return fails ? Promise.reject(new TypeError("offline")) : send(request);
      };
      await assert.rejects(phone.sync(), { code: "no_answer" });
      phone.network.meddle = undefined;
      assert.equal((await phone.sync()).pushed, 50);
      await settle();
    });

    test("a token that is refused in the middle of a sync is renewed, once", async () => {
      const [phone, tablet] = await fleet("expired");
      for (let n = 0; n < 300; n += 1) await tablet.write("memo", random.uuid(), { content: `memo ${n}` });
      await tablet.sync();
      await phone.write("memo", random.uuid(), { content: "mine" });
      let pulls = 0;
      phone.network.meddle = (request, send) => {
        pulls += request.url.endsWith("/sync/pull") ? 1 : 0;
        if (pulls !== 2) return send(request);
        pulls += 1;
        request.headers.set("authorization", "Bearer no.such.token");
        return send(request);
      };
      await phone.sync();
      const refreshes = phone.network.seen.filter((one) => one === "POST /auth/refresh");
      assert.equal(refreshes.length, 1);
      await settle();
    });

    test("w6 of a device whose clock is hours off the edits count by when they were made", async () => {
      const [phone, tablet] = await fleet("clocks");
      const [first, second] = [random.uuid(), random.uuid()];
      // The server makes up for clocks in whole seconds: these edits are further apart.
      const at = async <T>(seconds: number, work: () => Promise<T>) => {
        clock.ahead = seconds * 1000;
        return work().finally(() => (clock.ahead = 0));
      };
      const slow = -3 * 3600;
      await at(slow, () => phone.write("memo", first, { content: "from a slow clock" }));
      await at(slow, () => phone.sync());
      await tablet.sync();
      await at(2, () => tablet.write("memo", first, { content: "older" }));
      await at(slow + 20, () => phone.write("memo", first, { content: "newer" }));
      await at(2, () => tablet.write("memo", second, { content: "older" }));
      await tablet.sync();
      await at(slow, () => phone.sync());
      await at(slow + 20, () => phone.write("memo", second, { content: "newer" }));
      assert.equal((await at(slow, () => phone.sync())).lost, 0);
      await tablet.sync();
      for (const memo of [first, second]) assert.equal((await tablet.get("memo", memo))?.["content"], "newer");
      await settle();
    });

    test("w6 what was written by a clock a day ahead is sent once the clock is right, in its order, and once", async () => {
      const [phone, tablet] = await fleet("ahead");
      const [memo, gone, meanwhile, lost] = [random.uuid(), random.uuid(), random.uuid(), random.uuid()];
      await phone.write("memo", gone, { content: "to be deleted" });
      await phone.sync();
      clock.ahead = 24 * 3_600_000;
      try {
        for (const key of [memo, meanwhile, lost]) await phone.write("memo", key, { content: "a day ahead" });
        await phone.remove("memo", gone);
      } finally {
        clock.ahead = 0;
      }
      // Edited while it is refused: the later edit is the later one on the server, too.
      let pushes = 0;
      phone.network.meddle = async (request, send) => {
        if (!request.url.endsWith("/sync/push")) return send(request);
        pushes += 1;
        const answer = await send(request);
        if (pushes === 1) await phone.write("memo", meanwhile, { content: "edited meanwhile" });
        if (pushes === 1) return answer;
        await answer.arrayBuffer();
        throw new TypeError("the answer was lost");
      };
      await assert.rejects(phone.sync(), { code: "no_answer" });
      phone.network.meddle = undefined;
      // Between the push whose answer was lost, and the next one.
      await tablet.sync();
      await tablet.write("memo", lost, { content: "edited elsewhere since" });
      await tablet.sync();
      await phone.sync();
      assert.deepEqual(phone.rejections, []);
      assert.equal((await phone.get("memo", memo))?.["content"], "a day ahead");
      assert.ok(((await phone.get("memo", memo))?.["updatedAt"] as number) <= Date.now());
      assert.equal(await phone.get("memo", gone), undefined);
      await settle();
      assert.equal((await tablet.get("memo", meanwhile))?.["content"], "edited meanwhile");
      assert.equal((await tablet.get("memo", lost))?.["content"], "edited elsewhere since");
      assert.deepEqual(await revisions(phone, lost), ["a day ahead", "edited elsewhere since"]);
      phone.network.bodies.length = 0;
      await phone.sync();
      assert.ok(!phone.network.bodies.join().includes(memo), "it is not sent again");
      await phone.write("memo", memo, { content: "the next edit" });
      assert.equal((await phone.sync()).lost, 0);
      await settle();
    });

    rebuilding({ server: () => server, random, fleet, settle });

    test("whatever fails, whenever: the last edit of each record is what all hold", { timeout: 60_000 }, async () => {
      const [phone] = await fleet("storm");
      const seed = new Random(kinds.length + name.length);
      const memos = Array.from({ length: 6 }, () => seed.uuid());
      const parents = [seed.uuid(), seed.uuid()];
      const bots = Array.from({ length: 3 }, () => seed.uuid());
      const resources = Array.from({ length: 4 }, () => seed.uuid());
      const days = ["2026-01-01", "2026-01-02"];
      for (const memo of parents) await phone.write("memo", memo, { content: "a parent that stays" });
      for (const device of devices) await device.sync();
      /** The last thing that anybody did to each record. */
      const expected = new Map<string, unknown>();
      for (const device of devices) device.fail(30);
      for (let step = 0; step < 120; step += 1) {
        const device = seed.of(devices);
        if (seed.below(4) === 0) {
          // Where it failed, it goes on next time.
          await device.sync().catch((error: { code?: string }) => {
            assert.match(String(error.code ?? error), /^(no_answer|not_the_server|Error: the app was killed)$/);
          });
          continue;
        }
        const [type, key] = seed.of<[EntityType, string]>([
          ["memo", seed.of(memos)],
          ["bot", seed.of(bots)],
          ["diary", seed.of(days)],
          ["resource", seed.of(resources)],
        ]);
        if (seed.below(5) === 0 && (await device.get(type, key))) {
          await device.remove(type, key);
          expected.set(`${type} ${key}`, undefined);
        } else {
          const text = `step ${step}`;
          const named = { memo: "content", bot: "name", diary: "summary", resource: "filename" }[type];
          const more = type === "resource" ? { memoId: seed.of(parents) } : {};
          await device.write(type, key, { [named]: text, ...more });
          expected.set(`${type} ${key}`, text);
        }
      }
      for (const device of devices) device.fail(0);
      for (const device of devices) await device.sync();
      await devices[0]!.sync();
      const there = await devices[0]!.everything();
      for (const [record, text] of expected) {
        const { content, name, summary, filename } = there[record] ?? {};
        assert.equal(content ?? name ?? summary ?? filename, text, record);
      }
      await settle();
    });
  });
}

/** What is kept of a memo, and what it is now. */
async function revisions({ client }: Device, id: string): Promise<string[]> {
  const kept = await client.request("get", "/memos/{id}/revisions", { params: { path: { id } } });
  const { content } = await client.request("get", "/memos/{id}", { params: { path: { id } } });
  return [...new Set([...kept.map((revision) => revision.content), content])].sort();
}

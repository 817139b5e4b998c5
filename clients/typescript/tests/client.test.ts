// The client alone: tokens, tries, problems, nudges, uploads; against the real server.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { DefaultHttpStack, type PreviousUpload, type UploadOptions } from "tus-js-client";
import { digest, memoryTokens, MosaicClient, MosaicError, type ClientOptions, type Tokens } from "../src/index.js";
import { upload } from "../src/uploads.js";
import { Network } from "./network.js";
import { Random } from "./random.js";
import { ADDRESS, PASSWORD, Server, tick } from "./server.js";

const random = new Random(11);

describe("the client", () => {
  let server: Server;
  before(async () => {
    server = await Server.start();
  });
  after(() => server.stop());

  async function client(options: Partial<ClientOptions> = {}) {
    const network = new Network(server.fetch, random);
    const waits: number[] = [];
    const made = new MosaicClient({
      baseUrl: ADDRESS,
      clientId: "phone",
      fetch: network.fetch as typeof fetch,
      pause: (wait) => Promise.resolve(void waits.push(wait)),
      ...options,
    });
    return { client: made, network, waits, user: (await server.user()).username };
  }

  test("a problem has its code, its status and what is wrong where", async () => {
    const { client: phone, user, waits } = await client();
    await assert.rejects(phone.login(user, "wrong password"), { code: "bad_credentials", status: 401 });
    await phone.login(user, PASSWORD);
    const wrong = phone.request("post", "/memos", { body: { content: "a", tags: ["x".repeat(101)], diaryDate: "today" } });
    const error: unknown = await wrong.catch((caught: unknown) => caught);
    assert.ok(error instanceof MosaicError && error.status === 422);
    assert.deepEqual(error.errors.map(({ path }) => path).sort(), ["diaryDate", "tags[0]"]);
    assert.deepEqual(waits, [], "what can't get better is not tried again");
  });

  test("what is safe is tried again, after the time that the server says, and what is not safe is not", async () => {
    const { client: phone, network, waits, user } = await client({ attempts: 3 });
    await phone.login(user, PASSWORD);
    let answers = [
      () => Promise.reject(new TypeError("offline")),
      () => Promise.resolve(new Response("{}", { status: 503, headers: { "retry-after": "7" } })),
    ];
    network.meddle = (request, send) => (answers.shift() ?? (() => send(request)))();
    const clocks: number[] = [];
    const meddle = network.meddle;
    network.meddle = (request, send) => {
      tick();
      clocks.push(Number(request.headers.get("x-client-time")));
      return meddle(request, send);
    };
    await phone.pull({});
    assert.ok(clocks.length === 3 && clocks[0]! < clocks[1]! && clocks[1]! < clocks[2]!, "w6 each try has its own time");
    assert.ok(waits[0]! >= 250 && waits[0]! <= 500, String(waits));
    assert.ok(waits[1]! >= 7500 && waits[1]! <= 8000, String(waits));

    answers = Array.from({ length: 3 }, () => () => Promise.reject(new TypeError("offline")));
    await assert.rejects(phone.pull({}), { code: "no_answer", status: 0 });
    assert.equal(answers.length, 0);

    answers = [() => Promise.reject(new TypeError("offline"))];
    await assert.rejects(phone.request("post", "/memos", { body: { content: "twins" } }), { code: "no_answer" });
    assert.equal((await phone.request("get", "/memos")).total, 0);

    answers = [() => Promise.resolve(new Response("{}", { status: 429, headers: { "retry-after": "3600" } }))];
    await assert.rejects(phone.pull({}), { status: 429, retryAfter: 3_600_000 });
  });

  test("l2 two tabs whose token is refused at once renew it once", async () => {
    const tokens = memoryTokens();
    const one = await client({ tokens });
    const other = await client({ tokens });
    await one.client.login(one.user, PASSWORD);
    const kept = (await tokens.load()) as Tokens;
    tokens.save({ ...kept, accessToken: "no.such.token" });
    await Promise.all([one.client.pull({}), other.client.pull({}), one.client.request("get", "/auth/me")]);
    const refreshes = [...one.network.seen, ...other.network.seen].filter((seen) => seen.endsWith("/auth/refresh"));
    assert.equal(refreshes.length, 1);
  });

  test("l2 the answer to a refresh may be lost", async () => {
    const tokens = memoryTokens();
    const { client: phone, network, user } = await client({ tokens });
    await phone.login(user, PASSWORD);
    tokens.save({ ...((await tokens.load()) as Tokens), accessToken: "no.such.token" });
    let lost = 0;
    network.meddle = async (request, send) => {
      const answer = await send(request);
      if (request.url.endsWith("/auth/refresh") && (lost += 1) < 3) throw new TypeError("the answer was lost");
      return answer;
    };
    await phone.pull({});
    assert.equal(lost, 3);
  });

  test("l2 what somebody between refuses a refresh with ends no login", async () => {
    const tokens = memoryTokens();
    const { client: phone, network, user } = await client({ tokens });
    await phone.login(user, PASSWORD);
    tokens.save({ ...((await tokens.load()) as Tokens), accessToken: "no.such.token" });
    for (const status of [401, 403, 413]) {
      network.meddle = (request, send) =>
        request.url.endsWith("/auth/refresh") ? Promise.resolve(new Response("<html>", { status })) : send(request);
      await assert.rejects(phone.pull({}), { code: "not_the_server", status });
    }
    network.meddle = undefined;
    await phone.pull({});
  });

  test("l1 a login that has ended is forgotten, and one that was renewed too late ends", async () => {
    const tokens = memoryTokens();
    const { client: phone, user } = await client({ tokens });
    await phone.login(user, PASSWORD);
    const before = (await tokens.load()) as Tokens;
    await phone.request("delete", "/devices/{clientId}", { params: { path: { clientId: "phone" } } });
    await assert.rejects(phone.pull({}), { code: "login_ended", status: 401 });
    assert.equal(await tokens.load(), undefined);
    await assert.rejects(phone.pull({}), { code: "login_ended" });
    tokens.save({ ...before, accessToken: "no.such.token" });
    await assert.rejects(phone.pull({}), (error: MosaicError) => error.status === 401);
    assert.equal(await tokens.load(), undefined);
    await phone.login(user, PASSWORD);
    await phone.pull({});
    await phone.logout();
    await assert.rejects(phone.pull({}), { code: "login_ended" });
  });

  test("a token that expires is renewed", async (context) => {
    const brief = await Server.start("--auth-access-token-ttl-ms", "1000");
    context.after(() => brief.stop());
    const network = new Network(brief.fetch, random);
    const phone = new MosaicClient({ baseUrl: ADDRESS, clientId: "phone", fetch: network.fetch as typeof fetch });
    await phone.login((await brief.user()).username, PASSWORD);
    // Until the server says so.
    while (!network.seen.includes("POST /auth/refresh")) await phone.request("get", "/auth/me");
    await phone.pull({});
  });

  test("a digest is as the protocol says", () => {
    const versions: [string, number][] = [
      ["0198f3a2-7b1c-7def-8000-000000000001", 1715000000000],
      ["2026-05-16", 1715000000001],
    ];
    const first = ([key, at]: [string, number]) =>
      createHash("sha256").update(`${key} ${at}`).digest().readBigUInt64BE(0);
    const sum = (first(versions[0]!) + first(versions[1]!)) % 2n ** 64n;
    assert.deepEqual(digest(versions), { count: 2, hash: sum.toString(16).padStart(16, "0") });
    assert.deepEqual(digest([]), { count: 0, hash: "0000000000000000" });
  });

  test("n1 nudges go on over a server that stops, until nobody wants them", async () => {
    const { client: phone, user } = await client();
    const { client: tablet } = await client({ clientId: "tablet" });
    await phone.login(user, PASSWORD);
    await tablet.login(user, PASSWORD);
    const stop = new AbortController();
    const nudges = phone.events(stop.signal);
    const first = (await nudges.next()).value;
    assert.equal(first?.changed, true);
    const memo = { id: random.uuid(), content: "new" };
    const { clock } = await tablet.push({ memo: { updated: [memo] } });
    assert.deepEqual((await nudges.next()).value, { clock, changed: true });
    const waiting = nudges.next();
    await server.pause();
    await server.resume();
    // Nothing happened meanwhile, and the server says so.
    assert.deepEqual((await waiting).value, { clock, changed: false });
    const more = nudges.next();
    await tablet.push({ memo: { updated: [{ ...memo, content: "newer", updatedAt: Date.now() }] } });
    assert.equal((await more).value?.changed, true);
    const last = nudges.next();
    stop.abort();
    assert.equal((await last).done, true);
  });

  test("an upload goes on where it broke off, with a token that had to be renewed", async () => {
    const tokens = memoryTokens();
    const phone = new MosaicClient({ baseUrl: server.url, clientId: "phone", tokens });
    await phone.login((await server.user()).username, PASSWORD);
    const file = Buffer.from(Array.from({ length: 300_000 }, () => random.below(256)));
    const about = { id: random.uuid(), filename: "noise.bin", filetype: "application/octet-stream" };
    const tus = { chunkSize: 100_000, urlStorage: notes() };
    const cut = new AbortController();
    const first = upload(phone, file, about, {
      tus: { ...tus, onChunkComplete: () => cut.abort(new Error("the app was closed")) },
      signal: cut.signal,
    });
    await assert.rejects(first, /the app was closed/);
    const sent: number[] = [];
    const refuse = async () => tokens.save({ ...((await tokens.load()) as Tokens), accessToken: "no.such.token" });
    await refuse();
    const resource = await upload(phone, file, about, {
      tus: { ...tus, onChunkComplete: (size) => void (sent.push(size) === 1 && refuse()), retryDelays: [0, 0] },
    });
    assert.equal(resource.id, about.id);
    assert.equal(resource.sha256, createHash("sha256").update(file).digest("hex"));
    assert.ok(sent.length <= 2, `it went on: ${sent.join()}`);
    const answer = await phone.fetch(`/resources/${resource.id}/download`);
    assert.deepEqual(Buffer.from(await answer.arrayBuffer()), file);
  });

  test("a2 a small file goes in one request, and is there once where its answer is lost", async () => {
    const phone = new MosaicClient({ baseUrl: server.url, clientId: "phone", tokens: (await server.user()).tokens });
    for (const tries of [1, 2]) {
      const file = Buffer.from(`a photo, in ${tries} tries`);
      const requests: string[] = [];
      const resource = await upload(phone, file, { id: random.uuid(), filename: "photo.txt" }, {
        tus: { httpStack: new LosingStack(requests, tries - 1), retryDelays: [0, 0] },
      });
      assert.deepEqual(requests, Array(tries).fill("POST"));
      assert.equal(resource.sha256, createHash("sha256").update(file).digest("hex"));
      const answer = await phone.fetch(`/resources/${resource.id}/download`);
      assert.deepEqual(Buffer.from(await answer.arrayBuffer()), file);
      assert.equal((await phone.request("get", "/resources")).total, tries);
    }
  });
});

/** Where an app notes its uploads that are under way. */
function notes(): NonNullable<UploadOptions["urlStorage"]> {
  const kept = new Map<string, PreviousUpload>();
  const all = () => Promise.resolve([...kept.values()]);
  return {
    findAllUploads: all,
    findUploadsByFingerprint: all,
    removeUpload: (key) => Promise.resolve(void kept.delete(key)),
    addUpload: (fingerprint, upload) => {
      kept.set(fingerprint, { ...upload, urlStorageKey: fingerprint });
      return Promise.resolve(fingerprint);
    },
  };
}

/** Notes the method of each request, and loses the first answers. */
class LosingStack extends DefaultHttpStack {
  constructor(
    private readonly requests: string[],
    private lost: number,
  ) {
    super({});
  }

  override createRequest(method: string, url: string) {
    const request = super.createRequest(method, url);
    const send = request.send.bind(request);
    request.send = async (body) => {
      this.requests.push(method);
      const answer = await send(body);
      if ((this.lost -= 1) >= 0) throw new Error("the answer was lost");
      return answer;
    };
    return request;
  }
}

// A device of somebody's, by the types that openapi-typescript makes of the document: no `any`, and no cast.

import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Schemas = components["schemas"];

declare const process: { env: Record<string, string | undefined> };

const baseUrl = process.env["MOSAIC_URL"] ?? "";
const password = process.env["MOSAIC_ADMIN_PASSWORD"] ?? "";
const api = createClient<paths>({ baseUrl });

function expect(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

/** What an app does after a 401. */
function afterRefusal(problem: Schemas["Problem"]): "refresh" | "log in" {
  return problem.code === "token_expired" || problem.code === "invalid_token" ? "refresh" : "log in";
}

const refused = await api.POST("/sync/pull", { body: { clientId: "typescript" } });
expect(refused.response.status === 401 && refused.error !== undefined, "nobody pulls without a login");
expect(afterRefusal(refused.error) === "log in", refused.error.code);

const login = await api.POST("/auth/login", { body: { username: "admin", password, clientId: "typescript" } });
expect(login.data !== undefined, "a login");
const tokens: Schemas["Tokens"] = login.data;
const renewed = await api.POST("/auth/refresh", { body: { refreshToken: tokens.refreshToken } });
expect(renewed.data !== undefined, "new tokens");
api.use({
  onRequest({ request }) {
    request.headers.set("Authorization", `Bearer ${renewed.data.accessToken}`);
  },
});

/** What the device holds. */
const memos = new Map<string, Schemas["Memo"]>();
const bots = new Map<string, Schemas["Bot"]>();
let cursors: Schemas["Cursors"] = {};

async function pull(): Promise<void> {
  for (let more = true; more; ) {
    const { data, error } = await api.POST("/sync/pull", { body: { clientId: "typescript", cursors } });
    expect(data !== undefined, error?.detail ?? "");
    for (const memo of data.changes.memo?.updated ?? []) memos.set(memo.id, memo);
    for (const id of data.changes.memo?.deletedIds ?? []) memos.delete(id);
    for (const bot of data.changes.bot?.updated ?? []) bots.set(bot.id, bot);
    cursors = data.cursors;
    more = Object.values(data.hasMore).some((one) => one);
  }
}

/** The winner of a conflict takes the place of what was edited here. */
function take(current: Schemas["StoredMemo"]): void {
  if (current.isDeleted) memos.delete(current.id);
  else memos.set(current.id, current);
}

async function push(changes: Schemas["PushChanges"]): Promise<Schemas["PushResults"]> {
  const { data, error } = await api.POST("/sync/push", { body: { clientId: "typescript", changes } });
  expect(data !== undefined, error?.detail ?? "");
  return data.results;
}

const [id, botId] = ["0198f3a2-7b1c-7def-8000-000000000001", "0198f3a2-7b1c-7def-8000-000000000002"];
const now = Date.now();
const created = await push({
  memo: { updated: [{ id, content: "first", diaryDate: "2026-05-16", tags: ["a"], updatedAt: now - 5000 }] },
  bot: { updated: [{ id: botId, name: "Ada", aiConfig: { temperature: 0.5, stop: ["a", null], nested: { deep: [1] } } }] },
});
expect(created.memo?.[0]?.outcome === "applied" && created.bot?.[0]?.outcome === "applied", "both are stored");

await pull();
const memo = memos.get(id);
expect(memo !== undefined && memo.diaryDate === "2026-05-16", "it was pulled");
const settings: Schemas["KeptObject"] | null | undefined = bots.get(botId)?.aiConfig;
expect(JSON.stringify(settings?.["stop"]) === '["a",null]', "an object is kept as given");

// A record is pushed as it was pulled, and clears a field.
const cleared = await push({ memo: { updated: [{ ...memo, diaryDate: null, updatedAt: now - 4000 }] } });
expect(cleared.memo?.[0]?.outcome === "applied", "a cleared field");
const edited = await api.PUT("/memos/{id}", { params: { path: { id } }, body: { aiSummary: null, updatedAt: now - 3000 } });
expect(edited.data?.diaryDate === null && edited.data.aiSummary === null, "both are null");

// An older edit loses: a push is answered the winner by type, and so is a single edit.
const lost = (await push({ memo: { updated: [{ id, content: "late", updatedAt: now - 9000 }] } })).memo?.[0];
expect(lost?.outcome === "superseded" && lost.current !== undefined, "it lost");
take(lost.current);
expect(memos.get(id)?.content === "first" && memos.get(id)?.diaryDate === null, "the winner is here");
const { error } = await api.PUT("/memos/{id}", { params: { path: { id } }, body: { content: "late", updatedAt: now - 8000 } });
expect(error?.code === "superseded" && error.current !== undefined, "it lost, too");
expect("content" in error.current && error.current.content === "first", "the winner of a single edit");

// What lost is kept, with its content.
const kept = await api.GET("/memos/{id}/revisions", { params: { path: { id } } });
const contents: string[] = (kept.data ?? []).map((revision: Schemas["MemoRevision"]) => revision.content);
expect(contents.includes("late"), "a revision has its content");

// A deleted memo wins as a tombstone.
await push({ memo: { deleted: [{ id, updatedAt: now - 1000 }] } });
const gone = (await push({ memo: { updated: [{ id, content: "late", updatedAt: now - 2000 }] } })).memo?.[0]?.current;
expect(gone !== undefined && gone.isDeleted === true, "a tombstone");
take(gone);
expect(!memos.has(id), "it is gone");

const page = await api.GET("/memos", { params: { query: { pageSize: 5 } } });
const listed: Schemas["MemoWithResourcesPage"] | undefined = page.data;
expect(listed?.items.every((one) => one.resources.length === 0) === true, "a page of memos");

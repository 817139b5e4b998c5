import { pause, type MosaicClient, type Schemas } from "./client.js";
import { digest } from "./digest.js";
import { keyName, keyOf, TYPES, type AnyRecord, type EntityType } from "./model.js";
import { MosaicError } from "./problem.js";

/** A record as the server has it; null where it is deleted. */
export interface Change {
  type: EntityType;
  key: string;
  record: AnyRecord | null;
}

/** An edit that the server has not judged yet: the whole record as far as the store knows it, or null where it was deleted. */
export interface Edit {
  type: EntityType;
  key: string;
  /** When a person made it, by the device's clock. */
  updatedAt: number;
  record: Record<string, unknown> | null;
}

/** What became of an edit that is settled. */
export interface Settled {
  edit: Edit;
  /** What takes the edit's place, where it did not win (W4); not there where the edit stands as it was sent. */
  winner?: Change;
}

/** An edit that the server does not take. */
export interface Rejection {
  edit: Edit;
  error: Schemas["PushError"];
  /** Whether it is tried again with every sync. Else it is left alone until the record is edited again. */
  retryable: boolean;
}

/** What a device remembers of its place in the user's history. */
export interface SyncState {
  cursors: Schemas["Cursors"];
  epoch?: string;
  /** Where types are being rebuilt (R3): how many pages are noted, each with what it gave, and since which page of these each type is. */
  rebuilding?: { pages: number; since: { [T in EntityType]?: number } };
  /** The edits that were rejected: by type and key. */
  rejected: { [T in EntityType]?: Record<string, Rejected> };
}

/** What is noted of an edit that was rejected. */
export interface Rejected {
  version: string;
  retryable: boolean;
  /** Why, as the app was told. Not there where the edit only got another time. */
  code?: string;
  /** When the edit counts as made, where its own time was ahead of the clock (W6): sent again it has the same (W3). */
  updatedAt?: number;
}

/** What sync needs of an app's database. */
export interface SyncStore {
  /** A note of sync's own, as it was saved. */
  load(note: string): Promise<unknown>;
  /** Keeps a note: JSON of a few kilobytes. Undefined: it is not needed any more. */
  save(note: string, value: unknown): Promise<void>;
  /**
   * Sends every edit that is not settled, and takes what becomes of it. An edit that is not among the answers stays unsettled; so
   * does one whose record was edited again meanwhile. A winner takes the place of the edit that lost; it may name a memo that only
   * the pull brings. Ends once all of it is stored: what was pushed may not be pulled (B3).
   */
  push(send: (edits: Edit[]) => Promise<Settled[]>): Promise<void>;
  /** Takes what the server has, in this order. A record with an edit that is not settled stays as it is: the server judges it. */
  apply(changes: Change[]): Promise<void>;
  /** Key and edit time of every record that is not deleted. */
  versions(type: EntityType): Promise<[key: string, updatedAt: number][]>;
}

export interface SyncOptions {
  /** An edit that the server does not take: once for each edit and reason. */
  onRejected?: (rejection: Rejection) => void;
  onProgress?: (report: SyncReport) => void;
  signal?: AbortSignal;
}

export interface SyncReport {
  /** Edits that are settled. */
  pushed: number;
  /** Those of them that lost. */
  lost: number;
  rejected: number;
  /** Records and tombstones that came. */
  pulled: number;
  /** The types that were rebuilt, because the server has another history (R1, R2). */
  reset: EntityType[];
}

/** The note that is a {@link SyncState}. */
export const STATE = "state";
/** The most records of a type in one push, and of those that are dropped at a time. */
const AT_ONCE = 200;
/** About how many letters one push may have: far less than the server's 16 MiB, whatever they take. */
const LETTERS = 2_000_000;

/** Pushes all edits, then pulls until there is nothing more. Never call it twice at a time for one store. */
export async function sync(store: SyncStore, client: MosaicClient, options: SyncOptions = {}): Promise<SyncReport> {
  const state = ((await store.load(STATE)) as SyncState | undefined) ?? { cursors: {}, rejected: {} };
  const run = new Run(store, client, options, state);
  await run.push();
  // A store may push an edit while this pulls. A page that was older may have taken its place: then the next one has it again.
  do {
    run.hasSent = false;
    await run.pull();
  } while (run.hasSent);
  return run.report;
}

/**
 * Makes the next sync pull everything again, and drop what the server does not have, as after a restored backup (R3). Edits that are
 * not settled stay. For when the digests differ after a sync. Never while the store is synced.
 */
export async function rebuild(store: SyncStore): Promise<void> {
  const { rejected, rebuilding } = ((await store.load(STATE)) ?? { rejected: {} }) as SyncState;
  const pages = rebuilding?.pages ?? 0;
  const since = Object.fromEntries(TYPES.map((type) => [type, pages]));
  await store.save(STATE, { cursors: {}, rejected, rebuilding: { pages, since } });
}

class Run {
  readonly report: SyncReport = { pushed: 0, lost: 0, rejected: 0, pulled: 0, reset: [] };
  hasSent = false;
  /** What the push rejected, by type and key. */
  private readonly open = new Set<string>();
  /** Where all cursors may be put once what is pushed is stored (B3); undefined where somebody else has written. */
  private clock: number | undefined;

  constructor(
    private readonly store: SyncStore,
    private readonly client: MosaicClient,
    private readonly options: SyncOptions,
    private readonly state: SyncState,
  ) {}

  async push(): Promise<void> {
    await this.pushOnce();
    // The store is asked anew: what was edited again meanwhile has a time of its own.
    if (this.dated().some(([, , { code }]) => code === undefined)) await this.pushOnce();
  }

  private async pushOnce(): Promise<void> {
    const { cursors } = this.state;
    if (TYPES.every((type) => cursors[type] === cursors.memo)) this.clock = cursors.memo;
    let failure: unknown;
    this.open.clear();
    await this.store.push(async (edits) => {
      this.hasSent = true;
      const all: Settled[] = [];
      for (const chunk of chunks(edits.filter((edit) => !this.isRefused(edit)))) {
        try {
          all.push(...(await this.pushChunk(chunk)));
        } catch (error) {
          // What was answered is settled first.
          failure = error;
          if (all.length === 0) throw error;
          break;
        }
      }
      return all;
    });
    if (failure !== undefined) throw failure;
    // Not before they are settled in the store: an edit that is sent again has the time that it was sent with (W3).
    const isSettled = ([type, key, { retryable }]: [EntityType, string, Rejected]) => retryable && !this.open.has(`${type} ${key}`);
    const settled = this.dated().filter(isSettled);
    for (const [type, key] of settled) delete this.state.rejected[type]?.[key];
    const { clock = cursors.memo } = this;
    const moves = clock !== undefined && clock !== cursors.memo;
    if (moves) for (const type of TYPES) cursors[type] = clock;
    if (moves || settled.length > 0) await this.store.save(STATE, this.state);
    this.clock = undefined;
  }

  private async pushChunk(edits: Edit[]): Promise<Settled[]> {
    const changes: Record<string, { updated: object[]; deleted: object[] }> = {};
    const order: Record<string, Edit[]> = {};
    for (const type of TYPES) {
      const ofType = edits.filter((edit) => edit.type === type);
      const [updated, deleted] = [ofType.filter((edit) => edit.record), ofType.filter((edit) => !edit.record)];
      if (ofType.length === 0) continue;
      order[type] = [...updated, ...deleted];
      changes[type] = {
        updated: updated.map((edit) => ({ ...edit.record, [keyName(type)]: edit.key, updatedAt: this.timeOf(edit) })),
        deleted: deleted.map((edit) => ({ [keyName(type)]: edit.key, updatedAt: this.timeOf(edit) })),
      };
    }
    const { results, clock, clockBefore } = await this.client.push(changes as Schemas["PushChanges"], this.options.signal);
    this.clock = this.clock !== undefined && this.clock === clockBefore ? clock : undefined;
    const settled: Settled[] = [];
    for (const type of TYPES) {
      for (const [index, result] of (results[type] ?? []).entries()) {
        const one = await this.judged(order[type]?.[index] as Edit, result);
        if (one) settled.push(one);
      }
    }
    await this.store.save(STATE, this.state);
    this.options.onProgress?.(this.report);
    return settled;
  }

  private async judged(edit: Edit, result: Schemas["MemoPushResult"] | PushResult): Promise<Settled | undefined> {
    if (result.outcome === "rejected") {
      this.reject(edit, result.error as Schemas["PushError"], result.retryable ?? false);
      return undefined;
    }
    const updatedAt = this.timeOf(edit);
    this.open.delete(`${edit.type} ${edit.key}`);
    if (this.known(edit)?.updatedAt === undefined) delete this.state.rejected[edit.type]?.[edit.key];
    this.report.pushed += 1;
    if (result.outcome === "superseded") {
      this.report.lost += 1;
      return { edit, winner: await this.winner(edit, result.current) };
    }
    // What was pulled already, or will not be, is not sent again: the answer says what the server made of it (B3).
    const pulled = (result.stamp ?? 0) <= (this.clock ?? this.state.cursors[edit.type] ?? 0);
    const isAsSent = result.stored === undefined && updatedAt === edit.updatedAt;
    if (!pulled || !edit.record || isAsSent) return { edit };
    const { type, key, record } = edit;
    const current = result.stored !== null && { ...record, [keyName(type)]: key, updatedAt, ...(result.stored as object) };
    return { edit, winner: await this.winner(edit, current || undefined) };
  }

  private async winner({ type, key }: Edit, current?: object): Promise<Change> {
    const found = current ?? (await this.read(type, key));
    const record = found === null || ("isDeleted" in found && found.isDeleted) ? null : (found as AnyRecord);
    return { type, key, record };
  }

  private async read(type: EntityType, id: string): Promise<object | null> {
    try {
      if (type === "diary") return await this.client.request("get", "/diaries/{date}", { params: { path: { date: id } } });
      return await this.client.request("get", `/${type}s/{id}`, { params: { path: { id } } });
    } catch (error) {
      if (error instanceof MosaicError && error.status === 404) return null;
      throw error;
    }
  }

  private reject(edit: Edit, error: Schemas["PushError"], retryable: boolean): void {
    const ofType = (this.state.rejected[edit.type] ??= {});
    const before = this.known(edit);
    const now = Date.now();
    this.open.add(`${edit.type} ${edit.key}`);
    if (error.code === "edit_time_ahead" && this.timeOf(edit) > now) {
      // Made by a clock that has been put right since. What is edited from now on is later.
      ofType[edit.key] = { version: version(edit), retryable, updatedAt: now - 1 };
      return;
    }
    ofType[edit.key] = { ...before, version: version(edit), retryable, code: error.code };
    if (before?.code === error.code) return;
    this.report.rejected += 1;
    this.options.onRejected?.({ edit, error, retryable });
  }

  /** The edits that have got another time. */
  private dated(): [EntityType, string, Rejected][] {
    const all = TYPES.flatMap((type) =>
      Object.entries(this.state.rejected[type] ?? {}).map(([key, rejected]): [EntityType, string, Rejected] => [type, key, rejected]),
    );
    return all.filter(([, , { updatedAt }]) => updatedAt !== undefined);
  }

  /** What is noted of this very edit. */
  private known(edit: Edit): Rejected | undefined {
    const rejected = this.state.rejected[edit.type]?.[edit.key];
    return rejected?.version === version(edit) ? rejected : undefined;
  }

  /** The time that an edit is sent with. */
  private timeOf(edit: Edit): number {
    return this.known(edit)?.updatedAt ?? edit.updatedAt;
  }

  /** Whether this very edit was rejected for good. */
  private isRefused(edit: Edit): boolean {
    return this.known(edit)?.retryable === false;
  }

  async pull(): Promise<void> {
    const given = await this.given();
    for (let more = true; more; ) {
      const { cursors, epoch } = this.state;
      const page = await this.client.pull({ cursors, ...(epoch ? { epoch } : {}) }, this.options.signal);
      for (const type of page.reset ?? []) this.begin(type, given);
      const changes = changesOf(page);
      for (const { type, key } of changes) given.get(type)?.add(key);
      // The device keeps what it has of these (P8).
      for (const type of TYPES) page.skipped?.[type]?.forEach((key) => given.get(type)?.add(key));
      await this.store.apply(changes.filter(({ type, key }) => !this.state.rejected[type]?.[key]));
      this.report.pulled += changes.length;
      more = Object.values(page.hasMore).some(Boolean);
      if (more) await this.note(page);
      else await this.forget(given);
      if (!more && this.state.rebuilding) this.state.rebuilding.since = {};
      // Last of all: what was not applied is pulled again (P6).
      this.state.cursors = page.cursors;
      this.state.epoch = page.epoch;
      await this.store.save(STATE, this.state);
      this.options.onProgress?.(this.report);
    }
    this.report.reset.push(...given.keys());
    await this.end();
  }

  /** What pages gave is not needed any more. */
  private async end(): Promise<void> {
    const { rebuilding } = this.state;
    if (!rebuilding) return;
    for (let number = 0; number < rebuilding.pages; number += 1) await this.store.save(givenBy(number), undefined);
    delete this.state.rebuilding;
    await this.store.save(STATE, this.state);
  }

  /** What was given of each type that is being rebuilt, by the pages of earlier syncs. */
  private async given(): Promise<Map<EntityType, Set<string>>> {
    const { pages, since } = this.state.rebuilding ?? { pages: 0, since: {} };
    const given = new Map(TYPES.filter((type) => since[type] !== undefined).map((type) => [type, new Set<string>()]));
    for (let number = Math.min(...Object.values(since)); number < pages; number += 1) {
      const keys = (await this.store.load(givenBy(number))) as Given;
      for (const [type, all] of given) if (number >= (since[type] ?? 0)) keys[type]?.forEach((key) => all.add(key));
    }
    return given;
  }

  /** The server has another history of this type. */
  private begin(type: EntityType, given: Map<EntityType, Set<string>>): void {
    given.set(type, new Set());
    this.state.rebuilding ??= { pages: 0, since: {} };
    this.state.rebuilding.since[type] = this.state.rebuilding.pages;
  }

  /** Keeps what a page gave, for a rebuilding that is interrupted. It counts once the cursors behind the page are kept, too. */
  private async note(page: Schemas["PullResponse"]): Promise<void> {
    const { rebuilding } = this.state;
    if (!rebuilding || Object.keys(rebuilding.since).length === 0) return;
    const keys: Given = {};
    for (const { type, key } of changesOf(page)) (keys[type] ??= []).push(key);
    for (const type of TYPES) page.skipped?.[type]?.forEach((key) => (keys[type] ??= []).push(key));
    await this.store.save(givenBy(rebuilding.pages), keys);
    rebuilding.pages += 1;
  }

  /**
   * Drops what was not given while its type was rebuilt (R3), children first. Edits that are not settled stay. In between others have
   * their turn: a person who waits for a large database.
   */
  private async forget(given: Map<EntityType, Set<string>>): Promise<void> {
    for (const type of [...TYPES].reverse()) {
      const keys = given.get(type);
      if (!keys) continue;
      const stale = (await this.store.versions(type)).filter(([key]) => !keys.has(key) && !this.state.rejected[type]?.[key]);
      for (let at = 0; at < stale.length; at += AT_ONCE) {
        await this.store.apply(stale.slice(at, at + AT_ONCE).map(([key]) => ({ type, key, record: null })));
        await pause(0, this.options.signal);
      }
    }
  }
}

/** The keys that a page gave. */
type Given = { [T in EntityType]?: string[] };

/** The note of what a page gave. */
const givenBy = (page: number) => `given ${page}`;

type PushResult = NonNullable<Schemas["PushResults"][EntityType]>[number];

const version = (edit: Edit) => `${edit.updatedAt}${edit.record ? "" : " deleted"}`;

/** Parents first, and each small enough for one request. */
function* chunks(edits: Edit[]): Generator<Edit[]> {
  const ordered = TYPES.flatMap((type) => edits.filter((edit) => edit.type === type));
  let [chunk, letters, ofType] = [[] as Edit[], 0, 0];
  for (const edit of ordered) {
    const size = JSON.stringify(edit.record).length;
    ofType = chunk.at(-1)?.type === edit.type ? ofType + 1 : 1;
    if (chunk.length > 0 && (ofType > AT_ONCE || letters + size > LETTERS)) {
      yield chunk;
      [chunk, letters, ofType] = [[], 0, 1];
    }
    chunk.push(edit);
    letters += size;
  }
  if (chunk.length > 0) yield chunk;
}

/** What came: parents before what belongs to them, and the other way round where they are deleted. */
function changesOf({ changes }: Schemas["PullResponse"]): Change[] {
  const updated = TYPES.flatMap((type) =>
    (changes[type]?.updated ?? []).map((record): Change => ({ type, key: keyOf(record), record })),
  );
  const deleted = [...TYPES]
    .reverse()
    .flatMap((type) => (changes[type]?.deletedIds ?? []).map((key): Change => ({ type, key, record: null })));
  return [...updated, ...deleted];
}

export interface DigestReport {
  /** Whether each type holds the same versions here and on the server. Only means something after a sync, with nothing edited since. */
  same: boolean;
  here: Schemas["TypeDigests"];
  server: Schemas["Digest"];
}

/** Compares what the store holds with what the server says that it should. */
export async function compareDigests(store: SyncStore, client: MosaicClient): Promise<DigestReport> {
  const here: Schemas["TypeDigests"] = {};
  for (const type of TYPES) here[type] = digest(await store.versions(type));
  const server = await client.request("get", "/sync/digest");
  const same = TYPES.every((type) => {
    const [mine, theirs] = [here[type], server.entities[type]];
    return mine?.count === theirs?.count && mine?.hash === theirs?.hash;
  });
  return { same, here, server };
}

import { Q, tableSchema, type Database, type DirtyRaw, type Model, type TableSchema } from "@nozbe/watermelondb";
import {
  synchronize,
  type SyncDatabaseChangeSet,
  type SyncPullResult,
  type SyncTableChangeSet,
} from "@nozbe/watermelondb/sync/index.js";
import type { MosaicClient } from "./client.js";
import * as engine from "./engine.js";
import { fieldsOf, keyName, TABLES, TYPES, type AnyRecord, type EntityType, type Kind } from "./model.js";
import { exclusive } from "./session.js";

/** The tables that the adapter syncs. An app may leave out columns, and have more of its own: these stay on the device. */
export const tables: TableSchema[] = TYPES.map((type) =>
  tableSchema({
    name: TABLES[type],
    columns: fieldsOf(type).map(([field, kind]) => ({
      name: column(field),
      type: kind === "flag" ? "boolean" : kind.startsWith("number") || kind === "count" ? "number" : "string",
      isOptional: kind.endsWith("?"),
      isIndexed: field === "memoId" || field === "diaryDate",
    })),
  }),
);

/** Pushes what was edited in the database, then pulls. Calls for one database wait for each other. */
export function sync(
  database: Database,
  client: MosaicClient,
  options?: engine.SyncOptions,
): Promise<engine.SyncReport> {
  return exclusive(`mosaic sync ${database.adapter.dbName ?? ""}`, () =>
    engine.sync(new WatermelonStore(database), client, options),
  );
}

/** Makes the next sync pull everything again, and drop what the server does not have: for when the digest differs after a sync. */
export function rebuild(database: Database): Promise<void> {
  return exclusive(`mosaic sync ${database.adapter.dbName ?? ""}`, () => engine.rebuild(new WatermelonStore(database)));
}

/** Compares the database with what the server says that a device holds which is in sync. */
export function digest(database: Database, client: MosaicClient): Promise<engine.DigestReport> {
  return engine.compareDigests(new WatermelonStore(database), client);
}

/**
 * Deletes a record as of now. `markAsDeleted` alone says nothing of when: such a delete counts as made right after the last edit that
 * this device knows, so any edit of another device that it does not know wins.
 */
export async function remove(record: Model): Promise<void> {
  await record.database.write(async () => {
    await record.update((edited) => edited._setRaw("updated_at", Date.now()));
    await record.markAsDeleted();
  });
}

/**
 * To be called before a record is made whose key may have been deleted on this device and not synced yet, which WatermelonDB refuses:
 * a diary's, whose key is its day.
 */
export function discardDelete(database: Database, table: string, key: string): Promise<void> {
  return database.write(() => database.adapter.destroyDeletedRecords(table, [key]));
}

const NOTES = "mosaic_sync";

class WatermelonStore implements engine.SyncStore {
  constructor(private readonly database: Database) {}

  load(note: string): Promise<unknown> {
    return this.database.localStorage.get(`${NOTES} ${note}`);
  }

  save(note: string, value: unknown): Promise<void> {
    const name = `${NOTES} ${note}`;
    return value === undefined ? this.database.localStorage.remove(name) : this.database.localStorage.set(name, value);
  }

  async push(send: (edits: engine.Edit[]) => Promise<engine.Settled[]>): Promise<void> {
    let lost: engine.Settled[] = [];
    const pushed = new Map<string, DirtyRaw>();
    await synchronize({
      database: this.database,
      pullChanges: nothing,
      pushChanges: async ({ changes }) => {
        const edits = await this.edits(changes, pushed);
        const settled = await send(edits);
        lost = settled.filter(({ winner }) => winner !== undefined);
        // These stay edits until their winners are here.
        const done = new Set(settled.filter(({ winner }) => !winner).map(({ edit }) => edit));
        const open = edits.filter((edit) => !done.has(edit));
        return {
          experimentalRejectedIds: Object.fromEntries(
            TYPES.map((type) => [TABLES[type], open.filter((edit) => edit.type === type).map(({ key }) => key)]),
          ),
        };
      },
    });
    if (lost.length > 0) await this.settle(lost, pushed);
  }

  private async edits(changes: SyncDatabaseChangeSet, pushed: Map<string, DirtyRaw>): Promise<engine.Edit[]> {
    const edits: engine.Edit[] = [];
    for (const type of TYPES) {
      const table = TABLES[type];
      const ofTable = (changes as Record<string, SyncTableChangeSet>)[table];
      const { created, updated, deleted } = ofTable ?? { created: [], updated: [], deleted: [] };
      for (const raw of [...created, ...updated]) {
        pushed.set(`${table} ${String(raw["id"])}`, raw);
        edits.push({ type, key: String(raw["id"]), updatedAt: Number(raw["updated_at"]), record: fromRaw(type, raw) });
      }
      for (const key of deleted) {
        // What is marked as deleted is in no query, but still there.
        const raw: unknown = await this.database.adapter.find(table, key);
        const updatedAt = raw !== null && typeof raw === "object" && "updated_at" in raw ? Number(raw.updated_at) : Date.now();
        edits.push({ type, key, updatedAt, record: null });
      }
    }
    return edits;
  }

  /** The winners take the place of what lost, but for what was edited again. */
  private async settle(lost: engine.Settled[], pushed: Map<string, DirtyRaw>): Promise<void> {
    const isAsPushed = (table: string, raw: DirtyRaw) => {
      const sent = pushed.get(`${table} ${String(raw["id"])}`);
      return sent !== undefined && Object.entries(sent).every(([name, value]) => raw[name] === value);
    };
    // A delete that lost leaves nothing to keep: the winner is made anew.
    await this.database.write(async () => {
      for (const { edit } of lost) {
        if (!edit.record) await this.database.adapter.destroyDeletedRecords(TABLES[edit.type], [edit.key]);
      }
    });
    const winners = lost.map(({ winner }) => winner as engine.Change);
    await this.take(winners, (table, raw) => raw["_status"] === "synced" || isAsPushed(table, raw));
  }

  apply(changes: engine.Change[]): Promise<void> {
    return this.take(changes, (_table, raw) => raw["_status"] === "synced");
  }

  /** Takes what the server has, where what is here may go. */
  private async take(changes: engine.Change[], mayGo: (table: string, raw: DirtyRaw) => boolean): Promise<void> {
    const updated = changes.filter(({ record }) => record !== null);
    if (updated.length > 0) {
      await synchronize({
        database: this.database,
        sendCreatedAsUpdated: true,
        pullChanges: ({ lastPulledAt }) => {
          const ofType = (type: EntityType) =>
            updated.filter((change) => change.type === type).map(({ record }) => toRaw(type, record as AnyRecord));
          return Promise.resolve({
            changes: Object.fromEntries(
              TYPES.map((type) => [TABLES[type], { created: [], updated: ofType(type), deleted: [] }]),
            ),
            timestamp: lastPulledAt ?? 1,
          });
        },
        conflictResolver: (table, local, remote, resolved) => {
          // A copy: WatermelonDB is about to give the record itself a new time.
          if (!mayGo(table, local)) return { ...local };
          // Columns of the app's own stay.
          return { ...resolved, ...remote, _status: "synced", _changed: "" };
        },
      });
    }
    // Not through `synchronize`, which would also delete what was edited here.
    await this.database.write(async () => {
      const gone: Model[] = [];
      for (const type of TYPES) {
        const keys = changes.filter((change) => change.type === type && !change.record).map(({ key }) => key);
        if (keys.length === 0) continue;
        const found = await this.database.get(TABLES[type]).query(Q.where("id", Q.oneOf(keys))).fetch();
        gone.push(...found.filter((record) => mayGo(TABLES[type], record._raw as unknown as DirtyRaw)));
      }
      await this.database.batch(gone.map((record) => record.prepareDestroyPermanently()));
    });
  }

  async versions(type: EntityType): Promise<[string, number][]> {
    // Not as models, of which each record would be kept.
    const rows = (await this.database.get(TABLES[type]).query().unsafeFetchRaw()) as DirtyRaw[];
    return rows.map((row) => [String(row["id"]), Number(row["updated_at"])]);
  }
}

function nothing({ lastPulledAt }: { lastPulledAt?: number }): Promise<SyncPullResult> {
  // WatermelonDB keeps one number for all tables; what a device was served is in the state of the adapter's own.
  return Promise.resolve({ changes: {}, timestamp: lastPulledAt ?? 1 });
}

function column(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function toRaw(type: EntityType, record: AnyRecord): DirtyRaw {
  const fields = record as unknown as Record<string, unknown>;
  const raw: DirtyRaw = { id: fields[keyName(type)] };
  for (const [field, kind] of fieldsOf(type)) {
    const value = fields[field];
    if (value !== undefined) raw[column(field)] = kind.startsWith("json") && value !== null ? JSON.stringify(value) : value;
  }
  return raw;
}

function fromRaw(type: EntityType, raw: DirtyRaw): Record<string, unknown> {
  const record: Record<string, unknown> = {};
  for (const [field, kind] of fieldsOf(type)) {
    const value: unknown = raw[column(field)];
    if (value === undefined || isDefault(kind, value)) continue;
    record[field] = kind.startsWith("json") && typeof value === "string" ? JSON.parse(value) : value;
  }
  return record;
}

/** What WatermelonDB puts where an app says nothing. */
function isDefault(kind: Kind, value: unknown): boolean {
  return ((kind === "word" || kind === "json") && value === "") || (kind === "count" && value === 0);
}

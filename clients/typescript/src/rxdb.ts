import type { RxCollection, RxCollectionCreator, RxDatabase, WithDeleted } from "rxdb";
import { replicateRxCollection, type RxReplicationState } from "rxdb/plugins/replication";
import { pause, type MosaicClient } from "./client.js";
import * as engine from "./engine.js";
import { fieldsOf, keyName, keyOf, TABLES, TYPES, type AnyRecord, type EntityType, type Kind } from "./model.js";
import { exclusive } from "./session.js";

type Doc = Record<string, unknown>;
type State = RxReplicationState<Doc, object>;
type Row = { newDocumentState: WithDeleted<Doc> };

const NOTES = "mosaic_sync";
const READ_AT_ONCE = 1000;

const JSON_TYPES: Record<Kind, string | string[]> = {
  text: "string",
  "text?": ["string", "null"],
  word: "string",
  number: "number",
  "number?": ["number", "null"],
  count: "number",
  flag: "boolean",
  json: ["object", "array"],
  "json?": ["object", "null"],
};

/** For `database.addCollections`: those that the adapter syncs, and one for its own notes. */
export const collections: Record<string, RxCollectionCreator<Doc>> = {
  ...Object.fromEntries(TYPES.map((type) => [TABLES[type], collection(keyName(type), propertiesOf(type))])),
  [NOTES]: collection("id", { state: { type: "object" } }),
};

function collection(key: string, properties: Record<string, object>): RxCollectionCreator<Doc> {
  const all = { [key]: { type: "string", maxLength: 64 }, ...properties };
  return { schema: { version: 0, primaryKey: key, type: "object", properties: all, required: [key] } };
}

function propertiesOf(type: EntityType): Record<string, object> {
  return Object.fromEntries(fieldsOf(type).map(([field, kind]) => [field, { type: JSON_TYPES[kind] }]));
}

/** Up to so much clocks may differ before the server makes up for it (W6), in milliseconds. */
const CLOCKS_DIFFER = 10_000;

/** Gives every edit, new record and delete of these collections its time: RxDB has none of its own. Call it once, before the first edit. */
export function stampEdits(database: RxDatabase): void {
  for (const type of TYPES) {
    const stamp = (doc: Doc) => {
      const [now, before] = [Date.now(), Number(doc["updatedAt"] ?? 0)];
      // Later than what is edited, also where that came from a device whose clock is a little ahead.
      doc["updatedAt"] = before >= now && before < now + CLOCKS_DIFFER ? before + 1 : now;
      doc["createdAt"] ??= doc["updatedAt"];
    };
    const stamped = collectionOf(database, type);
    // A document that removes itself is saved as well: it is a millisecond later then.
    stamped.preInsert(stamp, false);
    stamped.preSave(stamp, false);
    stamped.preRemove(stamp, false);
  }
}

/** Pushes what was edited in the database, then pulls. Calls for one database wait for each other, in all tabs. */
export function sync(
  database: RxDatabase,
  client: MosaicClient,
  options?: engine.SyncOptions,
): Promise<engine.SyncReport> {
  return exclusive(`mosaic sync ${database.name}`, async () => {
    const store = new RxStore(database);
    try {
      return await Promise.race([engine.sync(store, client, options), store.failed]);
    } finally {
      await store.close();
    }
  });
}

/** Makes the next sync pull everything again, and drop what the server does not have: for when the digest differs after a sync. */
export function rebuild(database: RxDatabase): Promise<void> {
  return exclusive(`mosaic sync ${database.name}`, () => engine.rebuild(new RxStore(database)));
}

/** Compares the database with what the server says that a device holds which is in sync. */
export function digest(database: RxDatabase, client: MosaicClient): Promise<engine.DigestReport> {
  return engine.compareDigests(new RxStore(database), client);
}

function collectionOf(database: RxDatabase, type: EntityType): RxCollection<Doc> {
  return database.collections[TABLES[type]] as RxCollection<Doc>;
}

/**
 * RxDB's replication of each collection, which knows what was edited, asks its conflict handler (the server's word stands), and writes
 * what comes. What comes when is decided by the engine.
 */
class RxStore implements engine.SyncStore {
  /** Rejects where a replication fails: RxDB would try again for ever. */
  readonly failed: Promise<never>;
  private fail: (error: unknown) => void = () => undefined;
  private failure: unknown;
  private readonly replications = new Map<EntityType, State>();
  /** What the replication of a type takes next. */
  private readonly coming = new Map<EntityType, { documents: WithDeleted<Doc>[]; taken: () => void }>();
  private rejected: engine.SyncState["rejected"] = {};

  constructor(private readonly database: RxDatabase) {
    this.failed = new Promise((_resolve, reject) => {
      this.fail = (error) => {
        this.failure ??= error;
        reject(error);
      };
    });
    this.failed.catch(() => undefined);
  }

  async load(note: string): Promise<unknown> {
    const doc = await this.notes.findOne(note).exec();
    const value: unknown = doc?.toMutableJSON()["state"];
    if (note === engine.STATE) this.rejected = (value as engine.SyncState | undefined)?.rejected ?? {};
    return value;
  }

  async save(note: string, value: unknown): Promise<void> {
    if (note === engine.STATE) this.rejected = (value as engine.SyncState).rejected;
    if (value === undefined) return void (await this.notes.findOne(note).remove());
    await this.notes.incrementalUpsert({ id: note, state: JSON.parse(JSON.stringify(value)) as Doc });
  }

  private get notes(): RxCollection<Doc> {
    return this.database.collections[NOTES] as RxCollection<Doc>;
  }

  async push(send: (edits: engine.Edit[]) => Promise<engine.Settled[]>): Promise<void> {
    // One after the other: parents first.
    for (const type of TYPES) {
      if (!this.replications.has(type)) this.replications.set(type, this.replicate(type, send));
      await this.inSync(type);
    }
    // For RxDB these are pushed.
    const again: engine.Edit[] = [];
    for (const type of TYPES) {
      const keys = Object.entries(this.rejected[type] ?? {}).filter(([, { retryable }]) => retryable);
      const docs = await collectionOf(this.database, type).storageInstance.findDocumentsById(
        keys.map(([key]) => key),
        true,
      );
      again.push(...docs.map((doc) => toEdit(type, doc)));
    }
    if (again.length > 0) await this.apply((await send(again)).flatMap(({ winner }) => winner ?? []));
  }

  private replicate(type: EntityType, send: (edits: engine.Edit[]) => Promise<engine.Settled[]>): State {
    const replication = replicateRxCollection<Doc, object>({
      collection: collectionOf(this.database, type),
      replicationIdentifier: "mosaic",
      waitForLeadership: false,
      retryTime: 100,
      pull: {
        handler: () => {
          const next = this.coming.get(type);
          this.coming.delete(type);
          next?.taken();
          return Promise.resolve({ documents: next?.documents ?? [], checkpoint: {} });
        },
        // Never so many at once: RxDB asks for more where it got as many as it wanted.
        batchSize: Number.MAX_SAFE_INTEGER,
      },
      push: {
        batchSize: 200,
        handler: async (rows) => {
          if (this.failure !== undefined) throw this.failure;
          try {
            const docs = rows.map((row) => (row as Row).newDocumentState);
            const settled = await send(docs.map((doc) => toEdit(type, doc)));
            const winners = new Map(settled.flatMap(({ winner }) => (winner ? [[winner.key, winner.record]] : [])));
            return docs.flatMap((doc) => {
              const winner = winners.get(keyOf(doc));
              if (winner === undefined) return [];
              return [winner ? toDoc(type, winner) : { ...doc, _deleted: true }];
            });
          } catch (error) {
            this.fail(error);
            throw error;
          }
        },
      },
    });
    replication.error$.subscribe((error) => this.fail(error));
    return replication;
  }

  async apply(changes: engine.Change[]): Promise<void> {
    for (const type of TYPES) {
      const ofType = changes.filter((change) => change.type === type);
      if (ofType.length === 0) continue;
      const deleted = ofType.filter(({ record }) => !record).map(({ key }) => key);
      const found = await collectionOf(this.database, type).findByIds(deleted).exec();
      const documents = [
        ...ofType.flatMap(({ record }) => (record ? [toDoc(type, record)] : [])),
        ...[...found.values()].map((doc) => ({ ...doc.toMutableJSON(), _deleted: true })),
      ];
      if (documents.length === 0) continue;
      const taken = new Promise<void>((resolve) => this.coming.set(type, { documents, taken: resolve }));
      this.replications.get(type)?.reSync();
      await Promise.race([taken, this.failed]);
      // It has been asked, so that this waits until all is written.
      await this.inSync(type);
    }
  }

  private async inSync(type: EntityType): Promise<void> {
    await Promise.race([this.replications.get(type)?.awaitInSync(), this.failed]);
  }

  async versions(type: EntityType): Promise<[string, number][]> {
    const [collection, key] = [collectionOf(this.database, type), keyName(type)];
    const versions: [string, number][] = [];
    // In parts: a hundred thousand at once would hold up the app for a second.
    for (let after = "", more = true; more; await pause(0)) {
      const query = { selector: { [key]: { $gt: after } }, sort: [{ [key]: "asc" as const }], limit: READ_AT_ONCE };
      const docs = await collection.find(query).exec();
      versions.push(...docs.map((doc): [string, number] => [doc.primary, doc.get("updatedAt") as number]));
      after = docs.at(-1)?.primary ?? "";
      more = docs.length === READ_AT_ONCE;
    }
    return versions;
  }

  async close(): Promise<void> {
    for (const replication of this.replications.values()) await replication.cancel();
  }
}

function toEdit(type: EntityType, doc: WithDeleted<Doc>): engine.Edit {
  const fields = fieldsOf(type).filter(([field]) => doc[field] !== undefined);
  const record = Object.fromEntries(fields.map(([field]) => [field, doc[field]]));
  return { type, key: keyOf(doc), updatedAt: doc["updatedAt"] as number, record: doc._deleted ? null : record };
}

function toDoc(type: EntityType, record: AnyRecord): WithDeleted<Doc> {
  const known = [keyName(type), ...fieldsOf(type).map(([field]) => field)];
  const fields = Object.entries(record).filter(([field]) => known.includes(field));
  return { ...Object.fromEntries(fields), _deleted: false };
}

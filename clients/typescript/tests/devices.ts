// A device of somebody's, on each of the libraries: what the scenarios do with it is the same for all.

import { createRequire } from "node:module";
import { Database, Model, Q, appSchema, type AppSchema, type DatabaseAdapter, type DirtyRaw } from "@nozbe/watermelondb";
import { createRxDatabase, type RxDatabase } from "rxdb";
import { getRxStorageMemory } from "rxdb/plugins/storage-memory";
import * as rxdb from "../src/rxdb.js";
import * as watermelondb from "../src/watermelondb.js";
import { MosaicClient, compareDigests, rebuild, sync, type DigestReport, type EntityType, type Rejection, type SyncReport, type TokenStore } from "../src/index.js";
import { FIELDS, keyName, TABLES, TYPES } from "../src/model.js";
import { exclusive } from "../src/session.js";
import { MemoryStore } from "./memory_store.js";
import { Network } from "./network.js";
import type { Random } from "./random.js";
import { ADDRESS, tick, type Server } from "./server.js";

export type Fields = Record<string, unknown>;

/** What a new record has that says nothing else. */
const NEW: Record<EntityType, Fields> = {
  memo: { content: "", tags: [], isArchived: false, diaryDate: null, aiSummary: null },
  diary: { summary: "", moodKey: "calm", moodScore: 5, generatedFromMemoIds: [], autoGenerationLocked: false },
  bot: { name: "bot", description: "", tags: [], autoReply: true, sortOrder: 1, aiConfig: null },
  resource: { memoId: null, filename: "a.txt", mimeType: "text/plain", fileSize: 1, sortOrder: 1, metadata: {} },
};

export abstract class Device {
  readonly network: Network;
  readonly client: MosaicClient;
  readonly rejections: Rejection[] = [];

  constructor(
    readonly name: string,
    server: Pick<Server, "fetch">,
    protected readonly random: Random,
    /** A login is slow: devices of one test have one together, as tabs do. */
    tokens: TokenStore,
  ) {
    this.network = new Network(server.fetch, random);
    this.client = new MosaicClient({
      baseUrl: ADDRESS,
      clientId: name,
      tokens,
      fetch: this.network.fetch as typeof fetch,
      attempts: 4,
      pause: () => Promise.resolve(),
    });
  }

  async start(): Promise<this> {
    await this.open();
    return this;
  }

  /** From now on something fails in so many of a hundred requests. */
  fail(percent: number): void {
    this.network.faults = percent;
  }

  sync(): Promise<SyncReport> {
    return this.syncWith({ onRejected: (rejection) => this.rejections.push(rejection) });
  }

  /** Becomes another tab of that device: on what it has. */
  abstract share(other: Device): void;
  protected abstract open(): Promise<void>;
  protected abstract syncWith(options: { onRejected: (rejection: Rejection) => void }): Promise<SyncReport>;
  protected abstract create(type: EntityType, key: string, fields: Fields): Promise<void>;
  protected abstract change(type: EntityType, key: string, fields: Fields): Promise<void>;
  protected abstract erase(type: EntityType, key: string): Promise<void>;
  /** The records that a person sees. */
  abstract all(type: EntityType): Promise<Map<string, Fields>>;
  protected abstract has(type: EntityType, key: string): Promise<boolean>;
  abstract digest(): Promise<DigestReport>;
  abstract rebuild(): Promise<void>;
  abstract stop(): Promise<void>;

  async write(type: EntityType, key: string, fields: Fields): Promise<void> {
    tick();
    await ((await this.has(type, key)) ? this.change(type, key, fields) : this.create(type, key, { ...NEW[type], ...fields }));
  }

  async remove(type: EntityType, key: string): Promise<void> {
    tick();
    await this.erase(type, key);
  }

  async get(type: EntityType, key: string): Promise<Fields | undefined> {
    return (await this.all(type)).get(key);
  }

  /** All that is here, to be compared with another device's. */
  async everything(): Promise<Record<string, Fields>> {
    const found: Record<string, Fields> = {};
    for (const type of TYPES) {
      const records = [...(await this.all(type))].sort(([a], [b]) => (a < b ? -1 : 1));
      for (const [key, fields] of records) {
        found[`${type} ${key}`] = Object.fromEntries(Object.keys(FIELDS[type]).map((name) => [name, fields[name] ?? null]));
      }
    }
    return found;
  }
}

class OnMemory extends Device {
  private store = new MemoryStore();

  share(other: OnMemory) {
    this.store = other.store;
  }

  override fail(percent: number) {
    super.fail(percent);
    this.store.killed = () => this.random.below(100) < percent / 3;
  }

  protected open = () => Promise.resolve();
  protected syncWith = (options: object) => exclusive(this.store.name, () => sync(this.store, this.client, options));
  protected create = (type: EntityType, key: string, fields: Fields) => Promise.resolve(this.store.write(type, key, fields));
  protected change = this.create;
  protected erase = (type: EntityType, key: string) => Promise.resolve(this.store.remove(type, key));
  all = (type: EntityType) => Promise.resolve(this.store.all(type));
  protected has = (type: EntityType, key: string) => Promise.resolve(this.store.has(type, key));
  digest = () => compareDigests(this.store, this.client);
  rebuild = () => rebuild(this.store);
  stop = () => Promise.resolve();
}

class Row extends Model {
  // WatermelonDB sets these where a model has them.
  get createdAt(): number {
    return this._getRaw("created_at") as number;
  }

  get updatedAt(): number {
    return this._getRaw("updated_at") as number;
  }
}
const models = TYPES.map(
  (type) =>
    class extends Row {
      static override table = TABLES[type];
    },
);
// Common JS, with types for bundlers.
const load = createRequire(import.meta.url);
const { LokiMemoryAdapter } = load("lokijs") as { LokiMemoryAdapter: new () => object };
const LokiJSAdapter = (load("@nozbe/watermelondb/adapters/lokijs") as { default: new (options: object) => DatabaseAdapter }).default;
(load("@nozbe/watermelondb/utils/common/logger") as { default: { silence(): void } }).default.silence();

/** WatermelonDB over LokiJS, in memory. */
export function memoryAdapter(dbName: string, schema: AppSchema): DatabaseAdapter {
  const off = { useWebWorker: false, useIncrementalIndexedDB: false, extraLokiOptions: { autosave: false } };
  return new LokiJSAdapter({ dbName, schema, ...off, _testLokiAdapter: new LokiMemoryAdapter() });
}

class OnWatermelon extends Device {
  private database!: Database;

  share(other: OnWatermelon) {
    this.database = other.database;
  }

  protected async open() {
    const adapter = memoryAdapter(`${this.name} ${Math.random()}`, appSchema({ version: 1, tables: watermelondb.tables }));
    this.database = new Database({ adapter, modelClasses: models });
    await Promise.resolve();
  }

  protected syncWith(options: object) {
    return watermelondb.sync(this.database, this.client, options);
  }

  protected async create(type: EntityType, key: string, fields: Fields) {
    await watermelondb.discardDelete(this.database, TABLES[type], key);
    await this.database.write(async () => {
      await this.database.get(TABLES[type]).create((row) => {
        row._raw.id = key;
        set(row, fields);
      });
    });
  }

  protected async change(type: EntityType, key: string, fields: Fields) {
    const row = await this.database.get(TABLES[type]).find(key);
    await this.database.write(() => row.update(() => set(row, fields)));
  }

  protected async erase(type: EntityType, key: string) {
    await watermelondb.remove(await this.database.get(TABLES[type]).find(key));
  }

  async all(type: EntityType) {
    const rows = await this.database.get(TABLES[type]).query().fetch();
    return new Map(rows.map(({ _raw }) => [_raw.id, get(type, _raw as unknown as DirtyRaw)]));
  }

  protected async has(type: EntityType, key: string) {
    const row = Q.where("id", key);
    return (await this.database.get(TABLES[type]).query(row).fetchCount()) > 0;
  }

  digest() {
    return watermelondb.digest(this.database, this.client);
  }

  rebuild() {
    return watermelondb.rebuild(this.database);
  }

  async stop() {
    await this.database.write(() => this.database.unsafeResetDatabase());
  }
}

const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

function set(row: Model, fields: Fields): void {
  for (const [name, value] of Object.entries(fields)) {
    const isObject = typeof value === "object" && value !== null;
    row._setRaw(snake(name), (isObject ? JSON.stringify(value) : value) as string);
  }
}

function get(type: EntityType, raw: DirtyRaw): Fields {
  const kinds = Object.entries(FIELDS[type]);
  const value = (name: string, kind: string): unknown => {
    const stored: unknown = raw[snake(name)];
    return kind.startsWith("json") && typeof stored === "string" && stored !== "" ? JSON.parse(stored) : stored;
  };
  return Object.fromEntries(kinds.map(([name, kind]) => [name, value(name, kind)]));
}

class OnRxdb extends Device {
  private database!: RxDatabase;

  share(other: OnRxdb) {
    this.database = other.database;
  }

  protected async open() {
    const name = `${this.name}${Math.random().toString(36).slice(2)}`;
    this.database = await createRxDatabase({ name, storage: getRxStorageMemory(), multiInstance: false });
    await this.database.addCollections(rxdb.collections);
    rxdb.stampEdits(this.database);
  }

  protected syncWith(options: object) {
    return rxdb.sync(this.database, this.client, options);
  }

  private collection(type: EntityType) {
    return this.database.collections[TABLES[type]]!;
  }

  protected async create(type: EntityType, key: string, fields: Fields) {
    await this.collection(type).insert({ [keyName(type)]: key, ...fields });
  }

  protected async change(type: EntityType, key: string, fields: Fields) {
    await (await this.collection(type).findOne(key).exec()).incrementalPatch(fields);
  }

  protected async erase(type: EntityType, key: string) {
    await (await this.collection(type).findOne(key).exec()).incrementalRemove();
  }

  async all(type: EntityType) {
    const docs = await this.collection(type).find().exec();
    return new Map(docs.map((doc) => [doc.primary, doc.toMutableJSON() as Fields]));
  }

  protected async has(type: EntityType, key: string) {
    return (await this.collection(type).findOne(key).exec()) !== null;
  }

  digest() {
    return rxdb.digest(this.database, this.client);
  }

  rebuild() {
    return rxdb.rebuild(this.database);
  }

  async stop() {
    await this.database.remove();
  }
}

export const KINDS = { memory: OnMemory, watermelondb: OnWatermelon, rxdb: OnRxdb };
export type DeviceKind = keyof typeof KINDS;

// An app in a browser, on each of the libraries over IndexedDB: what apps.test.ts has it do.

import { Database, Model, appSchema, type DatabaseAdapter } from "@nozbe/watermelondb";
import lokijs from "@nozbe/watermelondb/adapters/lokijs/index.js";
import { createRxDatabase } from "rxdb";
import { getRxStorageDexie } from "rxdb/plugins/storage-dexie";
import { MosaicClient, webTokens, type DigestReport, type SyncReport } from "../src/index.js";
import * as rxdb from "../src/rxdb.js";
import * as watermelondb from "../src/watermelondb.js";

export interface App {
  client: MosaicClient;
  sync(): Promise<SyncReport>;
  digest(): Promise<DigestReport>;
  /** Makes a memo, or changes its text. */
  write(id: string, content: string): Promise<void>;
  remove(id: string): Promise<void>;
  /** The texts of all memos, by id. */
  memos(): Promise<Record<string, string>>;
  /** Ends when what was written is in IndexedDB. */
  saved(): Promise<void>;
}

class Memo extends Model {
  static override table = "memos";
  get content(): string {
    return this._getRaw("content") as string;
  }
  get createdAt(): number {
    return this._getRaw("created_at") as number;
  }
  get updatedAt(): number {
    return this._getRaw("updated_at") as number;
  }
}
class Diary extends Model {
  static override table = "diaries";
}
class Bot extends Model {
  static override table = "bots";
}
class Resource extends Model {
  static override table = "resources";
}

const newClient = (baseUrl: string, clientId: string) => new MosaicClient({ baseUrl, clientId, tokens: webTokens(clientId) });

function onWatermelon(baseUrl: string): Promise<App> {
  const client = newClient(baseUrl, "watermelondb");
  const waiting: (() => void)[] = [];
  const schema = appSchema({ version: 1, tables: watermelondb.tables });
  // Common JS, with types for bundlers.
  const LokiJSAdapter = (lokijs as unknown as { default: new (options: object) => DatabaseAdapter }).default;
  const adapter = new LokiJSAdapter({
    dbName: "watermelondb",
    schema,
    useWebWorker: false,
    useIncrementalIndexedDB: true,
    extraLokiOptions: { autosaveInterval: 20, autosaveCallback: () => waiting.splice(0).forEach((go) => go()) },
  });
  const database = new Database({ adapter, modelClasses: [Memo, Diary, Bot, Resource] });
  const memos = database.get<Memo>("memos");
  return Promise.resolve({
    client,
    sync: () => watermelondb.sync(database, client),
    digest: () => watermelondb.digest(database, client),
    async write(id, content) {
      const there = await memos.find(id).catch(() => undefined);
      await database.write(async () => {
        if (there) await there.update((memo) => memo._setRaw("content", content));
        else
          await memos.create((memo) => {
            memo._raw.id = id;
            memo._setRaw("content", content);
            memo._setRaw("tags", "[]");
          });
      });
    },
    remove: async (id) => watermelondb.remove(await memos.find(id)),
    memos: async () => Object.fromEntries((await memos.query().fetch()).map((memo) => [memo.id, memo.content])),
    async saved() {
      // It is saved where something was written, and the first that is told of may have begun before.
      for (const mark of ["first", "second"]) {
        const next = new Promise<void>((resolve) => waiting.push(resolve));
        await database.localStorage.set("saved", mark);
        await next;
      }
    },
  });
}

async function onRxdb(baseUrl: string): Promise<App> {
  const client = newClient(baseUrl, "rxdb");
  const database = await createRxDatabase({ name: "rxdb", storage: getRxStorageDexie() });
  await database.addCollections(rxdb.collections);
  rxdb.stampEdits(database);
  const memos = database.collections["memos"]!;
  return {
    client,
    sync: () => rxdb.sync(database, client),
    digest: () => rxdb.digest(database, client),
    async write(id, content) {
      const there = await memos.findOne(id).exec();
      if (there) await there.incrementalPatch({ content });
      else await memos.insert({ id, content, tags: [] });
    },
    remove: async (id) => void (await (await memos.findOne(id).exec()).incrementalRemove()),
    memos: async () => Object.fromEntries((await memos.find().exec()).map((memo) => [memo.primary, String(memo.get("content"))])),
    saved: () => Promise.resolve(),
  };
}

const open = { watermelondb: onWatermelon, rxdb: onRxdb };
const [library, baseUrl] = decodeURIComponent(location.hash.slice(1)).split(" ") as [keyof typeof open, string];
Object.assign(window, { app: await open[library](baseUrl), lives: (Number(sessionStorage.getItem("lives")) || 0) + 1 });
sessionStorage.setItem("lives", String((window as unknown as { lives: number }).lives));

// The smallest store there is: what a third adapter has to do.

import type { AnyRecord, Change, Edit, EntityType, Settled, SyncStore } from "../src/index.js";

interface Row {
  /** None where it is deleted here, and the server does not know yet. */
  record: Record<string, unknown> | null;
  /** When it was edited, where the server has not judged that yet. */
  edited?: number;
}

export class MemoryStore implements SyncStore {
  /** Tabs that share it sync one after the other. */
  readonly name = `store ${Math.random()}`;
  /** What sync keeps. */
  readonly notes = new Map<string, string>();
  private readonly rows = new Map<string, Row>();
  /** Whether the app is killed when it is about to write. */
  killed = () => false;

  // What the app does.

  write(type: EntityType, key: string, fields: Record<string, unknown>): void {
    const edited = Date.now();
    const before = this.rows.get(`${type} ${key}`)?.record ?? { createdAt: edited };
    this.rows.set(`${type} ${key}`, { record: { ...before, ...fields, updatedAt: edited }, edited });
  }

  remove(type: EntityType, key: string): void {
    this.rows.set(`${type} ${key}`, { record: null, edited: Date.now() });
  }

  has(type: EntityType, key: string): boolean {
    return this.rows.get(`${type} ${key}`)?.record != null;
  }

  all(type: EntityType): Map<string, Record<string, unknown>> {
    const ofType = [...this.rows].filter(([name, { record }]) => name.startsWith(`${type} `) && record);
    return new Map(ofType.map(([name, { record }]) => [name.slice(type.length + 1), record ?? {}]));
  }

  // What sync does.

  load(note: string): Promise<unknown> {
    const text = this.notes.get(note);
    return Promise.resolve(text === undefined ? undefined : JSON.parse(text));
  }

  async save(note: string, value: unknown): Promise<void> {
    this.survive();
    if (value === undefined) this.notes.delete(note);
    else this.notes.set(note, JSON.stringify(value));
    await Promise.resolve();
  }

  private survive(): void {
    if (this.killed()) throw new Error("the app was killed");
  }

  async push(send: (edits: Edit[]) => Promise<Settled[]>): Promise<void> {
    const edits: Edit[] = [];
    for (const [name, { record, edited }] of this.rows) {
      const [type, key] = name.split(" ") as [EntityType, string];
      if (edited !== undefined) edits.push({ type, key, updatedAt: edited, record });
    }
    for (const { edit, winner } of edits.length > 0 ? await send(edits) : []) {
      const row = this.rows.get(`${edit.type} ${edit.key}`);
      if (row?.edited !== edit.updatedAt) continue;
      this.survive();
      delete row.edited;
      if (!row.record) this.rows.delete(`${edit.type} ${edit.key}`);
      if (winner) this.take(winner);
    }
  }

  async apply(changes: Change[]): Promise<void> {
    for (const change of changes) {
      this.survive();
      if (this.rows.get(`${change.type} ${change.key}`)?.edited !== undefined) continue;
      this.take(change);
      this.checkForeignKeys(change);
    }
    await Promise.resolve();
  }

  private take({ type, key, record }: Change): void {
    if (record) this.rows.set(`${type} ${key}`, { record: { ...(record as AnyRecord) } });
    else this.rows.delete(`${type} ${key}`);
  }

  /** No resource that the server gave may ever name a memo that is not here (P5). */
  private checkForeignKeys({ type, key }: Change): void {
    for (const [name, { record, edited }] of this.rows) {
      if (edited !== undefined || !name.startsWith("resource ") || !record?.["memoId"]) continue;
      const concerned = type === "memo" ? record["memoId"] === key : name === `resource ${key}`;
      if (concerned && !this.rows.has(`memo ${String(record["memoId"])}`)) throw new Error(`foreign key of ${name}`);
    }
  }

  versions(type: EntityType): Promise<[string, number][]> {
    return Promise.resolve([...this.all(type)].map(([key, record]) => [key, record["updatedAt"] as number]));
  }
}

// A client as small as can be that keeps the rules; with one flaw, where that is asked for.

/** Parents first (P5). */
const TYPES = ["memo", "diary", "bot", "resource"];

/** What is on a device, whatever the number of its tabs. */
class Store {
  /** By type and key; `edited`: when, where the server has not judged that yet; `record`: null where it is deleted. */
  rows = new Map();
  cursors = {};
  /** What was given of the types that are being rebuilt (R3). */
  given = new Map();
  /** Edits that were refused for good, by row: when they were made. */
  rejected = new Map();
  /** The latest edit time that was pulled of each type: of no use to anybody who keeps the rules. */
  newest = {};
  syncing = Promise.resolve();
  renewing = Promise.resolve();
}

export class Device {
  constructor(url, clientId, flaw, tab) {
    // The tabs of a device have one store and one login.
    const login = flaw === "own-tokens" ? { ...tab?.login } : (tab?.login ?? {});
    Object.assign(this, { url, clientId, flaw, login, store: tab?.store ?? new Store() });
  }

  async logIn(username, password) {
    if (this.flaw === "one-login" && (this.login.tokens = Device.tokens)) return;
    this.login.tokens = Device.tokens = await this.send("/auth/login", { username, password, clientId: this.clientId });
  }

  write(type, key, fields) {
    const row = this.store.rows.get(`${type} ${key}`);
    this.edit(type, key, { ...row?.record, ...fields });
  }

  remove(type, key) {
    this.edit(type, key, null);
  }

  edit(type, key, record) {
    const row = this.store.rows.get(`${type} ${key}`);
    let edited = row?.edited === Date.now() ? row.edited + 1 : Date.now();
    if (this.flaw === "after-known") edited = Math.max(edited, (row?.record?.updatedAt ?? 0) + 1);
    // An edit is made last, whatever it is of.
    this.store.rows.delete(`${type} ${key}`);
    this.store.rows.set(`${type} ${key}`, { type, key, record: record && { ...record, updatedAt: edited }, edited });
  }

  records(type) {
    const live = [...this.store.rows.values()].filter((row) => row.type === type && row.record);
    return live.map(({ key, record }) => ({ ...record, id: key }));
  }

  rejectedKeys() {
    if (this.flaw === "silent") return [];
    return [...this.store.rejected.keys()].map((name) => name.split(" ")[1]);
  }

  /** One at a time, whatever the tab. */
  sync() {
    const done = this.store.syncing.then(async () => {
      if (this.flaw === "gives-up") await this.pull();
      if (this.flaw !== "no-push") await this.push();
      if (this.dated) await this.push();
      if (/^(insists|undelete)$/.test(this.flaw)) await this.push();
      if (this.flaw !== "no-pull") await this.pull();
    });
    this.store.syncing = done.catch(() => undefined);
    return done;
  }

  async push() {
    this.dated = false;
    const { rows, rejected } = this.store;
    const isRefused = (name, edited) => rejected.get(name) === edited && this.flaw !== "sends-again";
    const edits = [...rows].filter(([name, { edited }]) => edited !== undefined && !isRefused(name, edited));
    const size = /^(child-first|detached)$/.test(this.flaw) ? 1 : 200;
    if (size > 1) edits.sort(([, a], [, b]) => TYPES.indexOf(a.type) - TYPES.indexOf(b.type));
    for (let at = 0; at < edits.length; at += size) {
      await this.pushSome(edits.slice(at, at + size).map(([, row]) => row));
    }
  }

  async pushSome(edits) {
    const changes = {};
    const sent = [];
    for (const type of TYPES) {
      const [updated, deleted] = [true, false].map((live) =>
        edits.filter((row) => row.type === type && (row.record !== null) === live));
      if (updated.length + deleted.length === 0) continue;
      changes[type] = {
        updated: updated.map(({ key, record, dated }) => ({ ...record, id: key, updatedAt: dated ?? record.updatedAt })),
        deleted: deleted.map(({ key, edited, dated }) => ({ id: key, updatedAt: dated ?? edited })),
      };
      sent.push(...[...updated, ...deleted].map((row) => ({ ...row })));
    }
    const answer = await this.call("/sync/push", { clientId: this.clientId, changes }).catch((error) => {
      if (this.flaw === "new-id") for (const { type, key, record } of sent) {
        this.store.rows.delete(`${type} ${key}`);
        this.write(type, key.replace(/^0198/, "0199"), record);
      }
      if (this.flaw === "new-time") for (const { type, key } of sent) this.write(type, key, {});
      throw error;
    });
    const results = TYPES.flatMap((type) => answer.results[type] ?? []);
    results.forEach((result, index) => this.settle(sent[index], result));
    const { cursors } = this.store;
    if (this.flaw === "own-copy" && TYPES.every((type) => cursors[type] === answer.clockBefore)) {
      for (const type of TYPES) cursors[type] = answer.clock;
    }
  }

  settle({ type, key, edited, record }, { outcome, retryable, stored, current, error }) {
    const name = `${type} ${key}`;
    const row = this.store.rows.get(name);
    if (outcome === "rejected") {
      const isAhead = error.code === "edit_time_ahead" && edited > Date.now();
      if (isAhead && !/^(waits|after-known)$/.test(this.flaw)) return this.date(row, edited, record);
      if (this.flaw === "blocked") throw new Error(`${name} was refused`);
      if (this.flaw === "drops-refused") return this.take(type, key, null);
      if (this.flaw === "detached" && row.record?.memoId) return this.write(type, key, { memoId: null });
      if (!retryable || this.flaw === "child-first") this.store.rejected.set(name, edited);
      return;
    }
    // Edited again while it was pushed: that goes with the next push.
    if (row.edited !== edited && this.flaw !== "forgotten-edit") return;
    delete row.edited;
    if (outcome === "superseded") {
      if (this.flaw === "keeps-own" || (this.flaw === "own-clock" && edited > current.updatedAt)) return;
      if (this.flaw === "no-deletes" && current.isDeleted) return;
      if (this.flaw === (current.isDeleted ? "undelete" : "insists")) {
        row.edited = current.updatedAt + 1;
        if (row.record) row.record.updatedAt = row.edited;
      } else this.take(type, key, current.isDeleted ? null : current);
    } else if (row.record) Object.assign(row.record, this.flaw === "own-copy" ? {} : stored);
    else this.store.rows.delete(name);
  }

  /** Made by a clock that has been put right since: as of now, and before what is edited later. */
  date(row, edited, record) {
    if (this.flaw === "dates-what-was-sent" && row.record) row.record = record;
    else if (row.edited !== edited) return;
    this.dated = true;
    const now = Date.now() + (this.flaw === "dates-ahead" ? 240_000 : 0);
    if (this.flaw === "keeps-ahead") row.dated = now;
    else Object.assign(row, { edited: now, record: row.record && { ...row.record, updatedAt: now } });
  }

  take(type, key, record) {
    if (record) this.store.rows.set(`${type} ${key}`, { type, key, record });
    else this.store.rows.delete(`${type} ${key}`);
  }

  async pull() {
    const { store } = this;
    for (let more = true; more; ) {
      const epoch = this.flaw === "no-epoch" ? undefined : store.epoch;
      const page = await this.call("/sync/pull", { clientId: this.clientId, cursors: store.cursors, epoch });
      for (const type of page.reset ?? []) {
        store.given.set(type, new Set());
        if (this.flaw === "emptied") for (const { key } of this.ofType(type)) store.rows.delete(`${type} ${key}`);
      }
      for (const type of TYPES) {
        const taken = page.changes[type].updated.slice(0, this.flaw === "off-by-one" ? 199 : undefined);
        for (const record of taken) this.pulled(type, record.id ?? record.date, record);
      }
      for (const type of [...TYPES].reverse()) {
        for (const key of page.changes[type].deletedIds) this.pulled(type, key, null);
      }
      Object.assign(store, { cursors: page.cursors, epoch: page.epoch });
      more = Object.values(page.hasMore).some(Boolean) && this.flaw !== "one-page";
    }
    for (const [type, keys] of store.given) {
      for (const { key, edited } of this.ofType(type)) {
        const mayGo = edited === undefined || this.flaw === "drops-new";
        if (mayGo && !keys.has(key)) store.rows.delete(`${type} ${key}`);
      }
    }
    store.given.clear();
  }

  ofType(type) {
    return [...this.store.rows.values()].filter((row) => row.type === type);
  }

  pulled(type, key, record) {
    this.store.given.get(type)?.add(key);
    // The server judges an edit before it is given up.
    const row = this.store.rows.get(`${type} ${key}`);
    if (this.flaw === "own-copy" && row?.record && row.record.updatedAt === record?.updatedAt) return;
    if (this.flaw === "no-deletes" && record === null) return;
    if (this.flaw === "keeps-ahead" && row?.record?.updatedAt > Date.now()) return;
    const isEdited = row?.edited !== undefined;
    if (isEdited && !(this.flaw === "gives-up" && record === null)) return;
    const newest = this.store.newest[type] ?? 0;
    if (this.flaw === "skips-old" && record?.updatedAt < newest) return;
    this.store.newest[type] = Math.max(newest, record?.updatedAt ?? 0);
    this.take(type, key, record);
  }

  /** A request with the login, which is renewed where it has expired. */
  async call(path, body) {
    const { accessToken } = this.login.tokens;
    try {
      return await this.send(path, body, accessToken);
    } catch (error) {
      if (error.code !== "token_expired" || this.flaw === "no-refresh") throw error;
      await this.renew(accessToken);
      return this.send(path, body, this.login.tokens.accessToken);
    }
  }

  /** A refresh token is used once (L2): one tab does it for all. */
  renew(refused) {
    const { login } = this;
    this.store.renewing = this.store.renewing.catch(() => undefined).then(async () => {
      if (login.tokens.accessToken !== refused) return;
      login.tokens = await this.send("/auth/refresh", { refreshToken: login.tokens.refreshToken });
    });
    return this.store.renewing;
  }

  async send(path, body, token) {
    const headers = {
      "content-type": "application/json",
      "x-client-id": this.clientId,
      "x-client-time": String(Date.now()),
      ...(token ? { authorization: `Bearer ${token}` } : {}),
    };
    const answer = await fetch(this.url + path, { method: "POST", headers, body: JSON.stringify(body) });
    const said = await answer.json();
    if (!answer.ok) throw Object.assign(new Error(said.detail), { code: said.code });
    return said;
  }
}

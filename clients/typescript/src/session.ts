import type { components } from "./api.js";
import { MosaicError } from "./problem.js";

export type Tokens = Pick<components["schemas"]["Tokens"], "accessToken" | "refreshToken">;

/** Where the tokens of a login are kept. Tabs that share them share the name. */
export interface TokenStore {
  readonly name: string;
  load(): Promise<Tokens | undefined> | Tokens | undefined;
  /** Nothing: nobody is logged in any more. */
  save(tokens: Tokens | undefined): Promise<void> | void;
}

let stores = 0;

/** Tokens that are gone with the process. */
export function memoryTokens(tokens?: Tokens): TokenStore {
  stores += 1;
  return {
    name: `memory ${stores} ${Math.random()}`,
    load: () => tokens,
    save(saved) {
      tokens = saved;
    },
  };
}

/** Tokens in a storage of the browser's, which its tabs share. */
export function webTokens(name = "mosaic", storage: Storage = localStorage): TokenStore {
  return {
    name,
    load() {
      const text = storage.getItem(name);
      return text === null ? undefined : (JSON.parse(text) as Tokens);
    },
    save(tokens) {
      if (tokens) storage.setItem(name, JSON.stringify(tokens));
      else storage.removeItem(name);
    },
  };
}

const queues = new Map<string, Promise<unknown>>();

/** Does the work when nobody else does any under that name: in all tabs where there are Web Locks, else in this process. */
export function exclusive<T>(name: string, work: () => Promise<T>): Promise<T> {
  const locks = (globalThis.navigator as Navigator | undefined)?.locks as LockManager | undefined;
  if (locks) return locks.request(name, work) as Promise<T>;
  const before = queues.get(name) ?? Promise.resolve();
  const done = before.then(work);
  const after = done.then(
    () => undefined,
    () => undefined,
  );
  queues.set(name, after);
  void after.then(() => queues.get(name) === after && queues.delete(name));
  return done;
}

/** One login: its access token, and a new one when the server refuses it. */
export class Session {
  constructor(
    private readonly store: TokenStore,
    private readonly renew: (refreshToken: string) => Promise<Tokens>,
  ) {}

  /**
   * An access token that is not the refused one. A refresh token is used once (L2): whoever gets the lock looks first whether
   * another tab has new tokens. A browser may tell of these a moment late: the server answers the same to both then.
   */
  async accessToken(refused?: string): Promise<string> {
    const kept = await this.store.load();
    if (kept && kept.accessToken !== refused) return kept.accessToken;
    return this.locked(async () => {
      const tokens = await this.store.load();
      if (!tokens) throw MosaicError.loggedOut();
      if (tokens.accessToken !== refused) return tokens.accessToken;
      try {
        const renewed = await this.renew(tokens.refreshToken);
        await this.store.save(renewed);
        return renewed.accessToken;
      } catch (error) {
        // Nothing else says that the login has ended: not what a proxy refuses.
        const isOver = error instanceof MosaicError && /^(invalid_refresh_token|login_ended)$/.test(error.code);
        if (isOver) await this.store.save(undefined);
        throw error;
      }
    });
  }

  /** Takes the tokens of a new login, or of none. Answers those before. */
  replace(next: () => Promise<Tokens | undefined>): Promise<Tokens | undefined> {
    return this.locked(async () => {
      const before = await this.store.load();
      await this.store.save(await next());
      return before;
    });
  }

  /** The server said that the login of this token has ended: it is forgotten, unless there is another one by now. */
  async ended(accessToken: string): Promise<void> {
    await this.locked(async () => {
      if ((await this.store.load())?.accessToken === accessToken) await this.store.save(undefined);
    });
  }

  private locked<T>(work: () => Promise<T>): Promise<T> {
    return exclusive(`mosaic tokens ${this.store.name}`, work);
  }
}

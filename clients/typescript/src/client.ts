import createClient from "openapi-fetch";
import type { Client, MaybeOptionalInit } from "openapi-fetch";
import type { HttpMethod, PathsWithMethod } from "openapi-typescript-helpers";
import type { components, paths } from "./api.js";
import { events, type Nudge } from "./events.js";
import { MosaicError } from "./problem.js";
import { memoryTokens, Session, type TokenStore } from "./session.js";

export type Schemas = components["schemas"];

export interface ClientOptions {
  /** Where the server is. */
  baseUrl: string;
  /** Names this installation of the app: made once, kept, never shared (D1). */
  clientId: string;
  /** Where the login is kept; in memory, where nothing is said. */
  tokens?: TokenStore;
  /** How often a request is tried, 6 times where nothing is said. */
  attempts?: number;
  /** How long an answer may take, in milliseconds (2 minutes). */
  timeout?: number;
  fetch?: typeof globalThis.fetch;
  /** Waits; for tests. */
  pause?: typeof pause;
}

/** These change nothing more when they come twice (W3, L2). Other `POST`s may: `POST /memos` without an id makes a memo each time. */
const REPEATABLE = /\/(sync\/(pull|push)|auth\/(login|refresh|logout))$/;
/** These need no login. */
const OPEN = /\/(health(\/ready)?|openapi\.json|auth\/(login|refresh|logout|register))$/;
/** The longest that a request waits for its next try by itself; where the server says longer, the app is told. */
const LONGEST_WAIT = 60_000;

/** What comes with a request: nothing, where nothing has to. */
type Rest<I> = undefined extends I ? [init?: I & Record<string, unknown>] : [init: I & Record<string, unknown>];
/** The JSON of what succeeds. */
type Answer<O> = O extends { responses: infer R }
  ? { [S in keyof R & (200 | 201 | 204)]: R[S] extends { content: { "application/json": infer T } } ? T : undefined }[
      keyof R & (200 | 201 | 204)
    ]
  : never;

/** One installation of an app, and its login. Requests are tried again where that is safe; what fails for good throws {@link MosaicError}. */
export class MosaicClient {
  readonly clientId: string;
  readonly baseUrl: string;
  private readonly api: Client<paths>;
  private readonly session: Session;

  constructor(private readonly options: ClientOptions) {
    this.clientId = options.clientId;
    this.baseUrl = options.baseUrl.replace(/\/$/, "");
    this.api = createClient<paths>({ baseUrl: this.baseUrl, fetch: (request) => this.send(request, true) });
    this.session = new Session(options.tokens ?? memoryTokens(), (refreshToken) =>
      this.request("post", "/auth/refresh", { body: { refreshToken } }),
    );
  }

  async login(username: string, password: string, deviceName?: string): Promise<Schemas["Login"]> {
    const body = { username, password, clientId: this.clientId, ...(deviceName ? { deviceName } : {}) };
    const login = await this.request("post", "/auth/login", { body });
    await this.session.replace(() => Promise.resolve(login));
    return login;
  }

  /** Forgets the login, and ends it on the server. */
  async logout(): Promise<void> {
    const before = await this.session.replace(() => Promise.resolve(undefined));
    if (before) await this.request("post", "/auth/logout", { body: { refreshToken: before.refreshToken } });
  }

  /** For what sends requests by itself. It may have expired: any request of the client renews it. */
  accessToken(): Promise<string> {
    return this.session.accessToken();
  }

  /** One page of what the user's other devices changed. */
  pull(body: Omit<Schemas["PullRequest"], "clientId">, signal?: AbortSignal): Promise<Schemas["PullResponse"]> {
    return this.request("post", "/sync/pull", { body: { ...body, clientId: this.clientId }, signal: signal ?? null });
  }

  /** At most 200 edits of each type. */
  push(changes: Schemas["PushChanges"], signal?: AbortSignal): Promise<Schemas["PushResponse"]> {
    return this.request("post", "/sync/push", { body: { changes, clientId: this.clientId }, signal: signal ?? null });
  }

  /** Says when there is something to pull, until the signal or the login ends it. */
  events(signal?: AbortSignal): AsyncGenerator<Nudge, void, undefined> {
    return events(this, this.options.pause ?? pause, signal);
  }

  /** Any route of the document: `request("get", "/memos/{id}", { params: { path: { id } } })`. Answers the body of the answer. */
  async request<M extends HttpMethod, P extends PathsWithMethod<paths, M>>(
    method: M,
    path: P,
    ...init: Rest<MaybeOptionalInit<paths[P], M>>
  ): Promise<Answer<paths[P][M]>> {
    // Checked by the types of this method; those of the library can't follow a method and a path that are not known here.
    const request = this.api.request as unknown as (...args: unknown[]) => Promise<{ data: Answer<paths[P][M]> }>;
    return (await request(method, path, ...init)).data;
  }

  /** A request whose answer is a stream: the bytes of an attachment, an export. */
  fetch(path: string, init?: RequestInit): Promise<Response> {
    return this.send(new Request(this.baseUrl + path, init), false);
  }

  private async send(request: Request, whole: boolean): Promise<Response> {
    const { attempts = 6 } = this.options;
    const path = new URL(request.url).pathname;
    const repeatable = request.method !== "POST" || REPEATABLE.test(path);
    let refused: string | undefined;
    for (let attempt = 1; ; attempt += 1) {
      const token = OPEN.test(path) ? undefined : await this.session.accessToken(refused);
      try {
        return await this.once(request.clone(), token, whole);
      } catch (error) {
        if (request.signal.aborted || !(error instanceof MosaicError)) throw error;
        if (token !== undefined && error.code === "login_ended") await this.session.ended(token);
        if (token !== undefined && refused === undefined && /^(token_expired|invalid_token)$/.test(error.code)) {
          refused = token;
          continue;
        }
        const asked = error.retryAfter;
        const again = error.passes && (repeatable || asked !== undefined) && (asked ?? 0) <= LONGEST_WAIT;
        if (!again || attempt >= attempts) throw error;
        await (this.options.pause ?? pause)((asked ?? 0) + backoff(attempt), request.signal);
      }
    }
  }

  /** One try. The device's clock goes with each, so that one that had to wait shifts no edit time (W6). */
  private async once(request: Request, token: string | undefined, whole: boolean): Promise<Response> {
    const cut = new AbortController();
    const abort = () => cut.abort(request.signal.reason);
    request.signal.addEventListener("abort", abort);
    if (request.signal.aborted) abort();
    const timer = setTimeout(() => cut.abort(new Error("took too long")), this.options.timeout ?? 120_000);
    if (token !== undefined) request.headers.set("authorization", `Bearer ${token}`);
    request.headers.set("x-client-id", this.clientId);
    request.headers.set("x-client-time", String(Date.now()));
    try {
      const response = await (this.options.fetch ?? fetch)(new Request(request, { signal: cut.signal }));
      if (!response.ok) throw await MosaicError.of(response);
      // An answer that breaks off is none.
      return whole ? await buffered(response) : response;
    } catch (error) {
      if (error instanceof MosaicError) throw error;
      if (request.signal.aborted) throw request.signal.reason;
      throw MosaicError.noAnswer(error);
    } finally {
      clearTimeout(timer);
      // A stream that goes on can be ended later, too.
      if (whole) request.signal.removeEventListener("abort", abort);
    }
  }
}

async function buffered(response: Response): Promise<Response> {
  const body = await response.arrayBuffer();
  return new Response(response.status === 204 ? null : body, response);
}

/** How long to wait after so many failures: longer each time, and never all devices at once. */
export function backoff(failures: number): number {
  return Math.min(500 * 2 ** (failures - 1), 30_000) * (0.5 + Math.random() / 2);
}

export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", end);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", end, { once: true });
    if (signal?.aborted) end();
  });
}

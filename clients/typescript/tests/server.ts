// A server of the test's own: the real program over its embedded store, in a temporary folder.

import { execFile, spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { memoryTokens, type Tokens, type TokenStore } from "../src/index.js";

export const PASSWORD = "correct horse battery";

/** Devices know the server by this address: its port is another one after each start. */
export const ADDRESS = "http://mosaic.test";

const SETTINGS = ["--listen", "127.0.0.1:0", "--registration", "open", "--auth-address-attempts-per-minute", "10000"];

const program = process.env["MOSAIC_BINARY"] ?? "mosaic";

const realNow = Date.now.bind(Date);
let earliest = 0;
/** How much the clock of whatever device is in use is ahead. */
export const clock = { ahead: 0 };
Date.now = () => Math.max(earliest, realNow()) + clock.ahead;

/** What is done from now on is later than what was done before: no two edits of a test are made at the same time. */
export function tick(): void {
  earliest = Math.max(earliest, realNow()) + 2;
}

export class Server {
  private process: ChildProcess | undefined;
  /** Where it listens just now. */
  url = "";
  private users = 0;

  private constructor(
    readonly folder: string,
    private readonly settings: string[],
  ) {}

  static async start(...settings: string[]): Promise<Server> {
    const server = new Server(await mkdtemp(join(tmpdir(), "mosaic-client-")), settings);
    await server.resume();
    return server;
  }

  async resume(): Promise<void> {
    const env = { ...process.env, MOSAIC_ADMIN_PASSWORD: PASSWORD };
    const child = spawn(program, ["serve", ...SETTINGS, ...this.settings], {
      cwd: this.folder,
      env,
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.process = child;
    // Whatever becomes of the test, nothing is left behind.
    process.once("exit", () => child.kill("SIGKILL"));
    this.url = await new Promise<string>((resolve, reject) => {
      const lines = createInterface({ input: child.stderr });
      lines.on("line", (line) => {
        const address = /listening on (http:\S+)/.exec(line)?.[1];
        if (address) resolve(address);
      });
      lines.on("close", () => reject(new Error("the server did not start")));
    });
  }

  async pause(): Promise<void> {
    const child = this.process;
    if (!child || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    await ended;
  }

  async stop(): Promise<void> {
    await this.pause();
    await rm(this.folder, { recursive: true });
  }

  /** Another command of the program. */
  async run(...args: string[]): Promise<void> {
    await promisify(execFile)(program, args, { cwd: this.folder });
  }

  /** A `fetch` that finds the server, wherever it listens. */
  readonly fetch = (request: Request): Promise<Response> => {
    const url = request.url.replace(ADDRESS, this.url);
    return fetch(new Request(url, request.clone()));
  };

  /** A user of the test's own, logged in. */
  async user(): Promise<{ username: string; tokens: TokenStore }> {
    const username = `user${(this.users += 1)}`;
    const body = JSON.stringify({ username, password: PASSWORD });
    const headers = { "content-type": "application/json" };
    const answer = await fetch(`${this.url}/auth/register`, { method: "POST", headers, body });
    if (!answer.ok) throw new Error(await answer.text());
    return { username, tokens: memoryTokens((await answer.json()) as Tokens) };
  }
}

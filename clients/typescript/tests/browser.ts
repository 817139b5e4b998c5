// Chromium without a screen, over the pipe of its own protocol (https://chromedevtools.github.io/devtools-protocol): two messages of it.

import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";

interface Message {
  id?: number;
  error?: object;
  result?: { targetId?: string; sessionId?: string; result?: { value?: unknown }; exceptionDetails?: object };
}

export class Browser {
  private readonly waiting = new Map<number, (message: Message) => void>();
  private sent = 0;

  private constructor(
    private readonly process: ChildProcess,
    private readonly profile: string,
  ) {
    let rest = "";
    (process.stdio[4] as Readable).setEncoding("utf8").on("data", (text: string) => {
      const messages = (rest + text).split("\0");
      rest = messages.pop() ?? "";
      for (const message of messages.map((one) => JSON.parse(one) as Message)) {
        if (message.id !== undefined) this.waiting.get(message.id)?.(message);
      }
    });
  }

  static async start(): Promise<Browser> {
    const profile = await mkdtemp(join(tmpdir(), "mosaic-chromium-"));
    // The pages are the test's own: a sandbox would need rights that root has not got in a container.
    const flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"];
    const program = spawn("chromium", [...flags, "--remote-debugging-pipe", `--user-data-dir=${profile}`], {
      stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
    });
    process.once("exit", () => program.kill("SIGKILL"));
    return new Browser(program, profile);
  }

  private async ask(method: string, params: object, sessionId?: string): Promise<NonNullable<Message["result"]>> {
    const id = (this.sent += 1);
    const answer = new Promise<Message>((resolve) => this.waiting.set(id, resolve));
    (this.process.stdio[3] as Writable).write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    const { error, result } = await answer;
    if (error || !result || result.exceptionDetails) throw new Error(JSON.stringify(error ?? result));
    return result;
  }

  /** A new tab with this page, loaded. What it answers runs an expression in it. */
  async tab(url: string): Promise<(expression: string) => Promise<unknown>> {
    const { targetId } = await this.ask("Target.createTarget", { url });
    const { sessionId } = await this.ask("Target.attachToTarget", { targetId, flatten: true });
    const run = async (expression: string) => {
      const params = { expression: `(async () => ${expression})()`, awaitPromise: true, returnByValue: true };
      return (await this.ask("Runtime.evaluate", params, sessionId)).result?.value;
    };
    const loaded = `location.href === ${JSON.stringify(url)} && document.readyState === "complete"`;
    // Until then what runs in the tab is ended with the empty page that it begins with.
    while (!(await run(loaded).catch(() => false))) await new Promise((resolve) => setTimeout(resolve, 10));
    return run;
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.kill("SIGKILL");
    await ended;
    await rm(this.profile, { recursive: true, maxRetries: 10 });
  }
}

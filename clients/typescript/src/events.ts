import { backoff, type MosaicClient, type pause as Pause } from "./client.js";
import { MosaicError } from "./problem.js";

/** Something may have changed: pull (N1). */
export interface Nudge {
  clock: number;
  /** False where a stream was interrupted, and nothing happened meanwhile. */
  changed: boolean;
}

/** The server says something every 25 s; after a minute of silence the connection is taken to be dead. */
const SILENCE = 60_000;

/** Connects again whenever the stream ends, until the signal or the login ends it. Losing or repeating nudges is harmless. */
export async function* events(
  client: MosaicClient,
  pause: typeof Pause,
  signal?: AbortSignal,
): AsyncGenerator<Nudge, void, undefined> {
  let last: string | undefined;
  for (let failures = 1; ; failures += 1) {
    const connection = new AbortController();
    const abort = () => connection.abort(signal?.reason);
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) abort();
    try {
      const headers = { accept: "text/event-stream", ...(last === undefined ? {} : { "last-event-id": last }) };
      const response = await client.fetch("/sync/events", { headers, signal: connection.signal });
      for await (const event of parse(response.body, connection)) {
        failures = 0;
        last = event["id"] ?? last;
        yield { clock: Number(last), changed: event["event"] === "changed" };
      }
    } catch (error) {
      if (!signal?.aborted && error instanceof MosaicError && !error.passes) throw error;
    } finally {
      signal?.removeEventListener("abort", abort);
      connection.abort();
    }
    if (signal?.aborted) return;
    await pause(backoff(failures + 1), signal).catch(() => undefined);
  }
}

/** The fields of each event that has any (https://html.spec.whatwg.org/multipage/server-sent-events.html). */
async function* parse(
  body: ReadableStream<Uint8Array> | null,
  connection: AbortController,
): AsyncGenerator<Record<string, string>, void, undefined> {
  if (!body) throw new Error("this fetch has no streams");
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let [rest, event] = ["", {} as Record<string, string>];
  for (;;) {
    const timer = setTimeout(() => connection.abort(new Error("silence")), SILENCE);
    const { done, value } = await reader.read().finally(() => clearTimeout(timer));
    if (done) return;
    const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const [, name, text] = /^(\w+): ?(.*?)\r?$/.exec(line) ?? [];
      if (name !== undefined && text !== undefined) event[name] = text;
      if (line.trim() === "") {
        if ("event" in event) yield event;
        event = {};
      }
    }
  }
}

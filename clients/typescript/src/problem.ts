import type { components } from "./api.js";

type Problem = components["schemas"]["Problem"];

/** The server's codes, and two for answers that are none of the server's: nothing came, or something of somebody between. */
export type ErrorCode = Problem["code"] | "no_answer" | "not_the_server";

/** Why a request failed. */
export class MosaicError extends Error {
  override readonly name = "MosaicError";

  private constructor(
    readonly code: ErrorCode,
    /** Of HTTP; 0 where no answer came. */
    readonly status: number,
    detail: string,
    /** What is wrong with which field. */
    readonly errors: NonNullable<Problem["errors"]> = [],
    /** How long the server said to wait, in milliseconds. */
    readonly retryAfter?: number,
    /** All that the server said. */
    readonly problem?: Problem,
    options?: ErrorOptions,
  ) {
    super(detail, options);
  }

  /** Nothing was answered, or not all of it. */
  static noAnswer(cause: unknown): MosaicError {
    return new MosaicError("no_answer", 0, `no answer: ${String(cause)}`, [], undefined, undefined, { cause });
  }

  /** Of an answer that is no success. */
  static async of(response: Response): Promise<MosaicError> {
    const text = await response.text();
    const wait = retryAfter(response.headers.get("retry-after"));
    const problem = parse(text);
    if (!problem) return new MosaicError("not_the_server", response.status, text.slice(0, 200), [], wait);
    return new MosaicError(problem.code, response.status, problem.detail, problem.errors, wait, problem);
  }

  /** A login that is not there, told as the server tells of one that has ended. */
  static loggedOut(): MosaicError {
    return new MosaicError("login_ended", 401, "nobody is logged in");
  }

  /** Whether the same request may succeed later, as it stands. */
  get passes(): boolean {
    return this.status === 0 || this.status === 429 || (this.status >= 502 && this.status <= 504);
  }
}

function parse(text: string): Problem | undefined {
  try {
    const problem: unknown = JSON.parse(text);
    if (problem !== null && typeof problem === "object" && "code" in problem) return problem as Problem;
  } catch {
    // Not JSON: a page of a proxy's.
  }
  return undefined;
}

/** Seconds or a date, in milliseconds from now. */
function retryAfter(header: string | null): number | undefined {
  if (header === null) return undefined;
  const wait = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isNaN(wait) ? undefined : Math.max(wait, 0);
}

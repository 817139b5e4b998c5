import type { Random } from "./random.js";

type Fetch = (request: Request) => Promise<Response>;

/** What lies between a device and the server. Each fault is drawn: the request is lost, the answer is lost, cut, or says 503. */
export class Network {
  online = true;
  /** In how many of a hundred requests something fails. */
  faults = 0;
  /** Every request that was begun, as method and path. */
  readonly seen: string[] = [];
  readonly bodies: string[] = [];
  /** What a test does to a request or its answer. */
  meddle: ((request: Request, send: Fetch) => Promise<Response>) | undefined;

  constructor(
    private readonly server: Fetch,
    private readonly random: Random,
  ) {}

  readonly fetch = async (input: RequestInfo | URL): Promise<Response> => {
    const request = input as Request;
    this.seen.push(`${request.method} ${new URL(request.url).pathname}`);
    this.bodies.push(await request.clone().text());
    if (!this.online) throw new TypeError("offline");
    if (this.meddle) return this.meddle(request, this.server);
    if (this.random.below(100) >= this.faults) return this.server(request);
    switch (this.random.below(4)) {
      case 0:
        throw new TypeError("the request was lost");
      case 1:
        await (await this.server(request)).arrayBuffer();
        throw new TypeError("the answer was lost");
      case 2:
        return cut(await this.server(request), this.random);
      default:
        return new Response("<html>", { status: 503 });
    }
  };
}

async function cut(answer: Response, random: Random): Promise<Response> {
  const whole = new Uint8Array(await answer.arrayBuffer());
  const body = new ReadableStream({
    start(controller) {
      controller.enqueue(whole.slice(0, random.below(whole.length + 1)));
      controller.error(new TypeError("the answer was cut"));
    },
  });
  return new Response(answer.status === 204 ? null : body, answer);
}

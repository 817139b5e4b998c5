// Drives the package for `mosaic check-client`, over one of its stores: node dist/tests/driver.js KIND

import { createInterface } from "node:readline";
import { memoryTokens, type EntityType, type TokenStore } from "../src/index.js";
import { Device, KINDS, type DeviceKind, type Fields } from "./devices.js";
import { Random } from "./random.js";
import { ADDRESS, clock } from "./server.js";

/** A line, whatever it asks for. */
interface Request {
  id: number;
  do: keyof typeof commands;
  device: string;
  tabOf?: string;
  url: string;
  user: string;
  password: string;
  type: EntityType;
  key: string;
  fields: Fields;
  offsetMs: number;
}

const Kind: new (...made: ConstructorParameters<typeof Device>) => Device = KINDS[process.argv[2] as DeviceKind];
const devices = new Map<string, { device: Device; tokens: TokenStore }>();
const random = new Random(7);

function find(name: string): Device {
  const found = devices.get(name);
  if (!found) throw new Error(`there is no device ${name}`);
  return found.device;
}

const commands = {
  async open({ device: name, tabOf, url, user, password }: Request) {
    const send = (request: globalThis.Request) => fetch(new Request(request.url.replace(ADDRESS, url), request));
    const other = tabOf === undefined ? undefined : devices.get(tabOf);
    const tokens = other?.tokens ?? memoryTokens();
    const device = new Kind(tabOf ?? name, { fetch: send }, random, tokens);
    devices.set(name, { device, tokens });
    if (other) return void device.share(other.device);
    await device.start();
    await device.client.login(user, password);
  },
  write: ({ device, type, key, fields }: Request) => find(device).write(type, key, fields),
  delete: ({ device, type, key }: Request) => find(device).remove(type, key),
  async sync({ device }: Request) {
    await find(device).sync();
  },
  async dump({ device, type }: Request) {
    return { records: [...(await find(device).all(type))].map(([id, fields]) => ({ ...fields, id })) };
  },
  rejected({ device }: Request) {
    const final = find(device).rejections.filter(({ retryable }) => !retryable);
    return { keys: final.map(({ edit }) => edit.key) };
  },
  clock({ offsetMs }: Request) {
    clock.ahead = offsetMs;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line) as Request;
  const answer = (more: object | void) => console.log(JSON.stringify({ id: request.id, ...more }));
  if (!Object.hasOwn(commands, request.do)) {
    answer({ unsupported: true });
    continue;
  }
  // Not waited for: what comes next may have to be done while this goes on.
  void Promise.resolve(request)
    .then<object | void>(commands[request.do])
    .then(answer, (error: unknown) => answer({ error: String(error) }));
}

// Drives a client for `mosaic check-client`: node driver.mjs [FLAW]
import { createInterface } from "node:readline";
import { Device } from "./client.mjs";

const [flaw] = process.argv.slice(2);
const devices = new Map();
const realNow = Date.now;

const commands = {
  async open({ device, tabOf, url, user, password }) {
    devices.set(device, new Device(url, tabOf ?? device, flaw, devices.get(tabOf)));
    if (!tabOf) await devices.get(device).logIn(user, password);
  },
  write: ({ device, type, key, fields }) => devices.get(device).write(type, key, fields),
  delete: ({ device, type, key }) => devices.get(device).remove(type, key),
  sync: ({ device }) => devices.get(device).sync(),
  dump: ({ device, type }) => ({ records: devices.get(device).records(type) }),
  rejected: ({ device }) => ({ keys: devices.get(device).rejectedKeys() }),
  clock({ offsetMs }) {
    Date.now = () => realNow() + offsetMs;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, do: what, ...rest } = JSON.parse(line);
  const answer = (more) => console.log(JSON.stringify({ id, ...more }));
  if (!commands[what]) answer({ unsupported: true });
  // Not waited for: what comes next may have to be done while this goes on.
  else Promise.resolve(rest).then(commands[what]).then(answer, (error) => answer({ error: String(error) }));
}

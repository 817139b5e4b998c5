// Runs the script of the page `/dev`, whose file is the argument, over a server that is started anew.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

/** As much of an element as the page uses. */
class Element {
  children = [];
  textContent = "";
  value = "";
  insertRow(at) {
    const row = Object.assign(new Element(), { table: this });
    this.children.splice(at, 0, row);
    return row;
  }
  insertCell = () => this.insertRow(this.children.length);
  append = (child) => this.children.push(child);
  add = this.append;
  replaceChildren = (...children) => { this.children = children; };
  remove = () => this.table.children.splice(this.table.children.indexOf(this), 1);
  get options() {
    return this.children;
  }
}

const elements = {};
const document = {
  getElementById: (id) => (elements[id] ??= new Element()),
  createElement: () => new Element(),
  querySelectorAll: () => [],
};
let server;
const fetch = async (path) => {
  if (!server) throw new TypeError("fetch failed");
  const [route, after] = path.split("?after=");
  const requests = server.requests.filter(({ id }) => id > Number(after));
  const answer = { "/dev/requests": { run: server.run, requests }, "/dev/clock": { now: 0, aheadMs: 0 }, "/dev/faults": { faults: [] } };
  return { json: async () => answer[route] };
};
const Option = function (text, value = text) {
  return Object.assign(new Element(), { text, value });
};

let next;
let looked = defer();
function defer() {
  const deferred = {};
  deferred.promise = new Promise((resolve) => { deferred.resolve = resolve; });
  return deferred;
}
const setTimeout = (callback) => {
  next = callback;
  looked.resolve();
};
/** The page looks once more. */
async function look(found) {
  server = found;
  looked = defer();
  next();
  await looked.promise;
  const rows = elements.rows.children.filter(({ className }) => className !== undefined);
  return rows.map(({ children }) => children[2].textContent);
}

const request = (id, path, ms = 1) => ({ id, at: 0, clientId: `of ${path}`, method: "GET", path, status: 200, ms });
const page = readFileSync(process.argv[2], "utf8");
const [, script] = /<script type="module">\n(.*)<\/script>/s.exec(page);
const AsyncFunction = (async () => {}).constructor;
new AsyncFunction("document", "fetch", "Option", "setTimeout", script)(document, fetch, Option, setTimeout);
await looked.promise;

const first = [request(1, "/a"), request(2, "/b", null)];
assert.deepEqual(await look({ run: "first", requests: first }), ["GET /b", "GET /a"]);
assert.equal(elements.lost.textContent, "");
await look(undefined);
assert.match(elements.lost.textContent, /not reached/);
assert.equal(elements.clock.textContent, "?");
// Its numbers begin anew.
const second = [request(1, "/c"), request(2, "/d"), request(3, "/e")];
assert.deepEqual(await look({ run: "second", requests: second }), ["GET /e", "GET /d", "GET /c"]);
assert.deepEqual(elements.device.options.map(({ text }) => text), ["all", "of /c", "of /d", "of /e"]);
assert.equal(elements.lost.textContent, "");
assert.notEqual(elements.clock.textContent, "?");

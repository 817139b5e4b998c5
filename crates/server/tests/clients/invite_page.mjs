// Runs the script of the page `/invite` over a server: the first argument is the link of an invite, the second the name that is
// taken, the third the one that is chosen, the fourth another link. Prints what the page says in the end.
import assert from "node:assert/strict";

/** As much of an element as the page uses. */
class Element {
  textContent = "";
  value = "";
  hidden = false;
  disabled = false;
  listeners = {};
  addEventListener(kind, listener) {
    this.listeners[kind] = listener;
  }
}

const [link, taken, chosen, lost] = process.argv.slice(2);
const AsyncFunction = (async () => {}).constructor;
const base = link.split("#")[0];
const script = await (await fetch(`${base}/page.js`)).text();

/** The page as a browser opens it at that address. */
async function open(href) {
  const elements = {};
  const document = { getElementById: (id) => (elements[id] ??= new Element()) };
  const url = new URL(href);
  const location = { href, hash: url.hash, pathname: url.pathname, reload: () => { page.reloaded = true; } };
  const page = { elements, asked: [], left: undefined };
  const relative = async (path, options) => {
    page.asked.push(path);
    if (page.fails) throw new TypeError("fetch failed");
    const answer = await fetch(new URL(path, href), options);
    if (page.losesAnswers) throw new TypeError("fetch failed");
    return answer;
  };
  const history = { replaceState: (_state, _title, address) => { page.left = address; } };
  const text = script.replace('"use strict";', "");
  const listen = (kind, listener) => { page[kind] = listener; };
  const run = new AsyncFunction("document", "location", "history", "fetch", "addEventListener", text);
  await run(document, location, history, relative, listen);
  page.send = async (username, password, again = password) => {
    Object.assign(elements.username, { value: username });
    Object.assign(elements.password, { value: password });
    Object.assign(elements.again, { value: again });
    let prevented = false;
    await elements.form.listeners.submit({ preventDefault: () => { prevented = true; } });
    assert.ok(prevented && !elements.send.disabled);
    return elements.error.textContent;
  };
  for (const id of ["username", "password", "again", "form", "send", "error", "done"]) document.getElementById(id);
  return page;
}

/** A use whose answer is lost on the way. */
async function lose(page, name) {
  page.losesAnswers = true;
  const said = await page.send(name, "long enough");
  page.losesAnswers = false;
  return said;
}

const half = await open(base);
assert.ok(half.elements.form.hidden);
assert.match(half.elements.error.textContent, /not whole/);
half.hashchange();
assert.ok(half.reloaded);

const wrong = await open(`${base}#${"0".repeat(40)}`);
assert.match(await wrong.send(chosen, "long enough"), /^There is no such invite: .*\.$/);

const page = await open(link);
assert.equal(page.elements.form.hidden, false);
assert.equal(await page.send(chosen, "long enough", "long enouhg"), "The two passwords differ.");
assert.deepEqual(page.asked, []);
assert.equal(await page.send("b n", "short"), "Name: must not contain white space. Password: must be at least 8 characters.");
assert.equal(await page.send(taken, "long enough"), "The user name is taken.");
page.fails = true;
assert.match(await page.send(chosen, "long enough"), /does not answer/);
page.fails = false;
assert.equal(await page.send(chosen, "long enough"), "");
assert.ok(page.elements.form.hidden);
assert.deepEqual(page.asked.slice(-2), ["auth/invite", "auth/logout"]);
// The secret is worth nothing any more, and stands in no history.
assert.equal(page.left, new URL(base).pathname);
const again = await open(link);
assert.match(await again.send("carl", "long enough"), /^The invite was used: /);
assert.doesNotMatch(again.elements.error.textContent, /try to log in/);
const unlucky = await open(lost);
assert.match(await lose(unlucky, `${chosen}-too`), /does not answer/);
assert.match(await unlucky.send(`${chosen}-too`, "long enough"), /^The invite was used: .* try to log in/);
console.log(page.elements.done.textContent);

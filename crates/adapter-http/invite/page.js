"use strict";

const $ = (id) => document.getElementById(id);
/** What makes the account. Browsers send it nowhere. */
const secret = location.hash.slice(1);
const NAMES = { username: "Name", password: "Password" };

function say(text) {
  $("error").textContent = text;
}

/** Whether the form was sent, and its answer did not come. */
let isUnanswered = false;

/** What a refusal says, in words. */
function inWords(problem) {
  const errors = (problem.errors ?? []).filter((error) => NAMES[error.path]);
  if (errors.length > 0) return errors.map((error) => `${NAMES[error.path]}: ${error.message}.`).join(" ");
  const said = problem.detail ?? "The server did not make the account.";
  const sent = "The form was sent before, and its answer was lost: try to log in with the name and the password of then";
  const more = isUnanswered && problem.code === "invite_used" ? ` ${sent}.` : "";
  return `${said[0].toUpperCase()}${said.slice(1)}.${more}`;
}

async function post(path, body) {
  return fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
}

/** The account is there: nothing is to be done here any more. */
async function finish(login) {
  $("form").hidden = true;
  const server = location.href.split("#")[0].replace(/\/invite$/, "");
  $("done").textContent = `The account ${login.user.username} is made. Log in with it in the app, on the server ${server}`;
  history.replaceState(null, "", location.pathname);
  // The app logs in by itself: this login is nobody's.
  await post("auth/logout", { refreshToken: login.refreshToken });
}

async function send() {
  const [username, password] = [$("username").value, $("password").value];
  if (password !== $("again").value) return say("The two passwords differ.");
  const answer = await post("auth/invite", { secret, username, password, deviceName: "Invite" });
  const said = await answer.json();
  if (!answer.ok) return say(inWords(said));
  return finish(said);
}

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  say("");
  $("send").disabled = true;
  try {
    await send();
  } catch {
    if (!$("form").hidden) {
      isUnanswered = true;
      say("The server does not answer. Try again in a moment.");
    }
  }
  $("send").disabled = false;
});

// Another link, in the same tab.
addEventListener("hashchange", () => location.reload());

if (secret === "") {
  $("form").hidden = true;
  say("This link is not whole: open it as it was sent to you, up to its end.");
}

/** The demo's own sign-in: anybody may be any of its sample users. No other service has this file. */

import { button, el } from "./dom.js";
import { say } from "./words.js";

/** The users to choose from; whoever is chosen is told to `take`, with a token. */
export async function people(take, expired) {
  const accounts = await (await fetch("users.json", { cache: "no-store" })).json();
  return [
    el("h2", { id: "signin-title" }, say(expired ? "signin.expired" : "chooser.title")),
    el("p", {}, say("chooser.how")),
    ...accounts.map((account) => section(account, take)),
  ];
}

function section(account, take) {
  const active = account.users.filter((user) => user.active);
  return el(
    "section",
    {},
    el("h3", {}, account.name),
    el(
      "ul",
      { class: "people" },
      ...active.map((user) =>
        el(
          "li",
          {},
          button(label(user), () => take(user)),
        ),
      ),
    ),
  );
}

function label({ name, administrator }) {
  return [el("bdi", {}, name), administrator ? ` · ${say("chooser.administrator")}` : null].filter(Boolean);
}

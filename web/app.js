/** The start of the screen: language, sign-in, and what of it is shown. */

import { readScreen } from "./api.js";
import { button, el, fill } from "./dom.js";
import { showFeeds } from "./feeds.js";
import { listen, take } from "./signin.js";
import { LANGUAGES, languageOf, say, speak, spoken, useZone } from "./words.js";

const chooser = document.querySelector('meta[name="chooser"]').content;
const [signin, head, main, foot] = ["signin", "head", "main", "foot"].map((id) => document.getElementById(id));

let chosen = null; // the language that somebody asked for: the host, or the user
let screen = null; // what was read for it
let shown = "feeds";

function apply({ language, theme }) {
  if (["light", "dark"].includes(theme)) document.documentElement.dataset.theme = theme;
  if (language && Object.hasOwn(LANGUAGES, language) && language !== chosen) {
    chosen = language;
    screen ? restart() : speak(chosen).then(showHead);
  }
}

/** No token: nothing that stands on the page is touched, so nothing typed is lost. */
async function askForToken(expired) {
  if (chooser) {
    const { people } = await import(`./${chooser}`);
    return showSignin(...(await people(take, expired)));
  }
  const state = expired ? "expired" : "missing";
  showSignin(el("h2", { id: "signin-title" }, say(`signin.${state}`)), el("p", {}, say(`signin.${state}How`)));
}

/** Above all else, also above a dialog that waits for its answer; it goes when a token comes, and not before. */
function showSignin(...content) {
  signin.replaceChildren(...content);
  if (!signin.open) signin.showModal();
}

function accept() {
  signin.close();
}

async function read() {
  screen = await readScreen();
  useZone(screen.viewer.timeZone);
  const wanted = chosen ?? screen.viewer.locale;
  if (languageOf(wanted) !== spoken()) await speak(wanted);
  return screen;
}

function show() {
  document.title = say("title");
  showHead();
  showFoot();
  if (shown === "administration") return showAdministration();
  return showFeeds(screen);
}

function showHead() {
  const tab = (key) => button(say(`tabs.${key}`), () => turnTo(key), { "aria-current": shown === key ? "page" : null });
  head.replaceChildren(
    el("h1", {}, say("title")),
    ...(screen?.viewer.administrator
      ? [el("nav", { "aria-label": say("title") }, tab("feeds"), tab("administration"))]
      : []),
  );
}

function showFoot() {
  const options = Object.entries(LANGUAGES).map(([code, name]) =>
    el("option", { value: code, lang: code, selected: code === spoken() }, name),
  );
  const select = el("select", { onchange: () => apply({ language: select.value }) }, ...options);
  foot.replaceChildren(el("label", {}, say("language"), " ", select));
}

function showAdministration() {
  const place = el("div");
  import("./administration.js").then(({ showAdministration }) => place.replaceChildren(showAdministration(screen)));
  return place;
}

function turnTo(part) {
  shown = part;
  showHead();
  fill(main, async () => (part === "feeds" ? read() : screen), show);
  main.focus();
}

async function restart() {
  const wasInFoot = foot.contains(document.activeElement);
  await speak(chosen);
  await fill(main, shown === "feeds" ? read : async () => screen, show);
  if (wasInFoot) foot.querySelector("select").focus();
}

signin.addEventListener("cancel", (event) => event.preventDefault());
await speak(...navigator.languages, "en");
document.title = say("title");
showHead();
listen({ missing: askForToken, accepted: accept, settings: apply });
fill(main, read, show);

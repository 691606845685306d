/**
 * The bearer token: how the host page hands it over, and where it is kept: in this module, and nowhere else. It never
 * reaches storage, the address, or a log.
 *
 * The host either opens the screen with `#token=…`, which is taken out of the address at once, or posts a message
 * `{ type: "calendar-feeds", token: "…" }` from an origin of the setting CALENDAR_FEEDS_SCREEN_ORIGINS. Both may also name
 * a `language` and a `theme`, "light" or "dark". The screen tells its host when it is ready for a token, when one has
 * expired, and how high it is.
 */

const TYPE = "calendar-feeds";
const origins = document.querySelector('meta[name="origins"]').content.split(" ").filter(Boolean);
const host = window.parent !== window ? window.parent : window.opener;

let token = null;
let refused = null;
let waiting = [];
let listener = {};

/** Waits for tokens from now on. Told are: that one is `missing` (whether one has expired), `accepted`, and `settings`. */
export function listen(told) {
  listener = told;
  window.addEventListener("message", (event) => {
    const isHost = event.source === host && origins.includes(event.origin);
    if (isHost && event.data?.type === TYPE) take(event.data);
  });
  window.addEventListener("hashchange", readFragment);
  readFragment();
  tell("ready");
  new ResizeObserver(() => tell("resized", { height: document.body.offsetHeight })).observe(document.body);
}

/** The token, as soon as there is one. */
export function bearer() {
  if (token !== null) return Promise.resolve(token);
  listener.missing(refused !== null);
  return new Promise((resolve) => waiting.push(resolve));
}

/** The API does not take this token: the next call waits for another one. */
export function refuse(bad) {
  if (bad !== token) return;
  refused = token;
  token = null;
  tell("expired");
}

export function take({ token: given, language, theme }) {
  listener.settings({ language, theme });
  if (typeof given !== "string" || !given || given === refused) return;
  token = given;
  listener.accepted();
  for (const resolve of waiting.splice(0)) resolve(token);
}

function readFragment() {
  const said = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  if (location.hash) history.replaceState(null, "", location.pathname);
  take(said);
}

/** Nothing of it is secret, so it may be told before the host has shown who it is. */
function tell(event, more = {}) {
  host?.postMessage({ type: TYPE, event, ...more }, "*");
}

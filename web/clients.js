/** Calendar programs: how to subscribe in each, how often it refreshes, and which of them come for a link. */

import { readQrCode } from "./api.js";
import { button, el, fill, working } from "./dom.js";
import { ago, duration, say, steps } from "./words.js";

/** What opens each program's own way to subscribe; "phone" and "other" have none. */
const PROGRAMS = ["google", "apple", "outlook", "outlookOffice", "phone", "other"];

/** Which of our descriptions fits a program that polled, by the name that the API gives it. */
const KINDS = [
  [/^Google/, "google"],
  [/^Apple Calendar \(iOS\)/, "phone"],
  [/^Apple/, "apple"],
  [/^Microsoft 365|^Windows 10/, "outlook"],
  [/^Outlook/, "outlookClassic"],
  [/^Thunderbird/, "thunderbird"],
];

export const kindOf = (name) => KINDS.find(([pattern]) => pattern.test(name))?.[1] ?? "other";

/** The name of a program: what the API cannot name has a name in the user's language. */
export const programName = (name) => say(`program.${name}`, {}, name);

export function subscribing(link) {
  return el(
    "details",
    { class: "subscribing", "data-key": `subscribe:${link.id}` },
    el("summary", {}, say("subscribe.title")),
    el("p", { class: "hint" }, say("subscribe.hint")),
    ...PROGRAMS.map((program) => programSteps(link, program)),
  );
}

function programSteps(link, program) {
  const key = `${program}:${link.id}`;
  const opener = link.subscribe[program];
  const qr = program === "phone" && el("div", { class: "qr" });
  const made = el(
    "details",
    { name: `program:${link.id}`, class: "program", "data-key": key },
    el(
      "summary",
      {},
      el("span", { class: "name" }, say(`clients.${program}.name`)),
      " ",
      el("span", { class: "refresh" }, say(`clients.${program}.refresh`)),
    ),
    opener &&
      el(
        "p",
        {},
        el(
          "a",
          {
            class: "button",
            href: opener,
            ...(program === "apple" ? {} : { target: "_blank", rel: "noopener noreferrer" }),
          },
          say(`clients.${program}.open`),
        ),
      ),
    qr,
    el("ol", {}, ...steps(`clients.${program}.steps`).map((step) => el("li", {}, step))),
  );
  if (qr) made.addEventListener("toggle", () => made.open && !qr.childElementCount && showQrCode(qr, link));
  return made;
}

/** The code is drawn by the service itself: nobody else learns the address. */
function showQrCode(place, link) {
  return fill(
    place,
    () => readQrCode(link.id),
    (svg) => {
      const drawn = new DOMParser().parseFromString(svg, "text/html").querySelector("svg");
      drawn.setAttribute("role", "img");
      drawn.setAttribute("aria-label", say("clients.phone.code"));
      return document.adoptNode(drawn);
    },
  );
}

/** Is it working? Which programs came, when, and whether that is on time. */
export function watching(link, look) {
  const again = button(say("watch.again"), () => working(again, look), { "data-key": `look:${link.id}` });
  const [latest] = link.clients;
  const short = latest
    ? say("watch.short", { program: programName(latest.name), ago: ago(latest.lastPolledAt) })
    : say("watch.none");
  return el(
    "details",
    { class: "watching", "data-key": `watch:${link.id}` },
    el("summary", {}, say("watch.title"), " ", el("span", { class: "refresh" }, short)),
    latest ? el("ul", {}, ...link.clients.map((client) => came(client, link))) : el("p", {}, say("watch.noneLong")),
    el("div", { class: "buttons" }, again),
  );
}

function came(client, link) {
  const state = stateOf(client, link);
  const usual = client.usualInterval
    ? `. ${say("watch.usual", { interval: duration(client.usualInterval) })}`
    : `; ${say(`clients.${kindOf(client.name)}.refresh`)}.`;
  return el(
    "li",
    { class: `client ${state}` },
    el(
      "p",
      {},
      el("b", {}, programName(client.name)),
      ": ",
      el("time", { datetime: client.lastPolledAt, title: client.lastPolledAt }, ago(client.lastPolledAt)),
      usual,
    ),
    el("p", { class: "verdict" }, say(`watch.${state}`)),
    el("p", { class: "hint" }, say("watch.polls", { n: client.polls })),
  );
}

/** The notice is for an old address, or for a link that was paused: only one that was reset has an old address. */
function stateOf({ lastAnswer, lastPolledAt, stale }, { resetAt }) {
  if (lastAnswer === "NOTICE" || lastAnswer === "GONE") {
    return resetAt && Date.parse(lastPolledAt) >= Date.parse(resetAt) ? "old" : "off";
  }
  if (lastAnswer === "LIMITED" || lastAnswer === "UNAVAILABLE") return "failed";
  return stale ? "late" : "well";
}

/** New addresses: what a reset does, said before it is done, and what is to be done on each device afterwards. */

import { change } from "./api.js";
import { kindOf, programName } from "./clients.js";
import { announce, dialog, el, newId } from "./dom.js";
import { list, say } from "./words.js";

const GRACES = [0, 24, 168]; // hours

/** Gives a link a new URL, if its user confirms. */
export async function resetOne(feed, link, fresh) {
  const requestId = newRequest();
  const done = await confirm(say("reset.title"), say("reset.text"), [link], (graceHours) =>
    change("generateCalendarUrl", "feed { ...Feed }", {
      ...(feed.calendar ? { calendarId: feed.calendar.id } : {}),
      name: link.name,
      regenerate: true,
      graceHours,
      requestId,
    }),
  );
  if (!done) return;
  const renewed = fresh(done.feed);
  const notice = afterReset([link]);
  renewed.querySelector("header").after(notice);
  notice.focus();
}

/** Gives all the user's links new URLs, if they confirm; resolves to what was done, or to null. */
export function resetAll(links) {
  const requestId = newRequest();
  return confirm(say("reset.allTitle"), say("reset.allText", { n: links.length }), links, (graceHours) =>
    change("resetCalendarFeeds", "resetCount", { graceHours, requestId }),
  );
}

/** A reset that is sent again, because its answer was lost, resets nothing again. */
function newRequest() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((octet) => octet.toString(16).padStart(2, "0")).join("");
}

function confirm(title, text, links, reset) {
  const names = programs(links);
  const id = newId();
  const grace = el(
    "select",
    { id },
    ...GRACES.map((hours) => el("option", { value: hours }, say(`reset.grace${hours}`))),
  );
  return dialog({
    title,
    content: el(
      "div",
      {},
      el("p", {}, text),
      el(
        "p",
        {},
        names.length ? say("reset.devices", { programs: list(names.map(programName)) }) : say("reset.noDevices"),
      ),
      el("label", { for: id }, say("reset.graceLabel")),
      grace,
      el("p", { class: "hint" }, say("reset.graceHint")),
    ),
    action: say("reset.action"),
    dangerous: true,
    act: () => reset(Number(grace.value)),
  });
}

/** What to do now on each device that was subscribed, as far as we know them. */
export function afterReset(links) {
  const kinds = new Map(programs(links).map((name) => [kindOf(name), name]));
  announce(say("reset.done"));
  return el(
    "div",
    { class: "notice", tabindex: "-1", role: "group", "aria-label": say("reset.done") },
    el("h3", {}, say("reset.done")),
    el("p", {}, say(kinds.size ? "reset.next" : "reset.nextUnknown")),
    el(
      "dl",
      {},
      ...[...kinds].flatMap(([kind, name]) => [
        el("dt", {}, programName(name)),
        el("dd", {}, say(`clients.${kind}.remove`)),
      ]),
    ),
  );
}

/** The programs that came for the links, but for those that have long stopped. */
function programs(links) {
  return [
    ...new Set(links.flatMap((link) => link.clients.filter((client) => !client.stale).map((client) => client.name))),
  ];
}

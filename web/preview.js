/** What a subscriber gets, and what is left out and why. */

import { ask } from "./api.js";
import { dialog, el, fill } from "./dom.js";
import { day, dayBefore, feedName, moment, say } from "./words.js";

const SHOWN = 6; // activities, from now on
const SERIES = 3; // beside them: of these the first time is known, which may be long past
const READ = 500; // the list begins in the past
const EXAMPLES = 3; // of each reason

const CONTENT = `startsOn endsOn eventCount activityCount leftOutCount leftOutCounts { reason count }
  activities { title startsAt endsAt startsOn endsOn recurring } leftOut { title reason }`;

/** The preview of a link, or of a feed that has none yet; with options that are not kept. */
export async function readPreview({ id }, isLink, options = null) {
  const type = isLink ? "FeedLink" : "CalendarFeed";
  const query = `query ($id: ID!, $options: FeedOptionsInput) {
    node(id: $id) { ... on ${type} { preview(first: ${READ}, options: $options) { ${CONTENT} } } }
  }`;
  return (await ask(query, { id, options })).node.preview;
}

export function showPreview(feed) {
  const place = el("div", { class: "preview" });
  const shown = dialog({ title: say("preview.title", { name: feedName(feed) }), content: place });
  fill(place, () => readPreview(feed, false), previewView);
  return shown;
}

export function previewView(preview) {
  const now = Date.now();
  const isAhead = (one) => !one.recurring && Date.parse(one.endsAt ?? one.startsAt ?? one.endsOn) >= now;
  const ahead = preview.activities.filter(isAhead).slice(0, SHOWN);
  ahead.push(...preview.activities.filter((one) => one.recurring).slice(0, SERIES));
  const more = preview.activityCount - ahead.length;
  return [
    el(
      "p",
      {},
      say("preview.count", { n: preview.activityCount, from: day(preview.startsOn), until: dayBefore(preview.endsOn) }),
    ),
    el("ul", { class: "shown" }, ...ahead.map(activity)),
    more > 0 && el("p", { class: "hint" }, say("preview.more", { n: more })),
    preview.leftOutCount > 0 && el("h3", {}, say("preview.leftOut", { n: preview.leftOutCount })),
    el("ul", { class: "leftOut" }, ...preview.leftOutCounts.map((one) => reason(one, preview.leftOut))),
  ].filter(Boolean);
}

function activity({ title, startsAt, startsOn, recurring }) {
  const when = recurring ? say("preview.recurring") : startsAt ? moment(startsAt) : day(startsOn);
  return el("li", {}, el("span", { class: "when" }, when), " ", el("bdi", {}, title));
}

function reason({ reason, count }, leftOut) {
  const titles = leftOut
    .filter((one) => one.reason === reason && one.title)
    .slice(0, EXAMPLES)
    .map((one) => one.title);
  return el(
    "li",
    {},
    say(`reason.${reason}`, { n: count }),
    titles.length > 0 && el("span", { class: "hint" }, " ", say("preview.such", { titles: titles.join(", ") })),
  );
}

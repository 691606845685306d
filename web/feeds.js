/** The user's calendars: each with its links, and what can be done about them. */

import { change, readFeeds } from "./api.js";
import { announce, button, el, focusOn, newId, swap, working } from "./dom.js";
import { linkView } from "./link.js";
import { addLink } from "./options.js";
import { showPreview } from "./preview.js";
import { afterReset, resetAll } from "./reset.js";
import { feedName, say } from "./words.js";

export function showFeeds({ calendarFeeds, feedPolicy }) {
  const place = el("div", { class: "feeds" });
  place.replaceChildren(...content(place, calendarFeeds, feedPolicy));
  return place;
}

function content(place, feeds, policy) {
  const links = feeds.flatMap((feed) => feed.links);
  const resetEverything = async () => {
    const done = await resetAll(links);
    if (!done) return;
    place.replaceChildren(...content(place, await readFeeds(), policy));
    place.prepend(afterReset(links));
    place.firstChild.focus();
  };
  return [
    el("p", { class: "lead" }, say("lead")),
    !policy.enabled && el("p", { class: "warning" }, say("disabled")),
    ...feeds.map((feed) => card(feed, feeds, policy)),
    links.length > 0 &&
      el(
        "div",
        { class: "everything" },
        el("p", {}, say("reset.allHint")),
        button(say("reset.all"), resetEverything, { class: "danger quiet" }),
      ),
  ].filter(Boolean);
}

/** A calendar with its links. `fresh` puts the feed as it is now in its place. */
function card(feed, feeds, policy) {
  const title = newId();
  const made = el("article", { class: "feed", "aria-labelledby": title });
  const fresh = (changed) => {
    const renewed = card(changed, feeds, policy);
    swap(made, renewed);
    return renewed;
  };
  const swatch = el("span", { class: "swatch", "aria-hidden": "true" });
  if (feed.calendar?.color) swatch.style.setProperty("--color", feed.calendar.color);
  const hasDefault = feed.links.some((link) => link.name === "");
  made.append(
    el(
      "header",
      {},
      feed.calendar ? swatch : null,
      el("h2", { id: title, tabindex: "-1" }, el("bdi", {}, feedName(feed))),
      el("p", { class: "hint" }, contents(feed, feeds)),
    ),
    ...(!hasDefault && policy.enabled ? [generation(feed, fresh)] : []),
    ...feed.links.map((link) => linkView(feed, link, policy, fresh)),
    el(
      "div",
      { class: "buttons" },
      button(say("preview.button"), () => showPreview(feed), { "data-key": "preview", "aria-describedby": title }),
      hasDefault &&
        policy.enabled &&
        button(say("add.button"), () => addLink(feed, policy, fresh), { "data-key": "add", "aria-describedby": title }),
    ),
  );
  return made;
}

function contents(feed, feeds) {
  if (feed.calendar) return say("contents");
  const names = feeds.filter((one) => one.calendar).map((one) => one.name);
  return names.length ? say("contentsOfAll", { n: names.length }) : say("contentsOfNone");
}

function generation(feed, fresh) {
  const generate = button(
    say("generate"),
    () =>
      working(generate, async () => {
        const input = feed.calendar ? { calendarId: feed.calendar.id } : {};
        const { feed: changed, link } = await change("generateCalendarUrl", "feed { ...Feed } link { id }", input);
        const renewed = fresh(changed);
        renewed.querySelector(`[data-key="subscribe:${CSS.escape(link.id)}"]`).open = true;
        focusOn(renewed, `copy:${link.id}`);
        announce(say("generated"));
      }),
    { class: "primary", "data-key": "generate" },
  );
  return el("div", { class: "generate" }, generate);
}

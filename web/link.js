/** A link: its address, how to subscribe to it, whether that works, and what can be done about it. */

import { change, readFeeds } from "./api.js";
import { subscribing, watching } from "./clients.js";
import { announce, button, dialog, el, newId, working } from "./dom.js";
import { changeOptions } from "./options.js";
import { resetOne } from "./reset.js";
import { moment, say } from "./words.js";

export function linkView(feed, link, policy, fresh) {
  const shows = link.status === "ACTIVE" || link.status === "PAUSED";
  const title = newId();
  return el(
    "section",
    { class: "link", ...(link.name ? { "aria-labelledby": title } : { "aria-label": say("link.default") }) },
    link.name && el("h3", { id: title }, el("bdi", {}, link.name)),
    ...state(link),
    link.url && shows && address(link),
    link.url && link.status === "ACTIVE" && subscribing(link),
    shows && watching(link, () => look(feed, fresh)),
    el("div", { class: "buttons" }, ...actions(feed, link, policy, fresh)),
  );
}

async function look(feed, fresh) {
  const found = (await readFeeds()).find((one) => one.id === feed.id);
  if (found) fresh(found);
  announce(say("watch.looked"));
}

/** Why the link does not serve, if it does not, and what else there is to know about it. */
function state(link) {
  const reason = link.status === "PAUSED" ? `PAUSED_BY_${link.pausedBy}` : link.status;
  return [
    link.status !== "ACTIVE" &&
      el("p", { class: "warning" }, say(`status.${reason}`, { when: moment(link.expiresAt ?? link.createdAt) })),
    link.alarmedAt && el("p", { class: "warning" }, say("status.alarmed", { when: moment(link.alarmedAt) })),
    link.status === "ACTIVE" &&
      link.expiresAt &&
      el("p", { class: "hint" }, say("status.expires", { when: moment(link.expiresAt) })),
    link.graceEndsAt && el("p", { class: "hint" }, say("status.grace", { when: moment(link.graceEndsAt) })),
    link.status === "ACTIVE" && link.options.detail === "BUSY" && el("p", { class: "hint" }, say("status.busy")),
  ].filter(Boolean);
}

function address(link) {
  const id = newId();
  const field = el("input", {
    id,
    type: "text",
    readonly: true,
    value: link.url,
    dir: "ltr",
    spellcheck: "false",
    onfocus: () => field.select(),
  });
  return el(
    "div",
    { class: "address" },
    el("label", { for: id }, say("link.label")),
    el("div", { class: "copying" }, field, copyButton(link.url, field, `copy:${link.id}`)),
    el("p", { class: "hint" }, say("link.private")),
  );
}

/** Both words stand in the same place, so that nothing moves when one takes over from the other. */
export function copyButton(text, field, key) {
  const before = el("span", {}, say("copy"));
  const after = el("span", { "aria-hidden": "true" }, say("copied"));
  const made = button(
    [before, after],
    async () => {
      const isCopied = await copy(text, field);
      announce(say(isCopied ? "copiedSpoken" : "copyFailed"));
      made.classList.toggle("copied", isCopied);
      setTimeout(() => made.classList.remove("copied"), 2500);
    },
    { class: "copy primary", "data-key": key, "aria-label": say("copy") },
  );
  return made;
}

/** Where a page that embeds us does not let us write to the clipboard, the older way still works. */
async function copy(text, field) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const focused = document.activeElement;
    field.focus();
    field.select();
    const isCopied = document.execCommand("copy");
    if (isCopied) focused.focus();
    return isCopied;
  }
}

function actions(feed, link, policy, fresh) {
  const key = (name) => ({ "data-key": `${name}:${link.id}` });
  const does = (name, mutation, said) => {
    const pressed = button(
      say(name),
      () =>
        working(pressed, async () => {
          const { feed: changed } = await change(mutation, "feed { ...Feed }", { linkId: link.id });
          if (changed) fresh(changed);
          announce(say(said));
        }),
      key("pause"),
    );
    return pressed;
  };
  const ownPause = link.status === "PAUSED" && link.pausedBy === "OWNER";
  const isAlarmed = link.alarmedAt && link.status === "ACTIVE";
  return [
    policy.enabled && button(say("options.button"), () => changeOptions(feed, link, policy, fresh), key("options")),
    link.status === "ACTIVE" && !isAlarmed && does("pause", "pauseFeedLink", "paused"),
    ownPause && does("resume", "resumeFeedLink", "resumed"),
    isAlarmed && does("allMine", "resumeFeedLink", "allMineSaid"),
    link.status !== "REVOKED" &&
      policy.enabled &&
      button(say("reset.button"), () => resetOne(feed, link, fresh), { ...key("reset"), class: "quiet" }),
    button(say("end.button"), () => end(feed, link, fresh), { ...key("end"), class: "danger quiet" }),
  ].filter(Boolean);
}

async function end(feed, link, fresh) {
  const done = await dialog({
    title: say("end.title"),
    content: el("p", {}, say("end.text")),
    action: say("end.action"),
    dangerous: true,
    act: () => change("revokeFeedLink", "feed { ...Feed }", { linkId: link.id }),
  });
  if (!done) return;
  if (done.feed) fresh(done.feed).querySelector("h2").focus();
  announce(say("end.done"));
}

/** For administrators: the people of the account, their links, the policy, and what was done. Never a URL. */

import { ask, change } from "./api.js";
import { programName } from "./clients.js";
import { announce, button, dialog, el, failure, newId, working } from "./dom.js";
import { ago, moment, say } from "./words.js";

const PAGE = 20;
const UNUSED_DAYS = 90;
const TYPES = ["MEETING", "CALL", "TASK"];
const LINK = "id name status pausedBy alarmedAt lastPolledAt user { id name } calendar { id name } clients { name }";

export function showAdministration() {
  return el("div", {}, people(), links(), policy(), log());
}

function panel(key, ...content) {
  const id = newId();
  return el("section", { class: "panel", "aria-labelledby": id }, el("h2", { id }, say(key)), ...content);
}

/** A list that is read page by page. `read` takes the cursor, `row` makes an item, `list` holds the items. */
function paged(list, read, row) {
  const place = el("div", { class: "paged" }, list);
  const more = button(say("admin.more"), () => next(more.dataset.cursor));
  const next = async (after) => {
    place.querySelector(".failure")?.remove();
    place.setAttribute("aria-busy", "true");
    try {
      const { edges, pageInfo } = await read(after);
      const rows = edges.map(({ node }) => row(node));
      (list.tBodies?.[0] ?? list).append(...rows);
      more.dataset.cursor = pageInfo.endCursor;
      pageInfo.hasNextPage ? place.append(more) : more.remove();
      if (!after && !rows.length) place.append(el("p", { class: "hint" }, say("admin.nothing")));
      if (after) rows[0]?.querySelector("button, summary, [tabindex]")?.focus();
    } catch (error) {
      place.append(failure(error, () => next(after)));
    } finally {
      place.removeAttribute("aria-busy");
    }
  };
  next(null);
  return place;
}

const CONNECTION = (node) => `edges { node { ${node} } } pageInfo { hasNextPage endCursor }`;

function people() {
  const search = el("input", { type: "search", id: newId(), autocomplete: "off" });
  const place = el("div");
  const show = () => {
    const query = `query ($where: UserFilter, $after: String) {
      users(where: $where, first: ${PAGE}, after: $after) { ${CONNECTION("id name email administrator active")} }
    }`;
    const where = search.value.trim() ? { search: search.value.trim() } : null;
    const read = async (after) => (await ask(query, { where, after })).users;
    place.replaceChildren(paged(el("ul", { class: "rows" }), read, person));
  };
  const form = el(
    "form",
    { role: "search", class: "searching", onsubmit: (event) => (event.preventDefault(), show()) },
    el("label", { for: search.id }, say("admin.search")),
    search,
    el("button", { type: "submit" }, say("admin.searchButton")),
  );
  show();
  return panel("admin.people", form, place);
}

function person(user) {
  const place = el("div", { class: "of" });
  const show = () =>
    place.replaceChildren(
      linkList({ userIds: [user.id] }),
      el(
        "div",
        { class: "buttons" },
        button(say("admin.reset"), () => resetFor(user, show), { class: "danger quiet" }),
      ),
    );
  const made = el(
    "details",
    {},
    el(
      "summary",
      {},
      el("bdi", {}, user.name),
      " ",
      el(
        "span",
        { class: "refresh" },
        [user.email, user.administrator && say("chooser.administrator"), !user.active && say("admin.deactivated")]
          .filter(Boolean)
          .join(" · "),
      ),
    ),
    place,
  );
  made.addEventListener("toggle", () => made.open && !place.childElementCount && show());
  return el("li", {}, made);
}

async function resetFor(user, show) {
  const done = await dialog({
    title: say("admin.resetTitle", { name: user.name }),
    content: el("p", {}, say("admin.resetText")),
    action: say("reset.action"),
    dangerous: true,
    act: () => change("resetCalendarFeeds", "resetCount", { userId: user.id }),
  });
  if (!done) return;
  announce(say("admin.resetDone", { n: done.resetCount }));
  show();
}

/** The links of everybody, those that need a look first. */
function links() {
  const filter = el(
    "select",
    { id: newId() },
    ...["alarmed", "unused", "every"].map((key) => el("option", { value: key }, say(`admin.filter.${key}`))),
  );
  const place = el("div");
  const show = () => place.replaceChildren(linkList(where(filter.value)));
  filter.addEventListener("change", show);
  show();
  return panel(
    "admin.links",
    el("div", { class: "searching" }, el("label", { for: filter.id }, say("admin.filterLabel")), filter),
    place,
  );
}

function where(filter) {
  if (filter === "alarmed") return { alarmed: true };
  const since = new Date(Date.now() - UNUSED_DAYS * 86_400_000).toISOString();
  return filter === "unused" ? { madeBefore: since, unpolledSince: since } : { everyLink: true };
}

function linkList(where) {
  const query = `query ($where: FeedLinkFilter, $after: String) {
    feedLinks(where: $where, first: ${PAGE}, after: $after) { ${CONNECTION(LINK)} }
  }`;
  return paged(el("ul", { class: "rows" }), async (after) => (await ask(query, { where, after })).feedLinks, linkRow);
}

function linkRow(link) {
  const made = el("li", { class: "row" });
  const calendar = link.calendar?.name ?? say("admin.allCalendars");
  const polled = link.lastPolledAt
    ? say("watch.short", { program: programName(link.clients[0].name), ago: ago(link.lastPolledAt) })
    : say("watch.none");
  const does = (key, mutation) => {
    const pressed = button(say(key), () =>
      working(pressed, async () => {
        const { link: changed } = await change(mutation, `link { ${LINK} }`, { linkId: link.id });
        const fresh = linkRow(changed);
        made.replaceWith(fresh);
        fresh.querySelector("button")?.focus();
        announce(say("admin.done"));
      }),
    );
    return pressed;
  };
  made.append(
    el(
      "p",
      {},
      el("bdi", {}, link.user.name),
      ": ",
      el("b", {}, el("bdi", {}, link.name ? `${calendar}, ${link.name}` : calendar)),
    ),
    el(
      "p",
      { class: "hint" },
      [say(`admin.status.${link.status}`), polled, link.alarmedAt && say("admin.alarmed")].filter(Boolean).join(" · "),
    ),
  );
  if (link.status !== "REVOKED") {
    made.append(
      el(
        "div",
        { class: "buttons" },
        link.status === "PAUSED"
          ? link.pausedBy !== "OWNER" && does("resume", "resumeFeedLink")
          : does("pause", "pauseFeedLink"),
        does("admin.end", "revokeFeedLink"),
      ),
    );
  }
  return made;
}

const POLICY = "enabled mostLinks longestDays forcedDetail allowedTypes pausesAlarmed";

function policy() {
  const place = el("div", {}, el("p", { class: "hint" }, say("loading")));
  const show = async () => {
    try {
      place.replaceChildren(policyForm((await ask(`{ feedPolicy { ${POLICY} } }`)).feedPolicy));
    } catch (error) {
      place.replaceChildren(failure(error, show));
    }
  };
  show();
  return panel("admin.policy", el("p", { class: "hint" }, say("admin.policyHint")), place);
}

function policyForm(policy) {
  const box = (name, checked, text = say(`admin.${name}`)) =>
    el("label", { class: "check" }, el("input", { type: "checkbox", name, checked }), " ", text);
  const amount = (name, max) => {
    const id = newId();
    return el(
      "div",
      { class: "field" },
      el("label", { for: id }, say(`admin.${name}`)),
      el("input", { id, name, type: "number", min: 1, max, value: policy[name] }),
    );
  };
  const allowed = policy.allowedTypes ?? TYPES;
  const submit = el("button", { type: "submit", class: "primary" }, say("options.action"));
  const form = el(
    "form",
    { class: "fields" },
    box("enabled", policy.enabled),
    el(
      "fieldset",
      {},
      el("legend", {}, say("admin.allowedTypes")),
      ...TYPES.map((type) => box(type, allowed.includes(type), say(`type.${type}`))),
    ),
    box("forcedDetail", policy.forcedDetail === "BUSY"),
    box("pausesAlarmed", policy.pausesAlarmed),
    amount("mostLinks", 1000),
    amount("longestDays", 36500),
    el("div", { class: "buttons" }, submit),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    working(submit, async () => {
      await change("updateFeedPolicy", `policy { ${POLICY} }`, chosenPolicy(new FormData(form)));
      announce(say("admin.done"));
      submit.after(el("span", { class: "hint" }, say("admin.done")));
      setTimeout(() => submit.nextElementSibling?.remove(), 2500);
    });
  });
  return form;
}

function chosenPolicy(data) {
  const types = TYPES.filter((type) => data.has(type));
  const amount = (name) => (data.get(name) === "" ? null : Number(data.get(name)));
  return {
    enabled: data.has("enabled"),
    mostLinks: amount("mostLinks"),
    longestDays: amount("longestDays"),
    forcedDetail: data.has("forcedDetail") ? "BUSY" : null,
    allowedTypes: types.length === TYPES.length ? null : types,
    pausesAlarmed: data.has("pausesAlarmed"),
  };
}

function log() {
  const query = `query ($after: String) {
    auditLog(first: ${PAGE}, after: $after) { ${CONNECTION("id at action outcome actorType actorName network details")} }
  }`;
  const titles = ["when", "who", "what", "network"].map((key) => el("th", { scope: "col" }, say(`admin.${key}`)));
  const table = el("table", {}, el("thead", {}, el("tr", {}, ...titles)), el("tbody"));
  const read = async (after) => (await ask(query, { after })).auditLog;
  return panel(
    "admin.log",
    el(
      "div",
      { class: "scroll", tabindex: "0", role: "group", "aria-label": say("admin.log") },
      paged(table, read, entry),
    ),
  );
}

function entry({ at, action, outcome, actorType, actorName, network, details }) {
  const told = Object.entries(details).map(
    ([key, value]) => `${key}: ${typeof value === "string" ? value : JSON.stringify(value)}`,
  );
  return el(
    "tr",
    {},
    el("td", {}, el("time", { datetime: at }, moment(at))),
    el("td", {}, el("bdi", {}, actorName ?? say(`admin.actor.${actorType}`))),
    el(
      "td",
      {},
      say(`action.${action}`, {}, action),
      outcome === "REFUSED" && ` (${say("admin.refused")})`,
      told.length > 0 && el("div", { class: "hint", dir: "auto" }, told.join(", ")),
    ),
    el("td", { dir: "ltr" }, network ?? ""),
  );
}

/** What a link shows, and how: its options, beside a preview of what a subscriber would get with them. */

import { change } from "./api.js";
import { announce, dialog, el, fill, focusOn, newId } from "./dom.js";
import { previewView, readPreview } from "./preview.js";
import { feedName, say } from "./words.js";

const TYPES = ["MEETING", "CALL", "TASK"];
const CHOICES = {
  detail: ["FULL", "BUSY"],
  tasksAs: ["EVENT", "TODO"],
  completedTasks: ["MARK", "OMIT"],
  cancelled: ["OMIT", "MARK"],
  titleWith: ["NOTHING", "CALENDAR", "OWNER"],
  participants: ["DESCRIPTION", "ATTENDEE"],
  timeStyle: ["UTC", "ZONED"],
};
const REMINDERS = ["", 0, 5, 10, 15, 30, 60, 120, 1440];
const MOST_DAYS = 3650;
const DEFAULTS = {
  activityTypes: TYPES,
  ...Object.fromEntries(Object.entries(CHOICES).map(([name, values]) => [name, values[0]])),
  daysBack: 90,
  daysAhead: 365,
  reminderMinutes: null,
};
const PAUSE = 400; // milliseconds without another change, after which the preview is read anew

export async function addLink(feed, policy, fresh) {
  const done = await open(
    feed,
    false,
    { name: "", options: DEFAULTS },
    policy,
    say("add.title", { name: feedName(feed) }),
    say("add.action"),
    (said) =>
      change("generateCalendarUrl", "feed { ...Feed } link { id }", {
        ...(feed.calendar ? { calendarId: feed.calendar.id } : {}),
        ...said,
      }),
  );
  if (!done) return;
  focusOn(fresh(done.feed), `copy:${done.link.id}`);
  announce(say("generated"));
}

export async function changeOptions(feed, link, policy, fresh) {
  const title = say("options.title", { name: link.name || feedName(feed) });
  const done = await open(link, true, link, policy, title, say("options.action"), (said) =>
    change("updateFeedLink", "feed { ...Feed }", { linkId: link.id, ...said }),
  );
  if (!done) return;
  focusOn(fresh(done.feed), `options:${link.id}`);
  announce(say("options.done"));
}

/** `source` is what the preview is of. */
function open(source, isLink, { name, options, expiresAt }, policy, title, action, act) {
  const form = fields(name, !isLink, options, expiresAt, policy);
  const place = el("div", { class: "preview", "aria-live": "polite" });
  let timer;
  let latest = 0;
  const update = async () => {
    const asked = ++latest;
    const chosen = read(form).options;
    await fill(
      place,
      () => readPreview(source, isLink, chosen),
      (found) => (asked === latest ? previewView(found) : [...place.children]),
    );
  };
  const isValid = () =>
    [...form.querySelectorAll("input")].every((one) => "silent" in one.dataset || one.validity.valid);
  form.addEventListener("input", (event) => {
    const boxes = [...form.querySelectorAll('[name="activityTypes"]:enabled')];
    boxes[0]?.setCustomValidity(boxes.some((box) => box.checked) ? "" : say("option.oneType"));
    if ("silent" in event.target.dataset) return;
    clearTimeout(timer);
    timer = setTimeout(() => isValid() && update(), PAUSE);
  });
  const shown = dialog({
    title,
    action,
    wide: true,
    content: el(
      "div",
      { class: "beside" },
      form,
      el("section", { "aria-label": say("options.preview") }, el("h3", {}, say("options.preview")), place),
    ),
    act: () => act(changed(read(form), { name, expiresAt })),
  });
  update();
  return shown;
}

/** What is to be sent: a name and an end only where they are others than before. */
function changed(said, before) {
  const sent = { options: said.options };
  if (said.name !== undefined && said.name !== before.name) sent.name = said.name;
  if (said.expiresAt !== (before.expiresAt ?? null)) sent.expiresAt = said.expiresAt;
  return sent;
}

function fields(name, isNew, options, expiresAt, policy) {
  const allowed = policy.allowedTypes ?? TYPES;
  return el(
    "div",
    { class: "fields" },
    (isNew || name) &&
      field(
        "name",
        el("input", {
          type: "text",
          value: name,
          required: true,
          maxlength: 100,
          autocomplete: "off",
          "data-silent": true,
        }),
      ),
    el(
      "fieldset",
      {},
      el("legend", {}, say("option.activityTypes")),
      ...TYPES.map((type) =>
        el(
          "label",
          { class: "check" },
          el("input", {
            type: "checkbox",
            name: "activityTypes",
            value: type,
            checked: options.activityTypes.includes(type) && allowed.includes(type),
            disabled: !allowed.includes(type),
          }),
          " ",
          say(`type.${type}`),
        ),
      ),
    ),
    choice("detail", policy.forcedDetail ?? options.detail, Boolean(policy.forcedDetail)),
    choice("tasksAs", options.tasksAs),
    days("daysBack", options.daysBack),
    days("daysAhead", options.daysAhead),
    el(
      "details",
      {},
      el("summary", {}, say("options.more")),
      choice("completedTasks", options.completedTasks),
      choice("cancelled", options.cancelled),
      reminder(options.reminderMinutes),
      choice("titleWith", options.titleWith),
      choice("participants", options.participants),
      choice("timeStyle", options.timeStyle),
      field(
        "expiresAt",
        el("input", {
          type: "date",
          value: expiresAt?.slice(0, 10),
          min: tomorrow(),
          "data-silent": true,
          "data-before": expiresAt,
        }),
      ),
    ),
    policy.forcedDetail || policy.allowedTypes ? el("p", { class: "hint" }, say("options.policy")) : null,
  );
}

function field(name, control, hint = say(`option.${name}Hint`, {}, "")) {
  const id = newId();
  control.id = id;
  control.setAttribute("name", name);
  const described = hint && el("p", { class: "hint", id: `${id}hint` }, hint);
  if (described) control.setAttribute("aria-describedby", described.id);
  return el("div", { class: "field" }, el("label", { for: id }, say(`option.${name}`)), control, described || null);
}

function choice(name, chosen, disabled = false) {
  const options = CHOICES[name].map((value) =>
    el("option", { value, selected: value === chosen }, say(`option.${name}Values.${value}`)),
  );
  return field(name, el("select", { disabled }, ...options));
}

const days = (name, value) =>
  field(name, el("input", { type: "number", min: 0, max: MOST_DAYS, required: true, value }));

function reminder(minutes) {
  const values = REMINDERS.includes(minutes ?? "") ? REMINDERS : [...REMINDERS, minutes];
  const options = values.map((value) =>
    el(
      "option",
      { value, selected: value === (minutes ?? "") },
      value === "" ? say("option.noReminder") : say("option.minutes", { n: value }),
    ),
  );
  return field("reminderMinutes", el("select", {}, ...options));
}

const tomorrow = () => new Date(Date.now() + 86_400_000).toISOString().slice(0, 10);

/** What stands in the form. A day ends at its own end in UTC; a moment that was not touched stays as it was. */
function read(form) {
  const at = (name) => form.querySelector(`[name="${name}"]`);
  const types = [...form.querySelectorAll('[name="activityTypes"]:checked')].map((box) => box.value);
  const end = at("expiresAt");
  const untouched = end.value === (end.dataset.before ?? "").slice(0, 10);
  return {
    name: at("name")?.value.trim(),
    expiresAt: untouched ? (end.dataset.before ?? null) : end.value ? `${end.value}T23:59:59Z` : null,
    options: {
      activityTypes: types,
      ...Object.fromEntries(
        Object.keys(CHOICES)
          .filter((name) => !at(name).disabled)
          .map((name) => [name, at(name).value]),
      ),
      daysBack: Number(at("daysBack").value),
      daysAhead: Number(at("daysAhead").value),
      reminderMinutes: at("reminderMinutes").value === "" ? null : Number(at("reminderMinutes").value),
    },
  };
}

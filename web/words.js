/** The words of the screen, in the language of its user; each language is a file of `words/`. */

export const LANGUAGES = {
  en: "English",
  de: "Deutsch",
  nl: "Nederlands",
  fr: "Français",
  es: "Español",
  ar: "العربية",
};
const RIGHT_TO_LEFT = ["ar"];

let words = {};
let language = "en";
let formats = "en"; // likewise, but also for a country, like "en-GB": how times are written
let zone;
let plurals = new Intl.PluralRules(language);

/** Loads the words of the first of these languages that the screen speaks, and says so on the page. */
export async function speak(...wanted) {
  const found = wanted.map((one) => one && languageOf(one)).find((one) => Object.hasOwn(LANGUAGES, one)) ?? "en";
  const answer = await fetch(`web/words/${found}.json`);
  if (!answer.ok) throw new Error("no words");
  words = await answer.json();
  language = found;
  plurals = new Intl.PluralRules(language);
  const countries = [...wanted, ...navigator.languages].filter((one) => one && languageOf(one) === language);
  formats = countries.find((one) => one.length > language.length) ?? language;
  document.documentElement.lang = language;
  document.documentElement.dir = RIGHT_TO_LEFT.includes(language) ? "rtl" : "ltr";
}

export const spoken = () => language;

export const languageOf = (locale) => locale.toLowerCase().split(/[-_]/)[0];

/** The zone by whose clock times are told: that of the user, wherever the browser is. */
export function useZone(name) {
  zone = name;
}

/** The words of a key with its `{values}` filled in, in the form that the language has for `n`. */
export function say(key, values = {}, otherwise = undefined) {
  let text = key.split(".").reduce((found, part) => found?.[part], words);
  if (text && typeof text === "object") text = text[plurals.select(values.n)] ?? text.other;
  if (text === undefined) return otherwise ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) =>
    typeof values[name] === "number" ? number(values[name]) : values[name],
  );
}

/** What a feed is called here: the feed of all calendars by the language of the screen, whatever programs show. */
export const feedName = (feed) => feed.calendar?.name ?? say("all");

/** A list of words: the steps of something. */
export const steps = (key) => key.split(".").reduce((found, part) => found[part], words);

export const number = (n) => new Intl.NumberFormat(formats).format(n);

export const list = (items) => new Intl.ListFormat(formats, { type: "conjunction" }).format(items);

export function moment(text) {
  return new Intl.DateTimeFormat(formats, { dateStyle: "medium", timeStyle: "short", timeZone: zone }).format(
    new Date(text),
  );
}

/** A day like "2026-03-29", which is that day in every zone. */
export function day(text) {
  return new Intl.DateTimeFormat(formats, { dateStyle: "medium", timeZone: "UTC" }).format(new Date(`${text}T00:00Z`));
}

/** The day before: where an end is the first day that is no more part of it. */
export const dayBefore = (text) => day(new Date(Date.parse(`${text}T00:00Z`) - 86_400_000).toISOString().slice(0, 10));

const UNITS = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

/** "6 hours ago". */
export function ago(text, now = Date.now()) {
  const seconds = (Date.parse(text) - now) / 1000;
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ["minute", 60];
  return new Intl.RelativeTimeFormat(formats, { numeric: "auto" }).format(Math.trunc(seconds / size), unit);
}

/** "3 hours", for an interval in seconds. */
export function duration(seconds) {
  const [unit, size] = UNITS.find(([, size]) => seconds >= size) ?? ["minute", 60];
  const rounded = Math.max(1, Math.round(seconds / size));
  return new Intl.NumberFormat(formats, { style: "unit", unit, unitDisplay: "long" }).format(rounded);
}

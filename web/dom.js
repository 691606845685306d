/** Elements, and what every part of the screen does with them. */

import { say } from "./words.js";

/** An element: `el("p", { class: "hint" }, "text", otherElement)`. Handlers are attributes like `onclick`. */
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export function button(text, onclick, attributes = {}) {
  return el("button", { type: "button", onclick, ...attributes }, text);
}

/** Has screen readers say it; the same text twice is said twice. */
export function announce(text) {
  const place = document.getElementById("said");
  place.textContent = "";
  setTimeout(() => (place.textContent = text), 50);
}

let ids = 0;
export const newId = () => `id${++ids}`;

/** Puts a fresh element in the place of an old one: what was unfolded and what had the focus stay so. */
export function swap(old, fresh) {
  const unfolded = new Set([...old.querySelectorAll("details[open][data-key]")].map((one) => one.dataset.key));
  for (const one of fresh.querySelectorAll("details[data-key]")) one.open ||= unfolded.has(one.dataset.key);
  const focused = old.contains(document.activeElement) && document.activeElement.closest("[data-key]")?.dataset.key;
  old.replaceWith(fresh);
  if (focused) focusOn(fresh, focused);
}

export function focusOn(place, key) {
  const found = place.querySelector(`[data-key="${CSS.escape(key)}"]`);
  (found?.matches("details") ? found.querySelector("summary") : found)?.focus();
}

/** What failed, in words, with a way to try again. */
export function failure(error, again) {
  return el(
    "div",
    { class: "failure", role: "alert" },
    el("p", {}, wordsFor(error)),
    again && button(say("again"), again),
  );
}

export function wordsFor(error) {
  if (error.problems) return error.problems.map((one) => say(`problem.${one.__typename}`, {}, one.message)).join(" ");
  if (error.code) return say(`error.${error.code}`, {}, error.message);
  console.error(error.name); // a mistake of ours: its message might hold what it must not
  return say("error.INTERNAL", {}, "");
}

/** Runs something slow on behalf of a button, which cannot be pressed twice meanwhile; what fails is told beside it. */
export async function working(pressed, work) {
  const place = pressed.parentElement;
  place.querySelector(":scope > .failure")?.remove();
  pressed.setAttribute("aria-disabled", "true");
  try {
    await work();
  } catch (error) {
    place.append(failure(error));
  } finally {
    pressed.removeAttribute("aria-disabled");
  }
}

/** Shows what a promise brings, in a place that says until then that it is being loaded; what fails can be repeated. */
export async function fill(place, load, show) {
  const slow = setTimeout(() => place.replaceChildren(el("p", { class: "hint" }, say("slow"))), 6000);
  place.setAttribute("aria-busy", "true");
  place.replaceChildren(el("p", { class: "hint" }, say("loading")));
  try {
    const shown = show(await load());
    place.replaceChildren(...[shown].flat());
  } catch (error) {
    place.replaceChildren(failure(error, () => fill(place, load, show)));
  } finally {
    clearTimeout(slow);
    place.removeAttribute("aria-busy");
  }
}

/**
 * A dialog with a form. `act` does what its button says; if that fails, the dialog says why and stays, with all that was
 * typed. Resolves to what `act` brought, or to null if the dialog was left.
 */
export function dialog({ title, content, action, dangerous = false, wide = false, act }) {
  const heading = newId();
  const failed = el("div");
  const submit = el("button", { type: "submit", class: dangerous ? "danger" : "primary" }, action ?? say("close"));
  const cancel = button(say("cancel"), () => box.close());
  const form = el(
    "form",
    {},
    el("h2", { id: heading }, title),
    content,
    failed,
    el("div", { class: "buttons" }, submit, act && cancel),
  );
  const box = el("dialog", { "aria-labelledby": heading, class: wide ? "wide" : null }, form);
  document.body.append(box);
  return new Promise((resolve) => {
    let brought = null;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (submit.getAttribute("aria-disabled")) return;
      failed.replaceChildren();
      submit.setAttribute("aria-disabled", "true");
      try {
        brought = (await act?.(form)) ?? null;
        box.close();
      } catch (error) {
        failed.replaceChildren(failure(error));
      } finally {
        submit.removeAttribute("aria-disabled");
      }
    });
    box.addEventListener("close", () => {
      box.remove();
      resolve(brought);
    });
    box.showModal();
  });
}

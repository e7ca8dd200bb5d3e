// One message on the page: what a person said, or an answer with its versions, tools and feedback.

import { show } from "./blocks.js";
import { described } from "./choices.js";
import { copy } from "./copy.js";
import { build, icon, iconButton } from "./dom.js";
import { Feedback } from "./feedback.js";
import { say } from "./language.js";

const NOTES = { length: "note_length", cancelled: "note_cancelled", error: "note_error" };

export function question(message) {
  const copyButton = iconButton("copy", "copy", () => copy(message.content, copyButton));
  const element = build(
    "article", { class: "message user", "data-id": message.id },
    build("h2", { class: "for-ears", say: { text: "you" } }),
    build("div", { class: "text" }, message.content),
    build("div", { class: "tools" }, copyButton),
  );
  return { element };
}

/** An answer that is still being written. */
export function growing(model) {
  const text = build("div", { class: "text answer" });
  const waiting = build("p", { class: "waiting", "aria-hidden": "true" }, ...[1, 2, 3].map(() => build("span")));
  const element = build("article", { class: "message assistant growing", "aria-busy": "true" }, author(model), text, waiting);
  return { element, grow: (html) => (waiting.remove(), show(text, html)) };
}

/** A finished answer. `act` says what its buttons do: {again, choose(step)}. */
export function answer(message, act) {
  const text = build("div", { class: "text answer" });
  show(text, message.html);
  const note = message.content.trim() ? NOTES[message.finish_reason] : "note_empty";
  const copyButton = iconButton("copy", "copy", () => copy(message.content, copyButton));
  const feedback = new Feedback(message);
  const versions = versionSwitch(act.choose);
  const again = iconButton("again", "regenerate", act.again, { class: "button again" });
  const tools = build("div", { class: "tools" }, versions.element, copyButton, again, ...feedback.thumbs, feedback.pen);
  const element = build(
    "article", { class: "message assistant", "data-id": message.id },
    author(message.model), text,
    note ? build("p", { class: "note" }, icon("warning"), build("span", { say: { text: note } })) : null,
    tools, feedback.panel,
  );
  element.addEventListener("click", (event) => copyCode(event.target.closest(".copy-code")));
  return { element, versions };
}

function copyCode(button) {
  if (button) copy(button.closest(".code").querySelector("pre").textContent, button);
}

/** Which model wrote it. */
function author(model) {
  const { kind, name } = described(model);
  const word = kind === "other" ? null : build("span", { class: `kind ${kind}`, say: { text: kind } });
  return build("h2", { class: "author" }, word, build("span", { class: "name" }, name));
}

/** ‹ 2 / 3 ›, also with the arrow keys. */
function versionSwitch(choose) {
  const previous = iconButton("previous", "previous_version", () => choose(-1));
  const next = iconButton("next", "next_version", () => choose(1));
  const count = build("span", { class: "count" });
  const keys = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const button = step === -1 ? previous : next;
    if (step && !button.disabled) choose(step);
  };
  const element = build("div", { class: "versions", role: "group", say: { label: "versions" }, on: { keydown: keys }, hidden: true }, previous, count, next);
  return {
    element,
    show(number, total) {
      element.hidden = total < 2;
      previous.disabled = number === 1;
      next.disabled = number === total;
      say(count, { text: "version_of", values: { number, total } });
    },
    /** Put the focus where it was on the version before this one. */
    focus(step) {
      const [wanted, other] = step < 0 ? [previous, next] : [next, previous];
      (wanted.disabled ? other : wanted).focus();
    },
  };
}

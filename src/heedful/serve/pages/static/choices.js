// Which model answers, and how: chosen once, kept in this browser.

import { find } from "./dom.js";
import { text } from "./language.js";
import { keep, kept } from "./memory.js";

export const DEFAULTS = { temperature: 0.7, max_tokens: 512 };

const isList = () => find("models").matches("select");
const inputs = () => (isList() ? [...find("models").options] : [...find("models").querySelectorAll("input")]);

/** The id of the model that answers next. */
export const model = () => (isList() ? find("models").value : inputs().find((input) => input.checked).value);

export const sampling = () => ({ ...DEFAULTS, ...kept("sampling", {}) });

export const keepSampling = (values) => keep("sampling", values);

/** How a model's name is shown: {kind, name}; the kind is empty for one that is no longer served. */
export function described(id) {
  const kind = inputs().find((input) => input.value === id)?.dataset.kind ?? "other";
  return { kind, word: kind === "other" ? "" : text(kind), name: id };
}

export function startChoices() {
  const last = inputs().find((input) => input.value === kept("model", null));
  if (last && isList()) find("models").value = last.value;
  else if (last) last.checked = true;
  find("models").addEventListener("change", () => keep("model", model()));
}

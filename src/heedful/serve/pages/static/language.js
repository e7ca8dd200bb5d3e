// The page's language. Every text that the page itself says carries its key, so that all can change at once, in place.

import { remember } from "./memory.js";
import { STRINGS } from "./strings.js";

const TAGS = { en: "en", zh: "zh-Hans" };
let language = document.documentElement.lang.startsWith("zh") ? "zh" : "en";

/** The language tag for dates. */
export const tag = () => TAGS[language];

/** The text of `key`, with {name} replaced from `values`. */
export function text(key, values = {}) {
  return STRINGS[key][language].replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** Let `element` say something, now and after a change of language. A label is its name for ears and its tool tip. */
export function say(element, { values, ...keys }) {
  for (const [place, key] of Object.entries(keys)) element.dataset[place] = key;
  if (values) element.dataset.values = JSON.stringify(values);
  translate(element);
}

function translate(element) {
  const { text: words, label, title, placeholder, values } = element.dataset;
  const say = (key) => text(key, values ? JSON.parse(values) : {});
  if (words) element.textContent = say(words);
  if (title && title in STRINGS) element.title = say(title);
  if (placeholder) element.placeholder = say(placeholder);
  if (label) {
    element.setAttribute("aria-label", say(label));
    if (element.matches("button, select")) element.title = say(label);
  }
}

/** Change the language of the whole page. */
function change(chosen) {
  language = chosen;
  document.documentElement.lang = TAGS[language];
  remember("language", language);
  document.querySelectorAll("[data-text], [data-label], [data-title], [data-placeholder]").forEach(translate);
  document.dispatchEvent(new CustomEvent("languagechange"));
}

export function startLanguage() {
  document.getElementById("languages").addEventListener("change", (event) => change(event.target.value));
}

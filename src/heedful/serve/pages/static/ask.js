// One small dialog for questions: a yes or no, or a line of text.

import { find } from "./dom.js";
import { say } from "./language.js";

let run = null;
let opener = null;

/** `title`, `text`, `field` (a label), `yes` are keys of strings; `run(value)` is called on yes, and may fail. */
export function ask({ title, text, values, field, value = "", yes, dangerous = false, run: action }) {
  run = action;
  opener = document.activeElement;
  say(find("ask-title"), { text: title });
  find("ask-text").hidden = !text;
  if (text) say(find("ask-text"), { text, values });
  find("ask-field").hidden = !field;
  if (field) say(find("ask-field").firstElementChild, { text: field });
  find("ask-input").value = value;
  say(find("ask-yes"), { text: yes });
  find("ask-yes").classList.toggle("dangerous", dangerous);
  showProblem("");
  find("ask").showModal();
  if (field) find("ask-input").select();
  // What cannot be taken back is never one key away.
  else find("ask-no").focus();
}

export function startAsk() {
  find("ask-no").addEventListener("click", () => find("ask").close());
  find("ask-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await run(find("ask-input").value);
      find("ask").close();
    } catch (failure) {
      showProblem(failure.message);
    }
  });
  find("ask").addEventListener("close", () => (opener?.isConnected ? opener : find("message")).focus());
}

function showProblem(message) {
  find("ask-problem").textContent = message;
  find("ask-problem").hidden = !message;
}

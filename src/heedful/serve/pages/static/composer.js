// The field that messages are written in. Enter sends, unless an input method is at work: then it chooses characters.

import { find, isTouch } from "./dom.js";

const PROCESS_KEY = 229;
const field = () => find("message");
let draft = "new";
let isBusy = false;

/** `send(content)` says whether it could be said; `stop` ends the answer under way. */
export function startComposer({ send, stop }) {
  find("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    submit(send);
  });
  find("stop").addEventListener("click", () => {
    stop();
    field().focus();
  });
  field().addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.altKey || event.ctrlKey || event.metaKey) return;
    // Safari ends the composition before it reports the key, with this code.
    if (event.isComposing || event.keyCode === PROCESS_KEY) return;
    event.preventDefault();
    if (!isBusy) submit(send);
  });
  field().addEventListener("input", () => {
    sessionStorage.setItem(`draft ${draft}`, field().value);
    fit();
  });
}

async function submit(send) {
  const content = field().value;
  if (!content.trim() || isBusy) return;
  put("");
  showProblem("");
  // What could not be sent goes back to where it was written.
  if (!(await send(content)) && !field().value) put(content);
}

/** Put `content` into the field. */
export function put(content) {
  field().value = content;
  if (content) sessionStorage.setItem(`draft ${draft}`, content);
  else sessionStorage.removeItem(`draft ${draft}`);
  fit();
}

/** Another conversation: its own unsent words come back. `keep`: it is the same one, which has a name now. */
export function turnTo(id, { keep = false } = {}) {
  draft = id ?? "new";
  if (keep) return;
  put(sessionStorage.getItem(`draft ${draft}`) ?? "");
  showProblem("");
  focus();
}

/** A screen's keyboard that jumps up unasked would hide what one came to read. */
export function focus() {
  if (!isTouch()) field().focus();
}

export function setBusy(busy) {
  const hadFocus = [find("send"), find("stop")].includes(document.activeElement);
  isBusy = busy;
  find("send").hidden = busy;
  find("stop").hidden = !busy;
  if (hadFocus) field().focus();
}

export function showProblem(message) {
  find("composer-problem").textContent = message;
  find("composer-problem").hidden = !message;
}

/** Grow with the text, where the style sheet's `field-sizing` is not known yet. */
function fit() {
  if (CSS.supports("field-sizing", "content")) return;
  field().style.height = "auto";
  field().style.height = `${field().scrollHeight}px`;
}

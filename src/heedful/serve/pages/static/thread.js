// The column of messages: draws a conversation, and keeps its end in view while an answer grows, unless the reader went up.

import { announce } from "./announce.js";
import { arrange, build, find, icon } from "./dom.js";
import { answer, question } from "./message.js";

const NEAR = 80;
const views = new WeakMap();
const frame = () => find("scroll");

/** Draw `conversation`; `act` says what buttons do: {again(question), choose(message), settings}. */
export function draw(conversation, act) {
  const { tree, writing, failure } = conversation;
  const path = tree.path(writing?.question.id ?? failure?.after ?? null);
  const elements = path.map((message) => view(message, conversation, act).element);
  if (conversation.system) elements.unshift(systemNote(conversation, act));
  if (writing) elements.push(writing.view.element);
  else if (failure) elements.push(failed(failure, act));
  else if (path.at(-1)?.role === "user") elements.push(unanswered(path.at(-1), act));
  arrange(find("messages"), elements);
  find("welcome").hidden = !tree.isEmpty || Boolean(failure);
}

function view(message, conversation, act) {
  if (!views.has(message)) views.set(message, message.role === "assistant" ? answerView(message, conversation, act) : question(message));
  const made = views.get(message);
  if (made.versions) {
    const all = conversation.tree.versions(message);
    made.versions.show(all.indexOf(message) + 1, all.length);
  }
  return made;
}

function answerView(message, conversation, act) {
  return answer(message, {
    again: () => act.again(conversation, message.parent),
    choose: (step) => {
      const all = conversation.tree.versions(message);
      const number = all.indexOf(message) + step;
      const chosen = all[number];
      if (!chosen || conversation.writing) return;
      act.choose(conversation, chosen);
      views.get(chosen).versions.focus(step);
      announce("version_shown", { number: number + 1, total: all.length });
    },
  });
}

function systemNote(conversation, act) {
  const words = build("span", { class: "system-text" }, conversation.system);
  return build("button", { type: "button", class: "system-note", on: { click: act.settings } }, build("strong", { say: { text: "system_prompt" } }), words);
}

function failed({ title, message, retry }, act) {
  return build(
    "div", { class: "failure", role: "alert" },
    build("h2", {}, icon("warning"), build("span", { say: { text: title } })),
    build("p", {}, message),
    retry ? build("button", { type: "button", class: "secondary retry", say: { text: "retry" }, on: { click: () => act.retry(retry) } }) : null,
  );
}

function unanswered(message, act) {
  const ask = build("button", { type: "button", class: "secondary retry", say: { text: "answer_now" }, on: { click: () => act.retry(message.id) } });
  return build("div", { class: "failure quiet" }, build("p", { say: { text: "unanswered" } }), ask);
}

// -- scrolling ------------------------------------------------------------------------------------------------

const isAtEnd = () => frame().scrollHeight - frame().scrollTop - frame().clientHeight < NEAR;

/** Do something that changes the height; when the end was in view, it still is afterwards. */
export function keepingEnd(change) {
  const follow = isAtEnd();
  change();
  if (follow) toEnd();
}

export function toEnd() {
  frame().scrollTop = frame().scrollHeight;
}

export function startThread() {
  const update = () => (find("to-latest").hidden = isAtEnd());
  frame().addEventListener("scroll", update, { passive: true });
  new ResizeObserver(update).observe(find("messages"));
  find("to-latest").addEventListener("click", () => (toEnd(), find("message").focus()));
}

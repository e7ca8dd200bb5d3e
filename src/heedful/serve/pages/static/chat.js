// What is going on: the conversation that is open, answers under way, and what each action does to them.

import { announce, announceAnswer } from "./announce.js";
import { call, events, Failure } from "./api.js";
import { model, sampling } from "./choices.js";
import * as composer from "./composer.js";
import { find } from "./dom.js";
import { text } from "./language.js";
import { growing } from "./message.js";
import * as sidebar from "./sidebar.js";
import { draw, keepingEnd, toEnd } from "./thread.js";
import { Tree } from "./tree.js";

/** Milliseconds between two looks at an answer that the page did not ask for: it was left or loaded again meanwhile. */
const LOOK_AGAIN = 400;
const LOOKS = 50;
/** Conversations with an answer under way: it goes on while the reader looks at another one. */
const busy = new Map();
const act = {
  again: (conversation, id) => ask(conversation, question(conversation, id)),
  retry: (id) => ask(current, question(current, id)),
  choose: (conversation, message) => (conversation.tree.choose(message), redraw(conversation)),
  settings: () => find("open-settings").click(),
};
let current = blank();

function blank(id = null) {
  return { id, title: "", system: "", tree: new Tree(), sending: false, writing: null, failure: null };
}

const question = (conversation, id) => conversation.tree.path().find((message) => message.id === id);

// -- which conversation ---------------------------------------------------------------------------------------

/** Show the conversation that the page's address names; none begins a new one. */
export async function showAddressed() {
  const id = /^\/c\/([\w-]+)$/.exec(location.pathname)?.[1] ?? null;
  current = (id && busy.get(id)) ?? blank(id);
  composer.turnTo(id);
  redraw(current);
  if (id && !current.writing) await load(current);
  toEnd();
}

export function goTo(id) {
  const address = id ? `/c/${id}` : "/";
  if (address !== location.pathname) history.pushState(null, "", address);
  return showAddressed();
}

async function load(conversation) {
  for (let look = 0; look < LOOKS && conversation === current && !conversation.sending && !conversation.writing; look++) {
    let found;
    try {
      found = await call("GET", `/conversations/${conversation.id}`);
    } catch (failure) {
      return fail(conversation, { title: "failed_other", message: failure.status === 404 ? text("not_found") : failure.message });
    }
    if (conversation.sending || conversation.writing) return;
    const { title, system } = found.conversation;
    Object.assign(conversation, { title, system, tree: new Tree(found.messages) });
    redraw(conversation);
    if (!found.writing) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN));
  }
}

function redraw(conversation) {
  if (conversation !== current) return;
  keepingEnd(() => draw(conversation, act));
  composer.setBusy(Boolean(conversation.writing));
  find("open-settings").classList.toggle("marked", Boolean(conversation.system));
  showTitle();
}

/** The open conversation's title, in the bar and in the browser's tab. */
export function showTitle() {
  const title = current.title || text("new_conversation");
  find("title").textContent = title;
  document.title = `${title} · ${document.body.dataset.app}`;
  sidebar.mark(current.id);
}

async function refreshTitles() {
  const listed = await sidebar.refresh();
  const found = listed?.find(({ id }) => id === current.id);
  if (found) current.title = found.title;
  showTitle();
}

// -- asking and answering -------------------------------------------------------------------------------------

/** Say `content`, and ask for an answer. False when it could not be said. */
export async function send(content) {
  const conversation = current;
  if (conversation.sending || conversation.writing) return false;
  conversation.sending = true;
  try {
    if (!conversation.id) await begin(conversation);
    const parent = conversation.tree.path().at(-1)?.id ?? null;
    const message = await call("POST", `/conversations/${conversation.id}/messages`, { content, parent });
    conversation.tree.add(message);
    refreshTitles();
    ask(conversation, message);
    return true;
  } catch (failure) {
    composer.showProblem(failure.message);
    return false;
  } finally {
    conversation.sending = false;
  }
}

async function begin(conversation) {
  const { id } = await call("POST", "/conversations", { system: conversation.system });
  conversation.id = id;
  if (conversation === current) {
    history.pushState(null, "", `/c/${id}`);
    composer.turnTo(id, { keep: true });
  }
}

async function ask(conversation, asked) {
  if (conversation.writing || !asked) return;
  const chosen = model();
  const writing = { question: asked, id: null, stopping: false, view: growing(chosen) };
  Object.assign(conversation, { writing, failure: null });
  busy.set(conversation.id, conversation);
  redraw(conversation);
  toEnd();
  announce("writing");
  let failure = null;
  try {
    failure = await follow(conversation, writing, { model: chosen, ...sampling() });
  } catch (error) {
    failure = { title: "failed", message: error.message };
  }
  conversation.writing = null;
  busy.delete(conversation.id);
  if (failure) fail(conversation, { after: asked.id, retry: asked.id, ...failure });
  else redraw(conversation);
  refreshTitles();
}

/** Read the answer's events to their end; what went wrong, or null. */
async function follow(conversation, writing, how) {
  for await (const [name, data] of events(`/messages/${writing.question.id}/answers`, how)) {
    if (name === "start") {
      writing.id = data.answer;
      if (writing.stopping) halt(writing);
    } else if (name === "text") {
      if (conversation === current) keepingEnd(() => writing.view.grow(data.html));
      else writing.view.grow(data.html);
    } else {
      if (data.message) conversation.tree.add(data.message);
      if (name === "done") return tell(data.message);
      return { title: data.message ? "failed_part" : "failed", message: data.error || text("unexpected"), ...(data.message && { after: data.message.id }) };
    }
  }
  throw new Failure(text("connection_lost"));
}

function tell(message) {
  if (message && message.finish_reason !== "cancelled") announceAnswer(message.content);
  else announce("answer_stopped");
  return null;
}

/** Stop the answer under way. True when there was one. */
export function stop() {
  const { writing } = current;
  if (!writing) return false;
  if (!writing.stopping && writing.id) halt(writing);
  writing.stopping = true;
  return true;
}

function halt(writing) {
  // When the server cannot be reached, the answer's own stream fails as well, and says so.
  call("DELETE", `/answers/${writing.id}`).catch(() => {});
}

function fail(conversation, failure) {
  conversation.failure = failure;
  redraw(conversation);
}

// -- changing a conversation ----------------------------------------------------------------------------------

export const systemPrompt = () => current.system;

/** Change the system prompt, for answers to come. */
export async function changeSystemPrompt(system) {
  const conversation = current;
  if (system === conversation.system) return;
  if (conversation.id) await call("PATCH", `/conversations/${conversation.id}`, { system });
  conversation.system = system;
  redraw(conversation);
}

export async function rename(id, title) {
  await call("PATCH", `/conversations/${id}`, { title });
  await refreshTitles();
}

export async function remove(id) {
  await call("DELETE", `/conversations/${id}`);
  announce("deleted");
  if (id === current.id) await goTo(null);
  await refreshTitles();
}

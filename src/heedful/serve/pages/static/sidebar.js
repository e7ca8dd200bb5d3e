// The list of conversations, and on narrow screens the drawer that holds it.

import { ask } from "./ask.js";
import { call } from "./api.js";
import { arrange, build, find, iconButton } from "./dom.js";
import { say, tag, text } from "./language.js";

const DAY = 24 * 3600 * 1000;
const narrow = matchMedia("(max-width: 52rem)");
const drawn = new Map();
const groupsDrawn = new Map();
let conversations = [];
let marked = null;
let act = {};

/** `act`: {goTo(id), rename(id, title), remove(id)}. */
export function startSidebar(actions) {
  act = actions;
  find("new").addEventListener("click", (event) => follow(event, null));
  find("open-menu").addEventListener("click", () => setDrawer(true));
  for (const id of ["close-menu", "backdrop"]) find(id).addEventListener("click", () => setDrawer(false));
  find("sidebar").addEventListener("keydown", (event) => {
    if (event.key === "Escape" && isDrawerOpen()) setDrawer(false);
  });
  narrow.addEventListener("change", () => setDrawer(false, { focus: false }));
  document.addEventListener("languagechange", draw);
  setDrawer(false, { focus: false });
  draw();
}

/** Ask the server for the list; null when it cannot be had, the old one then stays. */
export async function refresh() {
  const found = await call("GET", "/conversations").catch(() => null);
  if (found) {
    conversations = found;
    draw();
  }
  return found;
}

/** Show which conversation is open. */
export function mark(id) {
  marked = id;
  for (const link of find("conversations").querySelectorAll("a")) {
    if (link.dataset.id === id) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** Elements stay the same as long as what they stand for does: a list that is refreshed takes no focus and no click away. */
function draw() {
  const groups = new Map();
  for (const conversation of conversations) {
    const group = groupOf(when(conversation));
    groups.set(group, [...(groups.get(group) ?? []), itemOf(conversation)]);
  }
  for (const [group, items] of groups) arrange(group.list, items);
  const parts = [...groups.keys()].flatMap(({ head, list }) => [head, list]);
  arrange(find("conversations"), conversations.length ? parts : [build("p", { class: "nothing", say: { text: "no_conversations" } })]);
  mark(marked);
}

function groupOf(key) {
  if (!groupsDrawn.has(key)) groupsDrawn.set(key, { head: build("h2", { say: { text: key } }), list: build("ul") });
  return groupsDrawn.get(key);
}

function itemOf(conversation) {
  if (!drawn.has(conversation.id)) drawn.set(conversation.id, item(conversation.id));
  const { element, update } = drawn.get(conversation.id);
  update(conversation);
  return element;
}

function when({ changed }) {
  const today = new Date().setHours(0, 0, 0, 0);
  const time = new Date(changed).getTime();
  return time >= today ? "today" : time >= today - DAY ? "yesterday" : "earlier";
}

function item(id) {
  let title = "";
  const link = build("a", { href: `/c/${id}`, "data-id": id, on: { click: (event) => follow(event, id) } });
  const pen = iconButton("pen", "rename_one", () => rename(id, title), { values: {} });
  const bin = iconButton("bin", "delete_one", () => remove(id, title), { values: {} });
  const update = (conversation) => {
    title = conversation.title || text("new_conversation");
    const time = new Date(conversation.changed).toLocaleString(tag(), { dateStyle: "medium", timeStyle: "short" });
    link.textContent = title;
    link.title = `${title}\n${time}`;
    say(pen, { label: "rename_one", values: { title } });
    say(bin, { label: "delete_one", values: { title } });
  };
  return { element: build("li", {}, link, pen, bin), update };
}

function follow(event, id) {
  // With a key held down, the browser opens a tab or a window of its own.
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  setDrawer(false, { focus: false });
  act.goTo(id);
}

function rename(id, title) {
  ask({ title: "rename_title", field: "title", value: title, yes: "save", run: (name) => act.rename(id, name.trim() || title) });
}

function remove(id, title) {
  ask({ title: "delete_title", text: "delete_text", values: { title }, yes: "delete", dangerous: true, run: () => act.remove(id) });
}

// -- the drawer -----------------------------------------------------------------------------------------------

const isDrawerOpen = () => document.body.classList.contains("drawer");

/** On wide screens the list is always there; on narrow ones what is covered cannot be reached. */
function setDrawer(open, { focus = true } = {}) {
  document.body.classList.toggle("drawer", open);
  find("open-menu").setAttribute("aria-expanded", String(open));
  find("sidebar").inert = narrow.matches && !open;
  find("main").inert = narrow.matches && open;
  if (focus && narrow.matches) find(open ? "close-menu" : "open-menu").focus();
}

// Starts the page: joins its parts, and what belongs to no part.

import { startAsk } from "./ask.js";
import * as chat from "./chat.js";
import { startChoices } from "./choices.js";
import * as composer from "./composer.js";
import { find } from "./dom.js";
import { startLanguage } from "./language.js";
import { startPanel } from "./panel.js";
import * as sidebar from "./sidebar.js";
import { startTheme } from "./theme.js";
import { startThread } from "./thread.js";

startLanguage();
startTheme();
startChoices();
startAsk();
startThread();
startPanel({ get: chat.systemPrompt, set: chat.changeSystemPrompt });
composer.startComposer({ send: chat.send, stop: chat.stop });
sidebar.startSidebar({ goTo: chat.goTo, rename: chat.rename, remove: chat.remove });

find("welcome").addEventListener("click", (event) => {
  const example = event.target.closest("button");
  if (example) composer.put(example.textContent), find("message").focus();
});
document.addEventListener("keydown", (event) => {
  const inDialog = document.querySelector("dialog[open]");
  if (event.key === "Escape" && !event.defaultPrevented && !event.isComposing && !inDialog && chat.stop()) event.preventDefault();
});
document.addEventListener("languagechange", chat.showTitle);
addEventListener("popstate", chat.showAddressed);

sidebar.refresh();
await chat.showAddressed();
document.documentElement.dataset.ready = "true";

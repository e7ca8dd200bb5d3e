// Light, dark, or what the system says: an attribute that the style sheet reads.

import { remember } from "./memory.js";

export function startTheme() {
  document.getElementById("themes").addEventListener("change", (event) => {
    document.documentElement.dataset.theme = event.target.value;
    remember("theme", event.target.value);
  });
}

// Settings: the system prompt of this conversation, and how answers are drawn. Closing the panel saves it.

import { DEFAULTS, keepSampling, sampling } from "./choices.js";
import { find } from "./dom.js";

/** `get` and `set` of the system prompt. */
export function startPanel({ get, set }) {
  const panel = find("settings");
  find("open-settings").addEventListener("click", () => {
    const { temperature, max_tokens: maxTokens } = sampling();
    find("system").value = get();
    find("temperature").value = temperature;
    find("max-tokens").value = maxTokens;
    showTemperature();
    showProblem("");
    panel.showModal();
  });
  find("temperature").addEventListener("input", showTemperature);
  find("settings-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    await save(set);
  });
  find("settings-close").addEventListener("click", () => find("settings-form").requestSubmit());
  // Escape closes like the button: what was typed is not lost by a key.
  panel.addEventListener("cancel", (event) => {
    event.preventDefault();
    find("settings-form").requestSubmit();
  });
  // A click beside the panel, on its backdrop, is a click on the dialog itself.
  panel.addEventListener("click", (event) => event.target === panel && find("settings-form").requestSubmit());
}

async function save(set) {
  keepSampling({
    temperature: Number(find("temperature").value),
    max_tokens: find("max-tokens").valueAsNumber || DEFAULTS.max_tokens,
  });
  try {
    await set(find("system").value.trim());
    find("settings").close();
  } catch (failure) {
    showProblem(failure.message);
  }
}

function showTemperature() {
  find("temperature-value").textContent = Number(find("temperature").value).toFixed(1);
}

function showProblem(message) {
  find("settings-problem").textContent = message;
  find("settings-problem").hidden = !message;
}

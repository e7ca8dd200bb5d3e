// A few words for those who listen to the page. Growing answers are not read out piece by piece: only that they begin and end.

import { text } from "./language.js";

const LONGEST = 300;

export function announce(key, values) {
  document.getElementById("announcer").textContent = text(key, values);
}

/** An answer is complete: short ones are read, of long ones only the news. */
export function announceAnswer(content) {
  announce("answer_ready", { text: content.length <= LONGEST ? content : "" });
}

// Answers as they grow. The server has made their HTML safe; here, only the blocks that changed are replaced, so that
// selected text stays selected and code that was scrolled stays where it was.

import { arrange, build, icon } from "./dom.js";
import { text } from "./language.js";

/** Show `html` in `element`. */
export function show(element, html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const fresh = [...page.body.children].map((block) => furnish(document.adoptNode(block)));
  const old = [...element.children];
  arrange(element, fresh.map((block, index) => (old[index]?.isEqualNode(block) ? old[index] : block)));
}

/** What can be wider than the column scrolls in a frame of its own; code can be copied. */
function furnish(block) {
  for (const table of [block, ...block.querySelectorAll("table")].filter((each) => each.matches("table"))) {
    const frame = build("div", { class: "wide", tabindex: "0", role: "region", say: { label: "table" } });
    if (table === block) block = frame;
    else table.replaceWith(frame);
    frame.append(table);
  }
  for (const code of [block, ...block.querySelectorAll("pre")].filter((each) => each.matches("pre"))) {
    const frame = codeFrame(code);
    if (code === block) block = frame;
    else code.replaceWith(frame);
    frame.append(code);
  }
  return block;
}

function codeFrame(code) {
  const language = /language-([\w+#.-]{1,20})/.exec(code.firstElementChild?.className ?? "")?.[1] ?? "";
  code.setAttribute("tabindex", "0");
  code.setAttribute("role", "region");
  code.setAttribute("aria-label", text("code"));
  code.dataset.label = "code";
  const copy = build("button", { type: "button", class: "button copy-code", say: { label: "copy_code" } }, icon("copy"));
  return build("div", { class: "code" }, build("div", { class: "code-head" }, build("span", {}, language), copy));
}

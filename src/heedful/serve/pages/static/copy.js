// Copying to the clipboard, with a short sign that it worked.

import { announce } from "./announce.js";
import { icon } from "./dom.js";

const SIGN = 1500;

export async function copy(content, button) {
  try {
    await navigator.clipboard.writeText(content);
  } catch {
    if (!copyThroughSelection(content)) return announce("copy_failed");
  }
  announce("copied");
  button.replaceChildren(icon("check"));
  setTimeout(() => button.replaceChildren(icon("copy")), SIGN);
}

/** Browsers offer the clipboard only over https or on this machine; elsewhere a selected field does. */
function copyThroughSelection(content) {
  const field = document.createElement("textarea");
  const before = document.activeElement;
  field.className = "for-ears";
  field.value = content;
  document.body.append(field);
  field.select();
  const worked = document.execCommand("copy");
  field.remove();
  before?.focus();
  return worked;
}

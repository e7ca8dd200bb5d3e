// Building elements. Text always goes in as text: nothing here parses HTML.

import { say } from "./language.js";

const SVG = "http://www.w3.org/2000/svg";

export const find = (id) => document.getElementById(id);

/** <svg><use href="#icon-NAME"></svg> */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/**
 * An element. Special attributes: `on` {event: listener}; `say` {text | label | placeholder: key, values} in the page's
 * language. Attributes that are false or null are left out, true ones stand without a value.
 */
export function build(tag, { on = {}, say: words = null, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  for (const [event, listener] of Object.entries(on)) element.addEventListener(event, listener);
  if (words) say(element, words);
  element.append(...children.filter((child) => child != null));
  return element;
}

/** A button that shows only an icon; its name is read aloud and shown when pointed at. */
export function iconButton(name, key, listener, { values, ...attributes } = {}) {
  return build("button", { type: "button", class: "button", on: { click: listener }, say: { label: key, values }, ...attributes }, icon(name));
}

/** Make `parent` hold exactly `children`, touching only what differs: focus and selection stay where they are. */
export function arrange(parent, children) {
  const wanted = new Set(children);
  const focused = document.activeElement;
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  children.forEach((child, index) => {
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
  // An element that moves loses the focus.
  if (focused !== document.activeElement && parent.contains(focused)) focused.focus({ preventScroll: true });
}

/** Does the visitor's device have no mouse and a keyboard that covers half of the screen? */
export const isTouch = () => matchMedia("(hover: none) and (pointer: coarse)").matches;

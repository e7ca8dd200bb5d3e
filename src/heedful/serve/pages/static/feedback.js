// What a person says about one answer: thumbs, a reason, a better answer. A thumb is saved at once, the rest with a button.

import { announce } from "./announce.js";
import { call } from "./api.js";
import { build, iconButton } from "./dom.js";
import { say } from "./language.js";

const NOTHING = { rating: 0, reason: "", correction: "" };
let count = 0;

export class Feedback {
  #message;
  #given;
  #correcting = false;
  #id = `feedback-${++count}`;

  constructor(message) {
    this.#message = message;
    this.#given = message.feedback ?? NOTHING;
    this.thumbs = [this.#thumb("up-thumb", "good", 1), this.#thumb("down-thumb", "bad", -1)];
    this.pen = iconButton("pen", "correct", () => this.#open(true));
    this.panel = build("div", { class: "feedback", id: this.#id });
    this.#show();
  }

  #thumb(name, key, rating) {
    const press = () => this.#save({ ...this.#given, rating: this.#given.rating === rating ? 0 : rating }, true);
    return iconButton(name, key, press, { "data-rating": rating, "aria-controls": this.#id });
  }

  /** Send what is said; on success show it. `open`: the form for a reason follows. */
  async #save(said, open) {
    try {
      this.#given = await call("PUT", `/messages/${this.#message.id}/feedback`, said);
    } catch (failure) {
      return this.#fail(failure);
    }
    this.#message.feedback = this.#given;
    announce("feedback_saved");
    if (open && this.#given.rating) this.#open(false);
    else this.#show(!open);
  }

  #fail(failure) {
    this.panel.querySelector(".problem")?.remove();
    this.panel.append(build("p", { class: "problem", role: "alert" }, failure.message));
  }

  /** What was given: pressed thumbs, and a summary of reason and correction. */
  #show(thanks = false) {
    for (const thumb of this.thumbs) thumb.setAttribute("aria-pressed", String(Number(thumb.dataset.rating) === this.#given.rating));
    this.pen.setAttribute("aria-pressed", String(Boolean(this.#given.correction)));
    const { reason, correction } = this.#given;
    const parts = [];
    if (thanks) parts.push(build("p", { class: "thanks", say: { text: "feedback_saved" } }));
    if (reason) parts.push(...quote("your_reason", reason));
    if (correction) parts.push(...quote("your_correction", correction));
    if (reason || correction) {
      const edit = () => this.#open(Boolean(this.#given.correction));
      parts.push(build("button", { type: "button", class: "link", say: { text: "edit" }, on: { click: edit } }));
    }
    this.panel.replaceChildren(...parts);
    this.panel.classList.remove("open");
  }

  #open(correcting) {
    this.#show();
    this.#correcting = correcting;
    this.panel.replaceChildren(this.#form());
    this.panel.classList.add("open");
    focusStart(this.panel.querySelector(correcting ? ".correction" : ".reason"));
    this.panel.scrollIntoView({ block: "nearest" });
  }

  #form() {
    const reason = this.#area("reason", "reason", this.#given.reason, 2);
    const about = { 1: "reason_placeholder_good", "-1": "reason_placeholder_bad" }[this.#given.rating];
    if (about) say(reason.control, { placeholder: about });
    const correction = this.#area("correction", "correction", this.#given.correction || this.#message.content, 8, "correction_help");
    const more = build("button", { type: "button", class: "link", say: { text: "correct" }, on: { click: () => this.#reveal(correction, more) } });
    (this.#correcting ? more : correction.field).hidden = true;
    const submit = (event) => {
      event.preventDefault();
      const better = correction.field.hidden ? this.#given.correction : correction.control.value;
      this.#save({ rating: this.#given.rating, reason: reason.control.value.trim(), correction: better }, false).then(() => this.pen.focus());
    };
    const leave = (event) => event.key === "Escape" && (event.stopPropagation(), this.#leave());
    return build(
      "form", { on: { submit, keydown: leave }, say: { label: "feedback" } },
      reason.field, more, correction.field,
      build("div", { class: "actions" },
        build("button", { type: "button", class: "secondary", say: { text: "cancel" }, on: { click: () => this.#leave() } }),
        build("button", { type: "submit", class: "primary", say: { text: "save" } })),
    );
  }

  #leave() {
    this.#show();
    this.pen.focus();
  }

  #reveal(correction, button) {
    this.#correcting = true;
    button.hidden = true;
    correction.field.hidden = false;
    focusStart(correction.control);
  }

  #area(name, key, value, rows, help) {
    const id = `${this.#id}-${name}`;
    const control = build("textarea", { id, class: name, rows, maxlength: 100000, "aria-describedby": help && `${id}-help` });
    control.value = value;
    const described = help && build("p", { id: `${id}-help`, say: { text: help } });
    return { control, field: build("div", { class: "field" }, build("label", { for: id, say: { text: key } }), described, control) };
  }
}

/** Begin at the top of what is there already. */
function focusStart(control) {
  control.focus();
  control.setSelectionRange(0, 0);
  control.scrollTop = 0;
}

function quote(key, content) {
  return [build("p", { class: "quote-head", say: { text: key } }), build("blockquote", {}, content)];
}

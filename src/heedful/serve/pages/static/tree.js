// A conversation as a tree: answers with the same parent are versions of one answer. No page in here.

export class Tree {
  #messages = new Map();
  #children = new Map();
  #chosen = new Map();

  constructor(messages = []) {
    for (const message of messages) this.add(message);
  }

  /** Add a message, and choose the way that leads to it. */
  add(message) {
    this.#messages.set(message.id, message);
    this.#siblings(message.parent).push(message);
    for (let step = message; step; step = this.#messages.get(step.parent)) this.choose(step);
  }

  get isEmpty() {
    return this.#messages.size === 0;
  }

  /** Follow this version from now on. */
  choose(message) {
    this.#chosen.set(message.parent, message.id);
  }

  /** All versions of a message, in the order in which they were made. */
  versions(message) {
    return this.#siblings(message.parent);
  }

  /** The messages that are shown: from the first, by the chosen versions, to the last, or to `end`. */
  path(end = null) {
    const path = [];
    for (let id = this.#chosen.get(null); id; id = this.#chosen.get(id)) {
      path.push(this.#messages.get(id));
      if (id === end) break;
    }
    return path;
  }

  #siblings(parent) {
    if (!this.#children.has(parent)) this.#children.set(parent, []);
    return this.#children.get(parent);
  }
}

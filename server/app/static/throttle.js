// Spreads requests that a page makes all at once, so that the server does not take them for spam.

export class Throttle {
  #interval;
  #urgent = [];
  #normal = [];
  #timer = 0;

  // Run at most one task every `interval` milliseconds; urgent tasks come before the others.
  constructor(interval) {
    this.#interval = interval;
  }

  add(task, { urgent = false } = {}) {
    (urgent ? this.#urgent : this.#normal).push(task);
    if (!this.#timer) this.#next();
  }

  get hasUrgent() {
    return this.#urgent.length > 0;
  }

  clear() {
    this.#urgent = [];
    this.#normal = [];
  }

  #next() {
    const task = this.#urgent.shift() ?? this.#normal.shift();
    this.#timer = task ? setTimeout(() => this.#next(), this.#interval) : 0;
    task?.();
  }
}

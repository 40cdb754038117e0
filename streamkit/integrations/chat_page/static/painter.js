// When to draw: with a frame, once for all that came before it, and never for more than a part of the time.

const REST = 3; // so many times as long as a drawing took there is no other

/** Calls `paint` for requests, several of them at once. */
export class Painter {
  #paint;
  #frame = null;
  #timer = null;
  #free = 0; // when the next drawing may be

  constructor(paint) {
    this.#paint = paint;
  }

  /** Draw soon. */
  request() {
    if (this.#frame !== null || this.#timer !== null) return;
    const wait = this.#free - performance.now();
    if (wait <= 0) this.#frame = requestAnimationFrame(() => this.now());
    else {
      this.#timer = setTimeout(() => {
        this.#timer = null;
        this.request();
      }, wait);
    }
  }

  /** Draw at once. */
  now() {
    if (this.#frame !== null) cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    this.#frame = this.#timer = null;
    const began = performance.now();
    this.#paint();
    const ended = performance.now();
    this.#free = ended + REST * (ended - began);
  }
}

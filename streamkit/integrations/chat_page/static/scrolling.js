// The page stays at its end while an answer grows, unless its reader has scrolled away from there.

const NEAR = 60; // pixels from the end that still count as there

/** Keeps to the end; `latest` is the button that leads back to it. */
export class Scrolling {
  #latest;
  #follows = true;

  constructor(latest) {
    this.#latest = latest;
    addEventListener("scroll", () => this.#note(), { passive: true });
    addEventListener("resize", () => this.grown());
    latest.addEventListener("click", () => this.toEnd());
  }

  /** The page may be longer than before. */
  grown() {
    if (this.#follows) this.toEnd();
    else this.#show();
  }

  toEnd() {
    this.#follows = true;
    scrollTo({ top: document.documentElement.scrollHeight, behavior: "instant" });
    this.#show();
  }

  #note() {
    this.#follows = distanceToEnd() < NEAR;
    this.#show();
  }

  #show() {
    this.#latest.hidden = this.#follows || distanceToEnd() < NEAR;
  }
}

function distanceToEnd() {
  return document.documentElement.scrollHeight - innerHeight - scrollY;
}

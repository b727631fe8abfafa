// @ts-check
/**
 * What moves, and only while it does: each view says how long its picture stays true, and is asked again then.
 *
 * Fast movement rides on `requestAnimationFrame`, slow movement on one timer, a hidden page on nothing at all.
 */

const FRAME_MS = 40; // below this a timer would stutter
const LONGEST_MS = 60_000; // a later look costs nothing, and mends what a sleeping machine upset

export class Ticker {
  /** @type {Map<(now: number) => number, number>} each view, and when (server time) it wants to be asked again */
  #views = new Map();
  #frame = 0;
  #ending = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {() => number} now The server's time in milliseconds. */
  constructor(now) {
    this.now = now;
    document.addEventListener("visibilitychange", () => this.wake(), { signal: this.#ending.signal });
  }

  /** Ends all movement for good. */
  stop() {
    this.#ending.abort();
    this.#views.clear();
    this.#arrange();
  }

  /**
   * Adds a view.
   *
   * @param {(now: number) => number} view Draws the moment `now`; returns for how many milliseconds that picture holds.
   * @returns {() => void} What takes the view away again.
   */
  add(view) {
    this.#views.set(view, 0);
    this.#arrange();
    return () => void this.#views.delete(view);
  }

  /** Asks every view at once: something changed that none could foresee. */
  wake() {
    for (const view of this.#views.keys()) this.#views.set(view, 0);
    this.#arrange();
  }

  #arrange() {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    if (document.hidden || this.#views.size === 0) return;
    const wait = Math.min(LONGEST_MS, Math.min(...this.#views.values()) - this.now());
    if (wait > FRAME_MS) this.#timer = setTimeout(() => this.#draw(), wait);
    else this.#frame = requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    const now = this.now();
    for (const [view, due] of this.#views) {
      if (due <= now + 1) this.#views.set(view, now + view(now));
    }
    this.#arrange();
  }
}

// @ts-check
/**
 * The state of the line, in the header and in its details.
 *
 * @import { LineState, Starwake } from "./starwake.js"
 * @import { ServerClock } from "./clock.js"
 * @import { Ticker } from "./ticker.js"
 */

import { byId, html, say, set } from "./dom.js";
import { dropInWords, lateness, plural } from "./words.js";

const RESUMED_MS = 9000;

export class Line {
  /** @type {LineState} */
  #state = { name: "connecting", attempt: 1 };
  /** @type {{missed: number, at: number} | null} */
  #resumed = null;
  #drops = 0;

  /** @param {Starwake} line @param {{ticker: Ticker, clock: ServerClock, announce: (text: string) => void}} page */
  constructor(line, { ticker, clock, announce }) {
    this.line = line;
    this.clock = clock;
    this.announce = announce;
    this.button = byId("line", HTMLButtonElement);
    this.words = byId("line-words", HTMLElement);
    this.again = byId("line-again", HTMLButtonElement);
    this.details = byId("line-details", HTMLElement);
    this.again.onclick = () => line.reconnect();
    this.details.ontoggle = () => this.#detail();
    this.ticker = ticker;
    this.leave = ticker.add(() => this.#draw());
  }

  /** @param {LineState} state */
  render(state) {
    if (state.name === "waiting" && this.#state.name === "live") {
      this.#drops += 1;
      this.announce(`${dropInWords(state.code)} Reconnecting.`);
    }
    if (state.name !== "live") this.#resumed = null;
    this.#state = state;
    this.#draw();
    this.ticker.wake();
  }

  /** @param {number} missed */
  resumed(missed) {
    this.#resumed = { missed, at: performance.now() };
    this.announce(`Back on the line. ${this.#caughtUp(missed)}.`);
    this.ticker.wake();
  }

  /** @param {number} missed */
  #caughtUp(missed) {
    return missed === 0 ? "Nothing was missed" : `${plural(missed, "transmission")} caught up`;
  }

  /** @returns {number} */
  #draw() {
    const { text, holdsMs } = this.#tell();
    set(this.button, "data-state", this.#resumed ? "resumed" : this.#state.name);
    say(this.words, text);
    set(this.again, "hidden", this.#state.name !== "waiting");
    this.#detail();
    return holdsMs;
  }

  /** @returns {{text: string, holdsMs: number}} */
  #tell() {
    const state = this.#state;
    if (state.name === "connecting") return { text: state.attempt > 1 ? "Reconnecting…" : "Opening the line…", holdsMs: Infinity };
    if (state.name === "closed") return { text: "Signed out", holdsMs: Infinity };
    if (state.name === "waiting") {
      const leftMs = Math.max(0, state.since + state.delayMs - performance.now());
      return { text: `${dropInWords(state.code)} Next try in ${Math.ceil(leftMs / 1000)} s`, holdsMs: leftMs % 1000 || 1000 };
    }
    const shownMs = this.#resumed ? performance.now() - this.#resumed.at : Infinity;
    if (this.#resumed && shownMs < RESUMED_MS) return { text: `Resumed · ${this.#caughtUp(this.#resumed.missed)}`, holdsMs: RESUMED_MS - shownMs };
    this.#resumed = null;
    const trip = this.clock.roundTripMs;
    return { text: trip === null ? "Live" : `Live · ${trip < 10 ? trip.toFixed(1) : Math.round(trip)} ms`, holdsMs: 2000 };
  }

  #detail() {
    if (!this.details.matches(":popover-open")) return;
    const { hello, position } = this.line;
    const skew = this.clock.set ? this.clock.skewMs : 0;
    const facts = [
      ["Session", hello?.session.slice(0, 13) ?? "—"],
      ["Server's clock", this.clock.set ? new Date(this.clock.now()).toISOString().slice(11, 19) + " UTC" : "—"],
      ["Your clock", Math.abs(skew) < 50 ? "right" : `${lateness(skew)} off, and it does not matter`],
      ["Own feed", position ? `at ${position.seq}` : "—"],
      ["Feed of all", position ? `at ${position.all}` : "—"],
      ["Epoch", position?.epoch.slice(0, 13) ?? "—"],
      ["Broken off", plural(this.#drops, "time")],
    ];
    this.details.replaceChildren(html("h2", {}, "The line"), html("p", {}, "Each transmission bears a number and that of the one before it: a hole cannot go unnoticed, and what was missed is asked for again."),
      html("dl", {}, ...facts.flatMap(([name, value]) => [html("dt", {}, name), html("dd", {}, value)])));
  }
}

// @ts-check
/**
 * Dragons: the ember trail on the map and the banner that counts down.
 *
 * @import { Dragons, State } from "./store.js"
 * @import { Ticker } from "./ticker.js"
 */

import { flight, flightPath, heading, onFlight } from "./chart.js";
import { html, reconcile, say, set, svg } from "./dom.js";
import { dragonsNow } from "./store.js";
import { countdown, localMinute } from "./words.js";

const DRAGON = "M15 0C10 -3.4 5 -3 1 -2.2L-7 -13C-6 -8 -6 -5 -4.5 -2.6C-9 -2 -13 -1.6 -20 0C-13 1.6 -9 2 -4.5 2.6C-6 5 -6 8 -7 13L1 2.2C5 3 10 3.4 15 0Z";

export class DragonWatch {
  /** @type {State | null} */
  #state = null;
  #shown = "";

  /** @param {SVGGElement} layer @param {HTMLElement} banner @param {{ticker: Ticker, dismiss: (id: string) => void}} page */
  constructor(layer, banner, { ticker, dismiss }) {
    this.layer = layer;
    this.banner = banner;
    this.ticker = ticker;
    this.dismiss = dismiss;
    ticker.add((now) => this.#draw(now));
  }

  /** @param {State} state */
  render(state) {
    this.#state = state;
    this.#draw(this.ticker.now());
  }

  /** @param {number} now @returns {number} */
  #draw(now) {
    if (!this.#state) return Infinity;
    const flights = dragonsNow(this.#state, now);
    const names = flights.map(({ id, arrivedAt }) => `${id}${arrivedAt}`).join();
    if (names !== this.#shown) this.#lay(flights);
    this.#shown = names;
    set(this.banner, "hidden", flights.length === 0);
    let holds = flights.length > 0 ? 1000 : Infinity;
    for (const flying of flights) holds = Math.min(holds, this.#advance(flying, now));
    return holds;
  }

  /** @param {Dragons[]} flights */
  #lay(flights) {
    reconcile(this.layer, flights.filter(({ arrivedAt }) => arrivedAt === null), ({ id }) => id, ({ id }) => svg("g", { class: "flight" },
      svg("path", { class: "course", d: flightPath(id, 1, 0) }), svg("path", { class: "trail" }), svg("path", { class: "trail core" }), svg("path", { class: "dragon", d: DRAGON })));
    reconcile(this.banner, flights.slice(0, 2), ({ id }) => id, ({ id }) => html("div", { class: "warning" },
      html("span", { class: "mark", "aria-hidden": "true" }), html("p", { class: "words" }), html("p", { class: "left", role: "timer", "aria-live": "off" }),
      html("button", { type: "button", class: "quiet", onclick: () => this.dismiss(id) }, "Dismiss")));
  }

  /** @param {Dragons} flying @param {number} now @returns {number} */
  #advance({ id, arrivesAt, arrivedAt }, now) {
    const left = arrivesAt - now;
    const far = flight(left);
    const drawn = this.layer.querySelector(`[data-key="${CSS.escape(id)}"]`);
    const [, trail, core, dragon] = drawn ? [...drawn.children] : [];
    if (trail && core && dragon) {
      const { x, y } = onFlight(id, far);
      for (const path of [trail, core]) set(path, "d", flightPath(id, far, 0));
      set(dragon, "transform", `translate(${x.toFixed(1)} ${y.toFixed(1)}) rotate(${heading(id, far)}) scale(1.35)`);
    }
    const warning = this.banner.querySelector(`[data-key="${CSS.escape(id)}"]`);
    const { text, holdsMs } = countdown(left);
    if (warning) {
      const [, words, timer, button] = /** @type {HTMLElement[]} */ ([...warning.children]);
      if (words) say(words, arrivedAt === null ? `Space dragons inbound, ${localMinute(arrivesAt, now)}` : "The space dragons are here");
      if (timer) say(timer, arrivedAt === null ? (left > 0 ? text : "any moment") : "");
      if (button) set(button, "hidden", arrivedAt === null);
    }
    return arrivedAt === null && left < 120_000 ? Math.min(50, holdsMs) : holdsMs;
  }
}

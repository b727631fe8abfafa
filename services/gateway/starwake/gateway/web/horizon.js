// @ts-check
/**
 * The horizon: all that will happen, on one axis of time. The far is pressed together, the near spread out, and everything drifts towards now.
 *
 * @import { State } from "./store.js"
 * @import { Ticker } from "./ticker.js"
 *
 * @typedef {{key: string, at: number, title: string, where: string, site: string | null, danger: boolean}} Event
 */

import { html, reconcile, set } from "./dom.js";
import { siteNamed } from "./sites.js";
import { dragonsNow, underWay } from "./store.js";

const NEAR_MS = 15_000; // up to here the axis is about linear
const FAR_MS = 6 * 86_400_000;
const MARKS = [[0, "now"], [60_000, "1 min"], [600_000, "10 min"], [3_600_000, "1 h"], [21_600_000, "6 h"], [86_400_000, "1 day"], [259_200_000, "3 days"]];
const LANES = 3;

/** Where on the axis a moment lies, 0 (now) to 1. @param {number} leftMs */
export const along = (leftMs) => Math.min(1, Math.log1p(Math.max(0, leftMs) / NEAR_MS) / Math.log1p(FAR_MS / NEAR_MS));

export class Horizon {
  /** @type {Event[]} */
  #events = [];
  /** @type {State | null} */
  #state = null;
  #width = 600;

  /** @param {HTMLElement} root @param {{ticker: Ticker, select: (site: string) => void, titleOf: (kind: string) => string}} page */
  constructor(root, { ticker, select, titleOf }) {
    this.ticker = ticker;
    this.select = select;
    this.titleOf = titleOf;
    this.list = html("ul", {});
    root.append(html("div", { class: "axis" }, ...MARKS.map(([ms, label]) => {
      const mark = html("span", {}, String(label));
      mark.style.setProperty("--along", along(Number(ms)).toFixed(4));
      return mark;
    })), this.list);
    new ResizeObserver(([entry]) => { this.#width = entry?.contentRect.width ?? 600; ticker.wake(); }).observe(root);
    ticker.add((now) => this.#draw(now));
  }

  /** @param {State} state */
  render(state) {
    this.#state = state;
    this.#draw(this.ticker.now());
  }

  /** @param {number} now @returns {number} */
  #draw(now) {
    if (!this.#state || this.#width === 0) return Infinity;
    const builds = underWay(this.#state).map(({ id, due_at, kind, site }) =>
      ({ key: id, at: Date.parse(due_at), title: this.titleOf(kind), where: siteNamed(site).title, site, danger: false }));
    const dragons = dragonsNow(this.#state, now).filter(({ arrivedAt }) => arrivedAt === null).map(({ id, arrivesAt }) =>
      ({ key: `dragons ${id}`, at: arrivesAt, title: "Dragons", where: "", site: null, danger: true }));
    this.#events = [...builds, ...dragons].sort((left, right) => left.at - right.at).slice(0, 60);
    const lanes = Array.from({ length: LANES }, () => -Infinity);
    reconcile(this.list, this.#events, ({ key }) => key, (event) => html("li", { class: event.danger ? "danger" : "", title: `${event.title} ${event.where}`.trim(),
      onclick: () => event.site && this.select(event.site) }, html("span", {}, event.title)), (item, event) => {
      const x = along(event.at - now) * this.#width;
      const room = 24 + event.title.length * 7;
      const flipped = x + room > this.#width; // near the end of the axis the words stand before their mark
      const lane = lanes.findIndex((taken) => taken <= (flipped ? x - room : x));
      if (lane >= 0) lanes[lane] = x + (flipped ? 12 : room);
      item.style.setProperty("--x", `${x.toFixed(2)}px`);
      set(item, "data-lane", lane); // -1: a mark on the axis itself, where it covers no words
      set(item, "data-flipped", flipped);
    });
    const first = this.#events[0];
    // A quarter of a pixel of the fastest, which is the first: d(along)/dt = 1 / (ln(1 + far/near) * (left + near)).
    return first ? Math.max(16, (0.25 / this.#width) * Math.log1p(FAR_MS / NEAR_MS) * (Math.max(0, first.at - now) + NEAR_MS)) : Infinity;
  }
}

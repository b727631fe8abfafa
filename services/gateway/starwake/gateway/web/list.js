// @ts-check
/**
 * The map as a list: a table of all sites, for screen readers, for many sites, and for whoever likes tables.
 *
 * @import { SiteState, State } from "./store.js"
 * @import { Site } from "./sites.js"
 * @import { Ticker } from "./ticker.js"
 *
 * @typedef {{site: Site, here: SiteState | undefined}} Row
 */

import { html, reconcile, say, set } from "./dom.js";
import { sitesWith } from "./sites.js";
import { bySite } from "./store.js";
import { countdown } from "./words.js";

const MANY = 40;

/** @param {SiteState | undefined} here */
const busy = (here) => Boolean(here?.building ?? here?.order);

export class SiteList {
  /** @type {{cell: HTMLElement, due: number}[]} */
  #counts = [];

  /** @param {HTMLTableSectionElement} body @param {{ticker: Ticker, select: (site: string) => void, titleOf: (kind: string) => string}} page */
  constructor(body, { ticker, select, titleOf }) {
    this.body = body;
    this.ticker = ticker;
    this.select = select;
    this.titleOf = titleOf;
    ticker.add((now) => this.#draw(now));
  }

  /**
   * @param {State} state @param {string | null} selected
   * @param {boolean} shown Where the map is shown instead, the table stays for screen readers, without stops for the Tab key.
   */
  render(state, selected, shown) {
    const bearing = bySite(state);
    const sites = sitesWith(bearing.keys());
    // Few sites keep their places; of many, those where something happens come first.
    if (sites.length > MANY) sites.sort((left, right) => Number(busy(bearing.get(right.site))) - Number(busy(bearing.get(left.site))));
    this.#counts = [];
    reconcile(this.body, sites.map((site) => ({ site, here: bearing.get(site.site) })), ({ site }) => site.site, (row) => this.#make(row),
      (row, { site, here }) => this.#update(row, site.site, here, selected, shown));
    this.#draw(this.ticker.now());
  }

  /** @param {Row} row */
  #make({ site }) {
    return html("tr", {},
      html("th", { scope: "row" }, html("button", { type: "button", class: "plain", onclick: () => this.select(site.site) }, site.title)),
      html("td", { class: "what" }), html("td", { class: "left" }), html("td", { class: "stands" }));
  }

  /** @param {HTMLTableRowElement} row @param {string} site @param {SiteState | undefined} here @param {string | null} selected @param {boolean} shown */
  #update(row, site, here, selected, shown) {
    const [head, what, left, stands] = /** @type {[HTMLElement, HTMLElement, HTMLElement, HTMLElement]} */ ([...row.children]);
    row.classList.toggle("selected", site === selected);
    const button = head.firstElementChild;
    if (button) {
      set(button, "aria-pressed", String(site === selected));
      set(button, "tabindex", shown ? null : -1);
    }
    const order = here?.order ? `${this.titleOf(here.order.kind)}, ordered` : "—";
    const more = here?.queued.length ? `, then ${here.queued.length} more` : "";
    say(what, here?.building ? this.titleOf(here.building.kind) + more : order);
    if (here?.building) this.#counts.push({ cell: left, due: Date.parse(here.building.due_at) });
    else say(left, "");
    say(stands, tally(here, this.titleOf));
  }

  /** @param {number} now @returns {number} */
  #draw(now) {
    let holds = Infinity;
    for (const { cell, due } of this.#counts) {
      const { text, holdsMs } = countdown(due - now);
      say(cell, text);
      holds = Math.min(holds, holdsMs);
    }
    return holds;
  }
}

/** What stands, by kind: "Mine ×2, Dock". @param {SiteState | undefined} here @param {(kind: string) => string} titleOf */
export function tally(here, titleOf) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const { kind } of here?.standing ?? []) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return Array.from(counts, ([kind, count]) => (count > 1 ? `${titleOf(kind)} ×${count}` : titleOf(kind))).join(", ");
}

// @ts-check
/**
 * Orders: choose a site, then what to build there; what is under way, and what was refused, in words.
 *
 * @import { Build, Kind } from "./starwake.js"
 * @import { SiteState, State } from "./store.js"
 * @import { Ticker } from "./ticker.js"
 * @import { Hands } from "./builds.js"
 *
 * @typedef {object} Page
 * @property {Ticker} ticker
 * @property {Hands} hands
 * @property {(kind: string, site: string) => void} start
 * @property {(text: string) => void} announce
 * @property {() => void} refresh
 * @property {AbortSignal} signal Ends the listening.
 */

import { BuildRow } from "./builds.js";
import { byId, html, reconcile, say, set } from "./dom.js";
import { tally } from "./list.js";
import { siteNamed, sitesWith } from "./sites.js";
import { bySite, underWay, whyNot, wouldWait } from "./store.js";
import { duration, kindInWords } from "./words.js";

export class Orders {
  /** @type {Map<string, BuildRow>} */
  #rows = new Map();
  #choices = "";
  /** @type {string | null} */
  #selected = null;

  /** @param {Page} page */
  constructor(page) {
    this.page = page;
    this.choice = byId("site-choice", HTMLSelectElement);
    this.about = byId("site-about", HTMLElement);
    this.stands = byId("site-stands", HTMLElement);
    this.here = byId("site-builds", HTMLElement);
    this.now = byId("site-now", HTMLElement);
    this.free = byId("site-free", HTMLElement);
    this.rule = byId("site-rule", HTMLElement);
    this.queue = byId("site-queue", HTMLElement);
    this.kinds = byId("kinds", HTMLElement);
    this.others = byId("under-way", HTMLElement);
    this.othersTitle = byId("under-way-title", HTMLElement);
    this.empty = byId("under-way-empty", HTMLElement);
    this.others.addEventListener("pointerleave", () => page.refresh(), { signal: page.signal });
    this.choice.addEventListener("change", () => page.hands.select(this.choice.value), { signal: page.signal });
    page.ticker.add((now) => Math.min(Infinity, ...Array.from(this.#rows.values(), (row) => row.draw(now))));
  }

  /** @param {State} state @param {string | null} selected @param {boolean} live */
  render(state, selected, live) {
    const sites = bySite(state);
    const builds = underWay(state);
    const orders = new Map(state.orders.filter(({ buildId }) => buildId).map((order) => [order.buildId, order]));
    this.#selected = selected;
    this.#choose([...sites.keys()], selected);
    this.#site(sites, selected);
    this.#kinds(state, selected, selected ? sites.get(selected) : undefined, live);
    const now = this.page.ticker.now();
    const draw = (/** @type {Build} */ build) => {
      const row = this.#row(build);
      row.update(build, orders.get(build.id), live);
      row.draw(now);
    };
    const key = (/** @type {Build} */ build) => build.id;
    const make = (/** @type {Build} */ build) => this.#row(build).element;
    reconcile(this.here, builds.filter(({ site }) => site === selected), key, make, (_, build) => draw(build));
    const others = builds.filter(({ site }) => site !== selected);
    const shown = this.#held(state, others);
    reconcile(this.others, shown, key, make, (_, build) => draw(build));
    const rows = new Set([...builds, ...shown].map(key));
    for (const id of this.#rows.keys()) if (!rows.has(id)) this.#rows.delete(id);
    say(this.othersTitle, others.length === 0 ? "Under way" : `Under way${selected && this.here.childElementCount ? " elsewhere" : ""} · ${others.length}`);
    set(this.empty, "hidden", others.length > 0);
    say(this.empty, state.loaded ? (builds.length > 0 ? "Nothing anywhere else." : "All crews are resting.") : "Listening for news…");
  }

  /**
   * While the player points into the list, nothing in it moves: what is done stays, marked, and what is new comes last.
   *
   * @param {State} state @param {Build[]} builds
   */
  #held(state, builds) {
    if (!this.others.matches(":hover, :focus-within")) return builds;
    const before = Array.from(this.others.children, (row) => state.builds.get(row.getAttribute("data-key") ?? "")).filter((build) => build !== undefined);
    const kept = new Set(before);
    return [...before, ...builds.filter((build) => !kept.has(build))];
  }

  /** @param {Build} build */
  #row(build) {
    const row = this.#rows.get(build.id) ?? new BuildRow(build, this.page.hands);
    this.#rows.set(build.id, row);
    return row;
  }

  /** @param {string[]} names @param {string | null} selected */
  #choose(names, selected) {
    const sites = sitesWith(names);
    const choices = sites.map(({ site }) => site).join();
    if (choices !== this.#choices) {
      this.choice.replaceChildren(html("option", { value: "" }, "Choose a site"), ...sites.map(({ site, title }) => html("option", { value: site }, title)));
    }
    this.#choices = choices;
    if (this.choice.value !== (selected ?? "")) this.choice.value = selected ?? "";
  }

  /** @param {Map<string, SiteState>} sites @param {string | null} selected */
  #site(sites, selected) {
    say(this.about, selected ? siteNamed(selected).about : "Pick a body on the map, or here, to see what can be built.");
    const standing = selected ? tally(sites.get(selected), this.page.hands.titleOf) : "";
    set(this.stands, "hidden", !standing);
    say(this.stands, standing ? `Stands: ${standing}` : "");
  }

  /** @param {State} state @param {string | null} site @param {SiteState | undefined} here @param {boolean} live */
  #kinds(state, site, here, live) {
    set(this.kinds, "hidden", site === null);
    for (const part of [this.now, this.rule]) set(part, "hidden", site === null); // always there, so that no button moves
    set(this.free, "hidden", Boolean(here?.building));
    say(this.free, here?.order ? "Your order is on its way." : "Free. Choose what to build here.");
    this.#queue(here);
    if (site === null) return;
    const groups = new Map();
    for (const kind of state.kinds) groups.set(kind.category ?? "", [...(groups.get(kind.category ?? "") ?? []), kind]);
    reconcile(this.kinds, [...groups], ([category]) => `group ${category}`,
      ([category]) => html("section", { class: "category" }, html("h3", {}, category ? kindInWords(category) : "What to build"), html("ul", { class: "kind-list" })),
      (group, [, kinds]) => reconcile(/** @type {Element} */ (group.lastElementChild), /** @type {Kind[]} */ (kinds), ({ kind }) => kind,
        (kind) => this.#makeKind(kind), (item, kind) => this.#updateKind(item, kind, state, site, here, live)));
  }

  /** What waits for this site. @param {SiteState | undefined} here */
  #queue(here) {
    const waiting = here?.queued ?? [];
    const { titleOf, withdraw } = this.page.hands;
    set(this.queue, "hidden", waiting.length === 0);
    reconcile(this.queue, waiting, ({ id }) => id, (order) => html("li", {}, html("span", { class: "text" }), html("span", { class: "duration" }, duration(order.duration_s)),
      html("button", { type: "button", class: "quiet", "aria-label": `Withdraw the ${titleOf(order.kind)}`, onclick: () => withdraw(order) }, "Withdraw")),
    (item, order) => say(/** @type {Element} */ (item.firstElementChild), `then ${titleOf(order.kind)}`));
  }

  /** @param {Kind} kind */
  #makeKind(kind) {
    const why = `why-${kind.kind}`;
    const button = html("button", { type: "button", class: "build-button", "aria-describedby": why, onclick: () => {
      if (button.getAttribute("aria-disabled") === "true") this.page.announce(button.title);
      else if (this.#selected) this.page.start(kind.kind, this.#selected);
    } }, "Build");
    return html("li", { class: "kind" }, html("div", { class: "text" }, html("h4", {}), html("p", { class: "description" })),
      html("span", { class: "duration" }), button, html("p", { class: "why", id: why }));
  }

  /** @param {HTMLLIElement} item @param {Kind} kind @param {State} state @param {string} site @param {SiteState | undefined} here @param {boolean} live */
  #updateKind(item, kind, state, site, here, live) {
    const [text, time, button, why] = /** @type {[HTMLElement, HTMLElement, HTMLElement, HTMLElement]} */ ([...item.children]);
    const [title, description] = /** @type {[HTMLElement, HTMLElement]} */ ([...text.children]);
    say(title, kind.title);
    say(description, kind.description ?? "");
    say(time, duration(kind.duration_s));
    const order = state.orders.find((one) => (one.action === "start" || one.action === "queue") && one.kind === kind.kind && one.site === site);
    const reason = this.#reason(state, kind, site, here);
    const waits = wouldWait(kind, here);
    set(button, "aria-label", waits ? `Queue a ${kind.title} at ${siteNamed(site).title}` : `Build a ${kind.title} at ${siteNamed(site).title}`);
    set(button, "aria-disabled", String(reason !== "" || order?.phase === "sent"));
    set(button, "title", reason);
    say(button, order?.phase === "sent" ? (live ? "Sending…" : "Waits") : waits ? "Queue" : "Build");
    const told = order?.phase === "refused" ? (order.words ?? "") : order ? (live ? "" : "Goes out when the line is back.") : reason;
    say(why, told);
    item.classList.toggle("refused", order?.phase === "refused");
    item.classList.toggle("pending", order?.phase === "sent");
    item.classList.toggle("barred", reason !== "" && !order);
  }

  /** Why a kind cannot be chosen now, in words; empty where it can. @param {State} state @param {Kind} kind @param {string} site @param {SiteState | undefined} here */
  #reason(state, kind, site, here) {
    const bar = whyNot(state, kind, here);
    if (!bar) return "";
    const { titleOf } = this.page.hands;
    const where = siteNamed(site).title;
    switch (bar.why) {
      case "busy": return `${where} is busy.`;
      case "ordered": return `${where} has an order.`;
      case "limit": return "All crews are at work.";
      default: return `Needs first: ${(bar.missing ?? []).map(titleOf).join(", ")}.`;
    }
  }
}

// @ts-check
/**
 * The views of one stay, and what belongs to looking only: the chosen site, the open panel, map or list.
 *
 * @import { Bridge } from "./bridge.js"
 * @import { Entry, State } from "./store.js"
 */

import { DragonWatch } from "./dragons.js";
import { byId, say, set } from "./dom.js";
import { Announcer, Attention, Feed } from "./feed.js";
import { Horizon } from "./horizon.js";
import { Line } from "./line.js";
import { SiteList } from "./list.js";
import { SystemMap } from "./map.js";
import { Orders } from "./orders.js";
import { sitesWith } from "./sites.js";

const MANY_SITES = 40; // more of them are read better as a list
const NARROW = matchMedia("(max-width: 760px)");

/**
 * Changes a panel's contents so that what the player points at stays where it is.
 *
 * @param {Element | null} panel @param {() => void} change
 */
function steady(panel, change) {
  const held = panel?.querySelector("button:hover") ?? (panel?.contains(document.activeElement) ? document.activeElement : null);
  const before = held?.getBoundingClientRect().top ?? 0;
  change();
  if (panel && held?.isConnected) panel.scrollTop += held.getBoundingClientRect().top - before;
}

export class Views {
  /** @type {string | null} */
  #selected = null;
  /** @type {"map" | "list" | null} What the player chose; null leaves it to the number of sites. */
  #mode = null;
  #panel = "";
  #unread = 0;
  #ending = new AbortController();

  /** @param {Bridge} bridge @param {string} player */
  constructor(bridge, player) {
    this.bridge = bridge;
    const { ticker, titleOf } = bridge;
    const select = (/** @type {string} */ site) => this.select(site);
    this.announcer = new Announcer(byId("polite", HTMLElement), byId("assertive", HTMLElement));
    const announce = (/** @type {string} */ text) => this.announcer.say(text);
    this.attention = new Attention(byId("icon", HTMLLinkElement), this.#ending.signal);
    const root = byId("map", SVGSVGElement);
    root.replaceChildren();
    this.map = new SystemMap(root, { ticker, select, titleOf }, this.#ending.signal);
    this.list = new SiteList(byId("list-body", HTMLTableSectionElement), { ticker, select, titleOf });
    this.horizon = new Horizon(byId("horizon", HTMLElement), { ticker, select, titleOf });
    this.dragons = new DragonWatch(this.map.layers.flights, byId("dragons", HTMLElement), { ticker, dismiss: bridge.dismiss });
    this.feed = new Feed(byId("feed", HTMLElement), byId("toasts", HTMLElement), { ticker, titleOf, open: () => this.open("transmissions") });
    this.orders = new Orders({ ticker, start: bridge.start, announce, refresh: () => bridge.show(), signal: this.#ending.signal,
      hands: { cancel: bridge.cancel, speedUp: bridge.speedUp, withdraw: bridge.withdraw, select, titleOf, canSpeedUp: bridge.canSpeedUp } });
    this.line = new Line(bridge.line, { ticker, clock: bridge.clock, announce });
    set(byId("bridge", HTMLElement), "hidden", false);
    this.named(player);
    this.#controls();
  }

  #controls() {
    const { signal } = this.#ending;
    const press = (/** @type {Element | null} */ element, /** @type {() => void} */ act) => element?.addEventListener("click", act, { signal });
    press(byId("as-map", HTMLElement), () => this.#show("map"));
    press(byId("as-list", HTMLElement), () => this.#show("list"));
    press(byId("sign-out", HTMLElement), () => this.bridge.signOut());
    press(byId("ended-again", HTMLElement), () => this.bridge.again());
    for (const tab of document.querySelectorAll("#tabs button")) {
      const panel = tab.getAttribute("data-panel") ?? "";
      press(tab, () => this.open(this.#panel === panel ? "" : panel));
    }
    for (const button of document.querySelectorAll("[data-close]")) press(button, () => this.open(""));
    document.addEventListener("keydown", (event) => { if (event.key === "Escape" && this.#panel && NARROW.matches) this.open(""); }, { signal });
    this.open(NARROW.matches ? "" : "orders");
  }

  /** @param {string} player */
  named(player) {
    say(byId("player-name", HTMLElement), player);
    this.map.setPlayer(player);
  }

  /** Chooses a site; choosing it again lets it go. @param {string} site */
  select(site) {
    const again = site === this.#selected;
    this.#selected = again || !site ? null : site;
    this.bridge.forgetRefusals();
    if (this.#selected) this.open("orders");
    this.bridge.show();
  }

  /** Opens a panel; on a wide screen both stand open and this only brings one to the front. @param {string} panel */
  open(panel) {
    this.#panel = panel;
    document.body.dataset.panel = panel;
    for (const tab of document.querySelectorAll("#tabs button")) set(tab, "aria-expanded", String(tab.getAttribute("data-panel") === panel));
    if (panel === "transmissions") {
      this.#read(0);
      this.feed.clearToasts();
    }
  }

  /** @param {"map" | "list"} mode */
  #show(mode) {
    this.#mode = mode;
    this.bridge.show();
  }

  /** @param {number} unread */
  #read(unread) {
    this.#unread = unread;
    const badge = byId("unread", HTMLElement);
    say(badge, unread > 0 ? String(unread) : "");
    set(badge, "hidden", unread === 0);
  }

  /** A push came in. @param {Entry} entry @param {string} text @param {boolean} urgent */
  told(entry, text, urgent) {
    this.announcer.say(text, { urgent });
    this.attention.noticed();
    this.feed.toast(entry);
    if (this.#panel !== "transmissions") this.#read(this.#unread + 1);
  }

  /** The session is over, in words; empty where it is not. @param {string} words @param {string} action */
  ended(words, action) {
    set(byId("ended", HTMLElement), "hidden", words === "");
    say(byId("ended-words", HTMLElement), words);
    say(byId("ended-again", HTMLElement), action);
  }

  /** Why the server lets no line of this page through; empty where that is not known to be so. @param {string} words */
  refused(words) {
    set(byId("refused", HTMLElement), "hidden", words === "");
    say(byId("refused", HTMLElement), words);
  }

  /** @param {State} state @param {boolean} live */
  render(state, live) {
    const sites = sitesWith(Array.from(state.builds.values(), ({ site }) => site)).length;
    const mode = this.#mode ?? (sites > MANY_SITES ? "list" : "map");
    this.list.render(state, this.#selected, mode === "list");
    set(byId("list", HTMLElement), "class", mode === "list" ? "table-frame" : "table-frame sr-only");
    byId("map", SVGSVGElement).classList.toggle("off", mode !== "map");
    for (const one of ["map", "list"]) set(byId(`as-${one}`, HTMLElement), "aria-pressed", String(one === mode));
    document.body.dataset.line = live ? "live" : "down";
    if (mode === "map") this.map.render(state, this.#selected);
    this.horizon.render(state);
    this.dragons.render(state);
    steady(byId("orders", HTMLElement).querySelector(".panel-body"), () => this.orders.render(state, this.#selected, live));
    this.feed.render(state);
    set(byId("feed-empty", HTMLElement), "hidden", state.entries.length > 0);
    this.bridge.ticker.wake();
  }

  leave() {
    this.#ending.abort();
    for (const id of ["map", "list-body", "horizon", "dragons", "feed", "toasts", "site-builds", "kinds", "under-way", "site-choice"]) {
      document.getElementById(id)?.replaceChildren();
    }
    set(byId("bridge", HTMLElement), "hidden", true);
    this.ended("", "");
    this.refused("");
  }
}

// @ts-check
/**
 * Transmissions: the pushes, newest on top, grouped by minute; toasts where the feed is out of sight.
 *
 * @import { Entry, State } from "./store.js"
 * @import { Ticker } from "./ticker.js"
 */

import { byId, html, reconcile, say, set, svg } from "./dom.js";
import { delayOf, lateness, localMinute, localTime, sentence } from "./words.js";

const SHOWN = 200;
const TOAST_MS = 7000;
const TOASTS = 3;
const MATTERS = new Set(["done", "stars"]); // dragons have a banner of their own

/** The marks, on a grid of 16. @type {Record<string, string>} */
const MARKS = {
  started: "M8 2a6 6 0 0 1 6 6M8 5v3l2 2",
  done: "M8 2L14 8L8 14L2 8Z",
  cancelled: "M4 4L12 12M12 4L4 12",
  moved: "M3 5h8l-2-2M13 11H5l2 2",
  queued: "M3 4h10M3 8h10M3 12h6",
  stars: "M8 1L9.3 6.7L15 8L9.3 9.3L8 15L6.7 9.3L1 8L6.7 6.7Z",
  dragons: "M8 2L14.5 13.5H1.5ZM8 6.5V9.5M8 11.4V12",
  other: "M8 6a2 2 0 1 0 .01 0",
};

export class Feed {
  #visible = true;

  /** @param {HTMLElement} list @param {HTMLElement} toasts @param {{ticker: Ticker, titleOf: (kind: string) => string, open: () => void}} page */
  constructor(list, toasts, { ticker, titleOf, open }) {
    this.list = list;
    this.toasts = toasts;
    this.ticker = ticker;
    this.titleOf = titleOf;
    this.open = open;
    // The head of the list is what matters: whoever scrolled down does not see what comes in.
    new IntersectionObserver(([seen]) => { this.#visible = seen?.isIntersecting ?? true; }).observe(byId("feed-top", HTMLElement));
  }

  /** @param {State} state */
  render(state) {
    const now = this.ticker.now();
    /** @type {Map<string, Entry[]>} */
    const minutes = new Map();
    for (const entry of state.entries.slice(0, SHOWN)) {
      const minute = localMinute(entry.receivedAt, now);
      minutes.set(minute, [...(minutes.get(minute) ?? []), entry]);
    }
    reconcile(this.list, [...minutes], ([minute]) => minute,
      ([minute]) => html("li", { class: "minute" }, html("h3", {}, minute), html("ol", {})),
      (group, [, entries]) => reconcile(/** @type {Element} */ (group.lastElementChild), entries, ({ key }) => key, (entry) => this.#make(entry), (item, entry) => this.#update(item, entry)));
  }

  /** @param {Entry} entry */
  #make(entry) {
    const { mark } = sentence(entry, this);
    return html("li", { class: `entry ${mark}${entry.replayed ? " caught-up" : ""}`, title: `${new Date(entry.at).toISOString()}, ${lateness(delayOf(entry))}` },
      drawMark(mark), html("p", { class: "text" }),
      html("p", { class: "when" }, html("time", { datetime: new Date(entry.at).toISOString() }, localTime(entry.at)),
        html("span", { class: "late" }, lateness(delayOf(entry))), entry.replayed && html("span", { class: "tag" }, "caught up")));
  }

  /** The catalogue's titles may come after the first entries. @param {HTMLElement} item @param {Entry} entry */
  #update(item, entry) {
    const text = item.children[1];
    if (text) say(text, sentence(entry, this).text);
  }

  clearToasts() {
    this.toasts.replaceChildren();
  }

  /** A toast for what matters, where the feed would not show it. @param {Entry} entry */
  toast(entry) {
    const { mark, text } = sentence(entry, this);
    if ((this.#visible && !document.hidden) || !MATTERS.has(mark)) return;
    const toast = html("button", { type: "button", class: `toast ${mark}`, onclick: () => { toast.remove(); this.open(); } }, drawMark(mark), text);
    this.toasts.append(toast);
    while (this.toasts.childElementCount > TOASTS) this.toasts.firstElementChild?.remove();
    setTimeout(() => toast.remove(), TOAST_MS);
  }
}

/** @param {string} mark */
function drawMark(mark) {
  return svg("svg", { class: "mark", viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: MARKS[mark] ?? "" }));
}

/** What is read aloud: few things one by one, many as a number. */
export class Announcer {
  /** @type {string[]} */
  #waiting = [];

  /** @param {HTMLElement} polite @param {HTMLElement} assertive */
  constructor(polite, assertive) {
    this.polite = polite;
    this.assertive = assertive;
  }

  /** @param {string} text @param {{urgent?: boolean}} [how] */
  say(text, { urgent = false } = {}) {
    if (urgent) return say(this.assertive, text);
    this.#waiting.push(text);
    if (this.#waiting.length > 1) return;
    setTimeout(() => {
      const told = this.#waiting.splice(0);
      say(this.polite, told.length > 4 ? `${told.length} transmissions. The last: ${told.at(-1)}` : told.join(" "));
    }, 600); // what comes in one burst is read as one
  }
}

/** Unread transmissions, in the title and the icon while the tab is hidden. */
export class Attention {
  #unread = 0;

  /** @param {HTMLLinkElement} icon @param {AbortSignal} signal */
  constructor(icon, signal) {
    this.icon = icon;
    this.plain = icon.href;
    this.title = document.title;
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.#show(0); }, { signal });
  }

  noticed() {
    if (document.hidden) this.#show(this.#unread + 1);
  }

  /** @param {number} unread */
  #show(unread) {
    this.#unread = unread;
    document.title = unread > 0 ? `(${unread}) ${this.title}` : this.title;
    const drawing = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#070b15"/>' +
      '<path d="M5 27A22 22 0 0 1 27 5" fill="none" stroke="#f0b45c" stroke-width="2.5"/><circle cx="22" cy="10" r="8" fill="#ff7a4d"/></svg>';
    set(this.icon, "href", unread > 0 ? `data:image/svg+xml,${encodeURIComponent(drawing)}` : this.plain);
  }
}

// @ts-check
/**
 * A build under way as a row: bar, countdown, and what can be done about it.
 *
 * @import { Build, Queued } from "./starwake.js"
 * @import { Order } from "./store.js"
 *
 * @typedef {object} Hands What a row can set off.
 * @property {(build: Build) => void} cancel
 * @property {(build: Build) => void} speedUp
 * @property {(order: Queued) => void} withdraw
 * @property {(site: string) => void} select
 * @property {(kind: string) => string} titleOf
 * @property {(build: Build) => boolean} canSpeedUp
 */

import { html, say, set } from "./dom.js";
import { siteNamed } from "./sites.js";
import { progress } from "./store.js";
import { countdown, leftInWords, localMinute } from "./words.js";

export class BuildRow {
  /** @type {Build} */
  #build;
  #asking = false;

  /** @param {Build} build @param {Hands} hands */
  constructor(build, hands) {
    this.#build = build;
    this.hands = hands;
    this.title = html("button", { type: "button", class: "plain title", onclick: () => hands.select(build.site) });
    this.count = html("span", { class: "count", role: "timer", "aria-live": "off" });
    this.due = html("span", { class: "due" });
    this.bar = html("div", { class: "bar", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 }, html("div", { class: "fill" }));
    this.faster = html("button", { type: "button", class: "quiet", onclick: () => hands.speedUp(this.#build) }, "Speed up");
    this.stop = html("button", { type: "button", class: "quiet", onclick: () => this.#ask(true) }, "Cancel");
    this.yes = html("button", { type: "button", class: "quiet danger", onclick: () => this.#confirm() }, "Yes, call it off");
    this.no = html("button", { type: "button", class: "quiet", onclick: () => this.#ask(false) }, "Keep building");
    this.words = html("p", { class: "why" });
    this.actions = html("div", { class: "actions" }, this.due, this.faster, this.stop, this.yes, this.no);
    this.element = html("li", { class: "build", onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event) },
      html("div", { class: "head" }, this.title, this.count), this.bar, this.actions, this.words);
    this.#show();
  }

  /** @param {Build} build @param {Order | undefined} order What the player asked for about this build. @param {boolean} live */
  update(build, order, live) {
    this.#build = build;
    const { titleOf, canSpeedUp } = this.hands;
    this.title.replaceChildren(html("span", { class: "kind-name" }, titleOf(build.kind)), html("span", { class: "at" }, siteNamed(build.site).title));
    set(this.bar, "aria-label", `${titleOf(build.kind)} at ${siteNamed(build.site).title}`);
    this.speedable = canSpeedUp(build);
    this.waiting = order?.phase === "sent" || build.state !== "building";
    this.element.classList.toggle("over", build.state === "completed");
    const verb = order?.action === "cancel" ? "Calling it off" : "Asking for more hands";
    say(this.words, order?.phase === "refused" ? (order.words ?? "") : order ? `${verb}${live ? "…" : ": goes out when the line is back."}` : "");
    this.words.classList.toggle("refused", order?.phase === "refused");
    this.#show();
  }

  /** @param {number} now @returns {number} */
  draw(now) {
    const due = Date.parse(this.#build.due_at);
    const over = this.#build.state !== "building";
    const part = this.#build.state === "completed" ? 1 : progress(this.#build, now);
    const { text, holdsMs } = countdown(due - now);
    say(this.count, over ? (this.#build.state === "completed" ? "complete" : "called off") : text);
    say(this.due, `due ${localMinute(due, now)}`);
    this.bar.style.setProperty("--part", part.toFixed(5));
    set(this.bar, "aria-valuenow", Math.floor(part * 100));
    set(this.bar, "aria-valuetext", `${leftInWords(due - now)} left`);
    const stepMs = (due - Date.parse(this.#build.started_at)) / 1200; // a bar of 300 pixels, a quarter of one at a time
    if (over) return Infinity;
    return part >= 1 ? holdsMs : Math.min(holdsMs, Math.max(16, stepMs));
  }

  /** @param {boolean} asking */
  #ask(asking) {
    this.#asking = asking;
    this.#show();
    (asking ? this.no : this.stop).focus();
  }

  #confirm() {
    this.#asking = false;
    this.hands.cancel(this.#build);
    this.#show();
    this.title.focus();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key !== "Escape" || !this.#asking) return;
    event.stopPropagation();
    this.#ask(false);
  }

  #show() {
    const asking = this.#asking && !this.waiting;
    set(this.yes, "hidden", !asking);
    set(this.no, "hidden", !asking);
    set(this.due, "hidden", asking);
    set(this.stop, "hidden", asking || this.waiting);
    set(this.faster, "hidden", asking || this.waiting || !this.speedable);
  }
}

// @ts-check
/**
 * One signed-in stay: the line is opened, what it says goes into the state, and the state goes to the views.
 *
 * @import { Build, LineState, Position, Push, Queued, Upcoming } from "./starwake.js"
 * @import { Order, State } from "./store.js"
 * @import { Pass } from "./session.js"
 */

import { ServerClock } from "./clock.js";
import { whyRefused } from "./refused.js";
import { forgetJournal, keepJournal, keepOrders, rememberedJournal, rememberedOrders, signIn, tokens } from "./session.js";
import { LineClosed, Starwake, StarwakeError, newId } from "./starwake.js";
import {
  bySite, emptyState, fromJournal, speedUp, toJournal, withBuild, withOrder, withPush, withQueued, withSnapshot, withHistory, withUpcoming, withoutDragons, withoutOrder,
  withoutQueued, withoutRefusals, wouldWait,
} from "./store.js";
import { Ticker } from "./ticker.js";
import { Views } from "./views.js";
import { closeInWords, kindInWords, refusal, sentence } from "./words.js";

const PAGE = 500; // the most that the server lists at once
const STANDING_PAGES = 6; // what stands is drawn as marks and counts: the newest 3000 will do
const EVENT_PAGES = 5; // of what is to come, 100 each: the soonest are what a banner tells of
const SAMPLE_MS = 15_000;
const JOURNAL_MS = 1000;
const FRAME_MS = 12; // not an animation frame on purpose: a hidden page has none, and its title must go on

/** What was asked for, or `instead` where the server has no such command. @template T @template U @param {Promise<T>} asked @param {U} instead @returns {Promise<T | U>} */
async function unlessUnknown(asked, instead) {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof StarwakeError && error.code === "unknown_command") return instead;
    throw error;
  }
}

export class Bridge {
  /** @type {State} */
  #state = emptyState();
  #rendering = false;
  #left = false;
  #listing = 0;
  #before = /** @type {LineState["name"]} */ ("connecting"); // the line's state before the present one
  #renewed = false; // whether a token of before was already replaced after the server refused it
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #sampling;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #keeping;
  #ending = new AbortController();

  /** @param {Pass} pass @param {(words: string) => void} signedOut */
  constructor(pass, signedOut) {
    this.pass = pass;
    this.signedOut = signedOut;
    const kept = fromJournal(rememberedJournal(pass.player));
    if (kept) this.#state = kept.state;
    this.clock = new ServerClock();
    this.ticker = new Ticker(() => this.clock.now());
    this.line = new Starwake(new URL("./ws", location.href).href.replace(/^http/, "ws"), {
      token: tokens(() => this.pass, (fresh) => { this.pass = fresh; }), resume: kept?.position ?? null, commandTimeoutMs: 20_000,
    });
    this.views = new Views(this, pass.player);
    this.#listen();
    this.#resend();
    this.#open();
    this.#show();
  }

  get live() {
    return this.line.state.name === "live";
  }

  /** @param {string} kind */
  titleOf = (kind) => this.#kind(kind)?.title ?? kindInWords(kind);

  /** @param {string} kind */
  #kind = (kind) => this.#state.kinds.find((one) => one.kind === kind);

  /** @param {Build} build */
  canSpeedUp = (build) => speedUp(build, this.#kind(build.kind), this.clock.now()) !== null;

  /** Ends the stay. */
  leave() {
    if (this.#left) return;
    this.#keep();
    this.#left = true;
    this.#ending.abort();
    clearTimeout(this.#sampling);
    this.line.close();
    this.ticker.stop();
    this.views.leave();
  }

  /** Signs out on the player's own wish: nothing of theirs stays behind. */
  signOut() {
    this.leave();
    forgetJournal(this.pass.player);
    this.signedOut("");
  }

  // ---- what the line says --------------------------------------------------------------------------

  #listen() {
    const { line, clock } = this;
    line.on("state", (state) => this.#lineIs(state));
    line.on("roundtrip", (trip) => { clock.sample(trip); this.ticker.wake(); });
    line.on("servertime", (told) => { clock.hint(told); this.ticker.wake(); });
    line.on("hello", (hello) => {
      this.#renewed = false;
      this.views.named(hello.player);
      if (!this.#state.loaded || hello.recovered !== true) void this.#refresh();
      else void this.#catalogue();
    });
    line.on("reset", ({ reason }) => { if (reason === "gap") void this.#refresh(); }); // where it was not recovered, hello says so
    line.on("resumed", ({ missed }) => this.views.line.resumed(missed));
    line.on("push", (push) => this.#told(push));
    line.on("position", () => { this.#keeping ??= setTimeout(() => this.#keep(), JOURNAL_MS); });
    const signal = this.#ending.signal;
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.#awake(); }, { signal });
    globalThis.addEventListener("online", () => this.#awake(), { signal });
    globalThis.addEventListener("pagehide", () => this.#keep(), { signal });
  }

  #open() {
    // How it ends is told by the state; the promise is for those who wait for it.
    this.line.open().catch((error) => { if (!(error instanceof LineClosed)) throw error; });
  }

  #awake() {
    this.line.reconnect();
    if (this.live) this.#sample(1);
  }

  /** @param {LineState} state */
  #lineIs(state) {
    if (this.#left) return;
    this.views.line.render(state);
    if (state.name === "live" || state.name === "closed") this.views.refused("");
    else if (state.name === "waiting" && state.code === 1006 && this.#before !== "live") void this.#ask();
    this.#before = state.name;
    if (state.name === "live") this.#sample(3);
    if (state.name === "closed") {
      if (state.code === 4500 && !this.pass.pasted && !this.#renewed) return void this.#renew();
      this.views.ended(closeInWords(state.code, state.reason), state.code === 4504 ? "Take over here" : "Sign in again");
    } else {
      this.views.ended("", "");
    }
    this.#show();
  }

  /** A line broke before it was open, which a browser gives no reason for: the server is asked for one. */
  async #ask() {
    const words = await whyRefused();
    if (!this.#left && !this.live) this.views.refused(words);
  }

  /** A remembered token no longer holds (the server has other keys, say): one try with a fresh one. */
  async #renew() {
    this.#renewed = true;
    try {
      this.pass = await signIn(this.pass.player);
    } catch {
      return this.views.ended(closeInWords(4500, ""), "Sign in again"); // whatever it was, signing in is what helps
    }
    if (!this.#left) this.#open();
  }

  /** The player answers to the end of a session. */
  again() {
    if (this.line.state.name === "closed" && this.line.state.code === 4504) return this.#open();
    this.signedOut("");
  }

  /** Asks for everything; what comes meanwhile is newer than the listing and stays. */
  async #refresh() {
    const listing = ++this.#listing;
    const begun = this.#state;
    try {
      const [kinds, building, standing, queued, pushes, events] = await Promise.all([
        this.line.catalogue(), this.#list("building", Infinity), this.#list("completed", STANDING_PAGES), this.#waiting(),
        this.#pushed(), this.#toCome()]);
      if (listing !== this.#listing) return;
      const epoch = this.line.position?.epoch ?? "";
      this.#change((state) => withUpcoming(
        withHistory(withSnapshot({ ...state, kinds, limit: null }, [...building, ...standing], begun, queued), pushes, epoch), events));
    } catch (error) {
      if (!(error instanceof StarwakeError)) throw error;
      if (listing !== this.#listing || this.#left || this.line.state.name === "closed") return;
      setTimeout(() => { if (listing === this.#listing && !this.#left) void this.#refresh(); }, 3000);
    }
  }

  /** @param {"building" | "completed"} state @param {number} pages */
  async #list(state, pages) {
    /** @type {Build[]} */
    const builds = [];
    let after = /** @type {string | null} */ (null);
    for (let page = 0; page < pages; page += 1) {
      const listed = await this.line.buildList({ state, limit: PAGE, ...(after === null ? {} : { after }) });
      builds.push(...listed.builds);
      after = listed.next;
      if (after === null) break;
    }
    return builds;
  }

  /** What was told before, in both feeds. */
  async #pushed() {
    const pages = await Promise.all([this.line.feedList({ feed: "player" }), this.line.feedList({ feed: "all" })].map((page) => unlessUnknown(page, { pushes: [] })));
    return pages.flatMap(({ pushes }) => pushes);
  }

  /** What is announced and still to come. */
  async #toCome() {
    /** @type {Upcoming[]} */
    const events = [];
    let after = /** @type {string | null} */ (null);
    for (let page = 0; page < EVENT_PAGES; page += 1) {
      const listed = await unlessUnknown(this.line.eventList(after === null ? {} : { after }), { events: [], next: null });
      events.push(...listed.events);
      after = listed.next;
      if (after === null) break;
    }
    return events;
  }

  async #waiting() {
    return unlessUnknown(this.line.buildQueued(), []); // a game without queues
  }

  async #catalogue() {
    try {
      const kinds = await this.line.catalogue();
      this.#change((state) => ({ ...state, kinds }));
    } catch (error) {
      if (!(error instanceof StarwakeError)) throw error; // the one from before still holds
    }
  }

  /** @param {Push} push */
  #told(push) {
    const before = this.#state;
    const receivedAt = this.clock.now();
    this.#change((state) => withPush(state, push, receivedAt, this.line.position?.epoch ?? ""));
    const entry = this.#state.entries[0];
    if (!entry || this.#state.entries === before.entries) return;
    const { mark, text } = sentence(entry, this);
    this.views.told(entry, text, mark === "dragons");
  }

  /** Measures the way to the server, a few times at first, then now and then. @param {number} times */
  #sample(times) {
    clearTimeout(this.#sampling);
    if (this.#left || !this.live || document.hidden) return;
    this.line.time({ timeoutMs: 5000 }).catch((error) => { if (!(error instanceof StarwakeError)) throw error; });
    this.#sampling = setTimeout(() => this.#sample(times - 1), times > 1 ? 200 : SAMPLE_MS);
  }

  // ---- what the player wants -----------------------------------------------------------------------

  /** @param {string} kind @param {string} site */
  start = (kind, site) => {
    const ordered = this.#kind(kind);
    const waits = ordered !== undefined && wouldWait(ordered, bySite(this.#state).get(site));
    this.#order({ id: newId(), action: waits ? "queue" : "start", kind, site, phase: "sent", ...(ordered?.command ? { command: ordered.command } : {}) });
  };

  /** @param {Build} build */
  cancel = ({ id, kind, site }) => this.#order({ id: newId(), action: "cancel", kind, site, buildId: id, phase: "sent" });

  /** @param {Build} build */
  speedUp = (build) => {
    const change = speedUp(build, this.#kind(build.kind), this.clock.now());
    if (change) this.#order({ id: newId(), action: "speed", kind: build.kind, site: build.site, buildId: build.id, change, phase: "sent" });
  };

  /** @param {Queued} order */
  withdraw = ({ id, kind, site }) => this.#order({ id: newId(), action: "withdraw", kind, site, buildId: id, phase: "sent" });

  /** @param {string} id */
  dismiss = (id) => this.#change((state) => withoutDragons(state, id));

  forgetRefusals() {
    this.#change(withoutRefusals);
  }

  /** @param {Order} order */
  #order(order) {
    this.#change((state) => withOrder(withoutRefusals(state), order));
    void this.#send(order);
  }

  /** Orders of before a reload go out again under their ids: those that got through give the same outcome. */
  #resend() {
    const orders = /** @type {Order[]} */ (rememberedOrders()).filter(({ phase }) => phase === "sent");
    // The line has to be opening for them to wait in it, so a moment later.
    queueMicrotask(() => { for (const order of orders) this.#order(order); });
  }

  /** @param {Order} order */
  async #send(order) {
    try {
      const { build, queued } = await this.#carryOut(order);
      this.#change((state) => {
        const settled = withBuild(withoutOrder(state, order.id), build);
        return order.action === "withdraw" ? withoutQueued(settled, order.buildId ?? "") : withQueued(settled, queued);
      });
    } catch (error) {
      if (!(error instanceof StarwakeError)) throw error;
      if (this.#left) return; // kept for the next time
      const words = refusal(error.code, { site: order.site, kind: order.kind, message: error.message, waits: order.action === "queue" });
      const busy = [...this.#state.builds.values()].filter(({ state }) => state === "building").length;
      this.#change((state) => withOrder({ ...state, limit: error.code === "limit_reached" && order.action === "start" ? busy : state.limit }, { ...order, phase: "refused", words }));
      this.views.announcer.say(words);
    }
  }

  /** @param {Order} order @returns {Promise<{build?: Build, queued?: Queued}>} */
  async #carryOut({ id, action, kind, site, buildId = "", change = { factor: 0.5 }, command = "build.start" }) {
    const options = { id, timeoutMs: Infinity }; // a line that is down for an hour loses no order
    switch (action) {
      case "start": return this.line.command(command, { kind, site }, options);
      case "queue": return this.line.buildQueue(kind, site, options);
      case "withdraw": return { queued: await this.line.buildUnqueue(buildId, options) };
      case "cancel": return { build: await this.line.buildCancel(buildId, options) };
      default: return { build: await this.line.buildReschedule(buildId, change, options) };
    }
  }

  // ---- the state, and who sees it ------------------------------------------------------------------

  /** @param {(state: State) => State} step */
  #change(step) {
    const before = this.#state;
    this.#state = step(before);
    if (this.#state === before) return;
    if (this.#state.orders !== before.orders && !this.#left) keepOrders(this.#state.orders);
    this.#show();
  }

  /** Two hundred pushes in one moment are drawn once. */
  #show() {
    if (this.#rendering || this.#left) return;
    this.#rendering = true;
    setTimeout(() => {
      this.#rendering = false;
      if (!this.#left) this.views.render(this.#state, this.live);
    }, FRAME_MS);
  }

  show() {
    this.#show();
  }

  #keep() {
    clearTimeout(this.#keeping);
    this.#keeping = undefined;
    const position = /** @type {Position | null} */ (this.line.position);
    if (position && !this.#left) keepJournal(this.pass.player, toJournal(this.#state, position));
  }
}

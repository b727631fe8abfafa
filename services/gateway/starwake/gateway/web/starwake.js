// @ts-check
/**
 * The Starwake client: one WebSocket, commands as promises, pushes as events, nothing lost over a reconnect.
 *
 * No dependency; runs in browsers and in Node.js given a WebSocket constructor. The types and the description
 * of each member are in `starwake.d.ts`; the protocol behind it is Starwake's WebSocket protocol, v1.
 *
 * @import {
 *   BuildPage, CommandOptions, EventPage, FeedPage, Hello, LineState, Position, Push, Queued, StarwakeOptions, TokenReason, WebSocketLike
 * } from "./starwake.d.ts"
 *
 * @typedef {object} Pending One command that has no answer yet.
 * @property {string} id
 * @property {string} name
 * @property {string} frame What goes over the line, the same at every try.
 * @property {(answer: any) => void} resolve
 * @property {(error: Error) => void} reject
 * @property {Promise<any>} promise
 * @property {boolean} sent Whether it went out on the present connection.
 * @property {number} tries
 * @property {number} sentAt Milliseconds of `performance.now()`.
 * @property {number} notBefore The same clock: the server asked to wait until then.
 * @property {ReturnType<typeof setTimeout> | undefined} deadline
 * @property {ReturnType<typeof setTimeout> | undefined} retry
 */

const SHORTEST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 20_000;
const HELLO_TIMEOUT_MS = 15_000;
const TOKEN_TIMEOUT_MS = 15_000;
const LONGEST_TIMER_MS = 2 ** 31 - 1; // setTimeout takes a signed 32-bit number and fires at once beyond it
const OWN_CLOSE = 4000; // a browser lets an application close with 1000 or 3000-4999 only
const UNREADABLE = "unreadable"; // the event of a push that was stored as something else: passed over
const PLACE = /^\{"type":"push",(?:"feed":"(all)",)?"seq":(\d+),"prev":(\d+)[,}]/;
const STOPPING_CODES = new Set([1002, 1003, 1007, 1008, 1009, 1010]); // each says that we would do it again

export class StarwakeError extends Error {
  /** @param {string} code @param {string} message */
  constructor(code, message) {
    super(message);
    this.name = new.target.name;
    this.code = code;
  }
}

export class CommandRefused extends StarwakeError {
  /** @param {string} id @param {string} command @param {string} code @param {string} message */
  constructor(id, command, code, message) {
    super(code, message);
    this.id = id;
    this.command = command;
  }
}

export class CommandTimeout extends StarwakeError {
  /** @param {string} id @param {string} command */
  constructor(id, command) {
    super("timeout", `no answer to ${command} in time; the same id may be tried again`);
    this.id = id;
    this.command = command;
  }
}

export class LineClosed extends StarwakeError {
  /** @param {number} closeCode @param {string} reason */
  constructor(closeCode, reason) {
    super("closed", reason || `the line was closed with ${closeCode}`);
    this.closeCode = closeCode;
  }
}

export class SignInRequired extends StarwakeError {
  constructor(message = "a new sign-in is needed") {
    super("sign_in_required", message);
  }
}

/** @type {typeof import("./starwake.d.ts").afterClose} */
export function afterClose(code) {
  return STOPPING_CODES.has(code) || (code >= 4500 && code <= 4999) ? "stop" : "reconnect";
}

/** @type {typeof import("./starwake.d.ts").reconnectDelayMs} */
export function reconnectDelayMs(attempt, random) {
  const ceiling = Math.min(LONGEST_DELAY_MS, SHORTEST_DELAY_MS * 2 ** Math.max(1, attempt));
  return SHORTEST_DELAY_MS + random() * (ceiling - SHORTEST_DELAY_MS);
}

/** @type {typeof import("./starwake.d.ts").judge} */
export function judge(position, frame) {
  const last = frame.feed === "all" ? position.all : position.seq;
  if (frame.seq <= last) return "seen";
  return frame.prev === 0 || frame.prev === last ? "next" : "gap";
}

export const newId = () =>
  globalThis.crypto.randomUUID?.() ?? // absent where a page comes over plain http from another machine
  Array.from(globalThis.crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** @param {Promise<any>} promise @param {number} milliseconds @param {() => Error} late */
function within(promise, milliseconds, late) {
  /** @type {ReturnType<typeof setTimeout>} */
  let timer;
  const alarm = new Promise((_, reject) => { timer = setTimeout(() => reject(late()), milliseconds); });
  return Promise.race([promise, alarm]).finally(() => clearTimeout(timer));
}

export class Starwake {
  /** @type {Map<string, Set<(data: any) => void>>} */
  #listeners = new Map();
  /** @type {Map<string, Pending>} */
  #pending = new Map();
  /** @type {WebSocketLike | null} */
  #socket = null;
  /** @type {LineState} */
  #state = { name: "closed", code: 1000, reason: "not opened yet" };
  /** @type {Position | null} */
  #position;
  /** @type {Hello | null} */
  #hello = null;
  /** @type {{seq: number, all: number, missed: number} | null} */
  #replay = null;
  /** @type {{resolve: (hello: Hello) => void, reject: (error: Error) => void}[]} */
  #opening = [];
  /** @type {{reconnect: boolean, delayMs: number | null} | null} */
  #bye = null;
  #timers = /** @type {Record<string, ReturnType<typeof setTimeout> | undefined>} */ ({});
  #dialled = 0; // numbers the attempts, so that what an earlier one still brings is ignored
  #attempt = 0;
  #authId = "";
  #asked = false; // whether this connection asked to resume
  #tokenReason = /** @type {TokenReason} */ ("connect");
  #lastToken = "";
  #gapAt = 0; // the push at which a hole was seen; seen there again, the server has nothing older
  #told = { seq: 0, all: 0 }; // the positions that the last ping told: by the next one they must be reached
  #allowance = { tokens: 20, perSecond: 10, burst: 20, at: 0 };

  /** @param {string} url @param {StarwakeOptions} options */
  constructor(url, options) {
    const Socket = options.WebSocket ?? globalThis.WebSocket;
    if (!Socket) throw new StarwakeError("no_websocket", "pass a WebSocket constructor: this runtime has none");
    this.url = url;
    this.options = { commandTimeoutMs: 30_000, replyTimeoutMs: 5_000, random: Math.random, ...options, WebSocket: Socket };
    this.#position = options.resume ?? null;
  }

  /** @param {string} url @param {StarwakeOptions & {timeoutMs?: number}} options */
  static async connect(url, { timeoutMs = 30_000, ...options }) {
    const line = new Starwake(url, options);
    try {
      await within(line.open(), timeoutMs, () => new StarwakeError("timeout", `${url} did not answer in time`));
    } catch (error) {
      line.close();
      throw error;
    }
    return line;
  }

  get state() { return this.#state; }
  get position() { return this.#position; }
  get hello() { return this.#hello; }
  get player() { return this.#hello?.player ?? null; }

  /** @returns {Promise<Hello>} */
  open() {
    if (this.#state.name === "live" && this.#hello) return Promise.resolve(this.#hello);
    const opened = new Promise((resolve, reject) => this.#opening.push({ resolve, reject }));
    if (this.#state.name === "closed") {
      this.#attempt = 0;
      void this.#dial();
    }
    return opened;
  }

  close() {
    const socket = this.#release();
    this.#stop(1000, "closed by the client");
    socket?.close(1000);
  }

  reconnect() {
    if (this.#state.name === "waiting") void this.#dial();
  }

  /** @param {string} name @param {(data: any) => void} listener */
  on(name, listener) {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /** @param {string} name @param {unknown} data */
  #emit(name, data) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        listener(data);
      } catch (error) { // a listener's mistake is reported as uncaught, and must not end the line
        queueMicrotask(() => { throw error; });
      }
    }
  }

  /** @param {LineState} state */
  #become(state) {
    this.#state = state;
    this.#emit("state", state);
  }

  // ---- the connection -------------------------------------------------------------------------------

  async #dial() {
    this.#release();
    const dialled = this.#dialled;
    this.#attempt += 1;
    this.#become({ name: "connecting", attempt: this.#attempt });
    let token;
    try {
      token = await this.#token(this.#tokenReason);
    } catch (error) {
      if (dialled !== this.#dialled) return;
      const reason = error instanceof Error ? error.message : String(error);
      return error instanceof SignInRequired ? this.#stop(4005, reason) : this.#wait(1006, reason);
    }
    if (dialled !== this.#dialled) return;
    // A token that ran out once will not hold the next time: without this a forgotten tab would knock for ever.
    if (this.#tokenReason === "expired" && token === this.#lastToken) return this.#stop(4005, "the token has expired");
    this.#lastToken = token;
    const socket = new this.options.WebSocket(this.url, ["starwake.v1"]);
    this.#socket = socket;
    socket.onopen = () => this.#authenticate(token);
    socket.onmessage = (/** @type {{data: any}} */ event) => this.#receive(event.data);
    socket.onclose = (/** @type {{code: number, reason: string}} */ event) => this.#lost(event.code, event.reason);
    socket.onerror = () => {}; // a close follows, and tells more
    this.#timers.watch = setTimeout(() => this.#drop("no hello in time"), HELLO_TIMEOUT_MS);
  }

  /** @param {TokenReason} why @returns {Promise<string>} */
  async #token(why) {
    const { token } = this.options;
    const given = typeof token === "string" ? token : Promise.resolve().then(() => token(why));
    const answer = await within(Promise.resolve(given), TOKEN_TIMEOUT_MS, () => new StarwakeError("timeout", "no token in time"));
    if (typeof answer !== "string" || answer === "") throw new StarwakeError("no_token", "the token callback gave no token");
    return answer;
  }

  /** @param {string} token */
  #authenticate(token) {
    const position = this.#position;
    this.#asked = position !== null;
    this.#authId = newId();
    this.#write({ id: this.#authId, command: "auth", args: position ? { token, resume: position } : { token } });
  }

  /** Lets go of the present connection: whatever it still brings is ignored. */
  #release() {
    const socket = this.#socket;
    this.#socket = null;
    this.#dialled += 1;
    this.#bye = null;
    this.#replay = null;
    this.#told = { seq: 0, all: 0 };
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    for (const pending of this.#pending.values()) {
      clearTimeout(pending.retry);
      pending.sent = false;
    }
    if (socket) socket.onopen = socket.onmessage = socket.onclose = null;
    return socket;
  }

  /** Gives a connection up that serves no more, without waiting for its close. @param {string} reason */
  #drop(reason) {
    const socket = this.#socket;
    this.#lost(OWN_CLOSE, reason);
    socket?.close(OWN_CLOSE, reason.slice(0, 120));
  }

  /** @param {number} code @param {string} reason */
  #lost(code, reason) {
    const bye = this.#bye;
    this.#release();
    if (bye ? !bye.reconnect : afterClose(code) === "stop") return this.#stop(code, reason);
    this.#tokenReason = code === 4005 ? "expired" : "connect";
    if (code === 4013) this.#attempt = Math.max(this.#attempt, 4); // we were too fast: start with long waits
    this.#wait(code, reason, bye?.delayMs ?? null);
  }

  /** @param {number} code @param {string} reason @param {number | null} askedMs */
  #wait(code, reason, askedMs = null) {
    const delayMs = askedMs ?? reconnectDelayMs(this.#attempt, this.options.random);
    this.#timers.dial = setTimeout(() => void this.#dial(), delayMs);
    this.#become({ name: "waiting", code, reason, since: performance.now(), delayMs, attempt: this.#attempt });
  }

  /** @param {number} code @param {string} reason */
  #stop(code, reason) {
    this.#release();
    const error = new LineClosed(code, reason);
    for (const pending of [...this.#pending.values()]) this.#settle(pending, () => pending.reject(error));
    for (const { reject } of this.#opening.splice(0)) reject(error);
    if (this.#state.name !== "closed") this.#become({ name: "closed", code, reason });
  }

  /** @param {object} frame */
  #write(frame) {
    if (this.#socket?.readyState === 1) this.#socket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  // ---- what the server says -------------------------------------------------------------------------

  /** @param {unknown} text */
  #receive(text) {
    let frame;
    try {
      frame = JSON.parse(String(text));
    } catch {
      const place = PLACE.exec(String(text)); // a push that cannot be read keeps its place: asked again, it would come again
      if (!place) return this.#drop("the server sent what is no JSON");
      frame = { type: "push", event: UNREADABLE, feed: place[1], seq: Number(place[2]), prev: Number(place[3]) };
    }
    if (frame === null || typeof frame !== "object") return;
    if (this.#hello && this.#state.name === "live") this.#watch();
    if (frame.type === "push") this.#push(frame);
    else if (frame.type === "reply" || frame.type === "error") this.#answer(frame);
    else if (frame.type === "hello") this.#welcome(frame);
    else if (frame.type === "ping") this.#ping(frame);
    else if (frame.type === "bye") this.#bye = { reconnect: frame.reconnect !== false, delayMs: frame.reconnect_after_ms ?? null };
  }

  /** The server's pings are life signs: two missed, and the line is dead whatever the socket thinks. */
  #watch() {
    clearTimeout(this.#timers.watch);
    const interval = (this.#hello?.ping_interval_s || 25) * 1000;
    this.#timers.watch = setTimeout(() => this.#drop("no life sign"), 2 * interval + 1000);
  }

  /** @param {Hello} hello */
  #welcome(hello) {
    const receivedAt = performance.now();
    this.#hello = hello;
    this.#tokenReason = "connect";
    const { commands_per_s: perSecond = 10, burst = 20 } = hello.limits ?? {};
    this.#allowance = { tokens: burst, perSecond, burst, at: receivedAt };
    const kept = hello.recovered === true ? this.#position : null;
    const all = hello.all ?? 0;
    this.#position = kept ?? { epoch: hello.epoch, seq: hello.seq, all, at: hello.server_time };
    if (kept) this.#replay = { seq: hello.seq, all, missed: 0 };
    this.#watch();
    this.#scheduleRefresh(hello.token_expires_at, hello.server_time);
    // Only a line that held for a while clears the count: one that is closed right after each hello backs off, too.
    this.#timers.settle = setTimeout(() => { this.#attempt = 0; this.#gapAt = 0; }, 10_000);
    this.#emit("servertime", { serverTime: hello.server_time, receivedAt });
    this.#emit("hello", hello);
    this.#become({ name: "live", session: hello.session });
    if (this.#asked && !kept) this.#emit("reset", { reason: "not recovered" });
    this.#endReplay();
    this.#emit("position", this.#position);
    for (const { resolve } of this.#opening.splice(0)) resolve(hello);
    this.#flush();
  }

  /** @param {any} frame */
  #push(frame) {
    const position = this.#position;
    if (!position) return;
    const feed = frame.feed === "all" ? "all" : "player";
    const verdict = judge(position, frame);
    if (verdict === "seen") return;
    if (verdict === "gap") {
      this.#emit("gap", { feed, expected: feed === "all" ? position.all : position.seq, got: frame.prev });
      if (this.#gapAt !== frame.seq) { // the hole is filled by asking again from where we stand
        this.#gapAt = frame.seq;
        return this.#drop("a push is missing");
      }
      this.#emit("reset", { reason: "gap" }); // asked once, and the server has no more: go on from here
    }
    const replay = this.#replay;
    const replayed = replay !== null && frame.seq <= (feed === "all" ? replay.all : replay.seq);
    if (replay && replayed) replay.missed += 1;
    // While a replay runs, `at` stays: it speaks for both feeds, and the other one may still lie behind.
    const at = replay === null ? (frame.at ?? position.at) : position.at;
    this.#position = { ...position, [feed === "all" ? "all" : "seq"]: frame.seq, at };
    if (typeof frame.event !== "string" || frame.event === UNREADABLE) {
      this.#endReplay();
      this.#emit("position", this.#position);
      return;
    }
    /** @type {Push} */
    const push = { event: frame.event, data: frame.data ?? {}, seq: frame.seq, prev: frame.prev, feed, at: frame.at, replayed };
    this.#emit("push", push);
    if (push.event.includes(".")) this.#emit(push.event, push);
    this.#endReplay();
    this.#emit("position", this.#position);
  }

  #endReplay() {
    const { seq, all } = this.#position ?? { seq: 0, all: 0 };
    if (!this.#replay || seq < this.#replay.seq || all < this.#replay.all) return;
    const { missed } = this.#replay;
    this.#replay = null;
    this.#emit("resumed", { missed });
  }

  /** @param {{seq?: number, all?: number, server_time?: string}} frame */
  #ping(frame) {
    this.#write({ command: "pong" });
    if (frame.server_time) this.#emit("servertime", { serverTime: frame.server_time, receivedAt: performance.now() });
    // The feed's last push can be lost without another behind it to show the hole; two pings in a row show it.
    const { seq, all } = this.#position ?? { seq: 0, all: 0 };
    if (this.#told.seq > seq || this.#told.all > all) return this.#drop("a feed stands still");
    this.#told = { seq: frame.seq ?? 0, all: frame.all ?? 0 };
  }

  // ---- commands -------------------------------------------------------------------------------------

  /** @param {string} name @param {Record<string, unknown>} args @param {CommandOptions} options @returns {Promise<any>} */
  command(name, args = {}, { id = newId(), timeoutMs = this.options.commandTimeoutMs } = {}) {
    const same = this.#pending.get(id);
    const frame = JSON.stringify({ id, command: name, args });
    if (same) return same.frame === frame ? same.promise : Promise.reject(new CommandRefused(id, name, "id_reused", "this id is under way"));
    if (this.#state.name === "closed") return Promise.reject(new LineClosed(this.#state.code, this.#state.reason));
    const limit = this.#hello?.limits?.max_frame_bytes ?? 65_536;
    if (new TextEncoder().encode(frame).length > limit) {
      return Promise.reject(new CommandRefused(id, name, "bad_request", `a command holds at most ${limit} bytes`));
    }
    /** @type {Pending} */
    const pending = { id, name, frame, sent: false, tries: 0, sentAt: 0, notBefore: 0, deadline: undefined, retry: undefined,
      resolve: () => {}, reject: () => {}, promise: Promise.resolve() };
    pending.promise = new Promise((resolve, reject) => Object.assign(pending, { resolve, reject }));
    if (timeoutMs <= LONGEST_TIMER_MS) {
      pending.deadline = setTimeout(() => this.#settle(pending, () => pending.reject(new CommandTimeout(id, name))), timeoutMs);
    }
    this.#pending.set(id, pending);
    this.#flush();
    return pending.promise;
  }

  /** Sends what waits, oldest first, no faster than the server allows. */
  #flush() {
    clearTimeout(this.#timers.flush);
    if (this.#state.name !== "live") return;
    const now = performance.now();
    const pace = this.#allowance;
    pace.tokens = Math.min(pace.burst, pace.tokens + ((now - pace.at) / 1000) * pace.perSecond);
    pace.at = now;
    let wakeInMs = Infinity;
    for (const pending of this.#pending.values()) {
      if (pending.sent) continue;
      const waitMs = Math.max(pending.notBefore - now, pace.tokens < 1 ? (1 - pace.tokens) * (1000 / pace.perSecond) : 0);
      if (waitMs > 0) {
        wakeInMs = Math.min(wakeInMs, waitMs);
        continue;
      }
      pace.tokens -= 1;
      this.#transmit(pending, now);
    }
    if (wakeInMs < Infinity) this.#timers.flush = setTimeout(() => this.#flush(), Math.ceil(wakeInMs));
  }

  /** @param {Pending} pending @param {number} now */
  #transmit(pending, now) {
    Object.assign(pending, { sent: true, sentAt: now, tries: pending.tries + 1 });
    this.#write(/** @type {any} */ (pending.frame));
    pending.retry = setTimeout(() => { pending.sent = false; this.#flush(); }, this.options.replyTimeoutMs * pending.tries);
  }

  /** @param {{type: string, id: string | null, result?: any, error?: any}} frame */
  #answer(frame) {
    if (frame.id === this.#authId && this.#state.name === "connecting") return this.#drop(frame.error?.message ?? "not let in");
    const pending = frame.id === null ? undefined : this.#pending.get(frame.id);
    if (!pending) return; // settled before: the answer to an earlier try
    const receivedAt = performance.now();
    if (frame.type === "reply") {
      if (pending.name === "time" && pending.tries === 1 && frame.result?.server_time) {
        this.#emit("roundtrip", { sentAt: pending.sentAt, receivedAt, serverTime: frame.result.server_time });
      }
      return this.#settle(pending, () => pending.resolve(frame.result));
    }
    const { code = "internal", message = "", retry_after_ms: retryMs = null } = frame.error ?? {};
    if (code !== "unavailable" && code !== "rate_limited") {
      return this.#settle(pending, () => pending.reject(new CommandRefused(pending.id, pending.name, code, message)));
    }
    clearTimeout(pending.retry);
    pending.sent = false;
    pending.notBefore = receivedAt + (retryMs ?? reconnectDelayMs(pending.tries, this.options.random));
    this.#flush();
  }

  /** @param {Pending} pending @param {() => void} conclude */
  #settle(pending, conclude) {
    clearTimeout(pending.deadline);
    clearTimeout(pending.retry);
    this.#pending.delete(pending.id);
    conclude();
  }

  // ---- the token ------------------------------------------------------------------------------------

  /** Refreshes after four fifths of what is left, at the latest two minutes before the end. @param {string | null} expiresAt @param {string} serverTime */
  #scheduleRefresh(expiresAt, serverTime) {
    clearTimeout(this.#timers.refresh);
    if (!expiresAt || typeof this.options.token === "string") return;
    const leftMs = Date.parse(expiresAt) - Date.parse(serverTime); // both the server's: our own clock has no say
    const delayMs = Math.max(0, leftMs - Math.min(120_000, leftMs / 5));
    const endsAt = performance.now() + leftMs;
    this.#timers.refresh = setTimeout(() => void this.#refresh(endsAt), Math.min(delayMs, LONGEST_TIMER_MS));
  }

  /** @param {number} endsAt On the clock of `performance.now()`. */
  async #refresh(endsAt) {
    const dialled = this.#dialled;
    try {
      const token = await this.#token("refresh");
      if (dialled !== this.#dialled) return;
      const result = await this.command("auth.refresh", { token }, { timeoutMs: 10_000 });
      this.#lastToken = token;
      if (dialled !== this.#dialled) return;
      const now = await this.time({ timeoutMs: 10_000 });
      this.#scheduleRefresh(result.token_expires_at, now);
    } catch (error) {
      // Told by the close that follows if none of the tries gets through: 4005, then a reconnect with a new token.
      if (dialled !== this.#dialled || error instanceof SignInRequired) return;
      const leftMs = Math.max(0, endsAt - performance.now());
      this.#timers.refresh = setTimeout(() => void this.#refresh(endsAt), Math.max(1000, leftMs / 4));
    }
  }

  // ---- the commands by name -------------------------------------------------------------------------

  /** @param {string} kind @param {string} site @param {CommandOptions} [options] */
  async buildStart(kind, site, options) {
    return (await this.command("build.start", { kind, site }, options)).build;
  }

  /** @param {string} buildId @param {CommandOptions} [options] */
  async buildCancel(buildId, options) {
    return (await this.command("build.cancel", { build_id: buildId }, options)).build;
  }

  /** @param {string} buildId @param {{dueAt: string} | {factor: number}} change @param {CommandOptions} [options] */
  async buildReschedule(buildId, change, options) {
    const how = "dueAt" in change ? { due_at: change.dueAt } : { factor: change.factor };
    return (await this.command("build.reschedule", { build_id: buildId, ...how }, options)).build;
  }

  /** @param {string} kind @param {string} site @param {CommandOptions} [options] */
  buildQueue(kind, site, options) {
    return this.command("build.queue", { kind, site }, options);
  }

  /** @param {string} id @param {CommandOptions} [options] */
  async buildUnqueue(id, options) {
    return (await this.command("build.unqueue", { build_id: id }, options)).queued;
  }

  /** @param {CommandOptions} [options] @returns {Promise<readonly Queued[]>} */
  async buildQueued(options) {
    const all = [];
    for (let args = {}; ;) {
      const { queued, next } = await this.command("build.queued", args, options);
      all.push(...queued);
      if (next == null) return all; // the last page; servers before pages give none
      args = { after: next };
    }
  }

  /** @param {{state?: string, limit?: number, after?: string}} [filter] @param {CommandOptions} [options] @returns {Promise<BuildPage>} */
  buildList(filter = {}, options) {
    return this.command("build.list", filter, options);
  }

  /** @param {{limit?: number, after?: string}} [filter] @param {CommandOptions} [options] @returns {Promise<EventPage>} */
  eventList(filter = {}, options) {
    return this.command("event.list", filter, options);
  }

  /** @param {{feed?: "player" | "all", limit?: number, before?: number}} [filter] @param {CommandOptions} [options] @returns {Promise<FeedPage>} */
  async feedList(filter = {}, options) {
    const page = await this.command("feed.list", filter, options);
    return { ...page, pushes: page.pushes.map((/** @type {any} */ push) => ({ feed: "player", ...push, replayed: true })) };
  }

  /** @param {CommandOptions} [options] */
  async catalogue(options) {
    return (await this.command("catalogue.list", {}, options)).kinds;
  }

  /** @param {CommandOptions} [options] @returns {Promise<string>} */
  async time(options) {
    return (await this.command("time", {}, options)).server_time;
  }
}

// The declarations of starwake.d.ts and what stands here are held against each other at this line.
void (/** @satisfies {typeof import("./starwake.d.ts")} */ ({
  Starwake, StarwakeError, CommandRefused, CommandTimeout, LineClosed, SignInRequired, newId, afterClose, reconnectDelayMs, judge,
}));

/** The Starwake client for browsers and Node.js 20 or newer: what `starwake.js` offers, with types. */

export type BuildState = "building" | "completed" | "cancelled";

/** One order's row. All times are RFC 3339 in UTC with milliseconds. */
export interface Build {
  readonly id: string;
  readonly kind: string;
  readonly site: string;
  readonly state: BuildState;
  /** Grows with each change; what bears a lower one is older. */
  readonly revision: number;
  readonly started_at: string;
  readonly due_at: string;
  readonly completed_at: string | null;
  readonly cancelled_at: string | null;
}

/** One entry of the catalogue. Only the first three are always there. */
export interface Kind {
  readonly kind: string;
  readonly title: string;
  /** Seconds from order to completion as they count now, a time scale applied. */
  readonly duration_s: number;
  readonly description?: string | null;
  readonly category?: string | null;
  readonly requires?: readonly string[] | null;
  readonly reschedulable?: boolean | null;
  /** How far a build may be moved, as shares of its duration. */
  readonly reschedule?: { readonly min_factor: number; readonly max_factor: number } | null;
  /** The command that starts it; `build.start` where this is left out. */
  readonly command?: string | null;
}

/** An order that waits for its site; `id` becomes the build's. */
export interface Queued {
  readonly id: string;
  readonly kind: string;
  readonly site: string;
  readonly duration_s: number;
  readonly queued_at: string;
}

export interface BuildPage {
  readonly builds: readonly Build[];
  /** Hand this over as `after` for the next page; null on the last. */
  readonly next: string | null;
}

/** How far the client has handled both feeds; keep it and pass it as `resume` to miss nothing. */
export interface Position {
  readonly epoch: string;
  readonly seq: number;
  readonly all: number;
  /** The server's time of the last frame handled. */
  readonly at: string;
}

/** One push, delivered once and in order. */
export interface Push {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly seq: number;
  readonly prev: number;
  readonly feed: "player" | "all";
  /** When the server published it. */
  readonly at: string;
  /** True where it happened while the line was down and came by resume. */
  readonly replayed: boolean;
}

/** Something that is announced to the player, or to all, and still to come. */
export interface Upcoming {
  readonly id: string;
  readonly feed: "player" | "all";
  readonly event: string;
  readonly due_at: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly announced_at: string;
}

/** Soonest first; `next` is the `after` of the next page. */
export interface EventPage {
  readonly events: readonly Upcoming[];
  readonly next: string | null;
}

/** Oldest first; `next` is the `before` of the page of older ones. */
export interface FeedPage {
  readonly pushes: readonly Push[];
  readonly next: number | null;
}

export interface Hello {
  readonly type: "hello";
  readonly player: string;
  readonly session: string;
  readonly server_time: string;
  readonly epoch: string;
  readonly seq: number;
  readonly all?: number;
  readonly recovered: boolean | null;
  readonly token_expires_at: string | null;
  readonly ping_interval_s: number;
  readonly limits: { readonly max_frame_bytes: number; readonly commands_per_s: number; readonly burst: number };
}

export type LineState =
  | { readonly name: "connecting"; readonly attempt: number }
  | { readonly name: "live"; readonly session: string }
  /** Down; the next try is `delayMs` after `since` (both on the clock of `performance.now()`). */
  | { readonly name: "waiting"; readonly code: number; readonly reason: string; readonly since: number; readonly delayMs: number; readonly attempt: number }
  /** Over: nothing is tried any more until `open()` is called. */
  | { readonly name: "closed"; readonly code: number; readonly reason: string };

/** One measured exchange; `sentAt` and `receivedAt` are milliseconds of `performance.now()`. */
export interface RoundTrip {
  readonly sentAt: number;
  readonly receivedAt: number;
  readonly serverTime: string;
}

/** The client's own events have plain names; a dotted name is a push of that event. */
export interface ClientEvents {
  state: LineState;
  hello: Hello;
  push: Push;
  /** The replay after a reconnect is through; `missed` pushes came with it. */
  resumed: { readonly missed: number };
  /** The server could not resume: take a fresh `buildList`. */
  reset: { readonly reason: "not recovered" | "gap" };
  /** A hole was noticed in a feed; the client reconnects and resumes by itself. */
  gap: { readonly feed: "player" | "all"; readonly expected: number; readonly got: number };
  roundtrip: RoundTrip;
  /** A server time that came by itself (hello or ping), without a way to know how long it travelled. */
  servertime: { readonly serverTime: string; readonly receivedAt: number };
  position: Position;
}

export type Listener<Data> = (data: Data) => void;

/** Why a token is asked for: first connection or a reconnect, a refresh ahead of expiry, or after the last one ran out. */
export type TokenReason = "connect" | "refresh" | "expired";

/** The part of the standard WebSocket that the client uses. */
export interface WebSocketLike {
  readonly readyState: number;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

export interface StarwakeOptions {
  /** The token, or what fetches one. Throw `SignInRequired` from it to stop; any other error is tried again. */
  token: string | ((why: TokenReason) => string | Promise<string>);
  /** Defaults to the global `WebSocket`. */
  WebSocket?: new (url: string, protocols: string[]) => WebSocketLike;
  /** A position kept from before. */
  resume?: Position | null;
  /** How long a command may take over all retries and reconnects, in milliseconds (30,000). `Infinity` waits. */
  commandTimeoutMs?: number;
  /** How long a reply may take on a live line before the command is sent again, in milliseconds (5,000). */
  replyTimeoutMs?: number;
  /** A source of numbers in [0, 1) for the jitter. */
  random?: () => number;
}

export interface CommandOptions {
  /** The idempotency key; a fresh UUID if left out. */
  id?: string;
  timeoutMs?: number;
}

/** The parent of every error of this client; `code` is the protocol's, or one of this client's own. */
export class StarwakeError extends Error {
  readonly code: string;
  constructor(code: string, message: string);
}
/** The server said no; `code` is one of the protocol's error codes. */
export class CommandRefused extends StarwakeError {
  readonly id: string;
  readonly command: string;
  constructor(id: string, command: string, code: string, message: string);
}
/** No answer within the time allowed: the outcome is unknown, and the same `id` may be tried again safely. */
export class CommandTimeout extends StarwakeError {
  readonly id: string;
  readonly command: string;
  constructor(id: string, command: string);
}
/** The line ended for good, with the close code that ended it. */
export class LineClosed extends StarwakeError {
  readonly closeCode: number;
  constructor(closeCode: number, reason: string);
}
/** Thrown by a token callback that has no token any more. */
export class SignInRequired extends StarwakeError {
  constructor(message?: string);
}

/** A fresh command id, a UUID. */
export function newId(): string;
/** What a close code asks of a client (protocol, section 5). */
export function afterClose(code: number): "reconnect" | "stop";
/** Full jitter between 500 ms and twice as much with each attempt (1, 2, ...), at most 20 s. */
export function reconnectDelayMs(attempt: number, random: () => number): number;
/** Whether a push follows on a position, was handled before, or leaves a hole. */
export function judge(position: Position, frame: { seq: number; prev: number; feed?: string }): "next" | "seen" | "gap";

/**
 * One player's line to Starwake.
 *
 * @example
 * const player = await Starwake.connect("ws://127.0.0.1:8080/ws", { token });
 * player.on("build.completed", ({ data }) => console.log("done:", data.build));
 * await player.buildStart("shipyard", "luna-1");
 */
export class Starwake {
  constructor(url: string, options: StarwakeOptions);
  /** Opens a line and resolves when it is live; rejects when the server refuses or after `timeoutMs` (30,000). */
  static connect(url: string, options: StarwakeOptions & { timeoutMs?: number }): Promise<Starwake>;

  readonly state: LineState;
  readonly position: Position | null;
  readonly player: string | null;
  readonly hello: Hello | null;

  /** Opens the line; resolves with the first `hello`, rejects only when the line ends for good. */
  open(): Promise<Hello>;
  /** Ends the line; what is outstanding is rejected with `LineClosed`. */
  close(): void;
  /** Tries at once instead of waiting out the delay; does nothing on a live line. */
  reconnect(): void;
  /** Listens; returns what ends the listening. */
  on<Name extends keyof ClientEvents>(name: Name, listener: Listener<ClientEvents[Name]>): () => void;
  on(event: `${string}.${string}`, listener: Listener<Push>): () => void;

  /** Sends a command and resolves with its result, over retries and reconnects under one id. */
  command(name: string, args?: Record<string, unknown>, options?: CommandOptions): Promise<any>;
  buildStart(kind: string, site: string, options?: CommandOptions): Promise<Build>;
  buildCancel(buildId: string, options?: CommandOptions): Promise<Build>;
  buildReschedule(buildId: string, change: { dueAt: string } | { factor: number }, options?: CommandOptions): Promise<Build>;
  /** Begins a build when its site is free: at once (`build`), or after what is before it there (`queued`). */
  buildQueue(kind: string, site: string, options?: CommandOptions): Promise<{ readonly build?: Build; readonly queued?: Queued }>;
  /** Withdraws an order that still waits. */
  buildUnqueue(id: string, options?: CommandOptions): Promise<Queued>;
  /** All that waits for the player's sites, first come first, page by page. */
  buildQueued(options?: CommandOptions): Promise<readonly Queued[]>;
  eventList(filter?: { limit?: number; after?: string }, options?: CommandOptions): Promise<EventPage>;
  /** What a feed still keeps; a push can come this way and live: `feed` and `seq` tell. */
  feedList(filter?: { feed?: "player" | "all"; limit?: number; before?: number }, options?: CommandOptions): Promise<FeedPage>;
  buildList(filter?: { state?: BuildState; limit?: number; after?: string }, options?: CommandOptions): Promise<BuildPage>;
  catalogue(options?: CommandOptions): Promise<readonly Kind[]>;
  /** The server's time, RFC 3339; also emits `roundtrip`. */
  time(options?: CommandOptions): Promise<string>;
}

// @ts-check
/**
 * What the page knows, as a value: each function takes a state and gives the next one. No DOM, no clock, no line.
 *
 * Builds come from a snapshot (`build.list`), from replies and from pushes, in any order; the row's `revision`
 * decides which is newer, so it does not matter which of them arrives first.
 *
 * @import { Build, Kind, Position, Push, Queued, Upcoming } from "./starwake.js"
 *
 * @typedef {object} Entry One push in the feed; times are milliseconds since 1970 on the server's clock.
 * @property {string} key
 * @property {string} event
 * @property {Readonly<Record<string, any>>} data
 * @property {number} at When it happened.
 * @property {number} receivedAt
 * @property {boolean} replayed Whether it happened while the line was down.
 *
 * @typedef {object} Order What the player asked for and the server has not settled yet.
 * @property {string} id The command's id, the same at every try.
 * @property {"start" | "queue" | "cancel" | "speed" | "withdraw"} action
 * @property {string} site
 * @property {string} kind
 * @property {string} [buildId]
 * @property {string} [command] What starts this kind, where that is not `build.start`.
 * @property {{dueAt: string} | {factor: number}} [change] What a speed-up asks for.
 * @property {"sent" | "refused"} phase
 * @property {string} [words] Why it was refused.
 *
 * @typedef {{id: string, arrivesAt: number, arrivedAt: number | null, dismissed: boolean}} Dragons
 * @typedef {{name: string, kind: string, distance: number | null, site: string, key: string}} Star
 *
 * @typedef {object} State
 * @property {ReadonlyMap<string, Build>} builds
 * @property {ReadonlyMap<string, Queued>} queued What waits for its site.
 * @property {readonly Kind[]} kinds
 * @property {readonly Order[]} orders
 * @property {readonly Entry[]} entries Newest first.
 * @property {readonly Dragons[]} dragons
 * @property {readonly Star[]} stars Newest first.
 * @property {number | null} limit How many builds at once the server allows, once it refused one.
 * @property {boolean} loaded Whether a snapshot has been taken.
 */

const ENTRIES_KEPT = 300;
const STARS_KEPT = 24; // as many names as the rim of the map can bear
const DRAGONS_KEPT = 8;
const SAME_ARRIVAL_MS = 2000; // warnings of one arrival are told with one time, give or take rounding

/** @returns {State} */
export const emptyState = () => ({
  builds: new Map(), queued: new Map(), kinds: [], orders: [], entries: [], dragons: [], stars: [], limit: null, loaded: false,
});

/** @param {unknown} value @returns {value is Build} */
function isBuild(value) {
  const build = /** @type {Partial<Build> | null} */ (value);
  return typeof build === "object" && build !== null && typeof build.id === "string" && typeof build.revision === "number";
}

/** One build is news, unless something newer is known. @param {State} state @param {unknown} build @returns {State} */
export function withBuild(state, build) {
  if (!isBuild(build) || (state.builds.get(build.id)?.revision ?? -1) >= build.revision) return state;
  return withoutQueued({ ...state, builds: new Map(state.builds).set(build.id, build) }, build.id);
}

/** An order waits for its site; once it has become a build it waits no more, whatever comes late. @param {State} state @param {any} queued @returns {State} */
export function withQueued(state, queued) {
  if (typeof queued?.id !== "string" || typeof queued.site !== "string" || state.builds.has(queued.id)) return state;
  return { ...state, queued: new Map(state.queued).set(queued.id, queued) };
}

/** @param {State} state @param {string} id @returns {State} */
export function withoutQueued(state, id) {
  return state.queued.has(id) ? { ...state, queued: new Map([...state.queued].filter(([waiting]) => waiting !== id)) } : state;
}

/**
 * A fresh listing is laid over what is known.
 *
 * @param {State} state
 * @param {readonly Build[]} listed All that is under way, and what stands as far as it was listed.
 * @param {State} begun The state when the listing was asked for: what came since is newer than the listing.
 * @param {readonly Queued[]} [waiting] What waits for its site.
 * @returns {State}
 */
export function withSnapshot(state, listed, begun, waiting = []) {
  const builds = new Map(state.builds);
  const ids = new Set(listed.map((build) => build.id));
  for (const [id, build] of builds) {
    // Under way then, unchanged since, and not listed: the row is gone (another epoch of the whole game, say).
    if (build.state === "building" && begun.builds.get(id) === build && !ids.has(id)) builds.delete(id);
  }
  for (const build of listed) {
    const known = builds.get(build.id);
    // Known before the listing was asked for: the listing is newer, even with a lower revision (a table that was restored).
    if ((known?.revision ?? -1) < build.revision || known === begun.builds.get(build.id)) builds.set(build.id, build);
  }
  const queued = new Map([...state.queued].filter(([id]) => !begun.queued.has(id)));
  for (const order of waiting) if (!builds.has(order.id) && (state.queued.has(order.id) || !begun.queued.has(order.id))) queued.set(order.id, order);
  return { ...state, builds, queued, loaded: true };
}

/**
 * A push is applied and entered in the feed.
 *
 * @param {State} state @param {Push} push
 * @param {number} receivedAt On the server's clock, milliseconds.
 * @param {string} epoch In another epoch the same `seq` is another push.
 * @returns {State}
 */
export function withPush(state, push, receivedAt, epoch) {
  const key = `${epoch}:${push.feed}:${push.seq}`;
  if (state.entries.some((entry) => entry.key === key)) return state;
  const at = Date.parse(push.at);
  const entry = { key, event: push.event, data: push.data, at: Number.isNaN(at) ? receivedAt : at, receivedAt, replayed: push.replayed };
  let next = withBuild({ ...state, entries: [entry, ...state.entries].slice(0, ENTRIES_KEPT) }, push.data.build);
  if (push.event === "build.queued") next = withQueued(next, push.data.queued);
  if (push.event === "build.unqueued") next = withoutQueued(next, String(/** @type {any} */ (push.data.queued)?.id));
  if (push.event === "stars.discovered") next = { ...next, stars: starsOf(entry).concat(state.stars).slice(0, STARS_KEPT) };
  if (push.event === "dragons.inbound" || push.event === "dragons.arrived") next = { ...next, dragons: dragonsAfter(state.dragons, entry) };
  return next;
}

/**
 * What was told before this page was there is entered in the feed where it belongs by time; what is there already stays.
 *
 * @param {State} state @param {readonly Push[]} pushes @param {string} epoch @returns {State}
 */
export function withHistory(state, pushes, epoch) {
  const told = pushes.filter((push) => !Number.isNaN(Date.parse(push.at))).sort((left, right) => Date.parse(left.at) - Date.parse(right.at));
  const past = told.reduce((past, push) => withPush(past, push, Date.parse(push.at), epoch), { ...emptyState(), builds: state.builds, queued: state.queued });
  const known = new Set(state.entries.map(({ key }) => key));
  const entries = [...state.entries, ...past.entries.filter(({ key }) => !known.has(key))].sort((left, right) => right.receivedAt - left.receivedAt);
  const stars = new Set(state.stars.map(({ key }) => key));
  const flights = new Map(past.dragons.map((flight) => [flight.id, flight]));
  const dragons = state.dragons.map((flight) => ({ ...flight, arrivedAt: flight.arrivedAt ?? flights.get(flight.id)?.arrivedAt ?? null }));
  for (const { id } of dragons) flights.delete(id);
  return {
    ...state,
    entries: entries.slice(0, ENTRIES_KEPT),
    stars: [...state.stars, ...past.stars.filter(({ key }) => !stars.has(key))].slice(0, STARS_KEPT),
    dragons: [...dragons, ...flights.values()].slice(0, DRAGONS_KEPT),
  };
}

/** Dragons that are announced and on their way, whether or not a warning was seen here. @param {State} state @param {readonly Upcoming[]} events @returns {State} */
export function withUpcoming(state, events) {
  return events.reduce((next, { id, event, due_at: due, data }) => {
    const told = Date.parse(event === "dragons.arrived" ? due : String(data.arrives_at ?? due));
    if (!event.startsWith("dragons.") || Number.isNaN(told) || next.dragons.some((flight) => flight.id === data.event_id)) return next;
    const flight = { id: String(data.event_id ?? id), arrivesAt: told, arrivedAt: null, dismissed: false };
    return { ...next, dragons: [...next.dragons, flight].slice(0, DRAGONS_KEPT) };
  }, state);
}

/** The stars that an entry tells of. @param {Entry} entry @returns {Star[]} */
function starsOf({ key, data }) {
  const stars = Array.isArray(data.stars) ? data.stars : [];
  return stars.filter((star) => typeof star?.name === "string").map((star, index) => ({
    name: star.name, kind: typeof star.class === "string" ? star.class : "", site: typeof data.site === "string" ? data.site : "",
    distance: typeof star.distance_ly === "number" ? star.distance_ly : null, key: `${key}:${index}`,
  }));
}

/** @param {readonly Dragons[]} dragons @param {Entry} entry @returns {Dragons[]} */
function dragonsAfter(dragons, { event, data, at, key }) {
  const arrived = event === "dragons.arrived";
  const told = Date.parse(String(data.arrives_at ?? ""));
  const left = typeof data.remaining_s === "number" ? data.remaining_s * 1000 : 0;
  const arrivesAt = arrived ? at : Number.isNaN(told) ? at + left : told;
  const same = dragons.find(({ id }) => id === data.event_id) ??
    dragons.find((flight) => flight.arrivedAt === null && Math.abs(flight.arrivesAt - arrivesAt) < SAME_ARRIVAL_MS);
  const flight = { id: same?.id ?? String(data.event_id ?? key), arrivesAt, arrivedAt: arrived ? at : null, dismissed: false };
  return [flight, ...dragons.filter((other) => other !== same)].slice(0, DRAGONS_KEPT);
}

/** What the banner and the map show: those under way, and those that came in the last two minutes. @param {State} state @param {number} now @returns {Dragons[]} */
export function dragonsNow(state, now) {
  const shown = state.dragons.filter(({ arrivesAt, arrivedAt, dismissed }) =>
    arrivedAt === null ? now < arrivesAt + 600_000 : !dismissed && now < arrivedAt + 120_000);
  return shown.sort((left, right) => left.arrivesAt - right.arrivesAt);
}

/** @param {State} state @param {string} id @returns {State} */
export function withoutDragons(state, id) {
  return { ...state, dragons: state.dragons.map((flight) => (flight.id === id ? { ...flight, dismissed: true } : flight)) };
}

/** An order is entered, or changes. @param {State} state @param {Order} order @returns {State} */
export function withOrder(state, order) {
  return { ...state, orders: [...state.orders.filter(({ id }) => id !== order.id), order] };
}

/** An order is settled. @param {State} state @param {string} id @returns {State} */
export function withoutOrder(state, id) {
  return { ...state, orders: state.orders.filter((order) => order.id !== id) };
}

/** What was refused at a site is taken away: the player turned to something else. @param {State} state @returns {State} */
export function withoutRefusals(state) {
  return state.orders.some(({ phase }) => phase === "refused") ? { ...state, orders: state.orders.filter(({ phase }) => phase !== "refused") } : state;
}

// ---- reading ---------------------------------------------------------------------------------------------

/** @typedef {{building: Build | null, standing: Build[], order: Order | null, queued: Queued[]}} SiteState */

/** What each site bears. @param {State} state @returns {Map<string, SiteState>} */
export function bySite(state) {
  /** @type {Map<string, SiteState>} */
  const sites = new Map();
  const at = (/** @type {string} */ site) => {
    const found = sites.get(site) ?? { building: null, standing: [], order: null, queued: [] };
    sites.set(site, found);
    return found;
  };
  for (const build of state.builds.values()) {
    if (build.state === "building") at(build.site).building = build;
    else if (build.state === "completed") at(build.site).standing.push(build);
  }
  const waiting = [...state.queued.values()].sort((left, right) => (left.queued_at + left.id < right.queued_at + right.id ? -1 : 1));
  for (const order of waiting) at(order.site).queued.push(order);
  for (const order of state.orders) {
    if (order.action === "start" && order.phase === "sent") at(order.site).order = order;
  }
  return sites;
}

/** What is under way, the next to be done first. @param {State} state @returns {Build[]} */
export function underWay(state) {
  const builds = [...state.builds.values()].filter(({ state: phase }) => phase === "building");
  return builds.sort((left, right) => Date.parse(left.due_at) - Date.parse(right.due_at) || (left.id < right.id ? -1 : 1));
}

/** How far a build has come, from 0 to 1. @param {Build} build @param {number} now */
export function progress(build, now) {
  const start = Date.parse(build.started_at);
  const due = Date.parse(build.due_at);
  return due <= start ? 1 : Math.max(0, Math.min(1, (now - start) / (due - start)));
}

/** Whether an order for this kind at a site would wait for its turn there. @param {Kind} kind @param {SiteState | undefined} here */
export const wouldWait = (kind, here) => Boolean(here?.building ?? here?.order) && (kind.command ?? "build.start") === "build.start";

/**
 * Why a kind cannot be ordered at a site now, as a name for words; null where it can, or can at least wait there.
 *
 * @param {State} state @param {Kind} kind @param {SiteState | undefined} here What the site bears.
 * @returns {{why: "busy" | "ordered" | "limit" | "requires", missing?: string[]} | null}
 */
export function whyNot(state, kind, here) {
  const waits = wouldWait(kind, here);
  if (here?.order && !waits) return { why: "ordered" };
  if (here?.building && !waits) return { why: "busy" };
  const stands = new Set();
  let active = 0;
  for (const build of state.builds.values()) {
    if (build.state === "completed") stands.add(build.kind);
    else if (build.state === "building") active += 1;
  }
  const missing = (kind.requires ?? []).filter((needed) => !stands.has(needed));
  if (missing.length > 0) return { why: "requires", missing };
  return !waits && state.limit !== null && active >= state.limit ? { why: "limit" } : null;
}

/**
 * What a speed-up asks for: half of what is left, but no less than the kind allows; null where nothing can be gained.
 *
 * @param {Build} build @param {Kind | undefined} kind @param {number} now
 * @returns {{dueAt: string} | {factor: number} | null}
 */
export function speedUp(build, kind, now) {
  if (!kind?.reschedulable) return null;
  const due = Date.parse(build.due_at);
  const earliest = Date.parse(build.started_at) + kind.duration_s * 1000 * (kind.reschedule?.min_factor ?? 0);
  if (due - earliest < 1000 || due - now < 1000) return null;
  // A tenth of a second to spare: the server halves what is left when the order gets there, not when it was given.
  return now + (due - now) / 2 - 100 >= earliest ? { factor: 0.5 } : { dueAt: new Date(Math.ceil(earliest)).toISOString() };
}

// ---- what a reload keeps -----------------------------------------------------------------------------------

/** What is worth keeping beyond the page: the position, and what was told up to it. @param {State} state @param {Position} position */
export function toJournal({ entries, dragons, stars }, position) {
  return { version: 1, position, entries: entries.slice(0, 100), dragons, stars };
}

/** The state a journal gives back; null where it is none. @param {any} journal @returns {{state: State, position: Position} | null} */
export function fromJournal(journal) {
  const { version, position, entries, dragons, stars } = journal ?? {};
  const whole = version === 1 && typeof position?.epoch === "string" && [entries, dragons, stars].every(Array.isArray);
  return whole ? { state: { ...emptyState(), entries, dragons, stars }, position } : null;
}

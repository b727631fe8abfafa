// @ts-check
/**
 * What the page says: times, refusals, events and closes in words that a player understands. Pure.
 *
 * @import { Build } from "./starwake.js"
 * @import { Entry } from "./store.js"
 */

import { siteNamed } from "./sites.js";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** @param {number} count @param {string} one @param {string} [many] */
export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

/** A duration as a catalogue tells it: "25 min", "1 h 30 min", "3 days". @param {number} seconds */
export function duration(seconds) {
  const ms = Math.max(0, seconds) * SECOND;
  if (ms < 10 * SECOND) return `${Number(seconds.toFixed(1))} s`;
  if (ms < MINUTE) return `${Math.round(seconds)} s`;
  const [big, bigName, small, smallName] =
    ms < HOUR ? [MINUTE, "min", SECOND, "s"] : ms < DAY ? [HOUR, "h", MINUTE, "min"] : [DAY, "day", HOUR, "h"];
  const smalls = Math.round(ms / Number(small));
  const per = Number(big) / Number(small);
  const whole = Math.floor(smalls / per);
  const rest = smalls % per;
  const head = bigName === "day" ? plural(whole, "day") : `${whole} ${bigName}`;
  return rest === 0 || (bigName === "min" && whole >= 5) ? head : `${head} ${rest} ${smallName}`;
}

/** @param {number} number */
const two = (number) => String(number).padStart(2, "0");

/**
 * What is left, and for how long that text stays true: "2 d 04:12", "4:12:09", "12:09", "9.4".
 *
 * @param {number} leftMs
 * @returns {{text: string, holdsMs: number}}
 */
export function countdown(leftMs) {
  if (leftMs <= 0) return { text: "0.0", holdsMs: Infinity };
  if (leftMs < 10 * SECOND) {
    const tenths = Math.ceil(leftMs / 100);
    return { text: `${Math.floor(tenths / 10)}.${tenths % 10}`, holdsMs: leftMs - (tenths - 1) * 100 };
  }
  const unit = leftMs >= DAY ? MINUTE : SECOND;
  const units = Math.ceil(leftMs / unit); // rounded up, so that zero is shown when nothing is left, not before
  const holdsMs = leftMs - (units - 1) * unit;
  if (unit === MINUTE) return { text: `${Math.floor(units / 1440)} d ${two(Math.floor(units / 60) % 24)}:${two(units % 60)}`, holdsMs };
  const [hours, minutes, seconds] = [Math.floor(units / 3600), Math.floor(units / 60) % 60, units % 60];
  return { text: hours > 0 ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`, holdsMs };
}

/** What is left, as one says it: "12 minutes", "less than a minute". @param {number} leftMs */
export function leftInWords(leftMs) {
  if (leftMs < MINUTE) return leftMs < 10 * SECOND ? "a few seconds" : "less than a minute";
  if (leftMs < HOUR) return plural(Math.round(leftMs / MINUTE), "minute");
  if (leftMs < 2 * DAY) return plural(Math.round(leftMs / HOUR), "hour");
  return plural(Math.round(leftMs / DAY), "day");
}

/** How late something came: "+2 ms", "+1.4 s", "+3 min". @param {number} ms */
export function lateness(ms) {
  const sign = ms < 0 ? "−" : "+";
  const size = Math.abs(ms);
  if (size < SECOND) return `${sign}${Math.round(size)} ms`;
  if (size < MINUTE) return `${sign}${(size / SECOND).toFixed(1)} s`;
  if (size < HOUR) return `${sign}${Math.round(size / MINUTE)} min`;
  return size < 2 * DAY ? `${sign}${Math.round(size / HOUR)} h` : `${sign}${Math.round(size / DAY)} days`;
}

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const MINUTES = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const DATE = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });

/** @param {number} at */
export const localTime = (at) => TIME.format(at);

/** "14:02", and with the day where it is another one than `now`'s: "Sat, 21 Nov 14:02". @param {number} at @param {number} now */
export function localMinute(at, now) {
  const day = new Date(at).toDateString() === new Date(now).toDateString() ? "" : `${DATE.format(at)} `;
  return day + MINUTES.format(at);
}

/** @typedef {{titleOf: (kind: string) => string}} Titles */

/** A title for a kind that no catalogue names. @param {string} kind */
export const kindInWords = (kind) => kind.replace(/[-_.]+/g, " ").replace(/^\p{L}/u, (letter) => letter.toUpperCase());

/** @param {string} text */
const lower = (text) => text.charAt(0).toLowerCase() + text.slice(1);

/**
 * What an event says, with its mark's name and tone.
 *
 * @param {Pick<Entry, "event" | "data" | "at">} entry @param {Titles} titles
 * @returns {{mark: "started" | "done" | "cancelled" | "moved" | "queued" | "stars" | "dragons" | "other", text: string}}
 */
export function sentence({ event, data, at }, { titleOf }) {
  const build = /** @type {Partial<Build>} */ (data.build ?? data.queued ?? {});
  const kind = build.kind ? titleOf(build.kind) : "Something";
  const where = build.site ? siteNamed(build.site).title : "somewhere";
  switch (event) {
    case "build.started":
      return { mark: "started", text: `Work on the ${lower(kind)} at ${where} has begun.` };
    case "build.completed":
      return { mark: "done", text: `${kind} at ${where} is complete.` };
    case "build.cancelled":
      return { mark: "cancelled", text: `${kind} at ${where} was called off.` };
    case "build.rescheduled":
      return { mark: "moved", text: `${kind} at ${where} is now due at ${localTime(Date.parse(build.due_at ?? ""))}.` };
    case "build.queued":
      return { mark: "queued", text: `${kind} waits its turn at ${where}.` };
    case "build.unqueued":
      return { mark: "cancelled", text: `${kind} no longer waits at ${where}.` };
    case "stars.discovered":
      return { mark: "stars", text: starsInWords(data) };
    case "dragons.inbound": {
      const left = typeof data.remaining_s === "number" ? data.remaining_s * 1000 : Date.parse(String(data.arrives_at)) - at;
      return { mark: "dragons", text: Number.isNaN(left) ? "Space dragons are inbound." : `Space dragons are inbound: ${leftInWords(left)}.` };
    }
    case "dragons.arrived":
      return { mark: "dragons", text: "The space dragons are here." };
    default:
      return { mark: "other", text: typeof data.message === "string" ? data.message : `${kindInWords(event)}.` };
  }
}

/** @param {Readonly<Record<string, any>>} data */
function starsInWords(data) {
  const names = Array.isArray(data.stars) ? data.stars.map((star) => star?.name).filter((name) => typeof name === "string") : [];
  const from = typeof data.site === "string" ? ` from ${siteNamed(data.site).title}` : "";
  if (names.length === 0) return `New stars were discovered${from}.`;
  const listed = names.length > 3 ? [...names.slice(0, 3), `${names.length - 3} more`] : names;
  const list = listed.length > 1 ? `${listed.slice(0, -1).join(", ")} and ${listed.at(-1)}` : listed[0];
  return `${names.length === 1 ? "A new star was" : `${names.length} new stars were`} discovered${from}: ${list}.`;
}

/** How late an event reached this page: a completion counts from when it was due. @param {Entry} entry */
export function delayOf({ event, data, at, receivedAt }) {
  const due = event === "build.completed" ? Date.parse(String(data.build?.due_at)) : NaN;
  return receivedAt - (Number.isNaN(due) ? at : due);
}

/**
 * Why an order was refused.
 *
 * @param {string} code One of the protocol's, or the client's own.
 * @param {{site?: string, kind?: string, message?: string, waits?: boolean}} about `waits`: it was an order to wait for its site.
 */
export function refusal(code, { site = "", message = "", waits = false }) {
  const where = site ? siteNamed(site).title : "This site";
  switch (code) {
    case "site_busy": return `${where} is busy: one thing is built there at a time.`;
    case "limit_reached": return waits ? `No more orders can wait at ${where}.` : "Your crews are all at work. Wait for one to finish, or call something off.";
    case "unknown_kind": return "Nobody here knows how to build that any more. Reload the page for the current catalogue.";
    case "not_building": return "Too late: it is finished already, or was called off.";
    case "not_found": return "There is no such order.";
    case "forbidden": return message ? `Not allowed: ${lower(message).replace(/\.?$/, ".")}` : "That is not allowed yet.";
    case "rate_limited": return "That was a little fast. Take a breath and try again.";
    case "unavailable": return "Command does not answer just now. Nothing was changed; try again in a moment.";
    case "timeout": return "No answer came. Try again: the order will not be carried out twice.";
    case "closed": return "You are signed out, so the order was not sent.";
    case "id_reused": return "That order was mixed up with another one. Try again.";
    case "bad_request": return "Command could not read that order.";
    default: return "Something went wrong on the other side. Nothing was changed; try again in a moment.";
  }
}

/** Why a session ended for good, and what helps. @param {number} code @param {string} reason */
export function closeInWords(code, reason) {
  switch (code) {
    case 4005: return "Your pass ran out. Sign in again to go on.";
    case 4500: return "Your pass was not accepted. Sign in again.";
    case 4502: return "The sign-in took too long. Try again.";
    case 4503: return "An operator ended this session.";
    case 4504: return "This game is open in too many places; the newest one took over.";
    default: return reason ? `The line was closed: ${reason}.` : "The line was closed.";
  }
}

/** Why the line is down for now. @param {number} code */
export function dropInWords(code) {
  switch (code) {
    case 4001: return "The station is changing crews.";
    case 4005: return "Fetching a new pass.";
    case 4008: return "This line was too slow to keep up.";
    case 4013: return "Too many orders at once.";
    default: return "The line is down.";
  }
}

/** Why the server lets no line of this page through, and who mends it how. @param {string} origin @param {string} host */
export const refusedInWords = (origin, host) =>
  `This page is at ${origin}, but its server was asked for as “${host}” and therefore refuses the line. Whoever runs the server mends that: ` +
  `the proxy in front of it passes the Host header on as it came, or STARWAKE_ALLOWED_ORIGINS names ${origin}.`;

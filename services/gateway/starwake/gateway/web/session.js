// @ts-check
/**
 * Who is signed in, and what this browser remembers for them.
 *
 * The token is kept in `sessionStorage`: a reload stays signed in, another tab or tomorrow asks again. The journal
 * (position and feed) is kept in `localStorage` until they sign out: whoever comes back resumes where they left.
 *
 * @import { Position, TokenReason } from "./starwake.js"
 *
 * @typedef {{player: string, token: string, pasted: boolean, obtainedAt: number, lifetimeMs: number}} Pass
 */

import { SignInRequired } from "./starwake.js";

const PASS = "starwake.pass";
const ORDERS = "starwake.orders";
const STALE = 0.9; // a token is not worth a try when nine tenths of its life are over
const TIMEOUT_MS = 10_000;

/** There is no development sign-in on this server: a token has to be brought along. */
export class NoSignIn extends Error {}

/** What a JWT claims; it is the server's to check, we only read it. @param {string} token @returns {{sub?: string, exp?: number, iat?: number}} */
export function claims(token) {
  try {
    const bytes = Uint8Array.from(atob((token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return {}; // not ours to judge: the server will say what it thinks of it
  }
}

/** @param {string} player @returns {Promise<Pass>} */
export async function signIn(player) {
  const response = await fetch("./dev/token", {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ player }), signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (response.status === 404) throw new NoSignIn("this server has no sign-in of its own");
  if (response.status >= 400 && response.status < 500) throw new RangeError(`the server did not take this name (${response.status})`);
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  const { token } = await response.json();
  return keep({ player, token, pasted: false });
}

/** A token from elsewhere. @param {string} token @returns {Pass} */
export function signInWith(token) {
  return keep({ player: claims(token).sub ?? "", token, pasted: true });
}

/** @param {{player: string, token: string, pasted: boolean}} given @returns {Pass} */
function keep(given) {
  const { exp, iat } = claims(given.token);
  // Both from the token: the difference holds whatever the clock of this machine says.
  const lifetimeMs = exp !== undefined && iat !== undefined ? (exp - iat) * 1000 : exp !== undefined ? exp * 1000 - Date.now() : Infinity;
  const pass = { ...given, obtainedAt: Date.now(), lifetimeMs };
  sessionStorage.setItem(PASS, JSON.stringify({ ...pass, lifetimeMs: Number.isFinite(lifetimeMs) ? lifetimeMs : null }));
  return pass;
}

/** The pass of before a reload. @returns {Pass | null} */
export function rememberedPass() {
  const pass = read(sessionStorage, PASS);
  return typeof pass?.token === "string" ? { ...pass, lifetimeMs: pass.lifetimeMs ?? Infinity } : null;
}

export function forgetPass() {
  sessionStorage.removeItem(PASS);
  sessionStorage.removeItem(ORDERS);
}

/** Tokens for the line: the kept one while it is good, a fresh one where it is not. @param {() => Pass} current @param {(pass: Pass) => void} renewed */
export function tokens(current, renewed) {
  return async (/** @type {TokenReason} */ why) => {
    const pass = current();
    const good = Date.now() - pass.obtainedAt < pass.lifetimeMs * STALE;
    if (why === "connect" && (good || pass.pasted)) return pass.token;
    if (pass.pasted) throw new SignInRequired("the pass has run out");
    try {
      const fresh = await signIn(pass.player);
      renewed(fresh);
      return fresh.token;
    } catch (error) {
      if (error instanceof NoSignIn || error instanceof RangeError) throw new SignInRequired(error.message);
      throw error; // the server is away: the line tries again
    }
  };
}

/** What the browser remembers of a player. @param {string} player */
export const rememberedJournal = (player) => read(localStorage, `starwake.journal.${player}`);

/**
 * Keeps a journal, unless another tab is further on.
 *
 * @param {string} player @param {{position: Position}} journal
 */
export function keepJournal(player, journal) {
  const { epoch, seq, all } = journal.position;
  const kept = rememberedJournal(player)?.position;
  if (kept?.epoch === epoch && (kept.seq > seq || kept.all > all)) return;
  try {
    localStorage.setItem(`starwake.journal.${player}`, JSON.stringify(journal));
  } catch (error) {
    if (!(error instanceof DOMException)) throw error; // storage is full or forbidden: then the next visit starts afresh
  }
}

/** Leaves nothing of a player who signs out: the next one at this device is somebody else. @param {string} player */
export const forgetJournal = (player) => localStorage.removeItem(`starwake.journal.${player}`);

/** Orders that have no answer yet, so that a reload sends them again under the same ids. @param {readonly object[]} orders */
export const keepOrders = (orders) => sessionStorage.setItem(ORDERS, JSON.stringify(orders));

/** @returns {any[]} */
export function rememberedOrders() {
  const orders = read(sessionStorage, ORDERS);
  return Array.isArray(orders) ? orders : [];
}

/** @param {Storage} storage @param {string} key @returns {any} */
function read(storage, key) {
  try {
    return JSON.parse(storage.getItem(key) ?? "null");
  } catch {
    return null; // what does not parse was not written by this page's present version: it is forgotten
  }
}

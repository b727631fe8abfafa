// @ts-check
/**
 * Why a line was not opened. A browser does not tell a page what a refused handshake was answered with; the server does.
 */

import { refusedInWords } from "./words.js";

const TIMEOUT_MS = 10_000;

/**
 * Asks the server whether it lets this page's origin connect.
 *
 * @param {typeof fetch} [ask]
 * @returns {Promise<string>} Why not, in words; empty where it does, or where nothing was to be learned.
 */
export async function whyRefused(ask = globalThis.fetch) {
  try {
    // POST: with a GET to its own origin a browser sends no Origin.
    const response = await ask("./ws/origin", { method: "POST", signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!response.ok) return ""; // another server, or one of before
    const { allowed, origin, host } = await response.json();
    return allowed === false && typeof origin === "string" && typeof host === "string" ? refusedInWords(origin, host) : "";
  } catch {
    return ""; // the server is away, and that is what the line says
  }
}

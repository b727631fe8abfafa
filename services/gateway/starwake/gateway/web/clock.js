// @ts-check
/**
 * The server's clock, as well as a client can know it.
 *
 * Pure: the local clock is an argument. Runs on a monotonic local clock, so that a wrong or adjusted clock of the
 * player's machine shows nothing wrong. Of the recent measurements the one with the shortest round trip is believed,
 * as in NTP's clock filter (RFC 5905, section 10): its error is at most half that round trip.
 */

const KEPT = 8;
const STEP_MS = 1000; // further off than this is no drift (a machine slept): jump instead of gliding
const GLIDE = 0.05; // a twentieth of the time that passes, so that no countdown ever stands or runs back

export class ServerClock {
  /** @type {{offset: number, roundTrip: number}[]} */
  #samples = [];
  #shown = NaN; // the offset in use, which glides towards the best one
  #shownAt = 0;
  #best = NaN;
  /** The last round trip in milliseconds, or null before the first. @type {number | null} */
  roundTripMs = null;

  /**
   * @param {() => number} [monotonic] The local clock in milliseconds, never stepping.
   * @param {() => number} [wall] The local wall clock in milliseconds, used until the server has spoken.
   */
  constructor(monotonic = () => performance.now(), wall = () => Date.now()) {
    this.monotonic = monotonic;
    this.wall = wall;
  }

  /** Whether the server has told its time yet. */
  get set() {
    return !Number.isNaN(this.#shown);
  }

  /**
   * Takes a measured exchange in.
   *
   * @param {{sentAt: number, receivedAt: number, serverTime: string}} exchange Local times on the monotonic clock.
   */
  sample({ sentAt, receivedAt, serverTime }) {
    const roundTrip = Math.max(0, receivedAt - sentAt);
    this.roundTripMs = roundTrip;
    this.#take({ offset: Date.parse(serverTime) - (sentAt + receivedAt) / 2, roundTrip }, receivedAt);
  }

  /**
   * Takes a server time in that came by itself; how long it travelled is unknown, so any exchange is believed over it.
   *
   * @param {{serverTime: string, receivedAt: number}} hint
   */
  hint({ serverTime, receivedAt }) {
    const offset = Date.parse(serverTime) - receivedAt;
    const known = this.#samples.length > 0 && Math.abs(offset - this.#best) < STEP_MS;
    if (!known) this.#take({ offset, roundTrip: STEP_MS }, receivedAt);
  }

  /** The server's time in milliseconds since 1970. */
  now() {
    const local = this.monotonic();
    if (!this.set) return this.wall();
    this.#glide(local);
    return local + this.#shown;
  }

  /** How far the player's wall clock is ahead of the server's, in milliseconds. */
  get skewMs() {
    return this.wall() - this.now();
  }

  /** @param {{offset: number, roundTrip: number}} sample @param {number} local */
  #take(sample, local) {
    if (Number.isNaN(sample.offset)) return;
    if (this.set && Math.abs(sample.offset - this.#best) > STEP_MS + sample.roundTrip) this.#samples = [];
    this.#samples = [...this.#samples, sample].slice(-KEPT);
    this.#best = this.#samples.reduce((best, next) => (next.roundTrip <= best.roundTrip ? next : best)).offset;
    if (this.set) this.#glide(local);
    if (!this.set || Math.abs(this.#best - this.#shown) > STEP_MS) this.#shown = this.#best;
    this.#shownAt = local;
  }

  /** @param {number} local */
  #glide(local) {
    const reach = Math.max(0, local - this.#shownAt) * GLIDE;
    this.#shown += Math.max(-reach, Math.min(reach, this.#best - this.#shown));
    this.#shownAt = local;
  }
}

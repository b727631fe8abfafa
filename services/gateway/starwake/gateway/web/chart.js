// @ts-check
/**
 * The geometry of the system map. Pure: names and times in, points and paths out.
 *
 * Units: the star is at (0, 0), y points down, and the rim is 510 units away. Bearings are degrees clockwise from the top.
 *
 * @import { Site } from "./sites.js"
 *
 * @typedef {{x: number, y: number}} Point
 * @typedef {Site & Point & {light: number}} Placed A body on the map; `light` is the direction to the star in SVG degrees.
 */

import { fraction } from "./sites.js";

export const EXTENT = 536; // half the view box
export const RIM = 510;
export const STAR = 24;
export const ORBITS = [92, 168, 236, 290, 356, 420, 462, 490];
/** How far outside its body a build's ring lies. */
export const RING_GAP = 9;

const LONGEST_FLIGHT_MS = 30 * 3600 * 1000; // dragons further away than this wait at the rim
const FLIGHT_UNIT_MS = 5_000; // where the flight's scale turns from linear to logarithmic

/** @param {number} radius @param {number} bearing @returns {Point} */
export function polar(radius, bearing) {
  const radians = (bearing * Math.PI) / 180;
  return { x: radius * Math.sin(radians), y: -radius * Math.cos(radians) };
}

/** @param {number} number */
const short = (number) => Number(number.toFixed(2));

/** Where each site's body lies. @param {readonly Site[]} sites @param {number} [spread] Room between a body and its moons. @returns {Placed[]} */
export function place(sites, spread = 38) {
  /** @type {Map<string, Placed>} */
  const placed = new Map();
  for (const site of sites) {
    const parent = site.around ? placed.get(site.around) : undefined;
    const own = parent ? polar(parent.size + site.size + spread, site.bearing) : polar(ORBITS[site.orbit] ?? RIM, site.bearing);
    const x = short(own.x + (parent?.x ?? 0));
    const y = short(own.y + (parent?.y ?? 0));
    placed.set(site.site, { ...site, x, y, light: short((Math.atan2(-y, -x) * 180) / Math.PI) });
  }
  return [...placed.values()];
}

/** The body nearest to a point, if it is within reach. @template {Point} Body @param {readonly Body[]} bodies @param {Point} point @param {number} reach @returns {Body | null} */
export function nearest(bodies, point, reach) {
  let found = null;
  let best = reach;
  for (const body of bodies) {
    const distance = Math.hypot(body.x - point.x, body.y - point.y);
    if (distance <= best) [found, best] = [body, distance];
  }
  return found;
}

/** The next body in a direction, for the arrow keys: near beats straight, straight beats crooked. @param {readonly Placed[]} bodies @param {Placed} from @param {Point} way */
export function towards(bodies, from, way) {
  let found = null;
  let best = Infinity;
  for (const body of bodies) {
    const [dx, dy] = [body.x - from.x, body.y - from.y];
    const ahead = dx * way.x + dy * way.y;
    const aside = Math.abs(dx * way.y - dy * way.x);
    if (body === from || ahead <= 0 || aside > 2 * ahead) continue;
    const cost = ahead + 2 * aside;
    if (cost < best) [found, best] = [body, cost];
  }
  return found;
}

/** An arc on a circle around the star. @param {number} radius @param {number} from @param {number} to Bearings. */
export function arc(radius, from, to) {
  const [start, end] = [polar(radius, from), polar(radius, to)];
  const sweep = to >= from ? 1 : 0;
  const large = Math.abs(to - from) > 180 ? 1 : 0;
  return `M${short(start.x)} ${short(start.y)}A${radius} ${radius} 0 ${large} ${sweep} ${short(end.x)} ${short(end.y)}`;
}

/** The wake behind a body: pieces of its orbit, each fainter than the one before. @param {Placed} body @param {number} [length] Degrees. */
export function wake(body, length = 52) {
  const radius = Math.hypot(body.x, body.y);
  const bearing = (Math.atan2(body.x, -body.y) * 180) / Math.PI;
  const first = bearing - ((body.size + RING_GAP + 3) / radius) * (180 / Math.PI); // it begins where the ring ends
  const pieces = 9;
  return Array.from({ length: pieces }, (_, index) => ({
    path: arc(short(radius), first - (length * index) / pieces, first - (length * (index + 1)) / pieces),
    strength: short((1 - index / pieces) ** 1.6),
  }));
}

/** How far out dragons are with so much time left: 1 at the rim, 0 at the star, hours pressed together. @param {number} leftMs */
export function flight(leftMs) {
  const scaled = Math.log1p(Math.max(0, leftMs) / FLIGHT_UNIT_MS) / Math.log1p(LONGEST_FLIGHT_MS / FLIGHT_UNIT_MS);
  return Math.min(1, scaled);
}

/** The point of a dragons' path at which `far` (1 rim, 0 star) is left; the path winds like its maker. @param {string} id @param {number} far @returns {Point} */
export function onFlight(id, far) {
  const inner = STAR + 18;
  const radius = inner + (RIM + 26 - inner) * far;
  const winding = Math.sin(far * 38) * (1.2 + 4 * Math.sin(Math.PI * far));
  return polar(radius, fraction(id) * 360 + 34 * (1 - far) + winding / Math.max(0.25, far + 0.15));
}

/** @param {string} id @param {number} from @param {number} to Both as `far` of `onFlight`. */
export function flightPath(id, from, to) {
  const steps = Math.max(2, Math.ceil(Math.abs(from - to) * 140));
  const points = Array.from({ length: steps + 1 }, (_, step) => onFlight(id, from + ((to - from) * step) / steps));
  return `M${points.map(({ x, y }) => `${short(x)} ${short(y)}`).join("L")}`;
}

/** The direction in which dragons fly at a point, in SVG degrees. @param {string} id @param {number} far */
export function heading(id, far) {
  const [behind, ahead] = [onFlight(id, far + 0.004), onFlight(id, far - 0.004)];
  return short((Math.atan2(ahead.y - behind.y, ahead.x - behind.x) * 180) / Math.PI);
}

/** The background: one sky for each player, the same on every visit. @param {string} seed @param {number} count */
export function sky(seed, count) {
  return Array.from({ length: count }, (_, index) => {
    const name = `${seed}/${index}`;
    const { x, y } = polar(60 + 660 * Math.sqrt(fraction(`${name}/r`)), fraction(`${name}/b`) * 360);
    return { x: short(x), y: short(y), size: short(0.6 + 1.5 * fraction(`${name}/s`) ** 3), bright: short(0.25 + 0.75 * fraction(`${name}/l`) ** 2) };
  });
}

/** Constellations for a sky: short chains between near neighbours among its brighter stars. @param {ReturnType<typeof sky>} stars */
export function constellations(stars) {
  const bright = [...stars].sort((left, right) => right.size - left.size).slice(0, Math.floor(stars.length / 4));
  const lines = [];
  const used = new Set();
  for (const start of bright) {
    if (used.has(start) || lines.length >= 6) continue;
    const chain = [start];
    used.add(start);
    while (chain.length < 5) {
      const tip = /** @type {Point} */ (chain.at(-1));
      const next = nearest(bright.filter((star) => !used.has(star)), tip, 150);
      if (!next) break;
      chain.push(next);
      used.add(next);
    }
    if (chain.length > 2) lines.push(chain);
  }
  return lines.map((chain) => `M${chain.map(({ x, y }) => `${x} ${y}`).join("L")}`);
}

/** Where on the rim's two halves a name at a bearing is set, so that it stands upright on both. @param {number} bearing */
export function onRim(bearing) {
  const upper = bearing < 90 || bearing > 270;
  // The upper path runs from west over north to east, the lower one from west over south; offsets are per cent of it.
  const along = upper ? ((bearing + 90) % 360) / 180 : (270 - bearing) / 180;
  return { upper, offset: short(along * 100) };
}

/** Bearings for names on the rim, moved apart so that none covers another; there is surely room for 180 / `apart`. @param {readonly string[]} names @param {number} apart Degrees. */
export function spreadOnRim(names, apart) {
  /** @type {number[]} */
  const taken = [];
  return names.map((name) => {
    let bearing = fraction(name) * 360;
    for (let tries = 0; tries < 360 && taken.some((other) => angle(other, bearing) < apart); tries += 1) bearing = (bearing + 1) % 360;
    taken.push(bearing);
    return short(bearing);
  });
}

/** The angle between two bearings. @param {number} left @param {number} right */
function angle(left, right) {
  const apart = Math.abs(left - right) % 360;
  return Math.min(apart, 360 - apart);
}

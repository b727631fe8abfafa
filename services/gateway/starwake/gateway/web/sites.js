// @ts-check
/**
 * The bodies of the player's system. The protocol knows sites by name only; which ones there are is the game's own
 * matter, and this list is the page's. A site that appears in a build but not here drifts on the outermost orbit.
 *
 * @typedef {"scorched" | "ocean" | "desert" | "rock" | "giant" | "ringed" | "ice" | "moon" | "station" | "drift"} Look
 *
 * @typedef {object} Site
 * @property {string} site The name on the wire.
 * @property {string} title
 * @property {string} about
 * @property {Look} look
 * @property {number} size The body's radius in map units.
 * @property {number} orbit Index of the orbit, from the star outwards.
 * @property {number} bearing Degrees, clockwise from the top.
 * @property {string} [around] The body it belongs to; `bearing` then counts from that one.
 */

/** @type {readonly Site[]} */
export const SITES = [
  { site: "helia-1", title: "Helia", about: "Scorched planet, one long noon", look: "scorched", size: 12, orbit: 0, bearing: 62 },
  { site: "terra-1", title: "Terra", about: "Ocean planet, home", look: "ocean", size: 20, orbit: 1, bearing: 236 },
  { site: "luna-1", title: "Luna", about: "Moon of Terra", look: "moon", size: 10, orbit: 1, bearing: 262, around: "terra-1" },
  { site: "harbour-1", title: "Harbour", about: "Station above Terra", look: "station", size: 10, orbit: 1, bearing: 326, around: "terra-1" },
  { site: "ares-1", title: "Ares", about: "Desert planet, thin air", look: "desert", size: 16, orbit: 2, bearing: 128 },
  { site: "ceres-1", title: "Ceres", about: "The largest rock of the belt", look: "rock", size: 9, orbit: 3, bearing: 6 },
  { site: "vesta-1", title: "Vesta", about: "A rock with a view", look: "rock", size: 8, orbit: 3, bearing: 196 },
  { site: "juno-1", title: "Juno", about: "Gas giant, storms older than writing", look: "giant", size: 33, orbit: 4, bearing: 312 },
  { site: "io-1", title: "Io", about: "Moon of Juno, volcanoes", look: "moon", size: 10, orbit: 4, bearing: 70, around: "juno-1" },
  { site: "europa-1", title: "Europa", about: "Moon of Juno, an ocean under ice", look: "moon", size: 9, orbit: 4, bearing: 258, around: "juno-1" },
  { site: "saga-1", title: "Saga", about: "Ringed planet", look: "ringed", size: 24, orbit: 5, bearing: 84 },
  { site: "titan-1", title: "Titan", about: "Moon of Saga, amber haze", look: "moon", size: 11, orbit: 5, bearing: 256, around: "saga-1" },
  { site: "boreas-1", title: "Boreas", about: "Ice planet, far out and silent", look: "ice", size: 16, orbit: 6, bearing: 152 },
  { site: "farwatch-1", title: "Farwatch", about: "The last station before the dark", look: "station", size: 11, orbit: 6, bearing: 222 },
];

const KNOWN = new Map(SITES.map((site) => [site.site, site]));

/** A number in [0, 1) that a text always gives again (FNV-1a with a final mix). @param {string} text */
export function fraction(text) {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39);
  return ((hash ^ (hash >>> 15)) >>> 0) / 2 ** 32;
}

/** A title for a site of which only the name on the wire is known. @param {string} name */
function titleOf(name) {
  return name.replace(/[-_]+/g, " ").replace(/(^|\s)\p{L}/gu, (letter) => letter.toUpperCase());
}

/** What is known of a site. @param {string} name @returns {Site} */
export function siteNamed(name) {
  return KNOWN.get(name) ?? {
    site: name, title: titleOf(name), about: "An outpost off the charts", look: "drift", size: 6, orbit: 7, bearing: fraction(name) * 360,
  };
}

/** All sites to show: the page's own, then those that builds name, in a steady order. @param {Iterable<string>} names @returns {Site[]} */
export function sitesWith(names) {
  const others = [...new Set(names)].filter((name) => !KNOWN.has(name)).sort();
  // Even spacing, not the name's own bearing: two outposts never lie on one another.
  return [...SITES, ...others.map((name, index) => ({ ...siteNamed(name), bearing: 18 + (360 * index) / others.length }))];
}

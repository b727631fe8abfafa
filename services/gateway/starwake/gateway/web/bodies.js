// @ts-check
/**
 * How each kind of body is drawn: as an engraver would, a lit face towards the star and hatching in its shadow.
 *
 * @import { Placed } from "./chart.js"
 */

import { svg } from "./dom.js";
import { fraction } from "./sites.js";

/** The whole body, around (0, 0). @param {Placed} body @returns {SVGGElement} */
export function drawBody(body) {
  const { look, size } = body;
  if (look === "station") return station(size);
  if (look === "drift") return svg("g", { class: "body" }, svg("path", { class: "lit", d: diamond(size) }));
  if (look === "rock") return rock(body);
  return svg("g", { class: `body ${look}` },
    look === "ringed" && svg("path", { class: "girdle", d: halfRing(size, 0) }),
    svg("circle", { class: "shadow", r: size }), svg("circle", { class: "hatched", r: size }),
    svg("path", { class: "lit", d: litFace(size), transform: `rotate(${body.light})` }),
    ...features(body),
    svg("circle", { class: "limb", r: size }),
    look === "ringed" && svg("path", { class: "girdle", d: halfRing(size, 1) }));
}

/** A face lit a little beyond the half, towards +x. @param {number} size */
const litFace = (size) => `M0 ${-size}A${size} ${size} 0 0 1 0 ${size}A${size * 0.42} ${size} 0 0 1 0 ${-size}Z`;

/** @param {number} size */
export const diamond = (size) => `M0 ${-size}L${size} 0L0 ${size}L${-size} 0Z`;

/** The half of a ring behind (0) or before (1) its planet. @param {number} size @param {0 | 1} before */
function halfRing(size, before) {
  const [wide, flat, tilt] = [size * 1.95, size * 0.5, -18];
  const [dx, dy] = [wide * Math.cos((tilt * Math.PI) / 180), wide * Math.sin((tilt * Math.PI) / 180)];
  return `M${-dx} ${-dy}A${wide} ${flat} ${tilt} 0 ${1 - before} ${dx} ${dy}`;
}

/** @param {Placed} body @returns {SVGElement[]} */
function features({ look, size, site }) {
  switch (look) {
    case "giant": return [-0.5, -0.16, 0.24, 0.56].map((level) => {
      const half = size * Math.sqrt(1 - level ** 2);
      return svg("path", { class: "detail", d: `M${-half} ${level * size}Q0 ${level * size + size * 0.1} ${half} ${level * size}` });
    }).concat(svg("path", { class: "detail", d: `M${-size * 0.2} ${size * 0.4}a${size * 0.17} ${size * 0.09} 0 1 0 0.01 0` }));
    case "ocean": return [svg("path", { class: "detail", d:
      `M${-size * 0.7} ${-size * 0.2}q${size * 0.4} ${-size * 0.4} ${size * 0.7} 0t${size * 0.6} ${-size * 0.1}M${-size * 0.4} ${size * 0.4}q${size * 0.4} ${-size * 0.3} ${size} 0` })];
    case "desert": return [svg("path", { class: "detail", d:
      `M${-size * 0.8} ${size * 0.1}q${size * 0.5} ${size * 0.3} ${size} ${size * 0.05}t${size * 0.6} ${size * 0.1}M${-size * 0.3} ${-size * 0.45}h${size * 0.6}` })];
    case "scorched": return [svg("path", { class: "detail", d: `M${-size * 0.5} ${-size * 0.5}l${size * 0.3} ${size * 0.5}l${-size * 0.1} ${size * 0.4}m${size * 0.1} ${-size * 0.4}l${size * 0.5} ${size * 0.1}` })];
    case "ice": return [svg("path", { class: "detail", d: `M${-size * 0.7} ${-size * 0.7}q${size * 0.7} ${size * 0.55} ${size * 1.4} 0M${-size * 0.5} ${size * 0.86}q${size * 0.5} ${-size * 0.4} ${size} 0` })];
    case "moon": return [0, 1, 2].map((index) => {
      const turn = fraction(`${site}${index}`) * 6.28;
      return svg("circle", { class: "detail", cx: size * 0.5 * Math.cos(turn), cy: size * 0.5 * Math.sin(turn), r: size * (0.13 + 0.05 * index) });
    });
    default: return [];
  }
}

/** @param {number} size */
function station(size) {
  return svg("g", { class: "body station" },
    svg("path", { class: "limb", d: `M${-size * 1.5} 0H${size * 1.5}M0 ${-size * 1.3}V${size * 1.3}` }),
    svg("path", { class: "lit", d: diamond(size * 0.8) }),
    svg("path", { class: "limb", d: `M${-size * 1.5} ${-size * 0.5}v${size}M${size * 1.5} ${-size * 0.5}v${size}` }));
}

/** @param {Placed} body */
function rock({ size, site, light }) {
  const points = Array.from({ length: 9 }, (_, index) => {
    const radius = size * (0.78 + 0.42 * fraction(`${site}${index}`));
    const turn = (index / 9) * 2 * Math.PI;
    return `${(radius * Math.cos(turn)).toFixed(2)} ${(radius * Math.sin(turn)).toFixed(2)}`;
  });
  const outline = `M${points.join("L")}Z`;
  return svg("g", { class: "body rock", transform: `rotate(${light})` },
    svg("path", { class: "shadow", d: outline }), svg("path", { class: "lit", d: `M0 0L${points[7]}L${points[8]}L${points[0]}L${points[1]}L${points[2]}Z` }),
    svg("path", { class: "limb", d: outline }));
}

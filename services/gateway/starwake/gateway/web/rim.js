// @ts-check
/**
 * The map's rim: newly discovered stars, their names set along it as on an astrolabe.
 *
 * @import { Star } from "./store.js"
 */

import { RIM, onRim, polar, spreadOnRim } from "./chart.js";
import { svg } from "./dom.js";

/** A star with four long rays. @param {number} size */
const fourPoint = (size) =>
  `M0 ${-size}L${size * 0.18} ${-size * 0.18}L${size} 0L${size * 0.18} ${size * 0.18}L0 ${size}L${-size * 0.18} ${size * 0.18}L${-size} 0L${-size * 0.18} ${-size * 0.18}Z`;

/** @param {SVGGElement} layer @param {readonly Star[]} stars Newest first. @param {number} unit Map units in one CSS pixel. */
export function drawStars(layer, stars, unit) {
  const known = new Set(Array.from(layer.children, (child) => child.getAttribute("data-key")));
  const oldest = [...stars].reverse(); // the oldest choose their places first, so that none moves when another comes
  const apart = Math.max(14, unit * 9.5);
  const room = Math.floor(180 / apart);
  const shown = oldest.slice(-room);
  const bearings = spreadOnRim(shown.map(({ name }) => name), apart);
  layer.replaceChildren(...shown.map((star, index) => {
    const bearing = bearings[index] ?? 0;
    const { upper, offset } = onRim(bearing);
    const { x, y } = polar(RIM, bearing);
    return svg("g", { class: known.has(star.key) ? "discovered" : "discovered new", "data-key": star.key },
      svg("path", { d: fourPoint(11), transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` },
        svg("title", {}, [star.name, star.kind, star.distance !== null && `${star.distance} light years`].filter(Boolean).join(", "))),
      svg("text", {}, svg("textPath", { href: upper ? "#rim-upper" : "#rim-lower", startOffset: `${offset}%` }, star.name)));
  }));
}

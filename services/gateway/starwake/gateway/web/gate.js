// @ts-check
/** The picture behind the sign-in: a chart under way, cut off by the edge of the page. */

import { drawBody } from "./bodies.js";
import { EXTENT, arc, place, polar, sky, wake } from "./chart.js";
import { set, svg } from "./dom.js";

/** @import { Look } from "./sites.js" */

const RADII = [150, 250, 350, 460];
/** @type {[Look, number, number, number][]} */
const BODIES = [["scorched", 14, 0, 205], ["ocean", 26, 1, 318], ["giant", 44, 2, 246], ["ice", 20, 3, 342]];

/** @param {SVGSVGElement} root */
export function drawGate(root) {
  set(root, "viewBox", `${-EXTENT} ${-EXTENT} ${2 * EXTENT} ${2 * EXTENT}`);
  const bodies = BODIES.map(([look, size, orbit, bearing]) => {
    const { x, y } = polar(RADII[orbit] ?? 0, bearing);
    const [body] = place([{ site: look, title: "", about: "", look, size, orbit, bearing }]);
    return { ...(body ?? { site: "", title: "", about: "", orbit, bearing, look, size }), x, y, light: (Math.atan2(-y, -x) * 180) / Math.PI };
  });
  const rays = Array.from({ length: 24 }, (_, index) => {
    const [from, to] = [polar(58, index * 15), polar(index % 2 ? 66 : 78, index * 15)];
    return `M${from.x} ${from.y}L${to.x} ${to.y}`;
  });
  const ship = polar(RADII[3] ?? 0, 292);
  root.append(
    svg("g", { class: "sky" }, ...sky("starwake", 260).map(({ x, y, size, bright }) => svg("circle", { cx: x * 1.6, cy: y * 1.2, r: size, opacity: bright }))),
    ...RADII.map((r) => svg("circle", { class: "orbit", r })), svg("circle", { class: "orbit rim", r: 520 }),
    svg("circle", { class: "sun", r: 50 }), svg("path", { class: "rays", d: rays.join("") }),
    ...bodies.flatMap((body) => wake(body, 64).map(({ path, strength }) => svg("path", { class: "trail", d: path, opacity: strength }))),
    ...bodies.map((body) => svg("g", { transform: `translate(${body.x} ${body.y})` }, drawBody(body))),
    svg("path", { class: "course", d: arc(RADII[3] ?? 0, 214, 292) }), svg("circle", { class: "ship", cx: ship.x, cy: ship.y, r: 7 }));
}

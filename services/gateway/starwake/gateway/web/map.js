// @ts-check
/**
 * The system map: the player's star, the sites on their orbits, what is built and what stands there.
 *
 * @import { Build } from "./starwake.js"
 * @import { Placed } from "./chart.js"
 * @import { SiteState, State } from "./store.js"
 * @import { Ticker } from "./ticker.js"
 *
 * @typedef {object} Drawn One site's elements.
 * @property {SVGGElement} group
 * @property {SVGCircleElement} ring
 * @property {SVGGElement} marks
 * @property {SVGTextElement} count
 * @property {SVGTextElement} name
 * @property {Placed} body
 * @property {Build | null} building
 * @property {number} standing
 */

import { diamond, drawBody } from "./bodies.js";
import { EXTENT, ORBITS, RIM, RING_GAP, STAR, arc, constellations, nearest, place, polar, sky, towards, wake } from "./chart.js";
import { say, set, svg } from "./dom.js";
import { drawStars } from "./rim.js";
import { sitesWith } from "./sites.js";
import { bySite, progress } from "./store.js";
import { countdown, leftInWords, plural } from "./words.js";

const REACH_PX = 30; // a tap picks the nearest body within this: fingers are wider than moons
const CROWDED = 40; // sites beyond which outposts bear no names: they would only cover one another
const MARKS = 9; // satellites drawn around a body; more are told as a number
const WAYS = new Map([["ArrowUp", { x: 0, y: -1 }], ["ArrowDown", { x: 0, y: 1 }], ["ArrowLeft", { x: -1, y: 0 }], ["ArrowRight", { x: 1, y: 0 }]]);

export class SystemMap {
  /** @type {Map<string, Drawn>} */
  #drawn = new Map();
  #names = "";
  #rimmed = "";
  #unit = 1; // map units in one CSS pixel
  /** @type {State | null} */
  #state = null;

  /**
   * @param {SVGSVGElement} root
   * @param {{ticker: Ticker, select: (site: string) => void, titleOf: (kind: string) => string}} page
   * @param {AbortSignal} signal Ends the listening.
   */
  constructor(root, { ticker, select, titleOf }, signal) {
    this.root = root;
    this.ticker = ticker;
    this.select = select;
    this.titleOf = titleOf;
    set(root, "viewBox", `${-EXTENT} ${-EXTENT} ${2 * EXTENT} ${2 * EXTENT}`);
    this.layers = {
      sky: svg("g", { class: "sky" }), frame: svg("g", { class: "frame" }), rim: svg("g", { class: "found" }), wakes: svg("g", { class: "wakes" }),
      flights: svg("g", { class: "flights" }), sites: svg("g", { class: "sites" }), star: svg("g", { class: "star" }),
    };
    this.hand = svg("path", { class: "hand", d: `M0 ${-RIM - 2}l-5 -12h10Z` });
    root.append(this.#defs(), ...Object.values(this.layers));
    this.layers.frame.append(...frame(), this.hand);
    root.addEventListener("click", (event) => this.#pick(event), { signal });
    root.addEventListener("keydown", (event) => this.#key(event), { signal });
    const observer = new ResizeObserver(() => this.#measure());
    observer.observe(root);
    signal.addEventListener("abort", () => observer.disconnect());
    ticker.add((now) => this.#draw(now));
  }

  #defs() {
    return svg("defs", {}, svg("path", { id: "rim-upper", d: arc(RIM - 22, -90, 90) }), svg("path", { id: "rim-lower", d: arc(RIM - 11, 270, 90) }));
  }

  #measure() {
    const { width, height } = this.root.getBoundingClientRect();
    if (width === 0) return;
    this.#unit = (2 * EXTENT) / Math.min(width, height);
    this.root.style.setProperty("--unit", this.#unit.toFixed(3));
    const compact = Math.min(width, height) < 520;
    if (compact === this.root.classList.contains("compact")) return;
    this.root.classList.toggle("compact", compact);
    this.#names = "";
    if (this.#state) this.render(this.#state, this.selected ?? null);
  }

  /** The sky and the star belong to the player. @param {string} player */
  setPlayer(player) {
    const stars = sky(player, 260);
    this.layers.sky.replaceChildren(
      ...constellations(stars).map((d) => svg("path", { class: "figure", d })),
      ...stars.map(({ x, y, size, bright }) => svg("circle", { cx: x, cy: y, r: size, opacity: bright })));
    const rays = Array.from({ length: 16 }, (_, index) => {
      const [from, to] = [polar(STAR + 5, index * 22.5), polar(STAR + (index % 2 ? 10 : 17), index * 22.5)];
      return `M${from.x.toFixed(1)} ${from.y.toFixed(1)}L${to.x.toFixed(1)} ${to.y.toFixed(1)}`;
    });
    const letters = [...player];
    this.layers.star.replaceChildren(svg("circle", { class: "disc", r: STAR }), svg("path", { class: "rays", d: rays.join("") }),
      svg("text", { class: "name", y: STAR + 18, dy: "0.8em" }, letters.length > 14 ? `${letters.slice(0, 13).join("")}…` : player));
  }

  /** @param {State} state @param {string | null} selected */
  render(state, selected) {
    const sites = sitesWith(Array.from(state.builds.values(), ({ site }) => site).concat(state.orders.map(({ site }) => site)));
    const names = sites.map(({ site }) => site).join();
    if (names !== this.#names) this.#lay(place(sites, this.root.classList.contains("compact") ? 60 : 38));
    this.#names = names;
    this.root.classList.toggle("crowded", sites.length > CROWDED);
    const bearing = bySite(state);
    for (const drawn of this.#drawn.values()) this.#update(drawn, bearing.get(drawn.body.site), selected, state.loaded && this.#state?.loaded === true);
    const rim = state.stars.map(({ key }) => key).join();
    if (rim !== this.#rimmed) drawStars(this.layers.rim, state.stars, this.#unit);
    this.#rimmed = rim;
    this.selected = selected;
    this.#state = state;
    if (![...this.#drawn.values()].some(({ group }) => group.getAttribute("tabindex") === "0")) {
      [...this.#drawn.values()][0]?.group.setAttribute("tabindex", "0");
    }
  }

  /** @param {Placed[]} bodies */
  #lay(bodies) {
    const focused = document.activeElement instanceof SVGGElement ? document.activeElement.dataset.site : undefined;
    this.#drawn = new Map(bodies.map((body) => [body.site, this.#make(body)]));
    this.layers.sites.replaceChildren(...Array.from(this.#drawn.values(), ({ group }) => group));
    this.layers.wakes.replaceChildren(...bodies.filter(({ around, look }) => !around && look !== "drift").flatMap((body) =>
      wake(body).map(({ path, strength }) => svg("path", { d: path, opacity: strength }))));
    if (focused) this.#drawn.get(focused)?.group.focus();
  }

  /** @param {Placed} body @returns {Drawn} */
  #make(body) {
    const ring = body.size + RING_GAP;
    const words = wording(body, ring);
    const drawn = {
      ring: svg("circle", { class: "ring", r: ring, pathLength: 1, "stroke-dasharray": "0 1", transform: "rotate(-90)" }),
      marks: svg("g", { class: "marks" }), count: svg("text", { class: "count", "aria-hidden": "true", ...words.count }),
      name: svg("text", { class: "name", "aria-hidden": "true", ...words.name }, body.title),
    };
    const group = svg("g", { class: `site ${body.look}`, "data-site": body.site, transform: `translate(${body.x} ${body.y})`, role: "button", tabindex: -1 },
      svg("circle", { class: "reach", r: ring + 4 }), svg("circle", { class: "track", r: ring }), drawBody(body), drawn.ring, drawn.marks,
      svg("path", { class: "reticle", d: reticle(ring + 9) }), drawn.name, drawn.count);
    return { ...drawn, group, body, building: null, standing: -1 };
  }

  /** @param {Drawn} drawn @param {SiteState | undefined} here @param {string | null} selected @param {boolean} live Whether what changed happened just now. */
  #update(drawn, here, selected, live) {
    const { group, body } = drawn;
    const building = here?.building ?? null;
    const standing = here?.standing ?? [];
    const done = live && drawn.building && standing.some(({ id }) => id === drawn.building?.id);
    drawn.building = building;
    group.classList.toggle("building", building !== null);
    group.classList.toggle("ordered", here?.order != null);
    group.classList.toggle("selected", selected === body.site);
    set(group, "aria-pressed", String(selected === body.site));
    if (selected === body.site) this.#rove(group);
    if (standing.length !== drawn.standing) {
      const first = drawn.standing < 0 || !live ? standing.length : drawn.standing;
      drawn.marks.replaceChildren(...satellites(body, standing.length, first));
      drawn.standing = standing.length;
    }
    if (done) this.#flare(drawn);
    this.#label(drawn, here);
  }

  /** What a screen reader says of a site. @param {Drawn} drawn @param {SiteState | undefined} here */
  #label({ group, body, building }, here) {
    const what = building
      ? `building a ${this.titleOf(building.kind)}, ${leftInWords(Date.parse(building.due_at) - this.ticker.now())} left`
      : here?.order ? `${this.titleOf(here.order.kind)} ordered` : "nothing under way";
    set(group, "aria-label", `${body.title}: ${what}; ${plural(here?.standing.length ?? 0, "thing")} standing`);
  }

  /** The moment of completion: the closed ring widens and fades. @param {Drawn} drawn */
  #flare({ group, body }) {
    const flare = svg("circle", { class: "flare", r: body.size + RING_GAP });
    flare.addEventListener("animationend", () => flare.remove());
    setTimeout(() => flare.remove(), 3000); // where motion is reduced no animation ends
    group.append(flare);
  }

  /** @param {number} now @returns {number} */
  #draw(now) {
    set(this.hand, "transform", `rotate(${(Math.floor(now / 1000) % 60) * 6})`);
    let holds = 1000 - (now % 1000);
    for (const drawn of this.#drawn.values()) {
      if (drawn.building) holds = Math.min(holds, this.#advance(drawn, drawn.building, now));
      else say(drawn.count, "");
    }
    return holds;
  }

  /** @param {Drawn} drawn @param {Build} build @param {number} now */
  #advance({ ring, count, body }, build, now) {
    const due = Date.parse(build.due_at);
    const part = progress(build, now);
    set(ring, "stroke-dasharray", `${part.toFixed(5)} 1`);
    const { text, holdsMs } = countdown(due - now);
    say(count, text);
    // A quarter of a pixel is the least that an eye can see move.
    const stepMs = (due - Date.parse(build.started_at)) / ((8 * Math.PI * (body.size + RING_GAP)) / this.#unit);
    return part >= 1 ? holdsMs : Math.min(holdsMs, Math.max(16, stepMs));
  }

  /** @param {MouseEvent} event */
  #pick(event) {
    const matrix = this.root.getScreenCTM()?.inverse();
    if (!matrix) return;
    const bodies = Array.from(this.#drawn.values(), ({ body }) => body);
    const found = nearest(bodies, new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix), REACH_PX * this.#unit);
    if (found) this.select(found.site);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const drawn = event.target instanceof SVGGElement ? this.#drawn.get(event.target.dataset.site ?? "") : undefined;
    if (!drawn) return;
    const way = WAYS.get(event.key);
    if (event.key === "Enter" || event.key === " ") this.select(drawn.body.site);
    else if (!way) return;
    event.preventDefault();
    const next = way && towards(Array.from(this.#drawn.values(), ({ body }) => body), drawn.body, way);
    const group = next && this.#drawn.get(next.site)?.group;
    if (!group) return;
    this.#rove(group);
    group.focus();
  }

  /** One stop for the Tab key on the whole map. @param {SVGGElement} group */
  #rove(group) {
    for (const other of this.#drawn.values()) set(other.group, "tabindex", other.group === group ? 0 : -1);
  }
}

/** The orbits, and the rim with its sixty marks. */
function frame() {
  const marks = Array.from({ length: 60 }, (_, index) => {
    const [from, to] = [polar(RIM, index * 6), polar(RIM + (index % 5 ? 5 : 11), index * 6)];
    return `M${from.x.toFixed(1)} ${from.y.toFixed(1)}L${to.x.toFixed(1)} ${to.y.toFixed(1)}`;
  });
  return [
    ...ORBITS.slice(0, -1).map((r, index) => svg("circle", { class: index === 3 ? "orbit belt" : "orbit", r })),
    svg("circle", { class: "rim", r: RIM }), svg("circle", { class: "rim inner", r: RIM - 28 }), svg("path", { class: "marks", d: marks.join("") }),
  ];
}

/** Where a body's name and countdown stand: below it; a moon's away from its planet; far out, away from the rim and its names. @param {Placed} body @param {number} ring */
function wording({ around, orbit, bearing }, ring) {
  const farOut = orbit >= ORBITS.length - 2;
  if (!around && !farOut) return { name: { y: ring + 5, dy: "1.1em" }, count: { y: ring + 5, dy: "2.15em" } };
  const right = farOut !== bearing < 180;
  const side = { x: right ? ring + 12 : -ring - 12, "text-anchor": right ? "start" : "end" };
  return { name: { ...side, dy: "-0.2em" }, count: { ...side, dy: "0.95em" } };
}

/** Four corners around a body. @param {number} half */
function reticle(half) {
  const leg = Math.min(10, half * 0.5);
  return [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([x = 1, y = 1]) =>
    `M${x * half} ${y * (half - leg)}V${y * half}H${x * (half - leg)}`).join("");
}

/** What stands at a body. @param {Placed} body @param {number} count @param {number} first From this one on they are new. */
function satellites({ size }, count, first) {
  const radius = size + RING_GAP + 8;
  const shown = Math.min(count, MARKS);
  const marks = Array.from({ length: shown }, (_, index) => {
    const { x, y } = polar(radius, (index - (shown - 1) / 2) * (600 / radius));
    return svg("path", { class: index >= first ? "satellite new" : "satellite", d: diamond(4.2), transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` });
  });
  return count > MARKS ? [...marks, svg("text", { class: "more", "aria-hidden": "true", y: -radius, dy: "-0.7em" }, `×${count}`)] : marks;
}

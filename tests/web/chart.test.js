import assert from "node:assert/strict";
import { test } from "node:test";

import { EXTENT, RIM, RING_GAP, flight, flightPath, nearest, onFlight, onRim, place, polar, sky, spreadOnRim, towards, wake } from "../../services/gateway/starwake/gateway/web/chart.js";
import { along } from "../../services/gateway/starwake/gateway/web/horizon.js";
import { SITES, fraction, siteNamed, sitesWith } from "../../services/gateway/starwake/gateway/web/sites.js";

test("no body covers another one, nor leaves the map, in either spacing", () => {
  for (const spread of [38, 60]) {
    const bodies = place(SITES, spread);
    for (const [index, one] of bodies.entries()) {
      assert.ok(Math.hypot(one.x, one.y) + one.size + RING_GAP < EXTENT, one.site);
      for (const other of bodies.slice(index + 1)) {
        const apart = Math.hypot(one.x - other.x, one.y - other.y);
        assert.ok(apart > one.size + other.size + 2 * RING_GAP, `${one.site} and ${other.site}`);
      }
    }
  }
});

test("a bearing of nothing is up, and a quarter turn is right", () => {
  assert.deepEqual([polar(10, 0), polar(10, 90)].map(({ x, y }) => [Math.round(x) + 0, Math.round(y) + 0]), [[0, -10], [10, 0]]);
});

test("bodies are lit from the star", () => {
  const [right] = place([{ ...siteNamed("x"), orbit: 0, bearing: 90 }]);
  assert.equal(Math.abs(right.light), 180);
});

test("a tap near a body means it, one in the open means nothing", () => {
  const bodies = [{ x: 0, y: 0 }, { x: 30, y: 0 }];
  assert.equal(nearest(bodies, { x: 20, y: 3 }, 40), bodies[1]);
  assert.equal(nearest(bodies, { x: 200, y: 0 }, 40), null);
});

test("the arrow keys reach every site from every other one", () => {
  const bodies = place(SITES);
  const ways = [{ x: 0, y: -1 }, { x: 0, y: 1 }, { x: -1, y: 0 }, { x: 1, y: 0 }];
  const reached = new Set([bodies[0]]);
  for (const body of reached) for (const way of ways) {
    const next = towards(bodies, body, way);
    if (next) reached.add(next);
  }
  assert.equal(reached.size, bodies.length);
});

test("a wake lies behind its body and fades", () => {
  const [body] = place(SITES);
  const strengths = wake(body).map(({ strength }) => strength);
  assert.deepEqual(strengths, [...strengths].sort((left, right) => right - left));
});

test("dragons come nearer as their time runs out, and never turn back", () => {
  const far = [40, 30, 25, 5, 1, 0.1, 0.01, 0].map((hours) => flight(hours * 3_600_000));
  assert.equal(far[0], 1);
  assert.equal(far.at(-1), 0);
  assert.deepEqual(far, [...far].sort((left, right) => right - left));
  assert.ok(Math.hypot(onFlight("d", 1).x, onFlight("d", 1).y) > RIM);
  assert.match(flightPath("d", 0.5, 0), /^M[-\d. L]+$/);
});

test("names on the rim are kept apart, and set upright on both halves", () => {
  const bearings = spreadOnRim(Array.from({ length: 12 }, (_, index) => `Star ${index}`), 14);
  for (const [index, one] of bearings.entries()) for (const other of bearings.slice(index + 1)) {
    const apart = Math.abs(one - other) % 360;
    assert.ok(Math.min(apart, 360 - apart) >= 13.99);
  }
  assert.deepEqual([0, 89, 91, 180, 271].map((bearing) => onRim(bearing).upper), [true, true, false, false, true]);
  for (let bearing = 0; bearing < 360; bearing += 7) assert.ok(onRim(bearing).offset >= 0 && onRim(bearing).offset <= 100);
});

test("each player has a sky of their own, the same on every visit", () => {
  assert.deepEqual(sky("ada", 20), sky("ada", 20));
  assert.notDeepEqual(sky("ada", 20), sky("eve", 20));
});

test("a text always gives the same fraction, and fractions are spread", () => {
  const fractions = Array.from({ length: 1000 }, (_, index) => fraction(`name ${index}`));
  assert.ok(fractions.every((one) => one >= 0 && one < 1));
  const mean = fractions.reduce((sum, one) => sum + one) / fractions.length;
  assert.ok(Math.abs(mean - 0.5) < 0.05);
});

test("a site that only builds know is shown, once, with a readable title", () => {
  const sites = sitesWith(["luna-1", "far_out-9", "far_out-9"]);
  assert.equal(sites.length, SITES.length + 1);
  assert.equal(sites.at(-1).title, "Far Out 9");
  assert.equal(siteNamed("far_out-9").look, "drift");
});

test("the horizon begins now, ends within the page, and keeps the order of events", () => {
  const places = [0, 1e3, 6e4, 3.6e6, 8.64e7, 2.592e8, 1e12].map(along);
  assert.equal(places[0], 0);
  assert.equal(places.at(-1), 1);
  assert.deepEqual(places, [...places].sort((left, right) => left - right));
});

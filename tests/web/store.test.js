import assert from "node:assert/strict";
import { test } from "node:test";

import {
  bySite, dragonsNow, emptyState, fromJournal, progress, speedUp, toJournal, underWay, whyNot, withBuild, withOrder, withPush, withQueued,
  withHistory, withSnapshot, withUpcoming, withoutDragons, withoutOrder,
} from "../../services/gateway/starwake/gateway/web/store.js";

const NOW = Date.parse("2026-11-22T10:00:00.000Z");
const time = (ms) => new Date(NOW + ms).toISOString();
const build = (changes = {}) => ({
  id: "b1", kind: "mine", site: "luna-1", state: "building", revision: 1, started_at: time(0), due_at: time(60_000), completed_at: null, cancelled_at: null, ...changes,
});
const push = (seq, event, data, changes = {}) => ({ event, data, seq, prev: 0, feed: "player", at: time(0), replayed: false, ...changes });
const after = (state, ...pushes) => pushes.reduce((now, one) => withPush(now, one, NOW, "e1"), state);

test("the higher revision wins, in whichever order they come", () => {
  const old = build();
  const done = build({ revision: 2, state: "completed" });
  for (const order of [[old, done], [done, old], [done, done, old]]) {
    const state = order.reduce(withBuild, emptyState());
    assert.equal(state.builds.get("b1").state, "completed");
  }
});

test("what brings no news gives the same state back, so that nothing is drawn", () => {
  const state = withBuild(emptyState(), build());
  assert.equal(withBuild(state, build()), state);
  assert.equal(withBuild(state, null), state);
  assert.equal(withoutOrder(withOrder(state, { id: "o" }), "o").orders.length, 0);
});

test("a push is applied and entered once, however often it comes", () => {
  const told = push(7, "build.started", { build: build() });
  const state = after(emptyState(), told, told);
  assert.equal(state.entries.length, 1);
  assert.equal(state.builds.get("b1").state, "building");
});

test("the same number in the other feed, or in another epoch, is another push", () => {
  let state = after(emptyState(), push(7, "a.b", {}), push(7, "a.b", {}, { feed: "all" }));
  state = withPush(state, push(7, "a.b", {}), NOW, "e2");
  assert.equal(state.entries.length, 3);
});

test("a listing that was asked for before a push does not undo it", () => {
  const begun = withBuild(emptyState(), build());
  const meanwhile = after(begun, push(9, "build.completed", { build: build({ revision: 2, state: "completed" }) }), push(10, "build.started", { build: build({ id: "b2" }) }));
  const state = withSnapshot(meanwhile, [build()], begun);
  assert.equal(state.builds.get("b1").state, "completed");
  assert.ok(state.builds.has("b2"));
});

test("a listing is newer than what was known when it was asked for, even at a lower revision", () => {
  const known = build({ revision: 2, state: "cancelled" }); // and then the table was restored from an older copy
  const begun = withBuild(emptyState(), known);
  assert.equal(withSnapshot(begun, [build()], begun).builds.get("b1").state, "building");
});

test("a build that a later listing no longer knows is gone", () => {
  const begun = withBuild(emptyState(), build());
  assert.equal(withSnapshot(begun, [], begun).builds.size, 0);
});

test("what waits becomes a build, and waits no more, whichever is told first", () => {
  const queued = { id: "b1", kind: "mine", site: "luna-1", duration_s: 60, queued_at: time(0) };
  const waiting = after(emptyState(), push(1, "build.queued", { queued }));
  assert.deepEqual(bySite(waiting).get("luna-1").queued, [queued]);
  const begun = after(waiting, push(2, "build.started", { build: build() }));
  assert.equal(begun.queued.size, 0);
  assert.equal(withQueued(begun, queued).queued.size, 0, "a late reply does not bring it back");
  assert.equal(after(waiting, push(2, "build.unqueued", { queued })).queued.size, 0);
});

test("what waits comes and goes with a listing, too", () => {
  const queued = (id) => ({ id, kind: "mine", site: "luna-1", duration_s: 60, queued_at: time(0) });
  const begun = withQueued(emptyState(), queued("gone"));
  const state = withSnapshot(withQueued(begun, queued("new")), [], begun, [queued("there")]);
  assert.deepEqual([...state.queued.keys()].sort(), ["new", "there"]);
});

test("warnings of one arrival are one flight, and its arrival ends it", () => {
  const inbound = (seq, id) => push(seq, "dragons.inbound", { event_id: id, arrives_at: time(60_000), remaining_s: 60 }, { feed: "all" });
  let state = after(emptyState(), inbound(1, "d"), inbound(2, "another name"));
  assert.deepEqual(dragonsNow(state, NOW).map(({ arrivesAt }) => arrivesAt), [NOW + 60_000]);
  state = after(state, push(3, "dragons.arrived", { event_id: "d" }, { at: time(60_000), feed: "all" }));
  const [arrived] = dragonsNow(state, NOW + 60_001);
  assert.equal(arrived.arrivedAt, NOW + 60_000);
  assert.deepEqual(dragonsNow(withoutDragons(state, arrived.id), NOW + 60_001), []);
  assert.deepEqual(dragonsNow(state, NOW + 600_000), [], "after a while they are history");
});

test("dragons without any data do no harm", () => {
  const state = after(emptyState(), push(1, "dragons.inbound", {}), push(2, "dragons.arrived", {}), push(3, "stars.discovered", { stars: [null, {}, { name: "Vega" }] }));
  assert.equal(state.stars.length, 1);
  assert.equal(state.dragons.length, 1);
});

test("sites tell what is under way, what stands and what is on its way to the server", () => {
  let state = [build(), build({ id: "b2", state: "completed" }), build({ id: "b3", state: "cancelled" })].reduce(withBuild, emptyState());
  state = withOrder(state, { id: "o1", action: "start", site: "terra-1", kind: "dock", phase: "sent" });
  const sites = bySite(state);
  assert.equal(sites.get("luna-1").building.id, "b1");
  assert.equal(sites.get("luna-1").standing.length, 1);
  assert.equal(sites.get("terra-1").order.id, "o1");
});

test("what is under way is sorted by when it is due", () => {
  const state = [build({ id: "late", due_at: time(9e6) }), build({ id: "soon", due_at: time(9e3) }), build({ id: "done", state: "completed" })].reduce(withBuild, emptyState());
  assert.deepEqual(underWay(state).map(({ id }) => id), ["soon", "late"]);
});

test("progress runs from the start to the end and never beyond", () => {
  assert.deepEqual([-5, 0, 30_000, 60_000, 90_000].map((ms) => progress(build(), NOW + ms)), [0, 0, 0.5, 1, 1]);
});

test("a kind says why it cannot be had now", () => {
  const kind = { kind: "refinery", title: "Refinery", duration_s: 1, requires: ["mine"] };
  const state = withBuild(emptyState(), build());
  assert.deepEqual(whyNot(state, kind, undefined), { why: "requires", missing: ["mine"] });
  const stands = withBuild(state, build({ revision: 2, state: "completed" }));
  assert.equal(whyNot(stands, kind, undefined), null);
  assert.deepEqual(whyNot({ ...state, limit: 1 }, { ...kind, requires: [] }, undefined), { why: "limit" });
  const busy = bySite(state).get("luna-1");
  assert.equal(whyNot(state, { ...kind, requires: [] }, busy), null, "it may wait its turn");
  assert.deepEqual(whyNot(state, { ...kind, requires: [], command: "probe.launch" }, busy), { why: "busy" }, "what has a command of its own may not");
});

test("a speed-up halves what is left, or goes as far as the kind allows, or is not offered", () => {
  const kind = { kind: "mine", title: "Mine", duration_s: 60, reschedulable: true, reschedule: { min_factor: 0.5, max_factor: 2 } };
  assert.deepEqual(speedUp(build(), { ...kind, reschedule: { min_factor: 0, max_factor: 1 } }, NOW), { factor: 0.5 });
  assert.deepEqual(speedUp(build(), kind, NOW), { dueAt: time(30_000) });
  assert.equal(speedUp(build({ due_at: time(30_000) }), kind, NOW), null);
  assert.equal(speedUp(build(), { ...kind, reschedulable: false }, NOW), null);
  assert.equal(speedUp(build(), undefined, NOW), null);
});

test("a journal gives back what was told, and what is none gives nothing", () => {
  const state = after(emptyState(), push(1, "stars.discovered", { stars: [{ name: "Vega" }] }), push(2, "dragons.inbound", { event_id: "d", arrives_at: time(9) }));
  const position = { epoch: "e1", seq: 2, all: 0, at: time(0) };
  const kept = fromJournal(JSON.parse(JSON.stringify(toJournal(state, position))));
  assert.deepEqual(kept.position, position);
  assert.deepEqual(kept.state.entries, state.entries);
  assert.deepEqual(kept.state.stars, state.stars);
  for (const broken of [null, 3, {}, { version: 1 }, { version: 2, position, entries: [], dragons: [], stars: [] }]) assert.equal(fromJournal(broken), null);
});

test("what was told before a sign-in is entered by its time, once, whichever way it came", () => {
  const earlier = [push(3, "a.b", {}, { at: time(-3000) }), push(5, "a.c", {}, { at: time(-1000) })];
  const everybodys = [push(4, "a.d", {}, { feed: "all", at: time(-2000) })];
  const live = after(emptyState(), earlier[1], push(9, "a.e", {}, { at: time(500) }));
  const state = withHistory(live, [...earlier, ...everybodys], "e1");
  assert.deepEqual(state.entries.map(({ event }) => event).slice(-2), ["a.d", "a.b"]);
  assert.equal(state.entries.length, 4);
  assert.equal(withHistory(state, earlier, "e1").entries.length, 4);
});

test("stars and dragons of before a sign-in are known, and what was dismissed stays so", () => {
  const told = [
    push(3, "stars.discovered", { stars: [{ name: "Vega" }] }, { at: time(-3000) }),
    push(4, "dragons.inbound", { event_id: "d", arrives_at: time(60_000), remaining_s: 60 }, { feed: "all", at: time(-2000) }),
  ];
  const state = withHistory(emptyState(), told, "e1");
  assert.deepEqual(state.stars.map(({ name }) => name), ["Vega"]);
  assert.deepEqual(dragonsNow(state, NOW).map(({ id }) => id), ["d"]);
  const gone = withoutDragons(state, "d");
  const arrived = withHistory(gone, [...told, push(5, "dragons.arrived", { event_id: "d" }, { feed: "all", at: time(-1000) })], "e1");
  assert.equal(arrived.dragons.length, 1);
  assert.equal(dragonsNow(arrived, NOW).length, 0);
});

test("dragons that are announced are on their way, whether or not a warning was seen", () => {
  const coming = [
    { id: "1", feed: "all", event: "dragons.inbound", due_at: time(30_000), announced_at: time(0), data: { event_id: "d", arrives_at: time(60_000) } },
    { id: "2", feed: "all", event: "dragons.arrived", due_at: time(60_000), announced_at: time(0), data: { event_id: "d" } },
    { id: "3", feed: "all", event: "comets.passing", due_at: time(60_000), announced_at: time(0), data: { event_id: "c" } },
  ];
  const state = withUpcoming(emptyState(), coming);
  assert.deepEqual(dragonsNow(state, NOW).map(({ id, arrivesAt }) => [id, arrivesAt - NOW]), [["d", 60_000]]);
  assert.equal(withUpcoming(state, coming).dragons.length, 1);
});

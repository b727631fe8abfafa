import assert from "node:assert/strict";
import { test } from "node:test";

import { closeInWords, countdown, delayOf, duration, lateness, leftInWords, refusal, sentence } from "../../services/gateway/starwake/gateway/web/words.js";

const titles = { titleOf: (kind) => ({ shipyard: "Shipyard" })[kind] ?? kind };

test("a duration is told as one says it", () => {
  const told = [0.2, 4.5, 45, 90, 300, 1500, 3600, 5400, 86_400, 129_600, 604_800].map(duration);
  assert.deepEqual(told, ["0.2 s", "4.5 s", "45 s", "1 min 30 s", "5 min", "25 min", "1 h", "1 h 30 min", "1 day", "1 day 12 h", "7 days"]);
});

test("a countdown shows zero only when nothing is left", () => {
  assert.equal(countdown(1).text, "0.1");
  assert.equal(countdown(0).text, "0.0");
  assert.equal(countdown(10_001).text, "0:11");
});

test("a countdown grows with what is left", () => {
  const told = [9_400, 59_500, 754_000, 7_199_500, 198_871_000].map((ms) => countdown(ms).text);
  assert.deepEqual(told, ["9.4", "1:00", "12:34", "2:00:00", "2 d 07:15"]);
});

test("a countdown says how long it stays true, and is another right after", () => {
  for (const left of [350, 9_999, 10_500, 61_234, 3_600_001, 90_000_000]) {
    const { text, holdsMs } = countdown(left);
    assert.ok(holdsMs > 0);
    assert.equal(countdown(left - holdsMs + 0.5).text, text, `${left} until then`);
    assert.notEqual(countdown(left - holdsMs - 0.5).text, text, `${left} from then on`);
  }
});

test("lateness has a sign and a fitting unit", () => {
  assert.deepEqual([2, 1400, 200_000, -3, 200_000_000].map(lateness), ["+2 ms", "+1.4 s", "+3 min", "−3 ms", "+2 days"]);
});

test("every error code is told in words that hold no code", () => {
  const codes = ["bad_json", "bad_request", "unknown_command", "unknown_kind", "site_busy", "not_found", "not_building", "limit_reached",
    "id_reused", "forbidden", "rate_limited", "unavailable", "internal", "timeout", "closed", "something_new"];
  for (const code of codes) {
    const words = refusal(code, { site: "luna-1", kind: "shipyard" });
    assert.match(words, /^[A-Z].*\.$/, code);
    assert.ok(!words.includes("_"), code);
  }
});

test("a refusal names the site as the player knows it", () => {
  assert.match(refusal("site_busy", { site: "luna-1" }), /^Luna is busy/);
});

test("every close that ends a session is told in words", () => {
  for (const code of [1009, 4005, 4500, 4501, 4502, 4503, 4504]) assert.match(closeInWords(code, ""), /^[A-Z].*\.$/);
});

test("a push becomes a sentence", () => {
  const build = { kind: "shipyard", site: "luna-1", due_at: "2026-11-22T10:00:00.000Z" };
  const say = (event, data) => sentence({ event, data, at: Date.parse("2026-11-22T10:00:00Z") }, titles);
  assert.equal(say("build.completed", { build }).text, "Shipyard at Luna is complete.");
  assert.equal(say("build.started", { build }).text, "Work on the shipyard at Luna has begun.");
  assert.equal(say("dragons.inbound", { remaining_s: 90_000 }).text, "Space dragons are inbound: 25 hours.");
  assert.equal(say("stars.discovered", { site: "farwatch-1", stars: [{ name: "A" }, { name: "B" }] }).text, "2 new stars were discovered from Farwatch: A and B.");
});

test("an event that the page does not know, or one without data, still says something", () => {
  for (const event of ["build.completed", "stars.discovered", "dragons.inbound", "comet.passed_by"]) {
    assert.match(sentence({ event, data: {}, at: NaN }, titles).text, /^[A-Z].+\.$/);
  }
});

test("how late a completion came counts from when it was due", () => {
  const due = Date.parse("2026-11-22T10:00:00.000Z");
  const entry = { key: "", event: "build.completed", data: { build: { due_at: new Date(due).toISOString() } }, at: due + 50, receivedAt: due + 3, replayed: false };
  assert.equal(delayOf(entry), 3);
});

test("what is left is told in one unit", () => {
  assert.deepEqual([5_000, 40_000, 60_000, 1_500_000, 90_000_000, 300_000_000].map(leftInWords),
    ["a few seconds", "less than a minute", "1 minute", "25 minutes", "25 hours", "3 days"]);
});

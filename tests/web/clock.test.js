import assert from "node:assert/strict";
import { test } from "node:test";

import { ServerClock } from "../../services/gateway/starwake/gateway/web/clock.js";

const SERVER = Date.parse("2026-11-22T10:00:00.000Z");
const at = (ms) => new Date(SERVER + ms).toISOString();

/** A clock whose local time the test moves. */
function clockAt(start, wall = 0) {
  const local = { now: start };
  const clock = new ServerClock(() => local.now, () => wall);
  return { clock, local };
}

test("before the server has spoken the wall clock is shown", () => {
  const { clock } = clockAt(1000, 42);
  assert.equal(clock.now(), 42);
  assert.equal(clock.set, false);
});

test("an exchange puts the server's time in the middle of the round trip", () => {
  const { clock, local } = clockAt(1000);
  clock.sample({ sentAt: 1000, receivedAt: 1100, serverTime: at(0) });
  local.now = 1100;
  assert.equal(clock.now(), SERVER + 50);
  assert.equal(clock.roundTripMs, 100);
});

test("the exchange with the shortest way is believed, whatever comes after it", () => {
  const { clock, local } = clockAt(0);
  clock.sample({ sentAt: 0, receivedAt: 10, serverTime: at(5) });
  clock.sample({ sentAt: 100, receivedAt: 900, serverTime: at(150) }); // a way of 800 ms, all of it on the way back
  local.now = 10_000;
  assert.equal(clock.now(), SERVER + 10_000);
});

test("a small correction glides: time never stands still and never runs back", () => {
  const { clock, local } = clockAt(0);
  clock.sample({ sentAt: 0, receivedAt: 100, serverTime: at(250) });
  clock.sample({ sentAt: 200, receivedAt: 202, serverTime: at(201) }); // 200 ms less than believed
  local.now = 202;
  let before = clock.now();
  for (local.now = 203; local.now < 6000; local.now += 16) {
    const now = clock.now();
    assert.ok(now > before, "time goes on");
    assert.ok(now - before < 32, "and does not jump");
    before = now;
  }
  assert.ok(Math.abs(clock.now() - (SERVER + local.now)) < 1, "and it arrives");
});

test("a machine that slept is put right at once", () => {
  const { clock, local } = clockAt(0);
  clock.sample({ sentAt: 0, receivedAt: 2, serverTime: at(1) });
  local.now = 100;
  clock.sample({ sentAt: 100, receivedAt: 140, serverTime: at(3_600_000) });
  assert.ok(Math.abs(clock.now() - (SERVER + 3_600_000)) < 100);
});

test("a server time without a known way is a hint that no exchange gives way to", () => {
  const { clock, local } = clockAt(0);
  clock.hint({ serverTime: at(0), receivedAt: 0 });
  assert.equal(clock.now(), SERVER);
  clock.sample({ sentAt: 0, receivedAt: 4, serverTime: at(52) });
  clock.hint({ serverTime: at(0), receivedAt: 20 });
  local.now = 100_000;
  assert.ok(Math.abs(clock.now() - (SERVER + 100_050)) < 1);
});

test("a wrong clock of the player's machine changes nothing but the skew that is told", () => {
  const { clock, local } = clockAt(0, SERVER + 7_200_000);
  clock.sample({ sentAt: 0, receivedAt: 0, serverTime: at(0) });
  local.now = 0;
  assert.equal(clock.now(), SERVER);
  assert.equal(clock.skewMs, 7_200_000);
});

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { afterClose, judge, reconnectDelayMs, SignInRequired, Starwake } from "../../services/gateway/starwake/gateway/web/starwake.js";

/** A line's other end, held in the test's hand. What the real server does is tested against the real one. */
class Socket {
  static all = [];
  readyState = 0;
  sent = [];

  constructor(url, protocols) {
    Object.assign(this, { url, protocols });
    Socket.all.push(this);
  }

  static get last() { return Socket.all.at(-1); }
  send(text) { this.sent.push(JSON.parse(text)); }
  close(code = 1000) { this.readyState = 3; this.closedWith = code; }
  open() { this.readyState = 1; this.onopen?.({}); }
  says(frame) { this.onmessage?.({ data: JSON.stringify(frame) }); }
  drops(code = 1006, reason = "") { this.readyState = 3; this.onclose?.({ code, reason }); }
  commands(name) { return this.sent.filter(({ command }) => command === name); }
  hello(changes = {}) {
    this.says({ type: "hello", player: "ada", session: "s", server_time: "2026-11-22T10:00:00.000Z", epoch: "e1", seq: 10, all: 3, recovered: null,
      token_expires_at: "2026-11-22T11:00:00.000Z", ping_interval_s: 25, limits: { max_frame_bytes: 1000, commands_per_s: 10, burst: 5 }, ...changes });
  }
  push(seq, prev, changes = {}) { this.says({ type: "push", seq, prev, event: "build.completed", at: "2026-11-22T10:00:01.000Z", data: {}, ...changes }); }
  replies({ id, command }, result) { this.says({ type: "reply", id, command, result }); }
  refuses({ id, command }, code, retry_after_ms = null) { this.says({ type: "error", id, command, error: { code, message: code, retry_after_ms } }); }
}

/** Lets promises that are ready go on; no time passes. */
const settle = async () => { for (let turn = 0; turn < 20; turn += 1) await Promise.resolve(); };
const pass = async (ms) => { mock.timers.tick(ms); await settle(); };

let now = 0;
beforeEach(() => {
  Socket.all = [];
  now = 0;
  mock.timers.enable({ apis: ["setTimeout"] });
  mock.method(performance, "now", () => now);
});
afterEach(() => { mock.timers.reset(); mock.restoreAll(); });

/** A live line. */
async function line(options = {}, hello = {}) {
  const heard = [];
  const client = new Starwake("ws://test/ws", { token: "t", WebSocket: Socket, random: () => 0, ...options });
  for (const name of ["state", "push", "resumed", "reset", "gap"]) client.on(name, (data) => heard.push([name, data]));
  const opened = client.open();
  opened.catch(() => {});
  await settle();
  Socket.last.open();
  Socket.last.hello(hello);
  await opened;
  return { client, heard, names: () => heard.map(([name, data]) => (name === "state" ? data.name : name)), of: (name) => heard.filter(([one]) => one === name).map(([, data]) => data) };
}

/** The next connection, up to its hello. */
async function again(hello = {}) {
  await pass(20_000);
  Socket.last.open();
  Socket.last.hello(hello);
  await settle();
}

test("close codes decide whether to come back", () => {
  for (const code of [1000, 1001, 1006, 1011, 1012, 4000, 4001, 4005, 4008, 4010, 4012, 4013, 4499]) assert.equal(afterClose(code), "reconnect", code);
  for (const code of [1009, 4500, 4501, 4502, 4503, 4504, 4999]) assert.equal(afterClose(code), "stop", code);
});

test("the delay has full jitter and stays between half a second and twenty", () => {
  for (let attempt = 1; attempt < 12; attempt += 1) {
    assert.equal(reconnectDelayMs(attempt, () => 0), 500);
    assert.ok(reconnectDelayMs(attempt, () => 0.999999) <= 20_000);
  }
  assert.ok(reconnectDelayMs(12, () => 0.999999) > 19_900);
});

test("a push follows, was seen, or leaves a hole, in each feed by itself", () => {
  const position = { epoch: "e", seq: 10, all: 3, at: "" };
  assert.equal(judge(position, { seq: 12, prev: 10 }), "next");
  assert.equal(judge(position, { seq: 12, prev: 0 }), "next");
  assert.equal(judge(position, { seq: 10, prev: 9 }), "seen");
  assert.equal(judge(position, { seq: 14, prev: 12 }), "gap");
  assert.equal(judge(position, { seq: 4, prev: 3, feed: "all" }), "next");
});

test("the token goes in the first frame, never in the address", async () => {
  await line();
  assert.equal(Socket.last.url, "ws://test/ws");
  assert.deepEqual(Socket.last.protocols, ["starwake.v1"]);
  assert.deepEqual([Socket.last.sent[0].command, Socket.last.sent[0].args], ["auth", { token: "t" }]);
});

test("a command resolves with its result, and a refusal rejects with its code", async () => {
  const { client } = await line();
  const started = client.buildStart("mine", "luna-1");
  const refused = client.buildStart("dock", "luna-1");
  const [one, two] = Socket.last.commands("build.start");
  assert.deepEqual(one.args, { kind: "mine", site: "luna-1" });
  assert.notEqual(one.id, two.id);
  Socket.last.refuses(two, "site_busy");
  Socket.last.replies(one, { build: { id: "b" } });
  assert.deepEqual(await started, { id: "b" });
  await assert.rejects(refused, { name: "CommandRefused", code: "site_busy" });
});

test("all that waits is asked for page by page, and of a server without pages once", async () => {
  const { client } = await line();
  const asked = client.buildQueued();
  const [first] = Socket.last.commands("build.queued");
  Socket.last.replies(first, { queued: [{ id: "a" }], next: 7 });
  await settle();
  const [, second] = Socket.last.commands("build.queued");
  assert.deepEqual(second.args, { after: 7 });
  Socket.last.replies(second, { queued: [{ id: "b" }], next: null });
  assert.deepEqual(await asked, [{ id: "a" }, { id: "b" }]);
  const older = client.buildQueued();
  Socket.last.replies(Socket.last.commands("build.queued")[2], { queued: [{ id: "c" }] });
  assert.deepEqual(await older, [{ id: "c" }]);
});

test("a command that had no answer goes out again under the same id after a reconnect", async () => {
  const { client } = await line();
  const started = client.buildStart("mine", "luna-1");
  const [first] = Socket.last.commands("build.start");
  Socket.last.drops();
  await again();
  const [second] = Socket.last.commands("build.start");
  assert.deepEqual(second, first);
  Socket.last.replies(second, { build: { id: "b" } });
  assert.deepEqual(await started, { id: "b" });
});

test("a command that was given while the line was down goes out when it is back", async () => {
  const { client } = await line();
  Socket.last.drops();
  client.command("build.start", {}, { timeoutMs: Infinity });
  await pass(100);
  assert.equal(Socket.last.commands("build.start").length, 0);
  await again();
  assert.equal(Socket.last.commands("build.start").length, 1);
});

test("a service that does not answer is asked again under the same id", async () => {
  const { client } = await line();
  const started = client.buildStart("mine", "luna-1");
  const [first] = Socket.last.commands("build.start");
  Socket.last.refuses(first, "unavailable", 300);
  now = 301;
  await pass(301);
  const [, second] = Socket.last.commands("build.start");
  assert.equal(second.id, first.id);
  Socket.last.replies(second, { build: { id: "b" } });
  assert.deepEqual(await started, { id: "b" });
});

test("a reply that stays away is asked for again, and both answers count once", async () => {
  const { client } = await line({ replyTimeoutMs: 1000 });
  const started = client.buildStart("mine", "luna-1");
  now = 1001;
  await pass(1001);
  const both = Socket.last.commands("build.start");
  assert.equal(both.length, 2);
  for (const one of both) Socket.last.replies(one, { build: { id: "b" } });
  assert.deepEqual(await started, { id: "b" });
});

test("no answer within the time allowed is a timeout that names the id", async () => {
  const { client } = await line();
  const asked = client.command("build.list", {}, { id: "mine", timeoutMs: 700 });
  await pass(701);
  await assert.rejects(asked, { name: "CommandTimeout", code: "timeout", id: "mine" });
});

test("no more commands go out than the server allows", async () => {
  const { client } = await line();
  for (let count = 0; count < 8; count += 1) client.command("time").catch(() => {});
  assert.equal(Socket.last.commands("time").length, 5);
  now = 100;
  await pass(100);
  assert.equal(Socket.last.commands("time").length, 6);
});

test("a frame over the server's limit is refused here, and the line stays", async () => {
  const { client } = await line();
  await assert.rejects(client.command("build.start", { kind: "x".repeat(2000) }), { code: "bad_request" });
  assert.equal(client.state.name, "live");
});

test("the position moves on with each push, in both feeds, and is handed over on reconnect", async () => {
  const { client } = await line();
  Socket.last.push(12, 10);
  Socket.last.push(5, 3, { feed: "all", at: "2026-11-22T10:00:02.000Z" });
  assert.deepEqual(client.position, { epoch: "e1", seq: 12, all: 5, at: "2026-11-22T10:00:02.000Z" });
  Socket.last.drops();
  await pass(20_000);
  Socket.last.open();
  assert.deepEqual(Socket.last.sent[0].args.resume, { epoch: "e1", seq: 12, all: 5, at: "2026-11-22T10:00:02.000Z" });
});

test("a kept position resumes from the first connection on", async () => {
  const resume = { epoch: "e1", seq: 8, all: 3, at: "2026-11-21T10:00:00.000Z" };
  const { client, of } = await line({ resume }, { recovered: true });
  assert.deepEqual(Socket.last.sent[0].args.resume, resume);
  Socket.last.push(10, 8);
  assert.deepEqual(of("resumed"), [{ missed: 1 }]);
  assert.equal(of("push")[0].replayed, true);
  assert.equal(client.position.seq, 10);
});

test("a push is handed on once, and the replay says how many were missed", async () => {
  const { of } = await line();
  Socket.last.push(12, 10);
  Socket.last.drops();
  await again({ recovered: true, seq: 16 });
  assert.deepEqual(of("resumed"), []);
  for (const [seq, prev] of [[12, 10], [14, 12], [16, 14], [16, 14], [18, 16]]) Socket.last.push(seq, prev);
  assert.deepEqual(of("push").map(({ seq, replayed }) => [seq, replayed]), [[12, false], [14, true], [16, true], [18, false]]);
  assert.deepEqual(of("resumed"), [{ missed: 2 }]);
});

test("the moment that speaks for both feeds stays where it is until both are replayed", async () => {
  const resume = { epoch: "e1", seq: 10, all: 3, at: "2026-11-22T09:00:00.000Z" };
  const { client } = await line({ resume }, { recovered: true, seq: 12, all: 5 });
  Socket.last.push(12, 10);
  assert.equal(client.position.at, resume.at, "the other feed still lies behind");
  Socket.last.push(5, 3, { feed: "all" });
  Socket.last.push(14, 12);
  assert.equal(client.position.at, "2026-11-22T10:00:01.000Z");
});

test("nothing missed is told, too", async () => {
  const { of } = await line();
  Socket.last.drops();
  await again({ recovered: true, seq: 10 });
  assert.deepEqual(of("resumed"), [{ missed: 0 }]);
});

test("a server that cannot resume makes the client start from where the server is", async () => {
  const { client, of } = await line();
  Socket.last.drops();
  await again({ recovered: false, epoch: "e2", seq: 2, all: 0 });
  assert.deepEqual(of("reset"), [{ reason: "not recovered" }]);
  assert.deepEqual([client.position.epoch, client.position.seq], ["e2", 2]);
});

test("a push that cannot be read keeps its place in the feed and is passed over", async () => {
  const { client, of } = await line();
  Socket.last.onmessage({ data: '{"type":"push","seq":11,"prev":10,garbage' });
  Socket.last.onmessage({ data: '{"type":"push","feed":"all","seq":12,"prev":3,"event":"x"}{' });
  Socket.last.push(13, 11, { event: "unreadable" });
  Socket.last.push(14, 13, { event: 7 });
  Socket.last.says(null);
  Socket.last.push(15, 14);
  assert.deepEqual([client.position.seq, client.position.all], [15, 12]);
  assert.deepEqual(of("push").map(({ seq }) => seq), [15]);
  assert.equal(of("gap").length, 0);
  assert.equal(Socket.all.length, 1, "the line stands");
});

test("a hole in a feed is filled by asking again, and a hole that stays is told, once", async () => {
  const { of, client } = await line();
  const socket = Socket.last;
  socket.push(14, 12);
  assert.deepEqual(of("push"), []);
  assert.deepEqual(of("gap"), [{ feed: "player", expected: 10, got: 12 }]);
  assert.equal(socket.closedWith, 4000);
  await again({ recovered: true, seq: 14 });
  Socket.last.push(14, 12);
  assert.deepEqual(of("reset"), [{ reason: "gap" }]);
  assert.equal(client.position.seq, 14);
  assert.equal(client.state.name, "live");
});

test("a lost last push is noticed at the second ping", async () => {
  const { client } = await line();
  Socket.last.says({ type: "ping", seq: 10, all: 3 });
  Socket.last.says({ type: "ping", seq: 12, all: 3 });
  assert.equal(client.state.name, "live");
  Socket.last.says({ type: "ping", seq: 12, all: 3 });
  assert.equal(client.state.name, "waiting");
});

test("a ping is answered", async () => {
  await line();
  Socket.last.says({ type: "ping", seq: 10 });
  assert.deepEqual(Socket.last.sent.at(-1), { command: "pong" });
});

test("a line without a life sign is given up", async () => {
  const { client } = await line();
  await pass(50_000);
  assert.equal(client.state.name, "live");
  await pass(2_000);
  assert.equal(client.state.name, "waiting");
});

test("a bye says when to come back", async () => {
  const { client } = await line();
  Socket.last.says({ type: "bye", code: 4001, reason: "draining", reconnect: true, reconnect_after_ms: 1834 });
  Socket.last.drops(4001);
  assert.deepEqual([client.state.name, client.state.delayMs, client.state.code], ["waiting", 1834, 4001]);
});

test("what ends a session for good rejects what is outstanding, and nothing is tried any more", async () => {
  const { client } = await line();
  const asked = client.command("build.list");
  Socket.last.drops(4503, "revoked");
  await assert.rejects(asked, { name: "LineClosed", closeCode: 4503 });
  assert.deepEqual([client.state.name, client.state.code], ["closed", 4503]);
  const tried = Socket.all.length;
  await pass(60_000);
  assert.equal(Socket.all.length, tried);
  await assert.rejects(client.command("time"), { code: "closed" });
});

test("an expired token is replaced before coming back", async () => {
  const reasons = [];
  const tokens = ["old", "new"];
  await line({ token: (why) => { reasons.push(why); return tokens.shift(); } });
  Socket.last.drops(4005);
  await again();
  assert.deepEqual(reasons, ["connect", "expired"]);
  assert.equal(Socket.last.sent[0].args.token, "new");
});

test("a token that ran out is not tried for ever", async () => {
  const { client } = await line({ token: "old" });
  Socket.last.drops(4005);
  await pass(20_000);
  assert.deepEqual([client.state.name, client.state.code], ["closed", 4005]);
});

test("a token callback that has none any more stops the line, one that fails is asked again", async () => {
  let answer = () => "t";
  const { client } = await line({ token: () => answer() });
  answer = () => { throw new TypeError("the network is away"); };
  Socket.last.drops();
  await pass(600);
  assert.equal(client.state.name, "waiting");
  answer = () => { throw new SignInRequired(); };
  await pass(20_000);
  assert.equal(client.state.name, "closed");
});

test("a token callback that gives nothing is no token, and is asked again", async () => {
  const { client } = await line({ token: () => (Socket.all.length === 0 ? "t" : undefined) });
  Socket.last.drops();
  await pass(600);
  assert.deepEqual([client.state.name, client.state.reason], ["waiting", "the token callback gave no token"]);
  assert.equal(Socket.all.length, 1);
});

test("the token is refreshed ahead of its end, by the server's clock", async () => {
  const { client } = await line({ token: (why) => why }, { token_expires_at: "2026-11-22T10:01:00.000Z" });
  await pass(47_000);
  assert.equal(Socket.last.commands("auth.refresh").length, 0);
  await pass(1_500);
  const [refresh] = Socket.last.commands("auth.refresh");
  assert.deepEqual(refresh.args, { token: "refresh" });
  assert.equal(client.state.name, "live");
});

test("a listener that fails takes neither the line nor the other listeners with it", async () => {
  const { client, of } = await line();
  const complaints = [];
  mock.method(globalThis, "queueMicrotask", (task) => { try { task(); } catch (error) { complaints.push(error.message); } });
  client.on("build.completed", () => { throw new Error("mine"); });
  client.on("build.completed", () => complaints.push("heard"));
  Socket.last.push(12, 10);
  assert.deepEqual(complaints, ["mine", "heard"]);
  assert.equal(of("push").length, 1);
  assert.equal(client.state.name, "live");
});

test("connecting to nobody ends after the time allowed, and leaves nothing open", async () => {
  const connecting = Starwake.connect("ws://test/ws", { token: "t", WebSocket: Socket, random: () => 0, timeoutMs: 5000 });
  const refused = assert.rejects(connecting, { name: "StarwakeError", code: "timeout" });
  await settle();
  Socket.last.drops();
  await pass(5000);
  await refused;
  const tried = Socket.all.length;
  await pass(60_000);
  assert.equal(Socket.all.length, tried);
});

test("a refused token ends connecting at once", async () => {
  const connecting = Starwake.connect("ws://test/ws", { token: "t", WebSocket: Socket });
  const refused = assert.rejects(connecting, { name: "LineClosed", closeCode: 4500 });
  await settle();
  Socket.last.open();
  Socket.last.drops(4500, "invalid token");
  await refused;
});

test("a closed client can be opened again and goes on from its position", async () => {
  const { client } = await line();
  client.close();
  assert.equal(client.state.name, "closed");
  const opened = client.open();
  await settle();
  Socket.last.open();
  assert.equal(Socket.last.sent[0].args.resume.seq, 10);
  Socket.last.hello({ recovered: true });
  assert.equal((await opened).player, "ada");
});

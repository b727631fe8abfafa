import assert from "node:assert/strict";
import { test } from "node:test";

import { whyRefused } from "../../services/gateway/starwake/gateway/web/refused.js";

/** A `fetch` that gives this answer, and notes what it was asked. */
function server(answer, { ok = true } = {}) {
  const asked = [];
  const ask = async (url, options) => { asked.push([url, options.method]); return { ok, json: async () => answer }; };
  return { ask, asked };
}

test("an origin that is refused is told with the host that the server saw, and what mends it", async () => {
  const { ask, asked } = server({ allowed: false, origin: "https://game.example", host: "gateways:8080" });
  const words = await whyRefused(ask);
  for (const told of ["https://game.example", "gateways:8080", "Host header", "STARWAKE_ALLOWED_ORIGINS"]) assert.ok(words.includes(told), told);
  assert.deepEqual(asked, [["./ws/origin", "POST"]]);
});

test("nothing is told where the origin may connect, or the server says nothing of it", async () => {
  assert.equal(await whyRefused(server({ allowed: true, origin: "https://game.example", host: "game.example" }).ask), "");
  assert.equal(await whyRefused(server({ detail: "Not Found" }, { ok: false }).ask), "");
  assert.equal(await whyRefused(server({ detail: "something else" }).ask), "");
  assert.equal(await whyRefused(async () => { throw new TypeError("Failed to fetch"); }), "");
});

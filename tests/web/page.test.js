import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { test } from "node:test";

const WEB = new URL("../../services/gateway/starwake/gateway/web/", import.meta.url);
const read = (name) => readFile(new URL(name, WEB), "utf8");
const names = await readdir(WEB);
const css = await read("starwake.css");
const page = await read("index.html");

/** Relative luminance and contrast as WCAG 2.2 defines them. */
function contrast(one, other) {
  const light = (hex) => [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16) / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const [more, less] = [light(one), light(other)].sort((left, right) => right - left);
  return (more + 0.05) / (less + 0.05);
}

/** The custom properties of each scheme; the light one overrides the dark one. */
function schemes() {
  const blocks = [...css.matchAll(/:root \{([^}]*)\}/g)].map(([, body]) => Object.fromEntries([...body.matchAll(/--([\w-]+): (#[0-9a-f]{6})/g)].map(([, name, value]) => [name, value])));
  const [dark, light] = blocks;
  return { dark, light: { ...dark, ...light } };
}

test("text has at least the contrast of WCAG AA in both schemes", () => {
  for (const [scheme, colours] of Object.entries(schemes())) {
    for (const text of ["text", "soft", "amber", "teal", "ember"]) {
      for (const ground of ["ground", "raised"]) {
        assert.ok(contrast(colours[text], colours[ground]) >= 4.5, `${text} on ${ground}, ${scheme}: ${contrast(colours[text], colours[ground]).toFixed(2)}`);
      }
    }
    assert.ok(contrast(colours.ember, colours["ember-ground"]) >= 4.5, `the warning, ${scheme}`);
    assert.ok(contrast(colours["on-accent"], colours.amber) >= 4.5, `buttons, ${scheme}`);
    assert.ok(contrast(colours["on-accent"], colours.soft) >= 4.5, `switches, ${scheme}`);
  }
});

test("controls and rings stand out from the ground by three to one", () => {
  for (const [scheme, colours] of Object.entries(schemes())) {
    for (const line of ["edge", "amber", "engraved"]) assert.ok(contrast(colours[line], colours.ground) >= 3, `${line}, ${scheme}: ${contrast(colours[line], colours.ground).toFixed(2)}`);
  }
});

test("nothing on the page needs more than its strict policy allows", () => {
  assert.doesNotMatch(page, /\sstyle=|\son\w+=|<style|javascript:/i);
  assert.doesNotMatch(page, /<script(?![^>]*\ssrc=)/i);
});

test("nothing is fetched from elsewhere", async () => {
  const allowed = "http://www.w3.org/2000/svg"; // a name, not an address that is asked
  for (const name of names.filter((one) => /\.(js|css|html|svg)$/.test(one))) {
    const addresses = [...(await read(name)).matchAll(/(?:https?|wss?):\/\/[^\s"'`)]+/g)].map(([address]) => address);
    assert.deepEqual(addresses.filter((address) => address !== allowed), [], name);
  }
});

test("every element that a module asks for by its id is on the page", async () => {
  const ids = new Set([...page.matchAll(/\sid="([\w-]+)"/g)].map(([, id]) => id));
  for (const name of names.filter((one) => one.endsWith(".js"))) {
    for (const [, id] of (await read(name)).matchAll(/byId\("([\w-]+)"/g)) assert.ok(ids.has(id), `${name} asks for #${id}`);
  }
});

test("labels and descriptions refer to what is there", () => {
  const ids = new Set([...page.matchAll(/\sid="([\w-]+)"/g)].map(([, id]) => id));
  for (const [, refers] of page.matchAll(/\s(?:for|aria-labelledby|aria-controls|popovertarget)="([\w-]+)"/g)) assert.ok(ids.has(refers), refers);
  assert.equal(ids.size, [...page.matchAll(/\sid="/g)].length, "no id twice");
});

test("motion stops where the player asked for that", () => {
  assert.match(css, /prefers-reduced-motion: reduce\) \{\s*\*, \*::before, \*::after \{ animation: none !important/);
  for (const media of ["prefers-color-scheme: light", "forced-colors: active"]) assert.ok(css.includes(media));
});

test("the modules are small enough to be read", async () => {
  for (const name of names.filter((one) => one.endsWith(".js") && one !== "starwake.js")) { // the client is one module by intent
    const lines = (await read(name)).split("\n").length;
    assert.ok(lines < 400, `${name}: ${lines} lines`);
  }
});

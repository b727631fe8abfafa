// @ts-check
/**
 * The page's composition root: sign-in, one line, one state, and the views that show it.
 */

import { Bridge } from "./bridge.js";
import { byId, set } from "./dom.js";
import { drawGate } from "./gate.js";
import { NoSignIn, forgetPass, rememberedPass, signIn, signInWith } from "./session.js";

/** @import { Pass } from "./session.js" */

const gate = byId("gate", HTMLElement);
const note = byId("gate-note", HTMLElement);
const name = byId("player", HTMLInputElement);
const nameForm = byId("sign-in", HTMLFormElement);
const pasteForm = byId("paste", HTMLFormElement);
const token = byId("token", HTMLTextAreaElement);
/** @type {Bridge | null} */
let bridge = null;

/** @param {string} words */
function tell(words) {
  note.textContent = words;
  set(note, "hidden", words === "");
}

/** @param {string} [words] */
function showGate(words = "") {
  bridge?.leave();
  bridge = null;
  document.body.dataset.view = "sign-in";
  set(gate, "hidden", false);
  tell(words);
  (nameForm.hidden ? token : name).focus();
}

/** @param {Pass} pass */
function goAboard(pass) {
  set(gate, "hidden", true);
  document.body.dataset.view = "bridge";
  bridge = new Bridge(pass, (words) => {
    forgetPass();
    showGate(words);
  });
}

/** @param {HTMLFormElement} form @param {() => Promise<Pass>} enter */
async function submit(form, enter) {
  const button = form.querySelector("button");
  if (button?.disabled) return;
  if (button) button.disabled = true;
  tell("");
  try {
    goAboard(await enter());
  } catch (error) {
    if (error instanceof NoSignIn) {
      set(nameForm, "hidden", true);
      set(pasteForm, "hidden", false);
      token.focus();
    } else if (error instanceof RangeError) {
      tell("The station does not take this name. Try another one.");
    } else {
      tell("The station does not answer. Try again in a moment.");
    }
  } finally {
    if (button) button.disabled = false;
  }
}

nameForm.addEventListener("submit", (event) => {
  event.preventDefault();
  void submit(nameForm, () => signIn(name.value.trim() || name.value));
});
pasteForm.addEventListener("submit", (event) => {
  event.preventDefault();
  void submit(pasteForm, async () => signInWith(token.value.trim()));
});

drawGate(byId("gate-sky", SVGSVGElement));

document.body.dataset.ready = "";
const pass = rememberedPass();
if (pass) goAboard(pass);
else showGate();

// Texts come from models: they are only ever set as textContent, never as HTML.
"use strict";

const by = (id) => document.getElementById(id);
let study;
let place = 0;
let saving = false;

const isRated = (item) => item.item in study.ratings;
const countRated = () => study.items.filter(isRated).length;

// The first text without a score after the present one, then from the start; -1: all have one.
function nextUnrated(after) {
  const later = study.items.findIndex((item, i) => i > after && !isRated(item));
  return later >= 0 ? later : study.items.findIndex((item) => !isRated(item));
}

function say(text) {
  by("status").textContent = text;
}

function warn(text) {
  by("alert").textContent = text;
}

function make(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

function buildScale() {
  for (const level of study.scale) {
    const button = make("button", "", "");
    button.type = "button";
    button.dataset.score = level.score;
    button.setAttribute("aria-keyshortcuts", level.score);
    // The spaces keep the parts apart when they are read out.
    button.append(
      make("span", "number", `${level.score} `),
      make("span", "name", `${level.name} `),
      make("span", "meaning", level.meaning),
    );
    button.addEventListener("click", () => rate(level.score));
    by("scale").append(button);
  }
}

function showText(id, text) {
  by(id).textContent = text;
}

function show() {
  const item = study.items[place];
  const total = study.items.length;
  const rated = countRated();
  showText("place", `Text ${place + 1} of ${total}`);
  showText("prefix", item.prefix);
  showText("reference", item.reference);
  showText("continuation", item.continuation.trim() ? item.continuation : "(the model wrote nothing)");
  by("continuation").classList.toggle("empty", !item.continuation.trim());
  for (const button of by("scale").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", study.ratings[item.item] === Number(button.dataset.score));
  }
  showText("rated", `${rated} of ${total} scored`);
  by("progress").max = total;
  by("progress").value = rated;
  by("previous").disabled = place === 0;
  by("next").disabled = place === total - 1;
  by("unrated").disabled = rated === total;
  by("number").max = total;
  by("number").value = place + 1;
  by("finished").hidden = rated < total;
}

// Moves to a text; the focus goes to its heading, so that it is read out from there.
function go(to) {
  if (saving || to < 0 || to >= study.items.length) return;
  place = to;
  show();
  by("place").focus({ preventScroll: true });
  window.scrollTo({ top: 0 });
}

async function save(item, score) {
  const answer = await fetch("rating", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ item, score }),
  });
  if (!answer.ok) throw new Error((await answer.json()).error);
}

async function rate(score) {
  if (saving) return;
  saving = true;
  const item = study.items[place];
  const corrected = isRated(item);
  try {
    await save(item.item, score);
  } catch (error) {
    const why = error instanceof TypeError ? "the server does not answer; start it again" : error.message;
    warn(`The score ${score} was not saved: ${why}. Then score this text again.`);
    return;
  } finally {
    saving = false;
  }
  warn("");
  study.ratings[item.item] = score;
  moveOn(corrected, score);
}

// After a first score comes the next text without one; who corrects stays to see it.
function moveOn(corrected, score) {
  const saved = `Text ${place + 1}: ${score} saved.`;
  const next = nextUnrated(place);
  if (corrected) {
    show();
    say(`${saved} Corrected.`);
  } else if (next >= 0) {
    go(next);
    say(`${saved} Now text ${place + 1} of ${study.items.length}.`);
  } else {
    show();
    say(`${saved} All texts are scored.`);
    by("finished-title").focus({ preventScroll: true });
    window.scrollTo({ top: 0 });
  }
}

function onKey(event) {
  // A held key would score the texts that follow; keys in the number field are for it.
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target instanceof HTMLInputElement) return;
  if (/^[1-8]$/.test(event.key)) rate(Number(event.key));
  else if (event.key === "ArrowLeft") go(place - 1);
  else if (event.key === "ArrowRight") go(place + 1);
  else if (event.key.toLowerCase() === "u") goToUnrated();
  else return;
  event.preventDefault();
}

function goToUnrated() {
  const next = nextUnrated(place);
  if (next >= 0) go(next);
}

function listen() {
  document.addEventListener("keydown", onKey);
  by("previous").addEventListener("click", () => go(place - 1));
  by("next").addEventListener("click", () => go(place + 1));
  by("unrated").addEventListener("click", goToUnrated);
  by("jump").addEventListener("submit", (event) => {
    event.preventDefault();
    go(Number(by("number").value) - 1);
  });
}

async function start() {
  try {
    const answer = await fetch("study");
    study = await answer.json();
    if (!answer.ok) throw new Error(study.error);
  } catch (error) {
    warn(`The texts could not be loaded: ${error.message}`);
    return;
  }
  showText("annotator", `Annotator: ${study.annotator}`);
  showText("task", study.task);
  showText("file", study.file);
  by("rules").append(...study.rules.map((rule) => make("li", "", rule)));
  // Who goes on has read them; they stay one click away.
  by("instructions").open = countRated() === 0;
  buildScale();
  listen();
  place = Math.max(0, nextUnrated(-1));
  show();
  document.querySelector("main").hidden = false;
}

start();

// What a page cannot do without script: polling by how closely it is watched, copying, marking new rows.
"use strict";

document.documentElement.classList.add("js");

const WATCHED_MS = 1000;
const HIDDEN_MS = 30000;
let timer = 0;
let knownRows = new Set();
let openDetails = [];

const live = () => document.getElementById("live");
const rowsOf = (part) => Array.from(part ? part.querySelectorAll("[data-row]") : []);

function schedule() {
  clearTimeout(timer);
  timer = setTimeout(poll, document.hidden ? HIDDEN_MS : WATCHED_MS);
}

// Text that somebody is selecting must not be taken from under the pointer.
function isBeingSelected(part) {
  const selection = document.getSelection();
  return selection.toString() !== "" && part.contains(selection.anchorNode);
}

// Nor rows that somebody has ticked: a poll would bring them back unticked, or push them off the page.
const hasTicks = (part) => part.querySelector('input[name="id"]:checked') !== null;

function poll() {
  const part = live();
  if (part && part.hasAttribute("data-poll") && !isBeingSelected(part) && !hasTicks(part)) htmx.trigger(part, "poll");
  schedule();
}

document.addEventListener("visibilitychange", () => (document.hidden ? schedule() : poll()));

document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target.id !== "live") return;
  knownRows = new Set(rowsOf(live()).map((row) => row.dataset.row));
  openDetails = Array.from(live().querySelectorAll("details[open]"), (item) => item.id);
});

document.addEventListener("htmx:afterSwap", (event) => {
  const part = live();
  if (event.detail.requestConfig.target.id !== "live" || !part) return;
  openDetails.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
  rowsOf(part).forEach((row) => row.classList.toggle("new", !knownRows.has(row.dataset.row)));
});

// The word that says whether the page is live; what it says while it is comes from the page.
function sayLost(isLost) {
  const word = live()?.querySelector(".live-word");
  if (!word) return;
  if (!word.dataset.said) word.dataset.said = word.textContent;
  word.textContent = isLost ? "No answer; trying again" : word.dataset.said;
  word.closest(".liveness").classList.toggle("lost", isLost);
}

// 204: nothing has changed since the page was told `seen`, so that nothing is replaced.
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful && event.detail.target?.id === "live") sayLost(false);
});

for (const name of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
  document.addEventListener(name, () => sayLost(true));
}

document.addEventListener("change", (event) => {
  if (!event.target.matches("input.pick-all")) return;
  for (const box of event.target.form.querySelectorAll('input[name="id"]')) box.checked = event.target.checked;
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  const source = button.dataset.copyFrom;
  const text = source ? document.getElementById(source).textContent : button.dataset.copy;
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed";
  }
  setTimeout(() => (button.textContent = label), 1500);
});

schedule();

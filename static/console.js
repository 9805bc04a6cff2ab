// What a page cannot do without script: polling by how closely it is watched, copying, marking new rows.
"use strict";

document.documentElement.classList.add("js");

const QUICK_MS = 1000; // a list that is answered by "nothing new" in a few milliseconds: data-poll="quick"
const WATCHED_MS = 2000;
const HIDDEN_MS = 30000;
let timer = 0;
let knownRows = new Set();
let openDetails = [];

const live = () => document.getElementById("live");
const rowsOf = (part) => Array.from(part ? part.querySelectorAll("[data-row]") : []);

function schedule() {
  clearTimeout(timer);
  const watched = live()?.dataset.poll === "quick" ? QUICK_MS : WATCHED_MS;
  timer = setTimeout(poll, document.hidden ? HIDDEN_MS : watched);
}

// Text that somebody is selecting must not be taken from under the pointer.
function isBeingSelected(part) {
  const selection = document.getSelection();
  return selection.toString() !== "" && part.contains(selection.anchorNode);
}

// Nor rows that somebody has ticked: a poll would bring them back unticked, or push them off the page.
const hasTicks = (part) => part.querySelector('input[name="id"]:checked') !== null;

// Nor the row that an open dialog will give the focus back to.
const isInUse = (part) => isBeingSelected(part) || hasTicks(part) || document.querySelector("dialog[open]") !== null;

function poll() {
  const part = live();
  if (part && part.hasAttribute("data-poll") && !isInUse(part)) htmx.trigger(part, "poll");
  schedule();
}

// Parts that follow the minute: what was opened in them stays open. Their elements bear ids, so that focus stays, too.
let openByMinute = [];
document.addEventListener("htmx:beforeSwap", (event) => {
  const part = event.detail.target;
  if (part.id === "by-minute") openByMinute = Array.from(part.querySelectorAll("details[open]"), (item) => item.id);
});
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.requestConfig.target.id !== "by-minute") return;
  openByMinute.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
});

document.addEventListener("visibilitychange", () => (document.hidden ? schedule() : poll()));

document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target.id !== "live") return;
  if (isPoll(event.detail) && isInUse(live())) event.detail.shouldSwap = false; // it was asked for before that
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
  document.addEventListener(name, (event) => {
    if (isPoll(event.detail)) sayLost(true);
  });
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

// --- The frame: progress and trouble of what a person asked for, menus, dialogs, keys ---------------------------------

const PROGRESS_AFTER_MS = 150; // what answers sooner needs no sign
const TROUBLES = {
  403: "You may not do this, or not any more. Nothing was changed.",
  404: "That is not there any more. Nothing was changed.",
  409: "Somebody was faster: it is not as this page shows it any more.",
  429: "Too many requests. Wait a moment, then try again.",
};
let busy = 0;

function isPoll(detail) {
  const cause = detail.requestConfig?.triggeringEvent;
  return cause?.type === "poll";
}

function showBusy() {
  const line = document.getElementById("progress");
  if (line) line.hidden = busy === 0;
}

document.addEventListener("htmx:beforeSend", (event) => {
  if (isPoll(event.detail) || event.detail.target.closest("dialog")) return;
  event.detail.xhr.isAwaited = true;
  busy += 1;
  document.getElementById("main")?.setAttribute("aria-busy", "true");
  setTimeout(showBusy, PROGRESS_AFTER_MS);
});

document.addEventListener("htmx:afterRequest", (event) => {
  if (!event.detail.xhr?.isAwaited) return;
  event.detail.xhr.isAwaited = false;
  busy -= 1;
  if (busy === 0) document.getElementById("main")?.removeAttribute("aria-busy");
  showBusy();
  if (event.detail.successful) sayTrouble("");
});

function sayTrouble(words) {
  const bar = document.getElementById("trouble");
  if (!bar) return;
  bar.hidden = words === "";
  bar.querySelector("p").textContent = words;
}

for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, (event) => {
    if (!isPoll(event.detail)) sayTrouble("No answer from Event Center. Load the page again to see whether it was done.");
  });
}

document.addEventListener("htmx:responseError", (event) => {
  if (isPoll(event.detail)) return;
  const status = event.detail.xhr.status;
  const fault = "Event Center failed at this; its log says why. Try again, and see Health if it stays so.";
  sayTrouble(TROUBLES[status] || (status >= 500 ? fault : `That was refused (${status}). Load the page again and repeat it.`));
});

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-reload]")) location.reload();
  if (event.target.closest("[data-dismiss]")) sayTrouble("");
  const opener = event.target.closest("[data-opens]");
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (opener || !menu.contains(event.target)) menu.removeAttribute("open");
  }
  if (opener) openDialog(opener.dataset.opens);
  if (event.target instanceof HTMLDialogElement) event.target.close(); // beside it: its backdrop
});

// A menu opens by its summary without script; with it, it also closes by Escape.
document.addEventListener("keydown", (event) => {
  const menu = event.target.closest?.("details.menu[open]");
  if (event.key !== "Escape" || !menu) return;
  menu.removeAttribute("open");
  menu.querySelector("summary").focus();
});

function openDialog(id) {
  const dialog = document.getElementById(id);
  if (!dialog || dialog.open || document.querySelector("dialog[open]")) return;
  dialog.showModal(); // keeps the focus within, and gives it back
  if (id === "palette") beginPalette();
}

// --- The command palette: a combobox whose listbox is a part of the search page ----------------------------------------

const RECENT_KEY = "recent-searches";
const RECENT_MOST = 6;
const paletteText = () => document.getElementById("palette-text");
const paletteList = () => document.getElementById("palette-found");
const optionsOf = (list) => Array.from(list.querySelectorAll('[role="option"]'));

function recentSearches() {
  try {
    const kept = JSON.parse(localStorage.getItem(RECENT_KEY) || "[]");
    return Array.isArray(kept) ? kept.filter((each) => typeof each === "string").slice(0, RECENT_MOST) : [];
  } catch {
    return [];
  }
}

function keepSearch(text) {
  const kept = [text, ...recentSearches().filter((each) => each !== text)].slice(0, RECENT_MOST);
  try {
    localStorage.setItem(RECENT_KEY, JSON.stringify(kept));
  } catch {
    // nothing is kept, then
  }
}

function recentOption(text) {
  const [option, link, name, kind] = ["li", "a", "b", "span"].map((tag) => document.createElement(tag));
  option.setAttribute("role", "option");
  link.href = `${paletteText().form.action}?q=${encodeURIComponent(text)}`;
  link.tabIndex = -1;
  name.textContent = text;
  kind.textContent = "Searched before";
  kind.className = "detail";
  link.append(name, " ", kind);
  option.append(link);
  return option;
}

function beginPalette() {
  const input = paletteText();
  input.value = "";
  input.focus();
  paletteList().replaceChildren(...recentSearches().map(recentOption));
  numberOptions();
  htmx.trigger(input, "palette");
}

function numberOptions() {
  const options = optionsOf(paletteList());
  options.forEach((option, place) => (option.id = `palette-option-${place}`));
  choose(options[0]);
}

function choose(option) {
  for (const each of optionsOf(paletteList())) each.setAttribute("aria-selected", String(each === option));
  if (!option) return paletteText().removeAttribute("aria-activedescendant");
  paletteText().setAttribute("aria-activedescendant", option.id);
  option.scrollIntoView({ block: "nearest" });
}

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target !== paletteList()) return;
  if (paletteText().value.trim() === "") paletteList().prepend(...recentSearches().map(recentOption));
  numberOptions();
});

function movePalette(event) {
  const options = optionsOf(paletteList());
  const at = options.findIndex((option) => option.getAttribute("aria-selected") === "true");
  const steps = { ArrowDown: 1, ArrowUp: -1 };
  if (event.key in steps && options.length) {
    event.preventDefault();
    choose(options[(at + steps[event.key] + options.length) % options.length]);
  } else if (event.key === "Enter") {
    event.preventDefault();
    const text = paletteText().value.trim();
    const isShown = paletteText().dataset.shown === paletteText().value;
    if (at >= 0 && (isShown || text === "")) options[at].querySelector("a").click();
    else if (text) paletteText().form.submit(); // faster than the list: the page answers the same
  }
}

document.addEventListener("htmx:beforeSend", (event) => {
  if (event.detail.elt === paletteText()) event.detail.xhr.soughtText = paletteText().value;
});
document.addEventListener("htmx:afterRequest", (event) => {
  const input = paletteText();
  if (!input || event.detail.elt !== input) return;
  if (event.detail.successful) input.dataset.shown = event.detail.xhr.soughtText ?? "";
});

// --- Keys --------------------------------------------------------------------------------------------------------------

const isTyping = (target) => target.closest?.('input:not([type="checkbox"], [type="radio"]), textarea, select, [contenteditable]');
const rows = () => Array.from(document.querySelectorAll("main [data-row]")).filter((row) => row.querySelector("a[href]"));
const linkOf = (row) => row.querySelector("a[href]");

function moveRow(step) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(document.activeElement.closest("[data-row]"));
  const next = at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + step, 0), all.length - 1);
  linkOf(all[next]).focus();
}

function tickRow() {
  const box = document.activeElement.closest("[data-row]")?.querySelector('input[type="checkbox"]');
  if (!box) return;
  box.checked = !box.checked;
  box.dispatchEvent(new Event("change", { bubbles: true }));
}

const KEYS = {
  "/": () => document.getElementById("find")?.select(),
  "?": () => openDialog("keys"),
  j: () => moveRow(1),
  k: () => moveRow(-1),
  x: tickRow,
};

document.addEventListener("keydown", (event) => {
  if (event.target === paletteText()) return movePalette(event);
  if (event.isComposing || event.altKey) return;
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k" && document.getElementById("palette")) {
    event.preventDefault();
    return openDialog("palette");
  }
  if (event.ctrlKey || event.metaKey || isTyping(event.target) || document.querySelector("dialog[open]")) return;
  const inRow = event.target.closest?.("[data-row]");
  const arrows = inRow ? { ArrowDown: KEYS.j, ArrowUp: KEYS.k } : {};
  const act = arrows[event.key] || (Object.hasOwn(KEYS, event.key) ? KEYS[event.key] : null);
  if (!act) return;
  event.preventDefault();
  act();
});

// A poll takes the row that has the focus away: whoever goes through a list by keys stays where they are.
let focusedRow = "";
document.addEventListener("htmx:beforeSwap", (event) => {
  const row = event.detail.target.contains(document.activeElement) ? document.activeElement.closest("[data-row]") : null;
  focusedRow = row && document.activeElement === linkOf(row) ? row.dataset.row : "";
});
document.addEventListener("htmx:afterSettle", () => {
  if (!focusedRow) return;
  const row = rows().find((each) => each.dataset.row === focusedRow);
  focusedRow = "";
  if (row && document.activeElement === document.body) linkOf(row).focus({ preventScroll: true });
});

const searched = document.querySelector("[data-searched]");
if (searched) keepSearch(searched.dataset.searched);

schedule();

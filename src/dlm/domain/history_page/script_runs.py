"""The page's script, first half: pointing at a run in the charts over runs, sorting and filtering the table."""

RUNS_SCRIPT = r"""
"use strict";
(() => {
const page = window.dlmPage = {data: JSON.parse(document.getElementById("data").textContent)};
page.all = (query, from = document) => [...from.querySelectorAll(query)];
page.one = (id) => document.getElementById(id);
page.make = (tag, words, into) => {
  const made = document.createElement(tag);
  if (words !== undefined) made.textContent = words;
  if (into) into.append(made);
  return made;
};
page.say = (words) => { page.one("said").textContent = words; };

// A drawing that is pointed at becomes a slider: arrow keys move along it, its words are read out.
page.explore = (area, {count, at, show, leave, press, name}) => {
  let here = null;
  const go = (index) => {
    here = Math.max(0, Math.min(count() - 1, index));
    const words = show(here);
    area.setAttribute("aria-valuemax", count() - 1);
    area.setAttribute("aria-valuenow", here);
    area.setAttribute("aria-valuetext", words);
  };
  const clear = () => { here = null; leave(); };
  area.tabIndex = 0;
  area.setAttribute("role", "slider");
  area.setAttribute("aria-label", name);
  area.setAttribute("aria-valuemin", 0);
  area.setAttribute("aria-valuemax", Math.max(0, count() - 1));
  area.setAttribute("aria-valuenow", Math.max(0, count() - 1));
  area.addEventListener("pointermove", (event) => {
    const box = area.getBoundingClientRect();
    if (count()) go(at((event.clientX - box.left) / box.width));
  });
  area.addEventListener("pointerleave", clear);
  area.addEventListener("blur", clear);
  if (press) area.addEventListener("click", () => { if (here !== null) press(here); });
  area.addEventListener("keydown", (event) => {
    const last = count() - 1, from = here === null ? last + 1 : here, far = Math.max(1, Math.round(count() / 10));
    const moves = {ArrowLeft: from - 1, ArrowDown: from - 1, ArrowRight: here === null ? last : from + 1,
      ArrowUp: here === null ? last : from + 1, PageDown: from - far, PageUp: from + far, Home: 0, End: last};
    if (event.key in moves && last >= 0) { event.preventDefault(); go(moves[event.key]); }
    else if (event.key === "Escape") clear();
    else if (event.key === "Enter" && press && here !== null) press(here);
  });
};

// Charts over runs: all of them show the run that one of them points at.
const runs = page.data.runs, panels = page.all("[data-panel]").map((figure) => {
  const now = figure.querySelector(".now");
  const when = figure.querySelector(".when");
  return {figure, now, when, last: [when.textContent, now.textContent], texts: page.data.panels[figure.dataset.panel],
    cross: figure.querySelector(".cross"), title: figure.querySelector("b").textContent};
});
const showRun = (index) => {
  for (const panel of panels) {
    panel.cross.hidden = false;
    panel.cross.style.left = `${(index + 0.5) / runs.length * 100}%`;
    panel.now.textContent = panel.texts[index];
    panel.when.textContent = `run ${runs[index].id}`;
  }
};
const showLast = () => {
  for (const panel of panels) {
    panel.cross.hidden = true;
    [panel.when.textContent, panel.now.textContent] = panel.last;
  }
};
for (const panel of panels) {
  page.explore(panel.figure.querySelector(".area"), {
    name: `${panel.title}, by run`, count: () => runs.length, at: (share) => Math.floor(share * runs.length),
    show: (index) => {
      showRun(index);
      return `run ${runs[index].id}, ${page.data.status[index]}: ${panel.texts[index]}`;
    },
    leave: showLast, press: (index) => page.choose && page.choose(index),
  });
}

// The table: headings sort, the fields above it filter.
const table = page.one("runs");
if (!table) return;
const body = table.tBodies[0], rows = [...body.rows];
const valueOf = (row, column, kind) => {
  const cell = row.cells[column], value = cell.dataset.v ?? cell.textContent;
  if (kind !== "number") return value.toLowerCase();
  return value === "" ? null : cell.classList.contains("start") ? Date.parse(value) : Number(value);
};
const order = (a, b) => a === b ? 0 : a === null ? 1 : b === null ? -1 : a < b ? -1 : 1;
const sortBy = (head) => {
  const down = head.getAttribute("aria-sort") === "descending";
  const way = down || (head.dataset.sort === "text" && !head.hasAttribute("aria-sort")) ? "ascending" : "descending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", way);
  const turn = way === "ascending" ? 1 : -1;
  const keyed = rows.map((row) => [valueOf(row, head.cellIndex, head.dataset.sort), row]);
  keyed.sort(([a], [b]) => a === null || b === null ? order(a, b) : turn * order(a, b));
  body.append(...keyed.map(([, row]) => row));
};
for (const head of page.all("th[data-sort]", table)) {
  const words = head.textContent;
  head.textContent = "";
  const button = page.make("button", words, head);
  button.type = "button";
  button.className = "sort";
  button.addEventListener("click", () => {
    sortBy(head);
    page.say(`sorted by ${words}, ${head.getAttribute("aria-sort")}`);
  });
}
table.tHead.querySelector(".run").setAttribute("aria-sort", "descending");

const find = page.one("find"), status = page.one("status");
let texts;
const filter = () => {
  texts ||= rows.map((row) => [...row.cells].slice(1).map((cell) => cell.textContent).join(" ").toLowerCase());
  const wanted = find.value.trim().toLowerCase().split(/\s+/);
  let found = 0;
  rows.forEach((row, index) => {
    const fits = wanted.every((word) => texts[index].includes(word)) &&
      (!status.value || row.classList.contains(`is-${status.value}`));
    row.hidden = !fits;
    found += fits;
  });
  const every = rows.length === 1 ? "1 run" : `${rows.length.toLocaleString("en")} runs`;
  page.one("found").textContent = found === rows.length ? every : `${found.toLocaleString("en")} of ${every}`;
};
find.addEventListener("input", filter);
status.addEventListener("change", filter);
page.rows = new Map(rows.map((row) => [Number(row.dataset.run), row]));
body.addEventListener("change", (event) => {
  if (event.target.type === "checkbox" && page.toggle) page.toggle(Number(event.target.value), event.target.checked);
});
})();
"""

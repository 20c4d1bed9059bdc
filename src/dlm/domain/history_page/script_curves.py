"""The page's script, second half: the curves inside runs, several of them side by side."""

CURVES_SCRIPT = r"""
(() => {
const page = window.dlmPage, {data, one, make, all} = page, root = document.documentElement;
const figure = document.querySelector(".curve");
if (!figure) { root.dataset.ready = "true"; return; }
const MAX = 6, SIZE = 1000, runs = data.runs;
const area = figure.querySelector(".area"), svg = area.querySelector("svg"), cross = area.querySelector(".cross");
const up = figure.querySelector(".y"), along = figure.querySelector(".x");
const KINDS = {loss: [["loss", "train", "Training"], ["val", "val", "Held-out"], ["kept", "kept", "Removed sections"]],
  ppl: [["ppl", "val", "Perplexity"]], lr: [["lr", "train", "Learning rate"]],
  grad: [["grad", "train", "Gradient norm"]], speed: [["speed", "train", "Tokens per second"]]};
const READ = {loss: [...KINDS.loss.slice(0, 2), ["ppl", "val", "Perplexity"], KINDS.loss[2]]};
const hasCurve = (run) => Boolean(run.loss || run.val);
const drawable = runs.map((run, index) => index).filter((index) => hasCurve(runs[index]));
const state = {chosen: [{run: data.shown, slot: 0}], metric: "loss", log: false, steps: [], axis: null};

// Curves come as distances between steps; they are added up when a run is first shown.
const series = (index, name) => {
  const run = runs[index], ready = run.ready ||= {};
  if (!(name in ready)) {
    let step = 0;
    ready[name] = run[name] ? run[name][0].map((gap, place) => [step += gap, run[name][1][place]]) : [];
  }
  return ready[name];
};
const seen = (name, index) => series(index, name).filter(([, value]) => !state.log || value > 0);

const words = (value, digits = 4) => {
  if (value === undefined) return "–";
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size < 1e-4 || size >= 1e6) return value.toExponential(digits - 2).replace(/\.?0+e/, "e").replace("e+", "e");
  return value.toLocaleString("en", {maximumSignificantDigits: digits});
};
const stepTo = (rough) => {
  const size = 10 ** Math.floor(Math.log10(rough));
  return size * [1, 2, 5, 10].find((factor) => size * factor >= rough * 0.999);
};
const ticksOf = (low, high, count, whole) => {
  const step = Math.max(stepTo((high - low) / count), whole ? 1 : 0), ticks = [];
  for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + step * 1e-6; tick += step) ticks.push(tick + 0);
  return ticks;
};
const linear = (low, high) => {
  low = Math.min(0, low);
  if (!(high > low)) high = low + 1;
  const step = stepTo((high - low) / 4);
  high = Math.ceil(high / step - 1e-9) * step;
  return {ticks: ticksOf(low, high, 4), share: (value) => (value - low) / (high - low)};
};
const logarithmic = (low, high) => {
  if (!(high > low)) { low /= 2; high = low * 4; }
  let [from, to] = [Math.log10(low), Math.log10(high)];
  const room = (to - from) * 0.05;
  [from, to] = [from - room, to + room];
  const every = Math.ceil((to - from) / 5), ticks = [];
  for (let power = Math.floor(from); power <= to; power += every)
    for (const factor of to - from < 1.2 ? [1, 1.5, 2, 3, 5, 7] : to - from < 3 ? [1, 3] : [1])
      if (Math.log10(factor) + power >= from && Math.log10(factor) + power <= to) ticks.push(factor * 10 ** power);
  return {ticks, share: (value) => (Math.log10(value) - from) / (to - from)};
};

const path = (kind, line) => {
  const made = document.createElementNS(svg.namespaceURI, "path");
  made.setAttribute("class", kind);
  made.setAttribute("d", line);
  svg.append(made);
};
const drawCurve = (points, look, x, y) => {
  const spots = points.map(([step, value]) => `${(x(step) * SIZE).toFixed(1)} ${((1 - y(value)) * SIZE).toFixed(1)}`);
  if (spots.length > 1) path(`line ${look}`, `M${spots.join("L")}`);
  const isLine = look.endsWith("train") && spots.length > 1;
  if (!isLine && spots.length <= 60) path(`dot ${look}`, spots.map((spot) => `M${spot}h0`).join(""));
};

const draw = () => {
  const kinds = KINDS[state.metric], points = [];
  for (const {run} of state.chosen) for (const [name] of kinds) points.push(...seen(name, run));
  let [low, high, first, last] = [Infinity, -Infinity, 0, 1];
  for (const [step, value] of points) {
    [low, high] = [Math.min(low, value), Math.max(high, value)];
    [first, last] = [Math.min(first, step), Math.max(last, step)];
  }
  if (!points.length) [low, high] = state.log ? [0.1, 1] : [0, 1];
  const y = (state.log ? logarithmic : linear)(low, high), x = (step) => (step - first) / (last - first);
  svg.replaceChildren(); up.replaceChildren(); along.replaceChildren();
  for (const end of all(".end", area)) end.remove();
  for (const tick of y.ticks) {
    path("grid", `M0 ${((1 - y.share(tick)) * SIZE).toFixed(0)}h${SIZE}`);
    make("span", words(tick, 3), up).style.bottom = `${y.share(tick) * 100}%`;
  }
  for (const tick of ticksOf(first, last, area.clientWidth < 420 ? 4 : 8, true))
    make("span", tick.toLocaleString("en"), along).style.left = `${x(tick) * 100}%`;
  for (const {run, slot} of state.chosen)
    for (const [name, look] of kinds) drawCurve(seen(name, run), `s${slot} k-${look}`, x, y.share);
  nameEnds(kinds, x, y.share);
  svg.setAttribute("aria-label", `${one("metric").selectedOptions[0].text} of ${names()}`);
  state.steps = [...new Set(points.map(([step]) => step))].sort((a, b) => a - b);
  state.axis = {first, last, x};
};
const names = () => state.chosen.map(({run}) => `run ${runs[run].id}`).join(", ");

// The number of each run stands at the end of its line; numbers that would overlap move apart.
const nameEnds = (kinds, x, y) => {
  const height = area.clientHeight || 320, ends = [];
  for (const {run, slot} of state.chosen) {
    const points = kinds.map(([name]) => seen(name, run)).find((found) => found.length);
    if (points) ends.push({slot, id: runs[run].id, at: (1 - y(points.at(-1)[1])) * height, share: x(points.at(-1)[0])});
  }
  ends.sort((a, b) => a.at - b.at);
  ends.forEach((end, place) => { if (place) end.at = Math.max(end.at, ends[place - 1].at + 13); });
  for (let place = ends.length - 1, floor = height; place >= 0; place--) {
    ends[place].at = Math.min(ends[place].at, floor);
    floor = ends[place].at - 13;
  }
  if (ends.length < 2) return;
  for (const end of ends) {
    const label = make("span", end.id, area);
    label.className = `end s${end.slot}`;
    label.style.top = `${end.at}px`;
    label.style.left = `${end.share * 100}%`;
    label.setAttribute("aria-hidden", "true");
  }
};

// Below the curve: what each shown run had at the step pointed at, or at its end.
const valueAt = (points, step) => {
  let found;
  for (const [at, value] of points) { if (step !== null && at > step) break; found = value; }
  return found;
};
const read = (step) => {
  const columns = READ[state.metric] || KINDS[state.metric], table = one("reading");
  const head = make("tr");
  for (const title of ["Run", "Step", ...columns.map(([, , title]) => title)]) make("th", title, head).scope = "col";
  const last = make("td", undefined, head);
  last.className = "drop";
  table.tHead.replaceChildren(head);
  table.tBodies[0].replaceChildren(...state.chosen.map(({run, slot}) => {
    const row = make("tr"), name = make("th", undefined, row), record = runs[run];
    name.scope = "row";
    make("i", undefined, name).className = `swatch s${slot}`;
    name.append(record.label.replace(/^run /, ""));
    if (record.bad) make("small", ` ${record.bad} without a finite loss`, name);
    const steps = ["loss", "val"].map((kind) => series(run, kind).at(-1)?.[0] ?? 0);
    make("td", (step === null ? Math.max(...steps) : Math.min(step, Math.max(...steps))).toLocaleString("en"), row);
    for (const [kind] of columns) make("td", words(valueAt(series(run, kind), step)), row);
    const drop = make("td", undefined, row);
    drop.className = "drop";
    if (state.chosen.length > 1) {
      const button = make("button", "×", drop);
      button.type = "button";
      button.setAttribute("aria-label", `Take run ${record.id} away`);
      button.addEventListener("click", () => page.toggle(run, false));
    }
    return row;
  }));
  return state.chosen.map(({run}) => `run ${runs[run].id}: ` + columns.map(([kind, , title]) =>
    [title, valueAt(series(run, kind), step)]).filter(([, value]) => value !== undefined).map(([title, value]) =>
    `${title} ${words(value)}`).join(", ")).join("; ");
};
const showStep = (place) => {
  const step = state.steps[place];
  cross.hidden = false;
  cross.style.left = `${state.axis.x(step) * 100}%`;
  return `step ${step}, ${read(step)}`;
};
const nearest = (share) => {
  const step = state.axis.first + share * (state.axis.last - state.axis.first);
  let best = 0;
  state.steps.forEach((at, place) => { if (Math.abs(at - step) < Math.abs(state.steps[best] - step)) best = place; });
  return best;
};

const listPoints = () => {
  const details = one("points"), box = details.querySelector(".scroll");
  box.replaceChildren();
  if (!details.open) return;
  const columns = [...KINDS.loss, ["ppl", "", "Perplexity"], ["lr", "", "Learning rate"], ["grad", "", "Gradient norm"],
    ["speed", "", "Tokens per second"]];
  const table = make("table", undefined, box), head = make("tr", undefined, table.createTHead());
  for (const title of ["Run", "Step", ...columns.map(([, , title]) => title)]) make("th", title, head).scope = "col";
  const body = table.createTBody();
  for (const {run} of state.chosen) {
    const found = columns.map(([name]) => new Map(series(run, name)));
    for (const step of [...new Set(found.flatMap((values) => [...values.keys()]))].sort((a, b) => a - b)) {
      const row = make("tr", undefined, body);
      make("th", runs[run].id, row).scope = "row";
      make("td", step, row);
      for (const values of found) make("td", words(values.get(step)), row);
    }
  }
};

const refresh = () => {
  draw();
  read(null);
  listPoints();
  cross.hidden = true;
  one("key").style.visibility = state.metric === "loss" ? "" : "hidden";
  const place = drawable.indexOf(state.chosen[0].run);
  one("older").disabled = place <= 0;
  one("newer").disabled = place >= drawable.length - 1;
  one("add").disabled = state.chosen.length >= Math.min(MAX, drawable.length);
  const chosen = new Set(state.chosen.map(({run}) => run));
  for (const box of all("#runs input[type=checkbox]")) {
    box.checked = chosen.has(Number(box.value));
    box.disabled = !box.checked && chosen.size >= MAX;
    box.closest("tr").classList.toggle("shown", box.checked);
  }
  root.dataset.selected = state.chosen.map(({run}) => runs[run].id).join(",");
  root.dataset.ready = "true";
};
page.toggle = (run, isShown) => {
  const others = state.chosen.filter((item) => item.run !== run);
  if (isShown && others.length < MAX && hasCurve(runs[run])) {
    const slots = new Set(others.map(({slot}) => slot));
    others.push({run, slot: [...Array(MAX).keys()].find((slot) => !slots.has(slot))});
  }
  if (others.length) state.chosen = others;
  refresh();
  page.say(`showing ${names()}`);
};
page.choose = (run) => {
  if (!hasCurve(runs[run])) { page.say(`run ${runs[run].id} has no curve`); return; }
  state.chosen = [{run, slot: 0}];
  refresh();
  page.say(`showing ${names()}`);
};

for (const run of [...drawable].reverse()) make("option", runs[run].label, one("add")).value = run;
one("add").addEventListener("change", (event) => {
  if (event.target.value) page.toggle(Number(event.target.value), true);
  event.target.value = "";
});
one("older").addEventListener("click", () => page.choose(drawable[drawable.indexOf(state.chosen[0].run) - 1]));
one("newer").addEventListener("click", () => page.choose(drawable[drawable.indexOf(state.chosen[0].run) + 1]));
one("metric").addEventListener("change", (event) => { state.metric = event.target.value; refresh(); });
one("log").addEventListener("change", (event) => { state.log = event.target.checked; refresh(); });
one("points").addEventListener("toggle", listPoints);
page.explore(area, {name: "Curve, by step", count: () => state.steps.length, at: nearest, show: showStep,
  leave: () => { cross.hidden = true; read(null); }});
addEventListener("resize", draw);
refresh();
})();
"""

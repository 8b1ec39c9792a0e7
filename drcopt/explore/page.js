"use strict";
// Draws what the block "data" holds. All text that comes from outside is set as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const two = data.axes.length === 2;
const [A, B] = data.axes;
const unit = (u) => (u ? " " + u : "");
const PAGE = 200;

function show(v, digits = 7) {
  return v === null ? "none" : Number(v.toPrecision(digits)).toString();
}
function element(name, text, into) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (into) into.append(made);
  return made;
}
function interval(row) {
  if (row.status === "infeasible") return "infeasible (proved)";
  const low = row.lower === null ? "−∞" : show(row.lower, 9);
  return "[" + low + ", " + (row.upper === null ? "unknown" : show(row.upper, 9)) + "]" + unit(data.objective.unit);
}
function said(row) {
  const lines = [A.letter + " = " + show(row.a) + unit(A.unit)];
  if (two) lines.push(B.letter + " = " + show(row.b) + unit(B.unit));
  lines.push(data.objective.symbol + " in " + interval(row), row.status);
  return lines.join("\n");
}

const series = data.series.map((s) => ({
  name: s.name,
  rows: s.a.map((a, i) => ({
    a, b: two ? s.b[i] : 0, lower: s.lower[i], upper: s.upper[i], status: data.statuses[s.status[i]], i,
  })),
}));
const state = { series: 0, hold: two ? "b" : null, at: 0, a: null, b: null, fill: "upper" };
const distinct = (rows, key) => [...new Set(rows.map((r) => r[key]))].sort((p, q) => (p === null) - (q === null) || p - q);
const rows = () => series[state.series].rows;

// A budget of "none" is drawn a step beyond the largest.
function placed(values) {
  const finite = values.filter((v) => v !== null);
  const last = finite.length ? finite[finite.length - 1] : 0;
  const step = finite.length > 1 ? (last - finite[0]) / (finite.length - 1) : 1;
  const at = (v) => (v === null ? last + step : v);
  const places = values.map(at);
  const edges = places.map((p, i) => (i ? (p + places[i - 1]) / 2 : p - (places.length > 1 ? (places[1] - p) / 2 : 0.5)));
  edges.push(places.length > 1 ? 2 * places[places.length - 1] - edges[edges.length - 1] : places[0] + 0.5);
  const where = new Map(values.map((v, i) => [v, i]));
  return { at, low: (v) => edges[where.get(v)], high: (v) => edges[where.get(v) + 1], none: values.includes(null) ? last + step : NaN };
}
function axisLabel(axis) {
  return axis.words + " " + axis.letter + (axis.unit ? " (" + axis.unit + ")" : "");
}
function tick(place) {
  return (v) => (Math.abs(v - place.none) < 1e-9 ? "none" : show(v, 4));
}
function width(id) {
  return Math.max(280, Math.min(900, $(id).clientWidth));
}
// Of sentences those about what is there.
function caption(id, sentences) {
  $(id).textContent = sentences.filter(([there]) => there).map(([, text]) => text).join(" ");
}
function put(id, made, label) {
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", label);
  $(id).replaceChildren(made);
}

function drawMap() {
  if (!two) return;
  const all = rows(), x = placed(distinct(all, "a")), y = placed(distinct(all, "b"));
  const box = { x1: (r) => x.low(r.a), x2: (r) => x.high(r.a), y1: (r) => y.low(r.b), y2: (r) => y.high(r.b) };
  const value = state.fill === "gap" ? (r) => Math.max(0, r.upper - r.lower) : (r) => r[state.fill];
  const known = all.filter((r) => r.status !== "infeasible" && r.lower !== null && (state.fill === "lower" || r.upper !== null));
  const marks = [
    Plot.rect(known, { ...box, fill: value, inset: -0.2 }),
    Plot.rect(all.filter((r) => r.status === "infeasible"), { ...box, fill: "#dedede", inset: -0.2 }),
  ];
  if (data.edge) {
    const edge = data.edge.a.map((a, i) => ({ a, lower: data.edge.lower[i], upper: data.edge.upper[i] }));
    const drawn = { x: "a", strokeWidth: 2, clip: true };
    marks.push(Plot.line(edge.filter((e) => e.lower !== null), { ...drawn, y: "lower", stroke: "#000" }));
    marks.push(Plot.line(edge.filter((e) => e.upper !== null), { ...drawn, y: "upper", stroke: "#000", strokeDasharray: "4 3" }));
  }
  const codecs = data.codecs.filter((c) => c.a !== null && c.b !== null);
  marks.push(Plot.dot(codecs, { x: "a", y: "b", symbol: "diamond", r: 6, fill: "#fff", stroke: "#000", strokeWidth: 2 }));
  if (state.a !== null || state.b !== null) {
    marks.push(Plot.dot([state], { x: (s) => x.at(s.a), y: (s) => y.at(s.b), r: 8, stroke: "#d40000", strokeWidth: 3, fill: "none" }));
  }
  marks.push(Plot.tip(all, Plot.pointer({ x: (r) => x.at(r.a), y: (r) => y.at(r.b), title: said, maxRadius: 60 })));
  const made = Plot.plot({
    width: width("map"), height: 380, marginLeft: 60, marginBottom: 44,
    x: { label: axisLabel(A), tickFormat: tick(x) }, y: { label: axisLabel(B), tickFormat: tick(y) },
    color: { scheme: "Cividis", legend: true, label: $("fill").selectedOptions[0].textContent + unit(data.objective.unit) },
    marks,
  });
  const grey = all.some((r) => r.status === "infeasible"), white = known.length + all.filter((r) => r.status === "infeasible").length < all.length;
  caption("map-caption", [
    [grey, "Grey: no point meets the budgets (proved)."], [white, "White: no point is known."],
    [data.edge, "Lines: the least loss lies between the solid and the dashed."], [codecs.length, "Diamonds: codecs."],
    [true, "Click to choose a point."],
  ]);
  let under = null;
  made.addEventListener("input", () => { if (made.value) under = made.value; });
  made.addEventListener("click", () => { if (under) choose(under.a, under.b); });
  put("map", made, "Heat map of " + data.objective.words + " over the budgets; the table below holds the same numbers");
}

function sliced() {
  if (!two) return { all: rows(), along: "a", axis: A, held: "" };
  const values = distinct(rows(), state.hold), at = values[Math.min(state.at, values.length - 1)];
  const along = state.hold === "a" ? "b" : "a", axis = along === "a" ? A : B, other = along === "a" ? B : A;
  return { all: rows().filter((r) => r[state.hold] === at), along, axis, held: other.letter + " = " + show(at, 5) + unit(other.unit), value: at };
}
function drawSlice() {
  const { all, along, axis, held } = sliced(), x = placed(distinct(all, along));
  const both = all.filter((r) => r.upper !== null && r.lower !== null && r.status !== "infeasible");
  const at = (r) => x.at(r[along]);
  const color = { domain: ["ceiling", "floor"], range: ["#00458b", "#b35806"], legend: true };
  const codecs = data.codecs.filter((c) => c[along] !== null && c.value !== null);
  const made = Plot.plot({
    width: width("slice"), height: 320, marginLeft: 60, marginBottom: 44, color,
    x: { label: axisLabel(axis), tickFormat: tick(x) },
    y: { label: data.objective.symbol + (data.objective.unit ? " (" + data.objective.unit + ")" : ""), grid: true },
    marks: [
      Plot.areaY(both, { x: at, y1: "lower", y2: "upper", fill: "#9ecae1", fillOpacity: 0.6 }),
      Plot.line(both, { x: at, y: "upper", stroke: () => "ceiling", strokeWidth: 2 }),
      Plot.line(both, { x: at, y: "lower", stroke: () => "floor", strokeDasharray: "6 3", strokeWidth: 2 }),
      Plot.dot(codecs, { x: along, y: "value", symbol: "diamond", r: 6, fill: "#fff", stroke: "#000", strokeWidth: 2, title: (c) => c.name }),
      Plot.tip(both, Plot.pointer({ x: at, y: "upper", title: said })),
    ],
  });
  caption("slice-caption", [
    [true, "The least lies between floor (dashed) and ceiling."],
    [codecs.length, two ? "Diamonds: codecs, wherever their other budget lies." : "Diamonds: codecs."],
  ]);
  $("held").textContent = held;
  put("slice", made, data.objective.words + (held ? " at " + held : "") + "; the table below holds the same numbers");
}

function matrix(id, values, down, across, label) {
  const cells = values.flatMap((row, i) => row.map((v, j) => ({ down: i, across: j, v })));
  const few = (n) => n <= 24, name = (names, i) => (names ? names[i] : String(i));
  const made = Plot.plot({
    width: Math.min(width(id), 90 + 46 * across.size), marginLeft: 70, marginBottom: 60, height: Math.min(420, 90 + 28 * down.size),
    x: { label: across.words, type: "band", domain: cells.slice(0, across.size).map((c) => c.across), tickRotate: -35,
         tickFormat: (i) => name(across.names, i).slice(0, 12), ticks: few(across.size) ? undefined : [] },
    y: { label: down.words, type: "band", domain: values.map((_, i) => i), ticks: few(down.size) ? undefined : [],
         tickFormat: (i) => name(down.names, i).slice(0, 12) },
    color: { scheme: "Cividis", legend: true, label },
    marks: [Plot.cell(cells, { x: "across", y: "down", fill: "v" }), Plot.tip(cells, Plot.pointer({
      x: "across", y: "down",
      title: (c) => name(down.names, c.down) + ", " + name(across.names, c.across) + "\n" + label + " = " + show(c.v, 5),
    }))],
  });
  put(id, made, label);
}
const meets = (p) => data.axes.every((_, i) => (p[i ? "b" : "a"] ?? Infinity) <= (state[i ? "b" : "a"] ?? Infinity));
/* Of the couplings that meet the chosen budgets the best, or if none does the one for the nearest. */
function pointed() {
  const far = (p) => data.axes.reduce((sum, axis, i) => {
    const key = i ? "b" : "a", span = axis.high - axis.low || 1;
    return sum + (p[key] === state[key] ? 0 : ((p[key] ?? axis.high) - (state[key] ?? axis.high)) ** 2 / span ** 2 + 1e-12);
  }, 0);
  const rank = (p) => (meets(p) ? [0, p.value, far(p)] : [1, far(p), 0]);
  const before = (p, q) => { const i = [0, 1, 2].find((j) => p[j] !== q[j]); return i !== undefined && p[i] < q[i]; };
  return data.points.reduce((best, p) => (best === null || before(rank(p), rank(best)) ? p : best), null);
}
function posteriors(P) {
  const classes = data.classes[0].length, letters = P[0].length;
  const joint = Array.from({ length: classes }, () => new Array(letters).fill(0));
  P.forEach((row, x) => row.forEach((p, y) => data.classes[x].forEach((w, s) => { joint[s][y] += w * p; })));
  const sums = joint[0].map((_, y) => joint.reduce((sum, row) => sum + row[y], 0));
  return joint.map((row) => row.map((v, y) => (sums[y] > 0 ? v / sums[y] : NaN)));
}
let couplingTable = [], posteriorTable = [];
function drawPoint() {
  const row = rows().find((r) => r.a === state.a && (!two || r.b === state.b));
  $("point").textContent = row ? said(row).replace(/\n/g, ", ") : "Choose a point on the map or with the controls.";
  const found = row && row.status !== "infeasible" ? pointed() : null;
  $("couplings").hidden = !found;
  if (!found) return;
  const P = found.coupling, tau = posteriors(P), l = data.labels;
  const where = A.letter + " = " + show(found.a) + (two ? ", " + B.letter + " = " + show(found.b) : "");
  $("which").textContent = "A point for " + where + ": " + data.objective.symbol + " = " + show(found.value, 7) + unit(data.objective.unit) + (meets(found) ? "" : " (none is known within the chosen budgets)");
  const xs = { words: "x", names: l.x, size: P.length }, ys = { words: "y", names: l.y, size: P[0].length };
  matrix("coupling", P, xs, ys, "p(x, y)");
  matrix("posterior", tau, { words: "class s", names: l.s, size: tau.length }, ys, "p(s | y)");
  const lines = (values, down) => values.map((r, i) => [down ? down[i] : String(i), ...r.map((v) => show(v, 6))]);
  const head = (first) => [first, ...P[0].map((_, y) => (l.y ? l.y[y] : String(y)))];
  couplingTable = [head("x \\ y"), ...lines(P, l.x)];
  posteriorTable = [head("s \\ y"), ...lines(tau, l.s)];
}

const header = () => [A.letter + unit(A.unit), ...(two ? [B.letter + unit(B.unit)] : []), "lower", "upper", "status"];
const cells = (r) => [show(r.a, 12), ...(two ? [show(r.b, 12)] : []), r.lower === null ? "" : show(r.lower, 12),
  r.upper === null ? "" : show(r.upper, 12), r.status];
const TABLES = {
  map: () => [header(), ...rows().map(cells)],
  slice: () => [header(), ...sliced().all.map(cells)],
  coupling: () => couplingTable,
  posterior: () => posteriorTable,
};
function tabulate(id, from = 0) {
  const into = $(id + "-table");
  if (!into.closest("details").open) return;
  const [head, ...body] = TABLES[id]();
  into.replaceChildren();
  if (!head) return;
  const table = element("table", undefined, into), top = element("tr", undefined, element("thead", undefined, table));
  head.forEach((text) => { element("th", text, top).scope = "col"; });
  const tbody = element("tbody", undefined, table);
  body.slice(from, from + PAGE).forEach((line) => {
    const tr = element("tr", undefined, tbody);
    line.forEach((text) => element("td", text, tr));
  });
  if (body.length > PAGE) {
    const bar = element("div", undefined, into);
    bar.className = "controls";
    const move = (text, to, able) => {
      const button = element("button", text, bar);
      button.disabled = !able;
      button.addEventListener("click", () => tabulate(id, to));
    };
    move("Earlier rows", from - PAGE, from > 0);
    element("span", (from + 1) + " to " + Math.min(from + PAGE, body.length) + " of " + body.length, bar);
    move("Later rows", from + PAGE, from + PAGE < body.length);
  }
}
function offer(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
// A spreadsheet would take a label that begins so for a formula.
const quoted = (text) => '"' + (/^[=+@\t\r-]/.test(text) && isNaN(text) ? "'" + text : text).replace(/"/g, '""') + '"';
function csv(id) {
  return TABLES[id]().map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";
}
function svg(id) {
  const drawn = [...$(id).querySelectorAll("svg")].pop();
  drawn.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return '<?xml version="1.0" encoding="UTF-8"?>\n' + new XMLSerializer().serializeToString(drawn);
}

function choose(a, b) {
  state.a = a;
  state.b = b;
  ["a", "b"].forEach((key) => {
    if ($("at-" + key)) $("at-" + key).value = distinct(rows(), key).indexOf(state[key]);
  });
  if (two) state.at = distinct(rows(), state.hold).indexOf(state[state.hold]);
  draw();
}
function controls() {
  [["a", A], ["b", B]].forEach(([key, axis]) => {
    if (!axis) return;
    const values = distinct(rows(), key), slider = $("at-" + key);
    slider.max = values.length - 1;
    $("name-" + key).textContent = axis.letter;
    const at = values[Number(slider.value)];
    $("out-" + key).textContent = show(at, 5) + unit(axis.unit);
    slider.setAttribute("aria-valuetext", show(at) + unit(axis.unit));
  });
}
function draw() {
  controls();
  drawMap();
  drawSlice();
  drawPoint();
  Object.keys(TABLES).forEach((id) => $(id) && tabulate(id));
}

function begin() {
  document.title = data.title;
  $("title").textContent = data.title;
  $("notes").textContent = data.notes.join(" ");
  series.forEach((s, i) => { element("option", s.name, $("series")).value = i; });
  $("series-label").hidden = series.length < 2;
  $("series").addEventListener("change", (e) => { state.series = Number(e.target.value); state.a = null; reset(); });
  $("map-section").hidden = !two;
  $("hold-label").hidden = !two;
  $("label-b").hidden = !two;
  if (two) {
    [["b", B], ["a", A]].forEach(([key, axis]) => { element("option", axis.letter, $("hold")).value = key; });
    $("hold").addEventListener("change", (e) => { state.hold = e.target.value; choose(state.a, state.b); });
    $("fill").addEventListener("change", (e) => { state.fill = e.target.value; draw(); });
  }
  ["a", "b"].forEach((key) => $("at-" + key).addEventListener("input", () => {
    choose(distinct(rows(), "a")[Number($("at-a").value)], two ? distinct(rows(), "b")[Number($("at-b").value)] : 0);
  }));
  document.querySelectorAll("[data-table]").forEach((d) => d.addEventListener("toggle", () => tabulate(d.dataset.table)));
  document.querySelectorAll("[data-csv]").forEach((b) => b.addEventListener("click", () =>
    offer(b.dataset.csv + ".csv", "text/csv", csv(b.dataset.csv))));
  document.querySelectorAll("[data-svg]").forEach((b) => b.addEventListener("click", () =>
    offer(b.dataset.svg + ".svg", "image/svg+xml", svg(b.dataset.svg))));
  let waiting = 0;
  window.addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(draw, 150); });
  reset();
  document.body.dataset.ready = "yes";
}
function reset() {
  const a = distinct(rows(), "a"), b = distinct(rows(), "b");
  $("at-a").max = a.length - 1;
  $("at-b").max = b.length - 1;
  choose(a[Math.floor(a.length / 2)], two ? b[b.length - 1] : 0);
}
begin();

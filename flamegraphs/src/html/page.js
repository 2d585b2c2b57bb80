"use strict";
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const SECOND = 1e9;
const ROWS = 50;
const LINE = 17;
const NARROWEST = 0.6; // pixels
const points = data.at.length;
const colours = {
  native: [8, 68, 58], inlined: [200, 55, 66], jit: [120, 45, 55], interpreted: [75, 55, 48], kernel: [32, 85, 56],
  unnamed: [0, 0, 72], reason: [350, 60, 62], waker: [182, 50, 60], root: [220, 8, 74],
};
const kinds = data.kinds;
const ROOT = kinds.indexOf("root"), KERNEL = kinds.indexOf("kernel");
const USER = ["native", "inlined", "jit", "interpreted", "unnamed"].map((kind) => kinds.indexOf(kind));

function hash(text) {
  let value = 2166136261;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 16777619);
  return value >>> 0;
}
function colour(name, kind) {
  const [hue, saturation, light] = colours[kinds[kind]];
  const shade = hash(name);
  const spread = kinds[kind] === "native" && name.includes("::") ? 46 : hue;
  return `hsl(${spread + (shade % 13) - 6} ${saturation}% ${light + ((shade >>> 8) % 11) - 5}%)`;
}
function amount(value) {
  if (data.unit !== "ns") return `${value.toLocaleString("en")} ${data.unit}`;
  for (const [unit, size] of [["s", 1e9], ["ms", 1e6], ["µs", 1e3]])
    if (value >= size) return `${(value / size).toFixed(2)} ${unit}`;
  return `${value} ns`;
}
function sized(canvas, height) {
  const width = canvas.clientWidth, scale = window.devicePixelRatio || 1;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  return [context, width];
}

// ---- when
let last = 0;
for (const at of data.at) if (at > last) last = at;
const seconds = Math.max(1, Math.ceil(Math.max(last + 1, data.duration) / SECOND));
const cells = new Float64Array(seconds * ROWS);
let most = 0, timed = 0;
for (let point = 0; point < points; point++) {
  if (data.at[point] < 0) continue;
  timed++;
  const cell = Math.floor(data.at[point] / SECOND) * ROWS + Math.floor((data.at[point] % SECOND) / SECOND * ROWS);
  cells[cell] += data.weight[point];
  most = Math.max(most, cells[cell]);
}
let range = null; // cells, from and to, both in
let dragging = null;
const heat = $("heat");
function cell_at(event) {
  const box = heat.getBoundingClientRect();
  const column = Math.floor((event.clientX - box.left) / box.width * seconds);
  const row = ROWS - 1 - Math.floor((event.clientY - box.top) / box.height * ROWS);
  return Math.min(seconds - 1, Math.max(0, column)) * ROWS + Math.min(ROWS - 1, Math.max(0, row));
}
function draw_heat() {
  const height = 4 * ROWS;
  const [context, width] = sized(heat, height);
  const wide = width / seconds;
  for (let cell = 0; cell < cells.length; cell++) {
    const x = Math.floor(cell / ROWS) * wide, y = height - (cell % ROWS + 1) * 4;
    const inside = range && cell >= range[0] && cell <= range[1];
    if (cells[cell] > 0) {
      const share = Math.pow(cells[cell] / most, 0.6);
      context.fillStyle = `hsl(${inside ? 215 : 12} 85% ${88 - 52 * share}%)`;
    } else if (inside) context.fillStyle = "hsl(215 60% 80% / .45)";
    else continue;
    context.fillRect(x, y, Math.max(1, wide - (wide > 6 ? 1 : 0)), 3.5);
  }
}
const clock = (cell) => `${(cell / ROWS).toFixed(2)} s`;
function select(next) {
  range = next;
  $("whole").hidden = !range;
  $("range").textContent = range ? `${clock(range[0])} to ${clock(range[1] + 1)}` : `${seconds} s`;
  draw_heat();
}
heat.addEventListener("pointerdown", (event) => {
  dragging = cell_at(event);
  heat.setPointerCapture(event.pointerId);
  select([dragging, dragging]);
});
heat.addEventListener("pointermove", (event) => {
  const cell = cell_at(event);
  if (dragging !== null) select([Math.min(dragging, cell), Math.max(dragging, cell)]);
  else heat.title = `${clock(cell)}: ${amount(cells[cell])}; drag to select`;
});
heat.addEventListener("pointerup", () => { dragging = null; regroup(); });
$("whole").addEventListener("click", () => { select(null); regroup(); });

// ---- where
const group_of = {
  comm: (thread) => [thread[4]],
  process: (thread) => [thread[0] ? `${thread[4]}-${thread[0]}` : thread[4]],
  thread: (thread) => [thread[0] ? `${thread[2]}-${thread[0]}/${thread[1]}` : thread[2]],
  group: (thread) => [thread[3] || "[host]", thread[4]],
  none: () => [],
};
let tree = null, zoomed = null, boxes = [];
function node(name, kind, frame) { return { name, kind, frame, value: 0, own: 0, found: false, children: new Map() }; }
function child(parent, name, kind, frame) {
  const key = `${kind} ${name}`;
  let found = parent.children.get(key);
  if (!found) parent.children.set(key, found = node(name, kind, frame));
  return found;
}
function regroup() {
  const group = group_of[$("by").value], part = $("part").value;
  tree = node("all", ROOT, null);
  const sums = new Map();
  for (let point = 0; point < points; point++) {
    if (range) {
      const cell = Math.floor(data.at[point] / SECOND * ROWS);
      if (data.at[point] < 0 || cell < range[0] || cell > range[1]) continue;
    }
    const key = data.thread[point] * data.stacks.length + data.stack[point];
    sums.set(key, (sums.get(key) || 0) + data.weight[point]);
  }
  for (const [key, weight] of sums) {
    const stack = data.stacks[key % data.stacks.length], thread = data.threads[Math.floor(key / data.stacks.length)];
    let at = tree;
    at.value += weight;
    for (const name of group(thread)) { at = child(at, name, ROOT, null); at.value += weight; }
    for (const id of stack) {
      const [name, kind] = data.frames[id];
      if (part === "user" && kind === KERNEL || part === "kernel" && USER.includes(kind)) continue;
      at = child(at, name, kind, data.frames[id]);
      at.value += weight;
    }
    at.own += weight;
  }
  zoomed = tree;
  search();
}
function search() {
  const text = $("search").value;
  let matches = null;
  if (text) {
    matches = (name) => name.includes(text);
    const pattern = /^\/(.+)\/$/.exec(text);
    if (pattern) try { const expression = new RegExp(pattern[1]); matches = (name) => expression.test(name); } catch { /* half typed */ }
  }
  let found = 0;
  const walk = (at, counted) => {
    at.found = Boolean(matches) && at !== tree && matches(at.name);
    // What is below a match is in it already.
    if (at.found && !counted) found += at.value;
    for (const one of at.children.values()) walk(one, counted || at.found);
  };
  walk(tree, false);
  $("found").textContent = matches && tree.value ? `${(found / tree.value * 100).toFixed(2)} %` : "";
  draw_graph();
}
function depth(at) {
  let deepest = 0;
  for (const one of at.children.values()) if (one.value / zoomed.value * graph.clientWidth >= NARROWEST) deepest = Math.max(deepest, depth(one));
  return deepest + 1;
}
const graph = $("graph");
function draw_graph() {
  const rows = zoomed.value ? depth(zoomed) : 1;
  const [context, width] = sized(graph, rows * LINE);
  const top = $("down").checked;
  boxes = [];
  context.font = "12px ui-monospace, monospace";
  context.textBaseline = "middle";
  const letter = context.measureText("m").width;
  const draw = (at, x, wide, row) => {
    const y = (top ? row : rows - 1 - row) * LINE;
    boxes.push({ at, x, y, wide });
    context.fillStyle = at.found ? "hsl(300 75% 62%)" : colour(at.name, at.kind);
    context.fillRect(x, y, Math.max(0.5, wide - 0.5), LINE - 1);
    const fits = Math.floor((wide - 6) / letter);
    if (fits >= 3) {
      context.fillStyle = "#111";
      context.fillText(at.name.length > fits ? `${at.name.slice(0, fits - 2)}..` : at.name, x + 3, y + LINE / 2);
    }
    let from = x;
    const children = [...at.children.values()].sort((a, b) => a.name < b.name ? -1 : a.name > b.name ? 1 : a.kind - b.kind);
    for (const one of children) {
      const part = one.value / zoomed.value * width;
      if (part >= NARROWEST) draw(one, from, part, row + 1);
      from += part;
    }
  };
  if (zoomed.value) draw(zoomed, 0, width, 0);
  else { context.fillStyle = "#888"; context.fillText("no samples in this time", 8, LINE / 2); }
  $("out").hidden = zoomed === tree;
}
function box_at(event) {
  const area = graph.getBoundingClientRect(), x = event.clientX - area.left, y = event.clientY - area.top;
  return boxes.find((box) => x >= box.x && x < box.x + box.wide && y >= box.y && y < box.y + LINE);
}
function describe(at) {
  const share = (value) => `${(value / tree.value * 100).toFixed(2)} %`;
  const [, , module, source] = at.frame || [];
  const place = [source, module].filter(Boolean).join(" in ");
  return `${at.name}  (${kinds[at.kind]})  ${amount(at.value)}, ${share(at.value)}; itself ${share(at.own)}${place ? `\n${place}` : ""}`;
}
graph.addEventListener("mousemove", (event) => {
  const box = box_at(event);
  $("hover").textContent = box ? describe(box.at) : "\u00a0";
});
graph.addEventListener("click", (event) => {
  const box = box_at(event);
  if (box) { zoomed = box.at; draw_graph(); }
});
$("out").addEventListener("click", () => { zoomed = tree; draw_graph(); });
for (const id of ["by", "part"]) $(id).addEventListener("change", regroup);
$("down").addEventListener("change", draw_graph);
$("search").addEventListener("input", search);
window.addEventListener("resize", () => { draw_heat(); draw_graph(); });

const used = new Set([ROOT, ...data.frames.map((frame) => frame[1])]);
for (const kind of [...used].sort((a, b) => a - b)) {
  const entry = document.createElement("span"), box = document.createElement("i");
  const [hue, saturation, light] = colours[kinds[kind]];
  box.style.background = `hsl(${hue} ${saturation}% ${light}%)`;
  entry.append(box, kinds[kind]);
  $("legend").append(entry);
}
if (!data.threads.some((thread) => thread[3])) $("by").querySelector("[value=group]").remove();
if (timed === 0) $("when").hidden = true;
select(null);
regroup();
})();

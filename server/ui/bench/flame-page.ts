// The part of the bench of flame graphs that runs in the browser.
import { inks } from '../src/flame/colours';
import { matched, matches } from '../src/flame/functions';
import { open } from '../src/flame/open';
import { paint } from '../src/flame/paint';
import { Renderer, ROW, type Look } from '../src/flame/renderer';
import { sandwich } from '../src/flame/sandwich';

let seed = 1;
const random = () => ((seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32);
const FRAMES = 8_000;

interface Node { frame: number; own: number; below: Map<number, Node> }
const node = (frame: number): Node => ({ frame, own: 0, below: new Map() });

/** Stacks of which each begins as another one does, and goes on alone: 3.8 new nodes a stack, some 25 deep. */
function tree(stacks: number): Node {
  const root = node(0);
  const known: Node[][] = [[root]];
  for (let count = 0; count < stacks; count++) {
    const like = known[Math.floor(random() * known.length)]!;
    const path = like.slice(0, Math.max(1, Math.ceil(like.length * random() ** (1 / 6))));
    for (let more = 1 + Math.floor(-Math.log(1 - random()) * 3.3); more > 0; more--) {
      const below = path[path.length - 1]!.below;
      const frame = 1 + Math.floor(random() ** 2 * (FRAMES - 1));
      let next = below.get(frame);
      if (!next) below.set(frame, next = node(frame));
      path.push(next);
    }
    path[path.length - 1]!.own += Math.ceil(random() ** -0.7);
    if (known.length < 20_000) known.push(path);
    else known[Math.floor(random() * known.length)] = path;
  }
  return root;
}

function encode(root: Node): ArrayBuffer {
  const out: number[] = [];
  const put = (value: number, to = out) => {
    while (value > 127) { to.push((value % 128) | 128); value = Math.floor(value / 128); }
    to.push(value);
  };
  const text = (value: string) => { const bytes = new TextEncoder().encode(value); put(bytes.length); for (const byte of bytes) out.push(byte); };
  const columns: Record<string, number[]> = { depth: [], frame: [], value: [], own: [] };
  const walk = [{ node: root, depth: 0 }];
  while (walk.length > 0) {
    const { node: each, depth } = walk.pop()!;
    columns.depth!.push(depth);
    columns.frame!.push(each.frame);
    columns.own!.push(each.own);
    for (const below of each.below.values()) walk.push({ node: below, depth: depth + 1 });
  }
  const count = columns.depth!.length;
  const value = columns.own!.slice();
  const path: number[] = [];
  const parent = columns.depth!.map((depth, at) => { path[depth] = at; return depth ? path[depth - 1]! : -1; });
  for (let at = count - 1; at > 0; at--) value[parent[at]!]! += value[at]!;
  out.push(0x53, 0x37, 0x46, 0x47, 1);
  text(JSON.stringify({
    kind: 'on-cpu', unit: 'samples', from: '2026-01-01T00:00:00Z', to: '2026-01-01T00:01:00Z', hosts: ['bench'], rate_hz: 97, total: value[0], root: 0, hidden: 0, cut: 0,
    covers: { samples: value[0], waits: 0, waited_ns: 0, expected: value[0], captured: value[0], lost: {}, frames: 0, named_frames: 0 },
  }));
  put(FRAMES + 20);
  for (let at = 0; at < FRAMES; at++) text(at === 0 ? 'all' : `<core::slice::Iter<T${at % 50}> as core::iter::Iterator>::${at % 97 ? 'next' : 'malloc'}_${at}`);
  for (let at = 0; at < 20; at++) text(`/usr/lib/x86_64-linux-gnu/library-${at}.so`);
  put(FRAMES);
  for (let at = 0; at < FRAMES; at++) put(at);
  for (let at = 0; at < FRAMES; at++) out.push(at === 0 ? 8 : at % 6);
  for (let at = 0; at < FRAMES; at++) put(FRAMES + (at % 20) + 1);
  const head = Uint8Array.from(out);
  const all = [columns.depth!, columns.frame!, value, columns.own!, value].map((numbers, at) => {
    const bytes: number[] = [];
    for (const number of numbers) put(number, bytes);
    const begin: number[] = [at + 1];
    put(bytes.length, begin);
    return [Uint8Array.from(begin), Uint8Array.from(bytes)];
  }).flat();
  const between: number[] = [];
  put(count, between);
  put(5, between);
  return new Blob([head, Uint8Array.from(between), ...all]).arrayBuffer() as unknown as ArrayBuffer;
}

const canvas = document.querySelector('canvas')!;
const frame = () => new Promise<number>((done) => requestAnimationFrame(done));
const share = (all: number[], part: number) => [...all].sort((a, b) => a - b)[Math.min(all.length - 1, Math.floor(all.length * part))]!;
const made = new Map<number, ArrayBuffer>();

async function shown(bytes: ArrayBuffer) {
  await frame();
  const begun = performance.now();
  const opened = await open(bytes, 'value');
  const painted = paint(opened.graph, opened.layout, 'kind');
  const look: Look = { inks: inks(painted.colours), of: painted.of, match: inks(['flame-match'])[0]!, card: '#ffffff', line: '#111111', focus: '#0000ff' };
  const renderer = new Renderer(canvas);
  renderer.show(opened, look);
  renderer.zoom(0, false);
  renderer.size(1600, 900);
  // What was drawn stands on the screen with the second frame.
  await frame();
  await frame();
  return { opened, renderer, open_ms: performance.now() - begun };
}

let last: Awaited<ReturnType<typeof shown>>;
let target = 0;

async function prepare(stacks: number) {
  if (!made.has(stacks)) { seed = stacks; made.clear(); made.set(stacks, await encode(tree(stacks))); }
  const bytes = made.get(stacks)!;
  last = await shown(bytes);
  const { opened: { graph, layout }, renderer, open_ms } = last;
  target = 0;
  for (let at = 0; at < graph.count; at++) if (graph.depth[at] === 12 && layout.width[at]! > (target ? layout.width[target]! : 0)) target = at;
  let begun = performance.now();
  const found = matches(graph.frames, 'malloc', false);
  const sum = matched(graph, layout.end, found.frames);
  renderer.find(found.frames);
  const search_ms = performance.now() - begun;
  begun = performance.now();
  sandwich(graph, layout, graph.frame[target]!);
  const sandwich_ms = performance.now() - begun;
  renderer.find(null);
  return { nodes: graph.count, rows: layout.rows.length - 1, bytes: bytes.byteLength, open_ms, search_ms, found: sum.nodes, sandwich_ms };
}

/** Zooms to a node in the middle of everything, and back, in 120 steps. */
async function zoom() {
  const { opened: { layout }, renderer } = last;
  const draws: number[] = [];
  const times: number[] = [];
  for (let at = 0; at <= 120; at++) {
    times.push(await frame());
    const part = at < 60 ? at / 60 : 2 - at / 60;
    const eased = 1 - (1 - part) ** 3;
    renderer.from = layout.x[target]! * eased;
    renderer.to = layout.total + (layout.x[target]! + layout.width[target]! - layout.total) * eased;
    renderer.draw();
    draws.push(renderer.drew);
  }
  const gaps = times.slice(1).map((time, at) => time - times[at]!);
  return {
    frames_per_s: 1_000 / (gaps.reduce((a, b) => a + b) / gaps.length), frame_p95_ms: share(gaps, 0.95), draw_p50_ms: share(draws, 0.5), draw_p95_ms: share(draws, 0.95),
  };
}

/** So many rows on each other: the last can be seen, and is found by the pointer. */
async function deep(rows: number) {
  const root = node(0);
  let at = root;
  for (let row = 1; row < rows; row++) {
    const next = node(row);
    at.below.set(row, next);
    at.own = 1;
    at = next;
  }
  at.own = rows;
  const { opened, renderer, open_ms } = await shown(await encode(root));
  const last = opened.graph.count - 1;
  const draws = [];
  let seen = 0;
  for (const part of [0, 0.25, 0.5, 0.75, 1]) {
    renderer.scroll = Math.round(part * (renderer.rows * ROW - 900));
    renderer.draw();
    draws.push(renderer.drew);
    const { data } = canvas.getContext('2d')!.getImageData(5, 5, 1, 890);
    for (let pixel = 0; pixel < data.length; pixel += 4) if (data[pixel + 2]! < 250) { seen++; break; }
  }
  const works = seen === 5 && opened.layout.rows.length - 1 === rows && renderer.at(10, 890) === last;
  return { rows: opened.layout.rows.length - 1, open_ms: Math.round(open_ms), draw_most_ms: Math.max(...draws), works };
}

Object.assign(globalThis, { bench: { prepare, zoom, deep } });

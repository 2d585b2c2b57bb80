// Which colour each node has, and why.
import { GROUPS, stateOf, type Group } from '../states';
import { KERNEL, KIND_WORDS, REASON, ROOT, WAKER, FRAME_KINDS, type Graph } from './graph';
import type { Layout } from './layout';
import { file, packageOf } from './names';

export type Colouring = 'kind' | 'reason' | 'module' | 'package' | 'difference';
export interface Legend { readonly label: string; /** Index into `fills`. */ readonly colour: number; /** Value of nodes that have it. */ readonly own: number }
export interface Paint {
  /** CSS colours: a variable's name, or `h` and a hue. */
  readonly colours: readonly string[];
  /** Index of the colour of each node. */
  readonly of: Uint8Array;
  readonly legend: readonly Legend[];
}

/** Hues of modules, in an order in which neighbours differ. */
const HUES = [28, 205, 120, 340, 262, 172, 52, 300, 232, 0, 90, 190];
/** Steps of more and of less. */
export const STEPS = 4;

function sum(graph: Graph, of: Uint8Array, size: number): Float64Array {
  const sums = new Float64Array(size);
  for (let node = 0; node < graph.count; node++) sums[of[node]!]! += graph.own[node]!;
  return sums;
}
const byOwn = (labels: readonly string[], sums: Float64Array): Legend[] =>
  labels.map((label, colour) => ({ label, colour, own: sums[colour]! })).filter((each) => each.own > 0);

// Loops: `from` with a function takes ten times as long for nodes.
function ofFrames(graph: Graph, get: (frame: number) => number): Uint8Array {
  const size = graph.frames.names.length;
  const frames = new Uint8Array(size);
  for (let frame = 0; frame < size; frame++) frames[frame] = get(frame);
  const of = new Uint8Array(graph.count);
  for (let node = 0; node < graph.count; node++) of[node] = frames[graph.frame[node]!]!;
  return of;
}

function kinds(graph: Graph): Paint {
  const of = ofFrames(graph, (frame) => graph.frames.kinds[frame]!);
  const present = new Set(graph.frames.kinds);
  const sums = sum(graph, of, FRAME_KINDS.length);
  const legend = KIND_WORDS.map((label, colour) => ({ label, colour, own: sums[colour]! })).filter(({ colour }) => present.has(colour));
  return { colours: FRAME_KINDS.map((kind) => `flame-${kind}`), of, legend };
}

const groupIndex = (group: Group) => GROUPS.findIndex((each) => each.group === group);
const reasonOf = (text: string) => groupIndex(stateOf(text.replace(/^\[|\]$/g, '')).group);

/** What stands on a reason has its colour; what a reason stands on has that of its widest part. */
function reasons(graph: Graph, { parent }: Layout): Paint {
  const none = GROUPS.length;
  const { kinds: kind, names } = graph.frames;
  const ran = graph.about.kind === 'on-cpu' || graph.about.kind === 'wall' ? groupIndex('ran') : none;
  const of = ofFrames(graph, (frame) => (kind[frame] === REASON ? reasonOf(names[frame]!) : none));
  const widest = new Float64Array(graph.count);
  for (let node = graph.count - 1; node > 0; node--) {
    const below = parent[node]!;
    if (of[node] !== none && kind[graph.frame[below]!] !== REASON && graph.value[node]! > widest[below]!) {
      widest[below] = graph.value[node]!;
      of[below] = of[node]!;
    }
  }
  for (let node = 1; node < graph.count; node++) {
    if (of[node] !== none) continue;
    const below = of[parent[node]!]!;
    const known = kind[graph.frame[parent[node]!]!] === REASON || kind[graph.frame[node]!] === WAKER;
    of[node] = known ? below : ran;
  }
  const sums = sum(graph, of, none + 1);
  return {
    colours: [...GROUPS.map(({ group }) => `state-${group}`), 'flame-root'], of,
    legend: byOwn([...GROUPS.map(({ label }) => label), 'no reason'], sums).sort((a, b) => b.own - a.own),
  };
}

function groups(graph: Graph, get: (name: string, module: string, kind: number) => string): Paint {
  const { names, modules, kinds: kind } = graph.frames;
  const bare = (frame: number) => kind[frame] === REASON || kind[frame] === ROOT;
  const keys = names.map((text, frame) => (bare(frame) ? '' : get(text, modules[frame]!, kind[frame]!)));
  const owns = new Float64Array(keys.length);
  for (let node = 0; node < graph.count; node++) owns[graph.frame[node]!]! += graph.own[node]!;
  const size = new Map<string, number>();
  keys.forEach((key, frame) => size.set(key, (size.get(key) ?? 0) + owns[frame]!));
  const order = [...size].filter(([key]) => key !== '').sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  // The same hue in each graph and each time: it comes from the name. The eight largest never share one.
  const hue = new Map<string, number>();
  const used = new Set<number>();
  for (const [key] of order) {
    let at = [...key].reduce((hash, letter) => Math.imul(hash ^ letter.codePointAt(0)!, 0x01000193), 0x811c9dc5) >>> 0;
    at %= HUES.length;
    if (hue.size < 8) while (used.has(at)) at = (at + 1) % HUES.length;
    used.add(at);
    hue.set(key, at);
  }
  return {
    colours: [...HUES.map((each) => `h${each}`), 'flame-root'],
    of: ofFrames(graph, (frame) => hue.get(keys[frame]!) ?? HUES.length),
    legend: order.slice(0, 8).map(([label, own]) => ({ label: label || 'no file', colour: hue.get(label)!, own })),
  };
}

/** How a node differs from the other time: −1 (gone) … 1 (new). 0: by no more than chance makes (twice the standard deviation of counts). */
export function change(value: number, samples: number, base: number, scale: number, weight: number): number {
  const before = base * scale;
  const most = Math.max(value, before);
  if (most === 0) return 0;
  const each = samples > 0 ? value / samples : weight;
  const chance = 2 * each * Math.sqrt(samples + (scale * scale * base) / (each || 1));
  return Math.abs(value - before) <= chance ? 0 : (value - before) / most;
}

/** What a value of the time before is multiplied by to be of the length of this one. */
export function scaleOf({ about: { from, to, base_from, base_to } }: Pick<Graph, 'about'>): number {
  const length = (a: string | undefined, b: string | undefined) => Date.parse(b ?? '') - Date.parse(a ?? '');
  const scale = length(from, to) / length(base_from, base_to);
  return Number.isFinite(scale) && scale > 0 ? scale : 1;
}

function differences(graph: Graph): Paint {
  const scale = scaleOf(graph);
  const { base, value, samples } = graph;
  const weight = samples[0] ? value[0]! / samples[0] : 1;
  const of = new Uint8Array(graph.count).fill(STEPS);
  if (base) {
    for (let node = 0; node < graph.count; node++) {
      const by = change(value[node]!, samples[node]!, base[node]!, scale, weight);
      of[node] = STEPS + Math.sign(by) * Math.ceil(Math.abs(by) * STEPS);
    }
  }
  const colours = [...Array.from({ length: STEPS }, (_, at) => `flame-less-${STEPS - at}`), 'flame-same', ...Array.from({ length: STEPS }, (_, at) => `flame-more-${at + 1}`)];
  return {
    colours, of,
    legend: [{ label: '− less than before', colour: 1, own: 0 }, { label: 'no more change than chance makes', colour: STEPS, own: 0 }, { label: '+ more than before', colour: 2 * STEPS - 1, own: 0 }],
  };
}

export function paint(graph: Graph, all: Layout, colouring: Colouring): Paint {
  switch (colouring) {
    case 'kind': return kinds(graph);
    case 'reason': return reasons(graph, all);
    case 'module': return groups(graph, (_, module, kind) => (module ? file(module) : kind === KERNEL ? 'kernel' : ''));
    case 'package': return groups(graph, (text, module, kind) => packageOf(text, module, kind === KERNEL));
    case 'difference': return differences(graph);
  }
}

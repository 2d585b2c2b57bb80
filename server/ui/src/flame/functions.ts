// Sums by function: what it takes itself, and with all that it calls.
import { REASON, ROOT, type Frames, type Graph } from './graph';

export interface Functions {
  /** A number a frame. A function that calls itself counts once. */
  readonly own: Float64Array;
  readonly total: Float64Array;
  readonly samples: Float64Array;
  readonly base_own: Float64Array | null;
  readonly base_total: Float64Array | null;
}

/** `frames` of a graph whose nodes are in preorder. */
export function functions(graph: Graph): Functions {
  const { count, depth, frame, value, own, samples, base, base_own } = graph;
  const { kinds } = graph.frames;
  const size = kinds.length;
  const sums = () => new Float64Array(size);
  const found = { own: sums(), total: sums(), samples: sums(), base_own: base ? sums() : null, base_total: base ? sums() : null };
  // How often each frame is on the way to the present node.
  const on = new Uint32Array(size);
  const path: number[] = [];
  for (let node = 0; node < count; node++) {
    while (path.length > depth[node]!) on[path.pop()!]!--;
    const at = frame[node]!;
    // A function takes the time itself that it waits for a reason.
    const below = path[path.length - 1];
    const whose = kinds[at] === REASON && below !== undefined && kinds[below] !== ROOT ? below : at;
    found.own[whose]! += own[node]!;
    if (base_own) found.base_own![whose]! += base_own[node]!;
    if (on[at]! === 0) {
      found.total[at]! += value[node]!;
      found.samples[at]! += samples[node]!;
      if (base) found.base_total![at]! += base[node]!;
    }
    on[at]!++;
    path.push(at);
  }
  return found;
}

/** Frames whose name or module has the text, or fits the regular expression. `bad`: why it is none. */
export function matches(frames: Frames, text: string, regex: boolean): { frames: Uint8Array; count: number; bad: string } {
  const found = new Uint8Array(frames.names.length);
  if (!text) return { frames: found, count: 0, bad: '' };
  let fits: (name: string) => boolean;
  if (regex) {
    try {
      const pattern = new RegExp(text, 'iu');
      fits = (name) => pattern.test(name);
    } catch (error) {
      return { frames: found, count: 0, bad: (error as Error).message };
    }
  } else {
    const wanted = text.toLowerCase();
    fits = (name) => name.toLowerCase().includes(wanted);
  }
  // A module is that of many frames.
  const modules = new Map<string, boolean>();
  let count = 0;
  for (let at = 0; at < found.length; at++) {
    const module = frames.modules[at]!;
    let known = modules.get(module);
    if (known === undefined) modules.set(module, known = module !== '' && fits(module));
    if (known || fits(frames.names[at]!)) {
      found[at] = 1;
      count++;
    }
  }
  return { frames: found, count, bad: '' };
}

/** What nodes of these frames take; one that stands on another of them is in it already. */
export function matched({ count, frame, value }: Pick<Graph, 'count' | 'frame' | 'value'>, end: Uint32Array, frames: Uint8Array): { value: number; nodes: number } {
  let sum = 0;
  let nodes = 0;
  for (let node = 0, free = 0; node < count; node++) {
    if (!frames[frame[node]!]) continue;
    nodes++;
    if (node < free) continue;
    sum += value[node]!;
    free = end[node]!;
  }
  return { value: sum, nodes };
}

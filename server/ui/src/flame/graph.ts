// A flame graph in memory: columns of numbers, one a node, in preorder.

/** What the server says of a graph: `FlameGraph` of openapi.json without its frames and nodes. */
export interface About {
  readonly kind: string; readonly unit: 'samples' | 'ns'; readonly from: string; readonly to: string; readonly hosts: readonly string[];
  readonly rate_hz: number; readonly total: number; readonly root: number; readonly hidden: number; readonly cut: number;
  readonly covers: {
    readonly samples: number; readonly waits: number; readonly waited_ns: number; readonly expected: number; readonly captured: number;
    readonly lost: Readonly<Record<string, number>>; readonly frames: number; readonly named_frames: number;
  };
  readonly base_from?: string; readonly base_to?: string; readonly base_total?: number;
}

/** Numbers of kinds of frames in the bytes, and their names. */
export const FRAME_KINDS = ['native', 'inlined', 'jit', 'interpreted', 'kernel', 'unnamed', 'reason', 'waker', 'root'] as const;
export const [NATIVE, INLINED, JIT, INTERPRETED, KERNEL, UNNAMED, REASON, WAKER, ROOT] = [0, 1, 2, 3, 4, 5, 6, 7, 8] as const;
/** What each is called. */
export const KIND_WORDS = ['native code', 'inlined code', 'code compiled at run time', 'interpreted code', 'kernel', 'no name known', 'reason of a wait', 'who ended the wait',
  'process'] as const;

export interface Frames {
  readonly names: readonly string[];
  /** Index into `FRAME_KINDS`. */
  readonly kinds: Uint8Array;
  /** '': none. */
  readonly modules: readonly string[];
}

export interface Graph {
  readonly about: About;
  readonly frames: Frames;
  /** Nodes. */
  readonly count: number;
  readonly depth: Uint32Array;
  readonly frame: Uint32Array;
  /** With what stands on it, and without. */
  readonly value: Float64Array;
  readonly own: Float64Array;
  readonly samples: Float64Array;
  /** The values in the time to compare with; null: it is no difference. */
  readonly base: Float64Array | null;
  readonly base_own: Float64Array | null;
}

/** Two numbers of 32 bits, which make the id of a node (see `FlameGraph` of openapi.json). */
export type Id = readonly [number, number];
export const ROOT_ID: Id = [0x811c9dc5, 0x9e3779b9];
const text = new TextEncoder();

/** The id of a node from that of its parent. */
export function childId([high, low]: Id, name: string, kind: number, module: string): Id {
  let [a, b] = [high | 0, low | 0];
  const take = (byte: number) => {
    a = Math.imul(a ^ byte, 0x01000193);
    b = Math.imul(b ^ byte, 0x85ebca6b);
  };
  for (const byte of text.encode(name)) take(byte);
  take(kind);
  for (const byte of text.encode(module)) take(byte);
  take(255);
  return [a >>> 0, b >>> 0];
}
/** As the parameter `under` has it. */
export const idText = ([a, b]: Id) => a.toString(16).padStart(8, '0') + b.toString(16).padStart(8, '0');

const child = (graph: Graph, parent: Id, node: number) => {
  const frame = graph.frame[node]!;
  return childId(parent, graph.frames.names[frame]!, graph.frames.kinds[frame]!, graph.frames.modules[frame]!);
};

/** Id of the last node of a path from the root. */
export function idOf(graph: Graph, path: readonly number[]): string {
  return idText(path.slice(1).reduce<Id>((id, node) => child(graph, id, node), ROOT_ID));
}

/** The node of an id; -1: there is none. Looks at every node. */
export function findId(graph: Graph, id: string): number {
  const path: Id[] = [];
  const [a, b] = [parseInt(id.slice(0, 8), 16), parseInt(id.slice(8), 16)];
  for (let node = 0; node < graph.count; node++) {
    const depth = graph.depth[node]!;
    const own = depth === 0 ? ROOT_ID : child(graph, path[depth - 1]!, node);
    path[depth] = own;
    if (own[0] === a && own[1] === b) return node;
  }
  return -1;
}

/** The node whose ancestors have these frames (`frameKey`), from the root on, or the deepest of that path that there is. */
export function findPath(graph: Graph, children: (node: number) => Iterable<number>, path: readonly string[]): number {
  let node = 0;
  for (const wanted of path.slice(1)) {
    let next = -1;
    for (const each of children(node)) if (frameKey(graph.frames, graph.frame[each]!) === wanted) { next = each; break; }
    if (next < 0) break;
    node = next;
  }
  return node;
}
/** What a frame is told from others by. */
export const frameKey = (frames: Frames, frame: number) => `${frames.kinds[frame]!}\t${frames.modules[frame]!}\t${frames.names[frame]!}`;

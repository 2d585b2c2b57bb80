// Where each node stands: its begin and width in units of value, and by depth the nodes from left to right.
import type { Graph } from './graph';

export interface Layout {
  readonly parent: Int32Array;
  /** Index behind the last node that stands on it. */
  readonly end: Uint32Array;
  /** The depth of the deepest node that stands on it. */
  readonly deepest: Uint32Array;
  readonly x: Float64Array;
  readonly width: Float64Array;
  /** Nodes of depth d: `nodes[rows[d]]` to `nodes[rows[d + 1] - 1]`, by `x`. Those without width are not among them. */
  readonly rows: Uint32Array;
  readonly nodes: Uint32Array;
  readonly total: number;
}

/** `width`: a number a node, such as its value; that of a node is at least the sum of those that stand on it. */
export function layout(graph: Pick<Graph, 'count' | 'depth'>, width: Float64Array): Layout {
  const { count, depth } = graph;
  const parent = new Int32Array(count);
  const end = new Uint32Array(count);
  const deepest = new Uint32Array(count);
  const x = new Float64Array(count);
  let most = 0;
  for (let node = 0; node < count; node++) most = Math.max(most, depth[node]!);
  const path = new Int32Array(most + 2);
  // Where the next child of the last node of each depth begins.
  const next = new Float64Array(most + 2);
  const sizes = new Uint32Array(most + 2);
  let last = -1;
  for (let node = 0; node < count; node++) {
    const at = depth[node]!;
    for (let up = at; up <= last; up++) end[path[up]!] = node;
    last = at;
    path[at] = node;
    parent[node] = at === 0 ? -1 : path[at - 1]!;
    x[node] = next[at]!;
    next[at + 1] = x[node]!;
    next[at] = x[node]! + width[node]!;
    if (width[node]! > 0) sizes[at + 1]!++;
  }
  for (let up = 0; up <= last; up++) end[path[up]!] = count;
  for (let node = count - 1; node >= 0; node--) {
    const own = Math.max(deepest[node]!, depth[node]!);
    deepest[node] = own;
    const below = parent[node]!;
    if (below >= 0 && width[node]! > 0 && own > deepest[below]!) deepest[below] = own;
  }
  for (let at = 1; at < sizes.length; at++) sizes[at]! += sizes[at - 1]!;
  const rows = sizes;
  const fill = rows.slice();
  const nodes = new Uint32Array(rows[rows.length - 1]!);
  for (let node = 0; node < count; node++) if (width[node]! > 0) nodes[fill[depth[node]!]!++] = node;
  return { parent, end, deepest, x, width, rows, nodes, total: count ? width[0]! : 0 };
}

/** What stands directly on a node. */
export function* children({ end }: Pick<Layout, 'end'>, node: number): Generator<number> {
  for (let at = node + 1; at < end[node]!; at = end[at]!) yield at;
}
/** From the root to the node. */
export function pathTo({ parent }: Pick<Layout, 'parent'>, node: number): number[] {
  const path = [];
  for (let at = node; at >= 0; at = parent[at]!) path.push(at);
  return path.reverse();
}

/** The first place in a row whose node ends behind `x`. */
export function firstIn({ rows, nodes, x, width }: Layout, row: number, from: number): number {
  let [low, high] = [rows[row]!, rows[row + 1]!];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const node = nodes[middle]!;
    if (x[node]! + width[node]! > from) high = middle;
    else low = middle + 1;
  }
  return low;
}
/** The node of a row that is over `at`; -1: none. */
export function nodeAt(all: Layout, row: number, at: number): number {
  if (row < 0 || row >= all.rows.length - 1) return -1;
  const place = firstIn(all, row, at);
  if (place >= all.rows[row + 1]!) return -1;
  const node = all.nodes[place]!;
  return all.x[node]! <= at ? node : -1;
}

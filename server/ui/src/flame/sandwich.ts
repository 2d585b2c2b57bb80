// The two halves around a function: who calls it, and what it calls. Both are graphs whose root is the function.
import type { Graph } from './graph';
import type { Layout } from './layout';

interface Tree { frame: number; value: number; own: number; samples: number; base: number; base_own: number; below: Map<number, Tree> | null }
const leaf = (frame: number): Tree => ({ frame, value: 0, own: 0, samples: 0, base: 0, base_own: 0, below: null });
function on(tree: Tree, frame: number): Tree {
  const below = (tree.below ??= new Map());
  let found = below.get(frame);
  if (!found) below.set(frame, found = leaf(frame));
  return found;
}

/** The nodes of a function that stand on no other one of it: a function that calls itself counts once. */
function outermost({ count, frame }: Graph, { end }: Pick<Layout, 'end'>, wanted: number): number[] {
  const found = [];
  for (let node = 0; node < count;) {
    if (frame[node] === wanted) {
      found.push(node);
      node = end[node]!;
    } else node++;
  }
  return found;
}

/** `callers`: the root's children are who called it. `callees`: what it called. */
export function sandwich(graph: Graph, all: Pick<Layout, 'end' | 'parent'>, wanted: number): { callers: Graph; callees: Graph } {
  const { frame, value, own, samples, base, base_own, depth } = graph;
  const callers = leaf(wanted);
  const callees = leaf(wanted);
  for (const node of outermost(graph, all, wanted)) {
    const add = (tree: Tree) => {
      tree.value += value[node]!;
      tree.samples += samples[node]!;
      tree.base += base?.[node] ?? 0;
    };
    let at = callers;
    add(at);
    // The root of all is no caller.
    for (let up = all.parent[node]!; up > 0; up = all.parent[up]!) add(at = on(at, frame[up]!));
    const path = [callees];
    for (let below = node; below < all.end[node]!; below++) {
      const level = depth[below]! - depth[node]!;
      const tree = level === 0 ? callees : on(path[level - 1]!, frame[below]!);
      path[level] = tree;
      tree.value += value[below]!;
      tree.own += own[below]!;
      tree.samples += samples[below]!;
      tree.base += base?.[below] ?? 0;
      tree.base_own += base_own?.[below] ?? 0;
    }
  }
  return { callers: graphOf(graph, callers), callees: graphOf(graph, callees) };
}

/** The widest first. */
function graphOf(from: Graph, tree: Tree): Graph {
  const nodes: Tree[] = [];
  const depths: number[] = [];
  const stack: { tree: Tree; depth: number }[] = [{ tree, depth: 0 }];
  while (stack.length > 0) {
    const { tree: each, depth } = stack.pop()!;
    nodes.push(each);
    depths.push(depth);
    if (!each.below) continue;
    const below = [...each.below.values()].sort((a, b) => a.value - b.value || a.base - b.base);
    for (const next of below) stack.push({ tree: next, depth: depth + 1 });
  }
  const column = (get: (tree: Tree) => number) => Float64Array.from(nodes, get);
  return {
    about: { ...from.about, root: 0, hidden: 0 }, frames: from.frames, count: nodes.length,
    depth: Uint32Array.from(depths), frame: Uint32Array.from(nodes, (each) => each.frame),
    value: column((each) => each.value), own: column((each) => each.own), samples: column((each) => each.samples),
    base: from.base && column((each) => each.base), base_own: from.base && column((each) => each.base_own),
  };
}

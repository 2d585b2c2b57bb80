// Who waits for whom as a graph: nodes are processes by name and what stands at the end of all waiting (a disk, the network, a timer, an
// interrupt); an arrow goes from who waits to whom it waits for, with what for.
import type { Chain, Edge } from '../api/types';
import { name } from '../format';
import { stateOf } from '../states';

export type Root = 'disk' | 'network' | 'timer' | 'interrupt';
const ROOTS: Readonly<Record<Root, string>> = { disk: 'disk', network: 'network', timer: 'timer', interrupt: 'an interrupt, or not known' };
/** Of a wait that no thread ended: what did. */
export function rootOf(reason: string): Root {
  const { group, key } = stateOf(reason);
  if (group === 'disk' || key === 'fault_file' || key === 'swap') return 'disk';
  if (group === 'net' || key === 'net_accept') return 'network';
  return key === 'sleep' ? 'timer' : 'interrupt';
}

/** `from`, `to`: ids of nodes. */
export interface Arrow {
  readonly key: string; readonly from: string; readonly to: string; readonly reason: string; readonly idle: boolean;
  readonly waits: number; readonly ns: number; readonly places: readonly string[];
}
export const processId = (comm: string) => `p ${comm}`;
const rootId = (root: Root) => `r ${root}`;
export const isRoot = (id: string) => id.startsWith('r ');
export const commOf = (id: string) => (isRoot(id) ? '' : id.slice(2));
export const titleOf = (id: string) => (isRoot(id) ? ROOTS[id.slice(2) as Root] : name(id.slice(2), 40));
const WHOM: Readonly<Record<Root, string>> = { disk: 'a disk', network: 'the network', timer: 'a timer', interrupt: 'an interrupt, or for what is not known' };
/** As it stands after `waits for`. */
export const whomOf = (id: string) => (isRoot(id) ? WHOM[id.slice(2) as Root] : titleOf(id));
export const keyOf = (from: string, reason: string, to: string) => `${from}\t${reason}\t${to}`;

/** Arrows of all edges, the heaviest first. Processes of one name are one, wherever they are. */
export function arrows(edges: readonly Edge[]): Arrow[] {
  const found = new Map<string, { -readonly [K in keyof Arrow]: Arrow[K] } & { places: string[] }>();
  for (const edge of edges) {
    const from = processId(edge.comm);
    const to = edge.waker === null ? rootId(rootOf(edge.reason)) : processId(edge.waker);
    const key = keyOf(from, edge.reason, to);
    const known = found.get(key);
    if (!known) found.set(key, { key, from, to, reason: edge.reason, idle: edge.idle, waits: edge.waits, ns: edge.waited_ns, places: [edge.place] });
    else {
      known.waits += edge.waits;
      known.ns += edge.waited_ns;
      if (!known.places.includes(edge.place)) known.places.push(edge.place);
    }
  }
  return [...found.values()].sort((a, b) => b.ns - a.ns || (a.key < b.key ? -1 : 1));
}

/** Those that lead to or from a node whose name contains `text`, over any number of others. */
export function filtered(all: readonly Arrow[], text: string): readonly Arrow[] {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return all;
  const hit = (id: string) => titleOf(id).toLowerCase().includes(wanted);
  const reach = (ahead: boolean) => {
    const seen = new Set(all.flatMap(({ from, to }) => [from, to]).filter(hit));
    const kept = new Set<Arrow>();
    for (let grown = true; grown;) {
      grown = false;
      for (const each of all) {
        if (kept.has(each) || !seen.has(ahead ? each.from : each.to)) continue;
        kept.add(each);
        seen.add(ahead ? each.to : each.from);
        grown = true;
      }
    }
    return kept;
  };
  const [down, up] = [reach(true), reach(false)];
  return all.filter((each) => down.has(each) || up.has(each));
}

/** The heaviest `most`, and how many others there are and how long they took. */
export function heaviest(all: readonly Arrow[], most: number): { kept: readonly Arrow[]; left: number; leftNs: number } {
  const rest = all.slice(most);
  return { kept: all.slice(0, most), left: rest.length, leftNs: rest.reduce((sum, each) => sum + each.ns, 0) };
}

/** Arrows of a chain. */
export function arrowsOf(chain: Chain): string[] {
  const own = chain.links.map(({ comm, reason, waker }) => keyOf(processId(comm), reason, processId(waker)));
  if (chain.root !== null && chain.root_reason !== null) own.push(keyOf(processId(chain.root), chain.root_reason, rootId(rootOf(chain.root_reason))));
  return own;
}

/** `pgbench ← postgres ← fsync (disk)`: each waits for what stands right of it. */
export function chainWords(chain: Chain): string {
  const names = [chain.links[0]?.comm ?? '', ...chain.links.map((link) => link.waker)].map((each) => name(each, 40));
  const last = chain.root_reason;
  return [...names, ...(last === null ? [] : [`${stateOf(last).label} (${ROOTS[rootOf(last)]})`])].join(' ← ');
}

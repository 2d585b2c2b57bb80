// Processes by what they belong to: pod, container, unit or cgroup, and there by name. The API knows of no parents.
import { summed, type Place, type Row } from './processes-rows';

interface Node { readonly key: string; readonly label: string; readonly kind: Place['kind'] | 'name'; readonly children: Map<string, Node> }

/** A short name of a group for the address (FNV-1a of 32 bits). */
export function mark(key: string): string {
  let sum = 0x811c9dc5;
  for (let at = 0; at < key.length; at++) sum = Math.imul(sum ^ key.charCodeAt(at), 0x01000193);
  return (sum >>> 0).toString(36);
}

const node = (key: string, label: string, kind: Node['kind']): Node => ({ key, label, kind, children: new Map() });

function placed(rows: readonly Row[]): { top: Node; names: Map<Node, Map<string, Row[]>> } {
  const top = node('', '', 'cgroup');
  const names = new Map<Node, Map<string, Row[]>>();
  for (const row of rows) {
    let at = top;
    for (const { kind, label } of row.who.places) {
      const key = `${at.key}\n${kind}\t${label}`;
      let next = at.children.get(key);
      if (!next) at.children.set(key, (next = node(key, label, kind)));
      at = next;
    }
    let mine = names.get(at);
    if (!mine) names.set(at, (mine = new Map()));
    const same = mine.get(row.who.comm);
    if (same) same.push(row);
    else mine.set(row.who.comm, [row]);
  }
  return { top, names };
}

/** Not copies: there may be thousands each second. */
function placedAt(rows: Row[], level: number): Row[] {
  for (const row of rows) row.level = level;
  return rows;
}

/** Rows of the tree that are in sight, each level in the order of `order`. Places are open and names are shut unless their mark is in `turned`;
 * `all`: names are open as well. */
export function tree(rows: readonly Row[], order: (rows: Row[]) => Row[], turned: ReadonlySet<string>, all: boolean): Row[] {
  const { top, names } = placed(rows);
  const out: Row[] = [];
  const below = new Map<Row, { nodes: Node[]; rows: Row[] }>();
  const members = (from: Node): Row[] => {
    const all: Row[] = [];
    const gather = (each: Node) => {
      for (const child of each.children.values()) gather(child);
      for (const same of names.get(each)?.values() ?? []) for (const row of same) all.push(row);
    };
    gather(from);
    return all;
  };
  const group = (key: string, label: string, place: Row['place'], level: number, inside: Row[]): Row => ({
    ...summed(inside), kind: 'group', level, place: place!, ended: inside.every((row) => row.ended),
    members: inside.reduce((sum, row) => sum + (row.kind === 'other' ? row.members : 1), 0),
    open: (place !== 'name' || all) !== turned.has(mark(key)),
    who: { id: `group ${mark(key)}`, pid: 0, start: 0, comm: label, cgroup: '', container: '', pod: '', unit: '', places: [], words: '' },
  });
  const children = (from: Node, level: number): Row[] => {
    const found: Row[] = [];
    for (const child of from.children.values()) {
      const row = group(child.key, child.label, child.kind, level, members(child));
      below.set(row, { nodes: [child], rows: [] });
      found.push(row);
    }
    const mine = names.get(from);
    for (const [comm, same] of mine ?? []) {
      // A group of all that its place has would say the same twice.
      if (same.length < 2 || (mine!.size === 1 && from !== top)) found.push(...placedAt(same, level));
      else {
        const row = group(`${from.key}\nname\t${comm}`, comm, 'name', level, same);
        below.set(row, { nodes: [], rows: same });
        found.push(row);
      }
    }
    return found;
  };
  const put = (level: number, found: Row[]) => {
    for (const row of order(found)) {
      out.push(row);
      const inside = below.get(row);
      if (!inside || !row.open) continue;
      put(level + 1, inside.nodes.length ? children(inside.nodes[0]!, level + 1) : placedAt(inside.rows, level + 1));
    }
  };
  put(0, children(top, 0));
  return out;
}

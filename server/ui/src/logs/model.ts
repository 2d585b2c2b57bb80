// The lines that a view has, newest first, in blocks: only blocks in sight are in the document, and a block stays the same when others come.
import type { Line } from './types';

export interface Block { readonly id: number; readonly lines: readonly Line[] }
export interface List { readonly blocks: readonly Block[]; readonly known: ReadonlySet<string>; readonly count: number }

const BLOCK = 40;
/** Lines that a view has at most. */
export const MOST = 5_000;

export const NONE: List = { blocks: [], known: new Set(), count: 0 };

/** What a line is known by: where it stands in its source. */
export const idOf = ({ at_ns, position, labels }: Line) => `${at_ns} ${position} ${JSON.stringify(labels)}`;
/** `a` is of a later time, or of the same. Times are decimal numbers. */
const notBefore = (a: string, b: string) => (a.length === b.length ? a >= b : a.length > b.length);

let last = 0;
const blocksOf = (lines: readonly Line[]): Block[] => {
  const blocks: Block[] = [];
  for (let at = 0; at < lines.length; at += BLOCK) blocks.push({ id: ++last, lines: lines.slice(at, at + BLOCK) });
  return blocks;
};
function fresh(list: List, lines: readonly Line[]): { lines: Line[]; known: Set<string> } {
  const known = new Set(list.known);
  return { lines: lines.filter((line) => !known.has(idOf(line)) && known.add(idOf(line))), known };
}

export const listOf = (lines: readonly Line[]): List => withOlder(NONE, lines);

/** With lines that follow at the end; those that are known already are left out. */
export function withOlder(list: List, lines: readonly Line[]): List {
  const { lines: more, known } = fresh(list, lines);
  return more.length ? { blocks: [...list.blocks, ...blocksOf(more)], known, count: list.count + more.length } : list;
}

/** With lines that came meanwhile, newest first. Those that are late stand where they belong. What is beyond `MOST` goes at the end. */
export function withNewer(list: List, lines: readonly Line[]): List {
  const first = list.blocks[0]?.lines[0];
  if (!first) return trimmed(listOf(lines));
  const { lines: more, known } = fresh(list, lines);
  if (more.length === 0) return list;
  const ahead = more.filter((line) => notBefore(line.at_ns, first.at_ns));
  const blocks = [...list.blocks];
  for (const line of more) {
    if (notBefore(line.at_ns, first.at_ns)) continue;
    // The first block that ends before it, or as late as can be.
    const at = blocks.findIndex((block) => notBefore(line.at_ns, block.lines.at(-1)!.at_ns));
    const place = at < 0 ? blocks.length - 1 : at;
    const block = blocks[place]!;
    const within = block.lines.findIndex((each) => notBefore(line.at_ns, each.at_ns));
    blocks[place] = { id: block.id, lines: within < 0 ? [...block.lines, line] : [...block.lines.slice(0, within), line, ...block.lines.slice(within)] };
  }
  // The first block grows until it is full.
  const room = Math.min(ahead.length, Math.max(0, BLOCK - blocks[0]!.lines.length));
  if (room > 0) blocks[0] = { id: blocks[0]!.id, lines: [...ahead.slice(ahead.length - room), ...blocks[0]!.lines] };
  return trimmed({ blocks: [...blocksOf(ahead.slice(0, ahead.length - room)), ...blocks], known, count: list.count + more.length });
}

function trimmed(list: List): List {
  let { count } = list;
  const blocks = [...list.blocks];
  while (blocks.length > 1 && count - blocks.at(-1)!.lines.length >= MOST) count -= blocks.pop()!.lines.length;
  return count === list.count ? list : { blocks, known: new Set(blocks.flatMap((block) => block.lines.map(idOf))), count };
}

/** All of them, newest first. */
export const linesOf = (list: List): Line[] => list.blocks.flatMap((block) => block.lines);
export const newestOf = (list: List) => list.blocks[0]?.lines[0];
export const oldestOf = (list: List) => list.blocks.at(-1)?.lines.at(-1);
/** All lines of the same moment as the last one are asked for again: an answer may end among them. */
export const beforeOf = (list: List) => {
  const line = oldestOf(list);
  return line ? String(BigInt(line.at_ns) + 1n) : undefined;
};
/** The line so many places further down; the first or last one at the ends. */
export function moved(list: List, id: string, by: number): Line | undefined {
  const all = linesOf(list);
  const at = all.findIndex((line) => idOf(line) === id);
  return all[at < 0 ? 0 : Math.min(all.length - 1, Math.max(0, at + by))];
}
export const lineOf = (list: List, id: string) => linesOf(list).find((line) => idOf(line) === id);
/** Unix ms of a decimal number of Unix ns, which a JSON number would round. */
export const msOfNs = (ns: string) => Number(BigInt(ns) / 1_000_000n);
export const msOf = (line: Line) => msOfNs(line.at_ns);

/** JSON numbers of so many ns are rounded. */
const ROUNDED_NS = 512n;
/** The line of a moment, Unix ns. */
export const lineAt = (lines: readonly Line[], at_ns: string) => lines.find((each) => each.at_ns === at_ns)
  ?? lines.find(({ at_ns: own }) => { const by = BigInt(own) - BigInt(at_ns); return by <= ROUNDED_NS && by >= -ROUNDED_NS; });

// Where nodes and arrows of the graph of waits stand: in layers, each left of what it waits for. Each arrow has a row in the box of who waits,
// so no label lies over another.
import type { Arrow } from './waits-graph';

export interface Row { readonly arrow: Arrow; readonly y: number }
export interface Box { readonly id: string; readonly layer: number; readonly x: number; readonly y: number; readonly height: number; readonly ns: number; readonly rows: readonly Row[] }
/** `points`: from who waits to whom it waits for. `back`: it goes to the left, for they wait for each other. */
export interface Wire { readonly arrow: Arrow; readonly points: readonly (readonly [number, number])[]; readonly back: boolean }
export interface Drawn { readonly boxes: readonly Box[]; readonly wires: readonly Wire[]; readonly width: number; readonly height: number }

export const BOX = 250;
export const HEAD = 26;
export const ROW = 19;
const GAP_X = 84;
const GAP_Y = 16;
/** Room of an arrow that passes a layer. */
const PASS = 10;
const SWEEPS = 6;

function grouped<T, K>(all: Iterable<T>, of: (each: T) => K): Map<K, T[]> {
  const found = new Map<K, T[]>();
  for (const each of all) {
    const known = found.get(of(each));
    if (known) known.push(each);
    else found.set(of(each), [each]);
  }
  return found;
}

interface Slot { id: string; height: number; y: number; box: boolean }

/** Arrows that close a circle, when the heaviest are followed first. */
export function closing(all: readonly Arrow[]): ReadonlySet<Arrow> {
  const out = grouped(all, (each) => each.from);
  const state = new Map<string, 'open' | 'done'>();
  const found = new Set<Arrow>();
  for (const start of out.keys()) {
    if (state.has(start)) continue;
    // Its own stack: a chain may be long.
    const path: { id: string; next: number }[] = [{ id: start, next: 0 }];
    state.set(start, 'open');
    while (path.length) {
      const top = path[path.length - 1]!;
      const arrow = out.get(top.id)?.[top.next++];
      if (!arrow) {
        state.set(top.id, 'done');
        path.pop();
      } else if (state.get(arrow.to) === 'open') found.add(arrow);
      else if (!state.has(arrow.to)) {
        state.set(arrow.to, 'open');
        path.push({ id: arrow.to, next: 0 });
      }
    }
  }
  return found;
}

/** How many arrows it is at most down to the root, by node. */
export function depths(all: readonly Arrow[], without: ReadonlySet<Arrow>): Map<string, number> {
  const ids = new Set(all.flatMap(({ from, to }) => [from, to]));
  const found = new Map([...ids].map((id) => [id, 0]));
  const used = all.filter((each) => !without.has(each));
  for (let again = true; again;) {
    again = false;
    for (const { from, to } of used) {
      const least = found.get(to)! + 1;
      if (found.get(from)! < least) {
        found.set(from, least);
        again = true;
      }
    }
  }
  return found;
}

export function layout(all: readonly Arrow[]): Drawn {
  const back = closing(all);
  const depth = depths(all, back);
  const deepest = Math.max(0, ...depth.values());
  const layerOf = (id: string) => deepest - depth.get(id)!;
  const rowsOf = grouped(all, (each) => each.from);
  const layers: Slot[][] = Array.from({ length: deepest + 1 }, () => []);
  for (const id of depth.keys()) {
    layers[layerOf(id)]!.push({ id, box: true, y: 0, height: HEAD + (rowsOf.get(id)?.length ?? 0) * ROW + (rowsOf.has(id) ? 5 : 0) });
  }
  // An arrow over several layers has a place in each of them; `hops`: the places from the left to the right.
  const links: { left: Slot; right: Slot; ns: number }[] = [];
  const slots = new Map(layers.flat().map((slot) => [slot.id, slot]));
  const hops = new Map<Arrow, Slot[]>();
  for (const arrow of all) {
    const [a, b] = [layerOf(arrow.from), layerOf(arrow.to)];
    if (a === b) continue;
    const [from, to] = [slots.get(arrow.from)!, slots.get(arrow.to)!];
    const way: Slot[] = [a < b ? from : to];
    for (let layer = Math.min(a, b) + 1; layer < Math.max(a, b); layer++) {
      const slot = { id: `${arrow.key}\t${layer}`, height: PASS, y: 0, box: false };
      layers[layer]!.push(slot);
      way.push(slot);
    }
    way.push(a < b ? to : from);
    hops.set(arrow, way);
    for (let at = 1; at < way.length; at++) links.push({ left: way[at - 1]!, right: way[at]!, ns: arrow.ns });
  }
  order(layers, links);
  spread(layers, links);
  const top = Math.min(0, ...layers.flat().map((slot) => slot.y));
  for (const slot of layers.flat()) slot.y -= top;

  const x = (layer: number) => layer * (BOX + GAP_X);
  const boxes = [...depth.keys()].map((id): Box => {
    const { y, height } = slots.get(id)!;
    // In the order of what they lead to, so that they cross less.
    const own = [...(rowsOf.get(id) ?? [])].sort((p, q) => middle(slots.get(p.to)!) - middle(slots.get(q.to)!) || q.ns - p.ns);
    return { id, layer: layerOf(id), x: x(layerOf(id)), y, height, ns: own.reduce((sum, each) => sum + each.ns, 0), rows: own.map((arrow, at) => ({ arrow, y: y + HEAD + at * ROW + ROW / 2 })) };
  });
  const byId = new Map(boxes.map((box) => [box.id, box]));
  const wires = all.filter((arrow) => hops.has(arrow)).map((arrow): Wire => {
    const [from, to] = [byId.get(arrow.from)!, byId.get(arrow.to)!];
    const turned = back.has(arrow);
    const start = [turned ? from.x : from.x + BOX, from.rows.find((row) => row.arrow === arrow)!.y] as const;
    const end = [turned ? to.x + BOX : to.x, to.y + HEAD / 2] as const;
    const way = hops.get(arrow)!.slice(1, -1);
    const first = Math.min(from.layer, to.layer) + 1;
    const passed = way.flatMap((slot, at): (readonly [number, number])[] => {
      const y = slot.y + slot.height / 2;
      return [[x(first + at), y], [x(first + at) + BOX, y]];
    });
    return { arrow, back: turned, points: [start, ...(turned ? passed.reverse() : passed), end] };
  });
  return {
    boxes, wires, width: layers.length * (BOX + GAP_X) - GAP_X,
    height: Math.max(0, ...layers.flat().map((slot) => slot.y + slot.height)),
  };
}

const middle = (slot: Slot) => slot.y + Math.min(slot.height, HEAD) / 2;

/** Each near those it is linked with, from the left and from the right by turns. */
function order(layers: Slot[][], links: readonly { left: Slot; right: Slot; ns: number }[]) {
  const lefts = grouped(links, (each) => each.right);
  const rights = grouped(links, (each) => each.left);
  const place = new Map<Slot, number>();
  const number = (layer: Slot[]) => layer.forEach((slot, at) => place.set(slot, (at + 0.5) / layer.length));
  layers.forEach(number);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const ahead = sweep % 2 === 0;
    for (const layer of ahead ? layers : [...layers].reverse()) {
      const target = new Map(layer.map((slot) => {
        const near = (ahead ? lefts : rights).get(slot)?.map((each) => place.get(ahead ? each.left : each.right)!) ?? [];
        return [slot, near.length ? near.reduce((sum, each) => sum + each, 0) / near.length : place.get(slot)!];
      }));
      layer.sort((a, b) => target.get(a)! - target.get(b)! || place.get(a)! - place.get(b)!);
      number(layer);
    }
  }
}

/** Heights: as near to what they are linked with as the order and the gaps leave it. */
function spread(layers: Slot[][], links: readonly { left: Slot; right: Slot; ns: number }[]) {
  const near = new Map<Slot, Slot[]>();
  for (const { left, right } of links) {
    near.set(left, [...(near.get(left) ?? []), right]);
    near.set(right, [...(near.get(right) ?? []), left]);
  }
  for (const layer of layers) {
    let y = 0;
    for (const slot of layer) {
      slot.y = y;
      y += slot.height + (slot.box ? GAP_Y : 4);
    }
  }
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    for (const layer of sweep % 2 ? layers : [...layers].reverse()) {
      const wanted = layer.map((slot) => {
        const all = near.get(slot) ?? [];
        return all.length ? all.reduce((sum, each) => sum + middle(each), 0) / all.length - Math.min(slot.height, HEAD) / 2 : slot.y;
      });
      let least = -Infinity;
      layer.forEach((slot, at) => {
        slot.y = Math.max(wanted[at]!, least);
        least = slot.y + slot.height + (slot.box ? GAP_Y : 4);
      });
      const off = layer.reduce((sum, slot, at) => sum + wanted[at]! - slot.y, 0) / (layer.length || 1);
      for (const slot of layer) slot.y += off;
    }
  }
}

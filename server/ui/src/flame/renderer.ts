// Draws what can be seen of a graph on a canvas of the size of the view, and moves the view. Knows nothing of the rest of the page.
import type { Ink } from './colours';
import { firstIn, nodeAt } from './layout';
import { clean, short } from './names';
import type { Drawn } from './opened';

/** Height of a row, px. */
export const ROW = 19;
/** Narrower nodes have no name, px. */
const LEAST_NAMED = 36;
/** A finer backing store costs time and shows nothing more. */
const MOST_SCALE = 2;
const ZOOM_MS = 220;
const FONT = '12px ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", Menlo, monospace';

/** Colours of a graph: of each node the index of its ink, and what its label begins with. */
export interface Look {
  readonly inks: readonly Ink[];
  readonly of: Uint8Array;
  readonly match: Ink;
  readonly card: string;
  readonly line: string;
  readonly focus: string;
  readonly before?: ((node: number) => string) | undefined;
}

/** As four bytes of a pixel. */
const pixel = (css: string) => {
  const [r = 0, g = 0, b = 0] = (css.startsWith('#') ? [1, 3, 5].map((at) => parseInt(css.slice(at, at + 2), 16)) : css.match(/\d+/g)?.map(Number)) ?? [];
  return (0xff000000 | b << 16 | g << 8 | r) >>> 0;
};

export class Renderer {
  /** The part of the width that is shown, in units of value. */
  from = 0;
  to = 1;
  /** Root at the bottom. */
  turned = false;
  scroll = 0;
  cursor = -1;
  hover = -1;
  /** The node that fills the width. */
  zoomed = 0;
  width = 0;
  height = 0;
  /** Time of the last drawing, ms. */
  drew = 0;
  private drawn: Drawn | null = null;
  private look: Look | null = null;
  private matches: Uint8Array | null = null;
  /** Matches among the nodes in the order of rows, before each. */
  private before: Uint32Array | null = null;
  private readonly canvas: HTMLCanvasElement;
  private readonly g: CanvasRenderingContext2D;
  private scale = 1;
  private asked = 0;
  private moving: { from: number; to: number; toFrom: number; toTo: number; since: number } | null = null;
  private letter = 7;
  private labels: (string | undefined)[] = [];
  private shorts: (string | undefined)[] = [];
  // Nodes are drawn as pixels of a picture with one line a row, which is then stretched: thirty thousand rectangles a frame would take too long.
  private readonly lines = document.createElement('canvas');
  private image: ImageData | null = null;
  private pixels = new Uint32Array(0);
  private fills = new Uint32Array(0);
  private readonly frame = () => { this.asked = 0; this.draw(); };

  constructor(canvas: HTMLCanvasElement) {
    this.canvas = canvas;
    this.g = canvas.getContext('2d', { alpha: false })!;
  }

  show(drawn: Drawn, look: Look) {
    if (this.drawn?.graph.frames !== drawn.graph.frames) {
      this.labels = [];
      this.shorts = [];
    }
    if (this.drawn !== drawn) {
      this.drawn = drawn;
      this.cursor = this.hover = -1;
      this.matches = this.before = null;
    }
    this.look = look;
    this.fills = Uint32Array.from([...look.inks.flatMap(({ fill, faded }) => [fill, faded]), look.match.fill].map(pixel));
    this.ask();
  }

  /** Frames that are found; null: nothing is looked for. */
  find(frames: Uint8Array | null) {
    this.matches = frames;
    this.before = null;
    if (frames && this.drawn) {
      const { layout: { nodes }, graph: { frame } } = this.drawn;
      const before = new Uint32Array(nodes.length + 1);
      for (let at = 0; at < nodes.length; at++) before[at + 1] = before[at]! + frames[frame[nodes[at]!]!]!;
      this.before = before;
    }
    this.ask();
  }

  size(width: number, height: number) {
    const scale = Math.min(devicePixelRatio || 1, MOST_SCALE);
    if (width === this.width && height === this.height && scale === this.scale) return;
    Object.assign(this, { width, height, scale });
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(height * scale);
    this.g.font = FONT;
    this.letter = this.g.measureText('MMMMMMMMMM').width / 10;
    // At once: a canvas that has changed its size is empty.
    this.draw();
  }

  /** Rows of what is zoomed to, with those below it. */
  get rows(): number {
    return this.drawn && this.drawn.graph.count > 0 ? this.drawn.layout.deepest[this.zoomed]! + 1 : 0;
  }

  zoom(node: number, smooth = true) {
    if (!this.drawn) return;
    const { x, width, total } = this.drawn.layout;
    this.zoomed = node;
    this.move(x[node]!, x[node]! + (width[node]! || total || 1), smooth);
  }
  move(from: number, to: number, smooth = false) {
    if (smooth && this.width > 0) this.moving = { from: this.from, to: this.to, toFrom: from, toTo: to, since: performance.now() };
    else {
      this.moving = null;
      this.from = from;
      this.to = to;
    }
    this.ask();
  }
  get moves() { return this.moving !== null; }

  ask() {
    if (this.asked === 0 && !document.hidden) this.asked = requestAnimationFrame(this.frame);
  }
  stop() {
    cancelAnimationFrame(this.asked);
    this.asked = 0;
  }

  /** Top of a row, px from that of the canvas. */
  top(row: number): number {
    return this.turned ? Math.max(this.rows * ROW, this.height) - (row + 1) * ROW - this.scroll : row * ROW - this.scroll;
  }
  rowAt(y: number): number {
    return this.turned ? Math.floor((Math.max(this.rows * ROW, this.height) - y - this.scroll) / ROW) : Math.floor((y + this.scroll) / ROW);
  }
  at(x: number, y: number): number {
    if (!this.drawn || this.drawn.graph.count === 0) return -1;
    return nodeAt(this.drawn.layout, this.rowAt(y), this.valueAt(x));
  }
  valueAt(x: number): number {
    return this.from + (x / this.width) * (this.to - this.from);
  }
  /** Of a node: begin and width on the canvas, px. */
  box(node: number): readonly [number, number] {
    const { x, width } = this.drawn!.layout;
    const k = this.width / (this.to - this.from);
    return [(x[node]! - this.from) * k, width[node]! * k];
  }

  private advance(now: number) {
    const moving = this.moving;
    if (!moving) return;
    const part = Math.min(1, (now - moving.since) / ZOOM_MS);
    const eased = 1 - (1 - part) ** 3;
    this.from = moving.from + (moving.toFrom - moving.from) * eased;
    this.to = moving.to + (moving.toTo - moving.to) * eased;
    if (part >= 1) this.moving = null;
    else this.ask();
  }

  draw() {
    const { drawn, look, g, width, height, scale } = this;
    if (!drawn || !look || width === 0 || document.hidden) return;
    const begun = performance.now();
    this.advance(begun);
    g.setTransform(1, 0, 0, 1, 0, 0);
    g.fillStyle = look.card;
    g.fillRect(0, 0, this.canvas.width, this.canvas.height);
    g.setTransform(scale, 0, 0, scale, 0, 0);
    if (drawn.graph.count > 0) {
      const first = Math.max(0, Math.min(this.rowAt(0), this.rowAt(height - 1)));
      const last = Math.min(drawn.layout.rows.length - 2, Math.max(this.rowAt(0), this.rowAt(height - 1)));
      const labels: number[] = [];
      const wide = this.canvas.width;
      const count = last - first + 1;
      if (count > 0) {
        if (!this.image || this.image.width !== wide || this.image.height < count) {
          const rows = Math.max(count, Math.ceil(height / ROW) + 1);
          Object.assign(this.lines, { width: wide, height: rows });
          this.image = new ImageData(wide, rows);
          this.pixels = new Uint32Array(this.image.data.buffer);
        }
        this.pixels.fill(pixel(look.card), 0, wide * count);
        for (let row = first; row <= last; row++) this.row(drawn, look, row, (this.turned ? last - row : row - first) * wide, labels);
        const lines = this.lines.getContext('2d')!;
        lines.putImageData(this.image, 0, 0, 0, 0, wide, count);
        const top = this.top(this.turned ? last : first);
        g.imageSmoothingEnabled = false;
        g.drawImage(this.lines, 0, 0, wide, count, 0, top, width, count * ROW);
        g.fillStyle = look.card;
        for (let line = 1; line <= count; line++) g.fillRect(0, top + line * ROW - 1, width, 1);
      }
      this.name(drawn, look, labels);
      if (this.hover >= 0) this.frameOf(this.hover, look.line, 1);
      if (this.cursor >= 0) this.frameOf(this.cursor, look.focus, 2);
    }
    this.drew = performance.now() - begun;
  }

  /** One row into the picture, from `line` on; nodes with room for a name into `labels`: node, x, width. */
  private row({ graph, layout }: Drawn, look: Look, row: number, line: number, labels: number[]) {
    const { x, width, nodes, rows } = layout;
    const { frame } = graph;
    const { pixels, fills, scale, from } = this;
    const most = this.canvas.width;
    const k = most / (this.to - from);
    const end = rows[row + 1]!;
    const search = this.matches;
    const other = search ? 1 : 0;
    const match = fills[fills.length - 1]!;
    for (let place = firstIn(layout, row, from); place < end;) {
      const node = nodes[place]!;
      const left = (x[node]! - from) * k;
      if (left >= most) break;
      const wide = width[node]! * k;
      const ordinary = fills[2 * look.of[node]! + other]!;
      if (wide >= 1) {
        const begin = Math.min(most - 1, Math.max(0, Math.round(left)));
        const stop = Math.min(most, Math.round(left + wide));
        const colour = search && search[frame[node]!] ? match : ordinary;
        // A gap, where it does not take too much of the node.
        const until = line + Math.max(begin + 1, stop - begin > 3 ? stop - 1 : stop);
        for (let at = line + begin; at < until; at++) pixels[at] = colour;
        if (stop - begin > LEAST_NAMED * scale) labels.push(node, begin / scale, (stop - begin) / scale);
        place++;
        continue;
      }
      // All that end in this pixel are one: the next is found by ever longer leaps, then by halves.
      const at = Math.max(0, Math.floor(left));
      const limit = from + (at + 1) / k;
      let low = place + 1;
      let leap = 1;
      while (low + leap < end && x[nodes[low + leap]!]! + width[nodes[low + leap]!]! <= limit) {
        low += leap;
        leap *= 2;
      }
      let high = Math.min(end, low + leap);
      while (low < high) {
        const middle = (low + high) >>> 1;
        const each = nodes[middle]!;
        if (x[each]! + width[each]! > limit) high = middle;
        else low = middle + 1;
      }
      pixels[line + at] = this.before && this.before[low]! > this.before[place]! ? match : ordinary;
      place = low;
    }
  }

  private name({ graph: { frame, frames } }: Drawn, look: Look, labels: number[]) {
    const { g, letter } = this;
    g.font = FONT;
    g.textBaseline = 'middle';
    let colour = '';
    for (let at = 0; at < labels.length; at += 3) {
      const node = labels[at]!;
      const index = frame[node]!;
      const found = this.matches && this.matches[index];
      const ink = found ? look.match : look.inks[look.of[node]!]!;
      const wanted = this.matches && !found ? ink.fadedInk : ink.ink;
      if (wanted !== colour) g.fillStyle = colour = wanted;
      const room = labels[at + 2]! - 7;
      const before = look.before ? look.before(node) : '';
      const letters = Math.floor(room / letter) - before.length;
      let text = this.labels[index] ??= clean(frames.names[index]!);
      if (text.length > letters) text = this.shorts[index] ??= clean(short(frames.names[index]!));
      if (text.length > letters) {
        if (letters < 3) {
          if (!before) continue;
          text = '';
        } else text = `${text.slice(0, letters - 1)}…`;
      }
      // The room is a limit for scripts whose letters are wider.
      g.fillText(before + text, labels[at + 1]! + 3, this.top(this.depth(node)) + ROW / 2, room);
    }
  }
  private depth(node: number) { return this.drawn!.graph.depth[node]!; }

  private frameOf(node: number, colour: string, thick: number) {
    const [left, wide] = this.box(node);
    const begin = Math.max(left, 0);
    const stop = Math.min(left + wide, this.width);
    if (stop < begin) return;
    this.g.strokeStyle = colour;
    this.g.lineWidth = thick;
    this.g.strokeRect(begin + thick / 2, this.top(this.depth(node)) + thick / 2, Math.max(stop - begin - thick, 1), ROW - 1 - thick);
  }
}

// The bytes of a graph (`format=binary`; profile/src/graph/encode.rs) → its columns. The bytes may be anything.
import { FRAME_KINDS, type About, type Graph } from './graph';

class Damaged extends Error {
  constructor(what: string) {
    super(`The answer is damaged: ${what}.`);
  }
}

const MAGIC = 0x47463753;   // S7FG
const VERSION = 1;
/** Columns by their number. */
const COLUMNS = ['', 'depth', 'frame', 'value', 'own', 'samples', 'base', 'base_own'] as const;

class Reader {
  private at = 0;
  private readonly all: Uint8Array;
  constructor(all: Uint8Array) { this.all = all; }

  byte(): number {
    if (this.at >= this.all.length) throw new Damaged('it ends too early');
    return this.all[this.at++]!;
  }
  take(length: number): Uint8Array {
    if (length > this.all.length - this.at) throw new Damaged('it ends too early');
    this.at += length;
    return this.all.subarray(this.at - length, this.at);
  }
  /** Up to 2^53: what is more loses its last digits, which no eye sees. */
  number(): number {
    let value = 0;
    let factor = 1;
    for (let bytes = 0; bytes < 10; bytes++) {
      const byte = this.byte();
      value += (byte & 127) * factor;
      if (byte < 128) return value;
      factor *= 128;
    }
    throw new Damaged('a number is too long');
  }
  /** Of things that have a byte each at least. */
  count(): number {
    const count = this.number();
    if (count > this.all.length - this.at) throw new Damaged('more is announced than there is');
    return count;
  }
  numbers(out: Uint32Array | Float64Array) {
    const all = this.all;
    let at = this.at;
    for (let index = 0; index < out.length; index++) {
      let byte = all[at++]!;
      let value = byte & 127;
      for (let factor = 128; byte > 127; factor *= 128) {
        byte = all[at++]!;
        value += (byte & 127) * factor;
        if (factor > 2 ** 63) throw new Damaged('a number is too long');
      }
      out[index] = value;
    }
    // Beyond the end there is `undefined`, which is no more than 127.
    if (at > all.length) throw new Damaged('it ends too early');
    this.at = at;
  }
}

export function decode(bytes: ArrayBuffer): Graph {
  const reader = new Reader(new Uint8Array(bytes));
  const utf8 = new TextDecoder();
  const text = () => utf8.decode(reader.take(reader.count()));
  const head = reader.take(4);
  if ((head[0]! | head[1]! << 8 | head[2]! << 16 | head[3]! << 24) !== MAGIC || reader.byte() !== VERSION) throw new Damaged('no flame graph of this version');
  let about: About;
  try {
    about = JSON.parse(text());
  } catch (error) {
    throw error instanceof Damaged ? error : new Damaged('what it is of');
  }
  const strings = Array.from({ length: reader.count() }, text);
  const string = (index: number) => {
    const found = strings[index];
    if (found === undefined) throw new Damaged('a text is missing');
    return found;
  };
  const frames = reader.count();
  const indices = new Uint32Array(frames);
  reader.numbers(indices);
  const names = Array.from(indices, string);
  const kinds = reader.take(frames).slice();
  if (kinds.some((kind) => kind >= FRAME_KINDS.length)) throw new Damaged('a kind of frame is unknown');
  reader.numbers(indices);
  const modules = Array.from(indices, (index) => (index === 0 ? '' : string(index - 1)));
  const count = reader.count();
  const columns: Partial<Record<string, Uint32Array | Float64Array>> = {};
  for (let left = reader.count(); left > 0; left--) {
    const name = COLUMNS[reader.byte()];
    const part = new Reader(reader.take(reader.count()));
    if (!name) continue;
    const out = name === 'depth' || name === 'frame' ? new Uint32Array(count) : new Float64Array(count);
    part.numbers(out);
    columns[name] = out;
  }
  const whole = (name: string) => {
    const found = columns[name];
    if (!found) throw new Damaged(`the column ${name} is missing`);
    return found;
  };
  const graph: Graph = {
    about, count, frames: { names, kinds, modules },
    depth: whole('depth') as Uint32Array, frame: whole('frame') as Uint32Array,
    value: whole('value') as Float64Array, own: whole('own') as Float64Array, samples: whole('samples') as Float64Array,
    base: (columns.base as Float64Array | undefined) ?? null, base_own: (columns.base_own as Float64Array | undefined) ?? null,
  };
  let last = -1;
  for (let node = 0; node < count; node++) {
    const depth = graph.depth[node]!;
    if (graph.frame[node]! >= frames || depth > last + 1 || (depth === 0) !== (node === 0)) throw new Damaged('a node without its frame or its parent');
    last = depth;
  }
  return graph;
}

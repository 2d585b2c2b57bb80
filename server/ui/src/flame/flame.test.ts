import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode } from './decode';
import { functions, matched, matches } from './functions';
import { REASON, ROOT, findId, findPath, frameKey, idOf, type About, type Graph } from './graph';
import { children, layout, nodeAt, pathTo } from './layout';
import { packageOf, short } from './names';
import { change, paint, scaleOf, STEPS } from './paint';
import { baseParams, timeParams } from './question';
import { sandwich } from './sandwich';
import { changeText } from './values';

const about: About = {
  kind: 'on-cpu', unit: 'samples', from: '2026-01-01T00:01:00Z', to: '2026-01-01T00:02:00Z', hosts: ['vm'], rate_hz: 97, total: 10, root: 0, hidden: 0, cut: 0,
  covers: { samples: 10, waits: 0, waited_ns: 0, expected: 10, captured: 10, lost: {}, frames: 0, named_frames: 0 },
};
/** Of lines `root;a;b value [before]`, in the order of nodes. */
function graphOf(lines: readonly string[], changed: Partial<About> = {}, kinds: Record<string, number> = {}): Graph {
  const names = ['all'];
  const rows: { depth: number; frame: number; own: number; base: number }[] = [{ depth: 0, frame: 0, own: 0, base: 0 }];
  const at = new Map([['', 0]]);
  for (const line of lines) {
    const [stack = '', own = '0', base = '0'] = line.split(' ');
    let key = '';
    stack.split(';').forEach((name, level) => {
      key += `;${name}`;
      if (at.has(key)) return;
      if (!names.includes(name)) names.push(name);
      at.set(key, rows.push({ depth: level + 1, frame: names.indexOf(name), own: 0, base: 0 }) - 1);
    });
    rows[at.get(key)!]!.own = Number(own);
    rows[at.get(key)!]!.base = Number(base);
  }
  const column = (get: (row: (typeof rows)[0]) => number) => Float64Array.from(rows, get);
  const depth = Uint32Array.from(rows, (row) => row.depth);
  const sums = (own: Float64Array) => own.map((each, node) => {
    let sum = each;
    for (let next = node + 1; next < rows.length && depth[next]! > depth[node]!; next++) sum += own[next]!;
    return sum;
  });
  const own = column((row) => row.own);
  const base_own = lines.some((line) => line.split(' ').length > 2) ? column((row) => row.base) : null;
  return {
    about: { ...about, ...changed }, frames: { names, kinds: Uint8Array.from(names, (name, frame) => kinds[name] ?? (frame ? 0 : ROOT)), modules: names.map(() => '') }, count: rows.length, depth,
    frame: Uint32Array.from(rows, (row) => row.frame), own, value: sums(own), samples: sums(own), base: base_own && sums(base_own), base_own,
  };
}
const laid = (graph: Graph) => layout(graph, graph.value);
const nodesOf = (graph: Graph) => Array.from(graph.frame, (frame, node) => `${'.'.repeat(graph.depth[node]!)}${graph.frames.names[frame]} ${graph.value[node]}`);

function bytesOf(graph: Graph, more: readonly number[] = []): Uint8Array {
  const out: number[] = [0x53, 0x37, 0x46, 0x47, 1];
  const put = (value: number, to = out) => {
    for (; value > 127; value = Math.floor(value / 128)) to.push((value % 128) | 128);
    to.push(value);
  };
  const text = (value: string) => { const all = new TextEncoder().encode(value); put(all.length); out.push(...all); };
  text(JSON.stringify(graph.about));
  put(graph.frames.names.length);
  graph.frames.names.forEach(text);
  put(graph.frames.names.length);
  graph.frames.names.forEach((_, at) => put(at));
  out.push(...graph.frames.kinds);
  graph.frames.names.forEach((_, at) => put(at === 1 ? 1 : 0));
  put(graph.count);
  const columns = [graph.depth, graph.frame, graph.value, graph.own, graph.samples];
  put(columns.length + (more.length ? 1 : 0));
  columns.forEach((column, at) => {
    const own: number[] = [];
    column.forEach((value) => put(value, own));
    out.push(at + 1);
    put(own.length);
    out.push(...own);
  });
  out.push(...more);
  return Uint8Array.from(out);
}

test('bytes become the same graph, columns of other numbers are passed over', () => {
  const graph = graphOf(['a;größe 300000000000', 'b 2']);
  const found = decode(bytesOf(graph, [99, 3, 1, 2, 3]).buffer as ArrayBuffer);
  assert.deepEqual(nodesOf(found), ['all 300000000002', '.a 300000000000', '..größe 300000000000', '.b 2']);
  assert.deepEqual(found.frames.modules, ['', 'all', '', '']);
  assert.equal(found.base, null);
  assert.deepEqual(found.about, about);
});

test('damaged bytes are refused wherever they end', () => {
  const whole = bytesOf(graphOf(['a;b 3', 'c 200']));
  for (let length = 0; length < whole.length; length++) assert.throws(() => decode(whole.slice(0, length).buffer as ArrayBuffer), `${length} bytes`);
  const other = whole.slice();
  other[4] = 2;
  assert.throws(() => decode(other.buffer as ArrayBuffer), /version/);
  const lost = graphOf(['a 1']);
  lost.frame[1] = 7;
  assert.throws(() => decode(bytesOf(lost).buffer as ArrayBuffer), /parent/);
});

test('the id of a node is what the server computes', () => {
  const graph = graphOf(['größe;main 1'], {}, { größe: ROOT });
  const own: Graph = { ...graph, frames: { ...graph.frames, modules: ['', '', '/bin/a'] } };
  assert.equal(idOf(own, [0]), '811c9dc59e3779b9');
  assert.equal(idOf(own, [0, 1, 2]), 'cefff3b19aa22a3d');
  assert.equal(findId(own, 'cefff3b19aa22a3d'), 2);
  assert.equal(findId(own, '0000000000000000'), -1);
});

test('nodes stand beside each other on their caller, and are found by their place', () => {
  const graph = graphOf(['a;b 2', 'a;c 3', 'a 1', 'd 4']);
  const all = laid(graph);
  assert.deepEqual([...all.x], [0, 0, 0, 2, 6]);
  assert.deepEqual([...all.end], [5, 4, 3, 4, 5]);
  assert.deepEqual([...all.parent], [-1, 0, 1, 1, 0]);
  assert.deepEqual([...all.rows], [0, 1, 3, 5]);
  assert.deepEqual([...all.deepest], [2, 2, 2, 2, 1]);
  assert.equal(nodeAt(all, 2, 4.9), 3);
  assert.equal(nodeAt(all, 2, 5.5), -1);
  assert.equal(nodeAt(all, 1, 6), 4);
  assert.equal(nodeAt(all, 9, 0), -1);
  assert.deepEqual([...children(all, 1)], [2, 3]);
  assert.deepEqual(pathTo(all, 3), [0, 1, 3]);
});

test('a path is found by its names in another graph, as far as it goes', () => {
  const graph = graphOf(['a;b;c 1', 'a;d 1']);
  const key = (name: string) => frameKey(graph.frames, graph.frames.names.indexOf(name));
  const find = (...names: string[]) => findPath(graph, (node) => children(laid(graph), node), ['', ...names.map(key)]);
  assert.equal(find('a', 'd'), 4);
  assert.equal(find('a', 'b', 'd'), 2);
  assert.equal(find('d'), 0);
});

test('a function that calls itself counts once', () => {
  const graph = graphOf(['a;f;f;g 3', 'a;f 1', 'b;f 2']);
  const { own, total } = functions(graph);
  const of = (name: string) => graph.frames.names.indexOf(name);
  assert.equal(total[of('f')], 6);
  assert.equal(own[of('f')], 3);
  assert.equal(total[of('g')], 3);
  const found = matches(graph.frames, 'F', false);
  assert.deepEqual(matched(graph, laid(graph).end, found.frames), { value: 6, nodes: 3 });
  assert.match(matches(graph.frames, '(', true).bad, /./);
  assert.equal(matches(graph.frames, '^[fg]$', true).count, 2);
});

test('a wait is time of the function that waits', () => {
  const graph = graphOf(['comm;read;[ipc] 5', 'comm;[other] 2'], { unit: 'ns' }, { comm: ROOT, '[ipc]': REASON, '[other]': REASON });
  const { own } = functions(graph);
  assert.equal(own[graph.frames.names.indexOf('read')], 5);
  assert.equal(own[graph.frames.names.indexOf('[other]')], 2);
});

test('both halves of a sandwich have the weight of the function', () => {
  const graph = graphOf(['a;f;f;g 3', 'a;f 1', 'b;f;h 2', 'b;x 9']);
  const { callers, callees } = sandwich(graph, laid(graph), graph.frames.names.indexOf('f'));
  assert.deepEqual(nodesOf(callers), ['f 6', '.a 4', '.b 2']);
  assert.deepEqual(nodesOf(callees), ['f 6', '.f 3', '..g 3', '.h 2']);
  assert.equal(callees.own[0], 1);
});

test('a difference is of the same length of time, and no more than chance makes is none', () => {
  const graph = graphOf(['a 400 100', 'b 100 205', 'c 0 1000', 'd 900 0'], { base_from: '2026-01-01T00:00:00Z', base_to: '2026-01-01T00:02:00Z' });
  assert.equal(scaleOf(graph), 0.5);
  assert.deepEqual([...paint(graph, laid(graph), 'difference').of].slice(1), [2 * STEPS, STEPS, 0, 2 * STEPS]);
  assert.equal(change(100, 100, 100, 1, 1), 0);
  assert.ok(change(1_000, 1_000, 100, 1, 1) > 0.8);
  assert.equal(change(0, 0, 1_000, 1, 1), -1);
  assert.equal(changeText(120, 100), '+20 %');
  assert.equal(changeText(50, 100), '−50 %');
  assert.equal(changeText(5, 0), 'new');
  assert.equal(changeText(0, 5), 'gone');
});

test('colours by reason reach what waits for it', () => {
  const graph = graphOf(['p;f;[futex_lock] 5', 'p;g;[disk_read] 3'], { kind: 'off-cpu', unit: 'ns' }, { p: ROOT, '[futex_lock]': REASON, '[disk_read]': REASON });
  const { of, colours } = paint(graph, laid(graph), 'reason');
  assert.deepEqual(Array.from(of, (each) => colours[each]), ['state-lock', 'state-lock', 'state-lock', 'state-lock', 'state-disk', 'state-disk']);
});

test('names become short where there is little room', () => {
  assert.equal(short('<core::iter::adapters::map::Map<I,F> as core::iter::traits::iterator::Iterator>::fold'), 'Map::fold');
  assert.equal(short('v8::internal::(anonymous namespace)::Call(int, char const*)'), 'internal::Call');
  assert.equal(short('[postgres+0x34b06b]'), '[postgres+0x34b06b]');
  assert.equal(packageOf('<tokio::runtime::Runtime>::block_on', '/bin/a', false), 'tokio');
  assert.equal(packageOf('main', '/usr/lib/libc.so.6', false), 'libc.so.6');
  assert.equal(packageOf('tcp_sendmsg', '', true), 'kernel');
});

test('what is asked of the server', () => {
  assert.deepEqual(timeParams(null), { from: '-120s' });
  assert.deepEqual(baseParams(null, 'before'), { base_from: '-240s', base_to: '-120s' });
  const time = { from: Date.parse('2026-01-01T00:01:00Z'), to: Date.parse('2026-01-01T00:02:00Z') };
  assert.deepEqual(baseParams(time, 'before'), { base_from: '2026-01-01T00:00:00.000Z', base_to: '2026-01-01T00:01:00.000Z' });
  assert.deepEqual(baseParams(time, 'nonsense'), {});
});

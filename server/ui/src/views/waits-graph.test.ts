import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Edge } from '../api/types';
import { arrows, arrowsOf, chainWords, filtered, heaviest, keyOf, processId, rootOf } from './waits-graph';
import { closing, layout } from './waits-layout';

const edge = (comm: string, reason: string, waker: string | null, ns = 1e9, place = '[host]'): Edge =>
  ({ comm, pid: 0, place, reason, idle: false, waker, waits: 1, waited_ns: ns });
const POSTGRES = [edge('pgbench', 'ipc', 'postgres', 3e9), edge('postgres', 'fsync', null, 2e9), edge('nginx', 'net_send', null, 1e9), edge('pgbench', 'ipc', 'postgres', 1e9, 'box')];

test('processes of one name are one, and what no thread ended has a root', () => {
  const all = arrows(POSTGRES);
  assert.deepEqual(all.map(({ from, to, ns }) => [from, to, ns]), [['p pgbench', 'p postgres', 4e9], ['p postgres', 'r disk', 2e9], ['p nginx', 'r network', 1e9]]);
  assert.deepEqual(all[0]!.places, ['[host]', 'box']);
  assert.deepEqual(['disk_read', 'fault_file', 'net_recv', 'sleep', 'interruptible'].map(rootOf), ['disk', 'disk', 'network', 'timer', 'interrupt']);
});

test('a filter keeps the whole way through what it finds', () => {
  const all = arrows([...POSTGRES, edge('psql', 'ipc', 'pgbench')]);
  assert.deepEqual(filtered(all, 'PGB').map((each) => each.from), ['p pgbench', 'p postgres', 'p psql']);
  assert.equal(filtered(all, '').length, 4);
  assert.equal(filtered(all, 'none').length, 0);
});

test('what is left out is counted with its time', () => {
  const { kept, left, leftNs } = heaviest(arrows(POSTGRES), 1);
  assert.deepEqual([kept.length, left, leftNs], [1, 2, 3e9]);
});

test('a chain is words and arrows', () => {
  const chain = { links: [{ comm: 'pgbench', reason: 'ipc', waker: 'postgres', waited_ns: 1 }], circular: false, root: 'postgres', root_reason: 'fsync' };
  assert.equal(chainWords(chain), 'pgbench ← postgres ← fsync (disk)');
  const own = arrows(POSTGRES).map((each) => each.key);
  assert.ok(arrowsOf(chain).every((key) => own.includes(key)));
});

test('each stands left of what it waits for, and no box lies over another', () => {
  const many = Array.from({ length: 40 }, (_, at) => edge(`p${at}`, 'ipc', `p${(at * 7 + 3) % 40}`, at * 1e6));
  for (const edges of [POSTGRES, many, [...POSTGRES, edge('psql', 'disk_read', null), edge('pgbench', 'fsync', null)]]) {
    const all = arrows(edges);
    const { boxes, wires, width, height } = layout(all);
    const at = new Map(boxes.map((box) => [box.id, box]));
    for (const { arrow, back } of wires) assert.equal(at.get(arrow.from)!.x < at.get(arrow.to)!.x, !back, arrow.key);
    for (const a of boxes) {
      assert.ok(a.x >= 0 && a.y >= -1e-9 && a.x < width && a.y + a.height <= height + 1e-9);
      for (const b of boxes) assert.ok(a === b || a.layer !== b.layer || a.y + a.height <= b.y + 1e-6 || b.y + b.height <= a.y + 1e-6, `${a.id} ${b.id}`);
    }
  }
});

test('who wait for each other, or for themselves, are drawn all the same', () => {
  const all = arrows([edge('a', 'ipc', 'b', 2e9), edge('b', 'ipc', 'a'), edge('a', 'futex_lock', 'a')]);
  assert.deepEqual([...closing(all)].map((each) => each.key).sort(), [keyOf(processId('a'), 'futex_lock', processId('a')), keyOf(processId('b'), 'ipc', processId('a'))]);
  const { boxes, wires } = layout(all);
  assert.equal(boxes.find((box) => box.id === 'p a')!.rows.length, 2);
  assert.deepEqual(wires.map((each) => each.back), [false, true]);
  assert.equal(layout([]).boxes.length, 0);
});

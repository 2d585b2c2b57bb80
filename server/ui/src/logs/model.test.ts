import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MOST, NONE, beforeOf, idOf, lineAt, listOf, moved, newestOf, oldestOf, withNewer, withOlder, type List } from './model';
import type { Line } from './types';

const line = (at: number, position = at): Line => ({ at: '', at_ns: String(1_796_000_000_000_000_000n + BigInt(at)), severity: 'info', message: `${at}`, labels: { host: 'vm' }, position: String(position) });
/** From so many down to 1. */
const falling = (from: number, to = 1) => Array.from({ length: from - to + 1 }, (_, at) => line(from - at));
const messages = (list: List) => list.blocks.flatMap((block) => block.lines.map(({ message }) => message));

test('older lines follow, and those of the same moment are there once', () => {
  const list = withOlder(listOf(falling(100, 51)), falling(55));
  assert.deepEqual(messages(list), falling(100).map(({ message }) => message));
  assert.equal(list.count, 100);
  assert.equal(beforeOf(list), '1796000000000000002');
  assert.equal(withOlder(list, falling(20)), list);
});

test('newer lines stand before, and blocks that were there keep their place', () => {
  const first = listOf(falling(100));
  const next = withNewer(first, falling(160, 95));
  assert.deepEqual(messages(next), falling(160).map(({ message }) => message));
  assert.ok(first.blocks.every((block) => next.blocks.some((each) => each.id === block.id)));
  assert.equal(withNewer(next, falling(160, 120)), next);
});

test('a late line stands where it belongs', () => {
  const list = listOf([line(90), line(80), line(70)]);
  assert.deepEqual(messages(withNewer(list, [line(95), line(75), line(10)])), ['95', '90', '80', '75', '70', '10']);
});

test('two lines of one moment and place in different sources are two', () => {
  const other: Line = { ...line(5), labels: { host: 'vm', file: '/a' } };
  assert.equal(listOf([line(5), other, line(5)]).count, 2);
  assert.notEqual(idOf(other), idOf(line(5)));
});

test('a list that grows at its head loses its end', () => {
  let list = listOf(falling(MOST));
  for (let at = MOST; at < MOST + 300; at += 30) list = withNewer(list, falling(at + 30, at + 1));
  assert.ok(list.count <= MOST + 40 && list.count >= MOST, `${list.count}`);
  assert.equal(newestOf(list)!.message, String(MOST + 300));
  assert.equal(list.known.size, list.count);
  assert.ok(!messages(list).includes('1'));
});

test('of nothing, new lines are the list', () => {
  assert.deepEqual(messages(withNewer(NONE, falling(3))), ['3', '2', '1']);
  assert.equal(oldestOf(NONE), undefined);
  assert.equal(beforeOf(NONE), undefined);
  assert.equal(moved(NONE, '', 1), undefined);
});

test('the cursor moves by a line, and stays at the ends', () => {
  const list = listOf(falling(90));
  assert.equal(moved(list, '', 1)!.message, '90');
  assert.equal(moved(list, idOf(line(51)), 1)!.message, '50');
  assert.equal(moved(list, idOf(line(1)), 1)!.message, '1');
  assert.equal(moved(list, idOf(line(90)), -1)!.message, '90');
});

test('a moment that JSON rounded finds its line', () => {
  assert.equal(lineAt(falling(3), '1796000000000000002')!.message, '2');
  assert.equal(lineAt([line(900), line(100)], String(Number(1_796_000_000_000_000_100n)))!.message, '100');
  assert.equal(lineAt([line(9_000)], '1796000000000000000'), undefined);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newest } from './api/live';
import { chosen, earlier, host, onGrid, selection, view } from './time';

test('a chosen time ends with the newest window of that moment', () => {
  host.value = 'a';
  newest.value = { a: 50_000, b: 90_000 };
  selection.value = { from: 40_000, to: 60_000 };
  assert.deepEqual(chosen.value, { from: 40_000, to: 50_000 });
  // The question stays the same as windows come.
  newest.value = { a: 51_000, b: 90_000 };
  assert.deepEqual(chosen.value, { from: 40_000, to: 50_000 });
  host.value = 'b';
  assert.deepEqual(chosen.value, { from: 40_000, to: 60_000 });
  selection.value = null;
  view.value = { live: false, from: 80_000, to: 200_000 };
  assert.deepEqual(chosen.value, { from: 80_000, to: 90_000 });
});

test('of what is all in the future the server says that it knows nothing', () => {
  host.value = 'a';
  newest.value = { a: 50_000 };
  selection.value = { from: 60_000, to: 70_000 };
  assert.deepEqual(chosen.value, { from: 60_000, to: 70_000 });
});

test('the newest seconds go on', () => {
  host.value = 'a';
  selection.value = null;
  view.value = { live: true, span: 300_000 };
  newest.value = { a: 50_000 };
  assert.deepEqual(chosen.value, { from: 40_000, to: 50_000 });
  newest.value = { a: 51_000 };
  assert.deepEqual(chosen.value, { from: 41_000, to: 51_000 });
});

test('an earlier time is as long, and parts of a grid are whole', () => {
  assert.deepEqual(earlier({ from: 10_000, to: 30_000 }), { from: -10_000, to: 10_000 });
  assert.deepEqual(earlier({ from: 10_000, to: 30_000 }, 5_000), { from: 5_000, to: 25_000 });
  assert.deepEqual(onGrid({ from: 12_345, to: 20_000 }), { from: 10_000, to: 20_000 });
});

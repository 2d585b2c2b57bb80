import assert from 'node:assert/strict';
import { test } from 'node:test';
import { joined, read, type Part } from './series-parts';

const part = (from_s: number, windows: number[], values: (number | null)[]): Part =>
  ({ from: new Date(from_s * 1_000).toISOString(), to: '', step_s: 1, windows, series: [{ labels: { __name__: 'a' }, values }] });

test('two windows in one part and none beside it are one in each', () => {
  const { windows, series } = read(part(100, [1, 0, 2, 1, 0, 0], [5, null, 8, 4, null, null]));
  assert.deepEqual(windows, [1, 2, 2, 1, 0, 0]);
  assert.deepEqual(series[0]!.values, [5, 8, 8, 4, null, null]);
});

test('what is new takes the place of what was, and what is old goes', () => {
  const old = read(part(100, [1, 1, 1, 1], [1, 2, 3, 4]));
  const next = read(part(102, [1, 1, 1], [null, 40, 50]));
  const { times, series } = joined(old, next, 101_500);
  assert.deepEqual(times, [102_000, 103_000, 104_000, 105_000]);
  assert.deepEqual(series[0]!.values, [2, 3, 40, 50]);
});

test('a part that shares windows with the one before keeps them', () => {
  const old = read(part(100, [1, 2, 0, 1], [1, 4, null, 3]));
  const { series } = joined(old, read(part(102, [0, 1, 1], [null, 3, 5])), 0);
  assert.deepEqual(series[0]!.values, [1, 4, 4, 3, 5]);
});
test('where nothing is known of a whole part, its neighbours do not stand in for it', () => {
  const gap: Part = { ...part(100, [2, 0, 2], [1, null, 3]), step_s: 2 };
  assert.deepEqual(read(gap).windows, [2, 0, 2]);
});

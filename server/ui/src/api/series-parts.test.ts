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
  const next = read(part(103, [1, 1], [40, 50]));
  const { times, series } = joined(old, next, 101_500);
  assert.deepEqual(times, [102_000, 103_000, 104_000, 105_000]);
  assert.deepEqual(series[0]!.values, [2, 3, 40, 50]);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drawn, instantRows, stepFor } from './explore-data';

test('values stand on the grid of the graph; the largest series come first', () => {
  const answer = { data: { resultType: 'matrix', result: [
    { metric: { comm: 'a' }, values: [[100, '1'], [110, 'NaN'], [120, '3']] as const },
    { metric: { comm: 'b' }, values: [[110, '9']] as const },
  ] } };
  const { times, lines, total } = drawn(answer, 100, 125, 10);
  assert.deepEqual(times, [100_000, 110_000, 120_000]);
  assert.deepEqual(lines.map((line) => [line.label, line.values, line.last]), [['b', [null, 9, null], 9], ['a', [1, null, 3], 3]]);
  assert.equal(total, 2);
});

test('at most fifty series are drawn, and all are counted', () => {
  const result = Array.from({ length: 70 }, (_, at) => ({ metric: { pid: String(at) }, values: [[0, String(at)]] as const }));
  const { lines, total } = drawn({ data: { resultType: 'matrix', result } }, 0, 0, 1);
  assert.deepEqual([lines.length, total, lines[0]!.label], [50, 70, '69']);
});

test('a single number is a row too', () => {
  assert.deepEqual(instantRows({ data: { resultType: 'scalar', result: [1, '2.5'] } }), [{ key: '', labels: {}, value: 2.5, text: '2.5' }]);
  assert.equal(instantRows({ data: { resultType: 'vector', result: [{ metric: { a: 'b' }, value: [1, '+Inf'] }] } })[0]!.value, null);
});

test('a step gives no more points than the server allows', () => {
  assert.equal(stepFor(300, 0, 1), 1);
  assert.equal(stepFor(300, 5, 1), 5);
  assert.equal(stepFor(86_400, 1, 300), 10);
});

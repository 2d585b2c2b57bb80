import assert from 'node:assert/strict';
import { test } from 'node:test';
import { analyse, complete } from './promql';
import { contextAt, inserted } from './promql-complete';

const known = { metrics: ['s7mpa_host_load1', 's7mpa_cpu_user_ns_total'], help: {}, labels: ['comm', 'cpu', 'host'], values: ['nginx', 'a"b'] };
const at = (marked: string) => ({ text: marked.replace('|', ''), at: marked.indexOf('|') });
const wants = (marked: string) => { const { text, at: place } = at(marked); const found = contextAt(text, place); return found && [found.wanted, found.typed]; };
const offers = (marked: string) => { const { text, at: place } = at(marked); return complete(text, place, known)?.options.map((each) => each.text) ?? null; };

test('what is wanted depends on what stands before the cursor', () => {
  assert.deepEqual(wants('ra|'), [{ kind: 'names' }, 'ra']);
  assert.deepEqual(wants('sum(s7mpa_x{co|})'), [{ kind: 'labels', metric: 's7mpa_x' }, 'co']);
  assert.deepEqual(wants('s7mpa_x{comm="a",host=~"ng|"}'), [{ kind: 'values', metric: 's7mpa_x', label: 'host' }, 'ng']);
  assert.deepEqual(wants('rate(x{a="}{["}[5|'), [{ kind: 'durations' }, '5']);
  assert.deepEqual(wants('sum by (|) (rate(s7mpa_x{a="b_c"}[1m]))'), [{ kind: 'labels', metric: 's7mpa_x' }, '']);
  assert.deepEqual(wants('sum(s7mpa_y) by (co|'), [{ kind: 'labels', metric: 's7mpa_y' }, 'co']);
  for (const none of ['# sum(|', 'label_replace(x, "a|", "", "", "")', 'x)|', '5|']) assert.equal(wants(none), null, none);
});

test('what begins with the typed text comes first', () => {
  assert.deepEqual(offers('load|'), ['s7mpa_host_load1']);
  assert.equal(offers('rat|')![0], 'rate');
  assert.ok(offers('rat|')!.includes('irate'));
  assert.deepEqual(offers('x{c|}'), ['cpu', 'comm']);
  assert.deepEqual(offers('x{comm="|"}'), ['nginx', 'a"b']);
  assert.ok(offers('x[|')!.includes('5m'));
  assert.equal(offers('x{host|}'), null);
});

test('a completion is put in place of what was typed', () => {
  assert.deepEqual(inserted('ra', { from: 0, to: 2 }, { text: 'rate', kind: 'function', help: '' }), { text: 'rate()', at: 5 });
  assert.deepEqual(inserted('su(x)', { from: 0, to: 2 }, { text: 'sum', kind: 'function', help: '' }), { text: 'sum(x)', at: 3 });
  assert.deepEqual(inserted('x{comm=""}', { from: 8, to: 8 }, { text: 'a"b', kind: 'value', help: '' }), { text: 'x{comm="a\\"b"}', at: 12 });
});

test('colours and errors have places', () => {
  const text = 'topk(5, sum by (comm) (rate(m_total{host="vm"}[5m]))) # top';
  const { marks, error } = analyse(text);
  assert.equal(error, null);
  const found = marks.map(({ from, to, kind }) => `${kind}:${text.slice(from, to)}`);
  for (const each of ['function:topk', 'function:sum', 'keyword:by', 'label:comm', 'function:rate', 'metric:m_total', 'label:host', 'operator:=', 'string:"vm"', 'number:5m', 'comment:# top']) assert.ok(found.includes(each), each);
  assert.equal(analyse('rate(x[5m').error, 9);
  assert.equal(analyse('sum(x) )').error, 7);
  assert.equal(analyse('').error, null);
});

test('functions that only the server knows are no errors', () => {
  for (const each of ['median by (a) (x)', 'mean(x)', 'mean_over_time(x[5m]) + median_over_time(x[1m])', 'lost_share("make")']) assert.equal(analyse(each).error, null, each);
  assert.equal(analyse('lost_share(x)').marks.find((each) => each.from === 0)?.kind, 'function');
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Change, Process } from './api/types';
import { baseInterval, graphOf, grouped, ordered, stateWords, uses, words } from './changes';

const change = (comm: string, state: string, before: number, after: number, cgroup = '/a'): Change =>
  ({ comm, cgroup, pids: [1], state, before_ns_per_s: before, after_ns_per_s: after, more_ns_per_s: after - before });
const process = (comm: string, rss: number, read = 0): Process =>
  ({ host: 'h', pid: 1, start_ms: 1, comm, labels: { cgroup: '/a' }, values: { rss_bytes: rss, read_bytes: read }, states: {} });

test('who computes more stands before those that wait for it, idle time does not count', () => {
  const all = grouped([change('victim', 'runq_woken', 0, 6e8), change('hog', 'oncpu', 1e8, 1.1e9), change('shell', 'poll', 0, 9e9), change('make', 'child', 0, 1e9)]);
  assert.deepEqual(ordered(all, 'all').map((each) => each.comm), ['hog', 'victim', 'make']);
  assert.deepEqual(ordered(all, 'lost').map((each) => each.comm), ['victim']);
});

test('the same name in another cgroup is another one', () => {
  assert.equal(grouped([change('a', 'oncpu', 0, 1e9), change('a', 'oncpu', 0, 1e9, '/b'), change('a', 'fsync', 0, 1e9)]).length, 2);
});

test('memory and storage count, too, and are unknown until both are known', () => {
  const list = [change('leak', 'oncpu', 1e7, 2e7), change('hog', 'oncpu', 0, 5e8)];
  assert.equal(grouped(list)[0]!.memory, undefined);
  const all = grouped(list, uses([process('leak', 0)], 10), uses([process('leak', 2 ** 31)], 10));
  assert.equal(ordered(all, 'all')[0]!.comm, 'leak');
  assert.deepEqual(words(ordered(all, 'memory')[0]!), ['computes 10 ms/s more', 'memory +2 GiB']);
  assert.equal(all.find((each) => each.comm === 'hog')!.memory, undefined);
});

test('a change is said in words', () => {
  assert.equal(stateWords({ key: 'fsync', before: 0, after: 1.2e9, more: 1.2e9 }), 'waits 1.2 s/s more for fsync');
  assert.equal(stateWords({ key: 'oncpu', before: 1e9, after: 5e8, more: -5e8 }), 'computes 500 ms/s less');
  const [mixed] = grouped([change('a', 'oncpu', 1e9, 0), change('a', 'fsync', 0, 5e9)]);
  assert.deepEqual(words(mixed!), ['waits 5 s/s more for fsync', 'computes 1 s/s less']);
});

test('what came and what went is marked', () => {
  const all = grouped([change('new', 'oncpu', 0, 1e9), change('gone', 'oncpu', 1e9, 0)]);
  assert.deepEqual(all.map((each) => each.life), ['new', 'gone']);
  assert.deepEqual(ordered(all, 'less').map((each) => each.comm), ['gone']);
});

test('the flame graph is that of the largest change', () => {
  assert.equal(graphOf(grouped([change('a', 'fsync', 0, 1e9), change('a', 'oncpu', 0, 1e8)])[0]!), 'off-cpu');
  assert.equal(graphOf(grouped([change('a', 'runq_woken', 0, 1e9), change('a', 'oncpu', 0, 1e8)])[0]!), 'on-cpu');
});

test('the interval to compare with has the same length', () => {
  assert.deepEqual(baseInterval({ from: 10_000, to: 30_000 }, 'before'), { from: -10_000, to: 10_000 });
  assert.deepEqual(baseInterval({ from: 3_610_000, to: 3_620_000 }, 'hour'), { from: 10_000, to: 20_000 });
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { found, seen, stateLines } from './process-facts';
import { SCALES, colourAt, heatRows, legend } from './process-heat';
import type { Now } from '../api/types';
import { summary } from './process-summary';

test('a sentence says where the time goes, what is much first', () => {
  assert.equal(summary({ values: { threads: 1 }, states: { oncpu_ns: 1e8, fsync_ns: 7e8, poll_ns: 2e8, lost_ns: 7e8 } }, 1),
    'Much of its time is lost. Of the time of its thread 10 % is on a CPU, 70 % held up (storage), and 20 % idle (polls).');
  assert.equal(summary({ values: { threads: 4 }, states: { oncpu_ns: 0.1e9, futex_wait_ns: 3.9e9, lost_ns: 0 } }, 1),
    'It is idle. Of the time of its 4 threads 2.5 % is on a CPU, and 98 % idle (condition (futex)).');
  assert.match(summary({ values: {}, states: {} }, 1), /^Nothing is known/);
});

test('colours of the heat map are decades, and what did not happen has none', () => {
  assert.equal(colourAt(SCALES.p99, null), -1);
  assert.equal(colourAt(SCALES.p99, 0), -1);
  assert.equal(colourAt(SCALES.p99, 999), 0);
  assert.equal(colourAt(SCALES.p99, 1_000), 1);
  assert.equal(colourAt(SCALES.p99, 1e6), 4);
  assert.equal(colourAt(SCALES.p99, 9e12), 7);
  assert.deepEqual(legend(SCALES.p99), ['< 1 µs', '≥ 1 µs', '≥ 10 µs', '≥ 100 µs', '≥ 1 ms', '≥ 10 ms', '≥ 100 ms', '≥ 1 s']);
  assert.equal(legend(SCALES.time)[7], '≥ 10000 %');
});

test('rows of the heat map are rates, the call with the most time first', () => {
  const of = (name: string, syscall: string, values: (number | null)[]) => ({ labels: { __name__: `s7mpa_syscall_${name}`, syscall }, values });
  const rows = heatRows({ step_s: 10, times: [1, 2], windows: [10, 5], series: [
    of('total_ns', 'read', [1e9, null]), of('p99_ns', 'read', [5e3, null]), of('count', 'read', [20, 5]), of('total_ns', 'fsync', [2e9, 5e9]), of('p99_ns', 'fsync', [1e6, 2e6]),
    of('p99_ns', 'fsync', [3e6, null]),
  ] });
  assert.deepEqual(rows.map(({ syscall }) => syscall), ['fsync', 'read']);
  assert.deepEqual(rows[0]!.share, [0.2, 1]);
  assert.deepEqual(rows[0]!.p99, [3e6, 2e6]);
  assert.deepEqual(rows[1]!.share, [0.1, null]);
  assert.deepEqual(rows[1]!.calls, [2, 1]);
});

test('thread states are lines of their groups, and a window that came a little late is no gap', () => {
  const states = { oncpu: [1, 0, 4, 3, 0], disk_read: [0, 0, 2, 1, 0], poll: [9, 0, 9, 9, 0], lost: [0, 0, 2, 1, 0] };
  const lines = stateLines({ states, windows: [1, 0, 2, 1, 0], step_s: 1 }, false);
  assert.deepEqual(lines.map(({ label, values }) => [label, values]), [['on a CPU', [1, 2, 2, 3, null]], ['storage', [0, 1, 1, 1, null]]]);
  assert.equal(stateLines({ states, windows: [1, 0, 2, 1, 0], step_s: 1 }, true).length, 3);
});

test('when a process was seen is known to the part', () => {
  const from = '2026-11-30T12:00:00.000Z';
  assert.deepEqual(seen({ from, step_s: 60, windows: [0, 3, 0, 60, 0] }), { from: Date.parse(from) + 60_000, to: Date.parse(from) + 240_000 });
  assert.equal(seen({ from, step_s: 60, windows: [0, 0] }), null);
});

test('what is found of a process is of subject and culprit, and said once', () => {
  const finding = (name: string, pid: number, culprit?: number) => ({ class: name, subject: { kind: 'process', pid }, ...(culprit ? { culprit: { kind: 'process', pid: culprit } } : {}) });
  const now = { alerts: [{ finding: finding('futex', 7) }, { finding: finding('futex', 8) }], report: { findings: [finding('futex', 7), finding('fsync', 7), finding('runq-neighbour', 9, 7)] } };
  const { alerts, findings } = found(now as unknown as Now, 7);
  assert.equal(alerts.length, 1);
  assert.deepEqual(findings.map((each) => each.class), ['fsync', 'runq-neighbour']);
});

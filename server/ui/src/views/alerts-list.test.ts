import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Alert } from '../api/types';
import { fits, lanes, lasted, merged, momentOf, quietPart, unknownParts } from './alerts-list';

const alert = (id: string, opened_s: number, at_s: number, state: Alert['state'] = 'resolved', kind = 'futex', more: Partial<Alert> = {}): Alert => ({
  id, host: 'vm', state, opened_unix_ns: opened_s * 1e9, at_unix_ns: at_s * 1e9,
  finding: { rule: 'r', class: kind, subject: { kind: 'process', comm: 'postgres', pid: 7 }, lost_ns_per_s: 1, share_pct: 1, confidence: 1, evidence: [], stacks: [], alternatives: [], caused: [], advice: '' },
  ...more,
});

test('open alerts come first, each once, with its latest state', () => {
  const all = merged([alert('a', 10, 20, 'open'), alert('b', 30, 40)], [alert('a', 10, 50), alert('c', 5, 60, 'update')]);
  assert.deepEqual(all.map((each) => [each.id, each.state]), [['c', 'update'], ['b', 'resolved'], ['a', 'resolved']]);
  assert.deepEqual(lasted(all[0]!, 99_000), { from: 5_000, to: 99_000 });
});

test('a filter is of state, class, and text', () => {
  const seen = alert('a', 1, 2, 'open', 'futex', { acknowledged: { by: 'eve', at: 3, note: 'Known bug' } });
  assert.ok(fits(seen, { state: 'open', class: 'futex', q: 'POSTGRES' }));
  assert.ok(fits(seen, { q: 'known' }));
  assert.ok(!fits(seen, { state: 'unseen' }) && !fits(seen, { state: 'resolved' }) && !fits(seen, { class: 'oom' }) && !fits(seen, { q: 'nginx' }));
});

test('bars that overlap have lanes of their own', () => {
  const [futex, oom] = lanes([alert('a', 0, 50), alert('b', 40, 90), alert('c', 60, 70), alert('d', 99, 99.5, 'resolved', 'oom'), alert('e', 200, 300)], { from: 0, to: 100_000 }, 100_000);
  assert.deepEqual(futex!.bars.map((bar) => [bar.alert.id, bar.lane]), [['a', 0], ['b', 1], ['c', 0]]);
  assert.equal(futex!.lanes, 2);
  assert.ok(oom!.bars[0]!.to - oom!.bars[0]!.from >= 0.005 && oom!.bars[0]!.to <= 1);
});

test('a normal interval touches no alert, and is as late as can be', () => {
  const hour = { from: 0, to: 3_600 };
  assert.deepEqual(quietPart([], hour, 300), { from: 3_300, to: 3_600 });
  assert.deepEqual(quietPart([{ from: 3_400, to: 3_500 }], hour, 300), { from: 3_100, to: 3_400 });
  assert.deepEqual(quietPart([{ from: 3_400, to: 9_000 }, { from: 1_000, to: 3_200 }], hour, 300), { from: 700, to: 1_000 });
  assert.deepEqual(quietPart([{ from: 100, to: 3_300 }, { from: 3_000, to: 3_100 }], hour, 300), { from: 3_300, to: 3_600 });
  assert.equal(quietPart([{ from: 100, to: 3_500 }], hour, 300), null);
});

test('moments are read in any unit', () => {
  for (const each of [1_796_048_788, 1_796_048_788_000, 1_796_048_788e9, '1796048788', '2026-11-30T14:26:28Z']) assert.equal(momentOf(each), 1_796_048_788_000);
});

test('where nothing is kept is no normal time', () => {
  const parts = unknownParts({ from: '2026-11-30T14:00:00Z', to: '2026-11-30T14:02:30Z', step_s: 60, samples: [0, 5, 0], waits: [0, 0, 0] });
  const start = Date.parse('2026-11-30T14:00:00Z');
  assert.deepEqual(parts, [{ from: start, to: start + 60_000 }, { from: start + 120_000, to: start + 150_000 }]);
});

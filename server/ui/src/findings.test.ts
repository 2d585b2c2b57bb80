import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Finding } from './api/types';
import { certainty, culpritOf, evidenceValue, holds, partyWords, partyPlace, processOf, sentence, threshold } from './findings';

const finding = (changed: Partial<Finding> = {}): Finding => ({
  rule: 'runq', class: 'runq-neighbour', subject: { kind: 'process', pid: 4952, comm: 'postgres' }, lost_ns_per_s: 111e6, share_pct: 65, confidence: 0.87,
  evidence: [], stacks: [], alternatives: [], caused: [], advice: '', ...changed,
});

test('a finding says who waits for what because of whom', () => {
  assert.equal(sentence(finding({ culprit: { kind: 'process', pid: 5495, comm: 'rustc' } })),
    'postgres (4952) waits for a CPU that others use, because of rustc (5495).');
  assert.equal(sentence(finding({ class: 'futex', culprit: { kind: 'lock', pid: 7, comm: 'worker' } })),
    'postgres (4952) waits for a lock, because of a lock that worker (7) holds.');
  assert.equal(sentence(finding({ class: 'host-cpu', subject: { kind: 'host', comm: 'vm' } })), 'vm has too few CPUs.');
});

test('who is to blame for itself is not named twice', () => {
  assert.equal(culpritOf(finding({ culprit: { kind: 'process', pid: 4952, comm: 'postgres' } })), null);
  assert.equal(culpritOf(finding()), null);
});

test('an alert of a rule file says what its author wrote', () => {
  assert.equal(sentence(finding({ class: 'DiskFull', subject: { kind: 'series', comm: '{disk="vda"}' }, headline: 'vda is full' })), 'vda is full');
  assert.equal(sentence(finding({ class: 'DiskFull', subject: { kind: 'series', comm: '{disk="vda"}' } })), 'DiskFull {disk="vda"}');
});

test('the number of a thread is not taken for that of a process', () => {
  assert.equal(processOf({ kind: 'thread', pid: 9, comm: 'io' }), undefined);
  assert.equal(processOf({ kind: 'process', pid: 9 }), 9);
  assert.equal(partyWords({ kind: 'thread', pid: 9, comm: 'io' }), 'thread io (9)');
  assert.equal(partyWords({ kind: 'device', comm: 'vda' }), 'disk vda');
});

test('names of strangers do not turn text around', () => {
  assert.equal(partyWords({ kind: 'process', pid: 1, comm: 'a\u202eb' }), 'a\ufffdb (1)');
  assert.equal(partyPlace(finding({ places: [{ pid: 4952, container: 'a\u202e', pod: 'web' }] }), 4952), 'container a\ufffd (pod web)');
});

test('evidence has the unit of its rule, and says from where on it counts', () => {
  assert.equal(evidenceValue(111.363, 'ms/s'), '111 ms/s');
  assert.equal(evidenceValue(65.4, '%'), '65 %');
  assert.equal(evidenceValue(9, 'count'), '9');
  assert.equal(threshold({ what: '', value: 1, unit: '%', threshold: 20 }), 'at least 20 %');
  assert.ok(holds({ what: '', value: 3, unit: '%', threshold: 5, side: 'below' }));
  assert.ok(!holds({ what: '', value: 3, unit: '%', threshold: 5 }));
  assert.equal(certainty(0.3), 'may be as it should be');
});

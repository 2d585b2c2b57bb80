import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Alert, Finding } from './api/types';
import { ranked, verdict } from './verdict';
import { vitals } from './vitals';

const finding = (comm: string, lost: number, changed: Partial<Finding> = {}): Finding => ({
  rule: 'r', class: 'futex', subject: { kind: 'process', pid: 1, comm }, lost_ns_per_s: lost, share_pct: 1, confidence: 0.9,
  evidence: [], stacks: [], alternatives: [], caused: [], advice: '', ...changed,
});
const alert = (of: Finding): Alert => ({ id: 'a', host: 'h', state: 'open', opened_unix_ns: 0, at_unix_ns: 0, finding: of });
const report = (findings: Finding[]) => ({ host: 'h', at: '', verdict: '', of_alert: false, findings });

test('what costs most comes first, and an alert is not shown twice', () => {
  const all = ranked({ alerts: [alert(finding('a', 5))], report: report([finding('a', 4), finding('b', 9)]) });
  assert.deepEqual(all.map((each) => each.finding.subject.comm), ['b', 'a']);
  assert.ok(all[1]!.alert);
});

test('what may be as it should be stands last, and does not make a host unwell', () => {
  const unsure = finding('a', 900, { confidence: 0.3 });
  assert.deepEqual(ranked({ alerts: [], report: report([unsure, finding('b', 1)]) }).map((each) => each.finding.subject.comm), ['b', 'a']);
  assert.deepEqual(verdict(ranked({ alerts: [], report: report([unsure]) }), false),
    { state: 'good', text: 'Nothing holds this host back.', detail: '1 finding may be as it should be.' });
  assert.equal(verdict([], true).text, 'Nothing held this host back.');
});

test('figures are of a second, and say when they are a reason to look', () => {
  const rows = {
    s7mpa_cpu: [{ labels: { cpu: '0' }, values: {} }, { labels: { cpu: 'all' }, values: { user_ns: 19e9, idle_ns: 1e9 } }],
    s7mpa_memory: [{ labels: {}, values: { total_bytes: 1024, available_bytes: 64 } }],
    s7mpa_disk: [{ labels: { device: 'sda' }, values: { busy_ns: 9e9, read_bytes: 10240 } }, { labels: { device: 'loop0' }, values: { busy_ns: 10e9 } }],
    s7mpa_host_time: [{ labels: {}, values: { lost_ns: 5e9, fsync_ns: 4e9, poll_ns: 90e9 } }],
  };
  const found = Object.fromEntries(vitals(rows, 10).map((each) => [each.key, each]));
  assert.equal(found.cpu!.value, '95 %');
  assert.equal(found.cpu!.strained, 'nearly all in use');
  assert.equal(found.memory!.strained, 'little is left');
  assert.equal(found.disk!.value, '1 KiB/s');
  assert.equal(found.disk!.detail, 'sda busy 90 % of the time');
  assert.equal(found.lost!.value, '500 ms/s');
  assert.equal(found.lost!.detail, 'most: storage');
  assert.equal(found.pressure, undefined);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { End, HostEvent } from './types';
import { causeMeans, causeWords, endedMs, frames, groupsOf, howWords, lanesOf, loopWords, pidOf, placeOf, startOf, subjectOf } from './words';

const end = (ended: Partial<End['ended']> = {}, more: Partial<End> = {}): End => ({
  host: 'vm', at: '2026-11-30T14:26:28Z', id: 'a', process: { pid: 7, start_ns: 5_123_456_789, comm: 'w', exe: '', cmdline: '', unit: null, container: null },
  ended: { at_ns: 0, kind: 'exit', code: 1, signal: null, core: false, by: null, ...ended }, cause: { class: 'unknown', subject: { kind: '' }, text: '', confidence: 0 }, evidence: [], ruled_out: [], loop: null, ...more,
});

test('how it ended is said with its sender and its core', () => {
  assert.equal(howWords(end()), 'ended with code 1');
  assert.equal(howWords(end({ kind: 'signal', signal: 11, core: true })), 'was ended by SIGSEGV, with a core dump');
  assert.equal(howWords(end({ kind: 'signal', signal: 9, by: { pid: 42, comm: 'bash', uid: 1000 } })), 'was ended by SIGKILL, sent by bash (42) of user 1000');
  assert.equal(howWords(end({ kind: 'signal', signal: 40, by: { pid: 0, comm: '', uid: 0 } })), 'was ended by signal 40, sent by the kernel');
  assert.equal(howWords(end({ kind: 'oom', signal: 9, by: { pid: 0, comm: '', uid: 0 } })), 'was killed by the kernel for lack of memory');
});

test('a time is that of the end, else that of the message', () => {
  assert.equal(endedMs(end()), Date.parse('2026-11-30T14:26:28Z'));
  assert.equal(endedMs(end({ at_ns: '1796048788000000000' })), 1_796_048_788_000);
  assert.equal(startOf(end()), 5_123);
});

test('a loop is counted, a place is named, a class has words', () => {
  assert.equal(loopWords(end({}, { loop: { count: 4, span_s: 95 } })), '4 times in 95 s');
  assert.equal(loopWords(end({}, { loop: { count: 4, span_s: 600 } })), '4 times in 10 min');
  assert.equal(loopWords(end()), '');
  const { process } = end();
  assert.equal(placeOf(end({}, { process: { ...process, unit: 'a.service', container: 'c' } })), 'container c');
  assert.equal(causeWords('connection-refused'), 'connection refused');
  assert.equal(causeMeans('of-tomorrow'), '');
});

test('a stack is its frames, the innermost first', () => {
  assert.deepEqual(frames('abort (libc.so.6) < f (a.c:1) < operator<(A) (b.cc:2)'), ['abort (libc.so.6)', 'f (a.c:1)', 'operator<(A) (b.cc:2)']);
  assert.deepEqual(frames(''), []);
});

test('events have a row for each class, the grave ones first', () => {
  const event = (kind: string, severity: string): HostEvent => ({ host: 'vm', at: '2026-11-30T14:26:28Z', class: kind, severity, subject: { kind: 'process', name: 'a', pid: 7 }, text: '', count: 2, explains: [] });
  const rows = lanesOf([event('link-up', 'info'), event('oom-kill', 'critical'), event('link-up', 'info')]);
  assert.deepEqual(rows.map(({ key, label, grave, marks }) => [key, label, grave, marks.length]), [['oom-kill', 'oom kill', true, 1], ['link-up', 'link up', false, 2]]);
  assert.equal(subjectOf(event('a', 'info')), 'process a (7)');
  assert.equal(subjectOf({ ...event('a', 'info'), subject: { kind: 'host', name: '', pid: 0 } }), 'the host');
  assert.equal(pidOf(event('a', 'info')), 7);
});

test('ends that are alike are one group, the newest first', () => {
  const alike = (pid: number, at_s: number, text = `ls (${pid}) did not find /a`): End => end({ at_ns: at_s * 1e9 }, { id: String(pid), process: { ...end().process, pid, comm: 'ls' }, cause: { class: 'not-found', subject: { kind: 'file' }, text, confidence: 1 } });
  const groups = groupsOf([alike(7, 1_796_000_010), alike(9, 1_796_000_030), alike(8, 1_796_000_020, 'ls (8) did not find /b'), alike(5, 1_796_000_040)]);
  assert.deepEqual(groups.map(({ ends }) => ends.map(({ process }) => process.pid)), [[5, 9, 7], [8]]);
});

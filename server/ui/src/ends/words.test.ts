import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { End, HostEvent } from './types';
import { causeMeans, causeWords, certaintyOf, frames, howWords, lanesOf, loopWords, pidOf, placeOf, startOf, subjectOf } from './words';

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

test('a process that began is known by its start', () => {
  assert.equal(startOf(end()), 5_123);
});

test('a cause is certain, or a guess', () => {
  const of = (confidence: number) => certaintyOf(end({}, { cause: { ...end().cause, confidence } }));
  assert.deepEqual([of(0.9), of(0.1)], ['certain', 'a guess']);
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

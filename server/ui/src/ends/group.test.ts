import assert from 'node:assert/strict';
import { test } from 'node:test';
import { host } from '../time';
import { endLink, endParams, endedMs, groupsOf } from './group';
import type { End } from './types';

const end = (ended: Partial<End['ended']> = {}, more: Partial<End> = {}): End => ({
  host: 'vm', at: '2026-11-30T14:26:28Z', id: 'a', process: { pid: 7, start_ns: 5_123_456_789, comm: 'w', exe: '', cmdline: '', unit: null, container: null },
  ended: { at_ns: 0, kind: 'exit', code: 1, signal: null, core: false, by: null, ...ended }, cause: { class: 'unknown', subject: { kind: '' }, text: '', confidence: 0 }, evidence: [], ruled_out: [], loop: null, ...more,
});

test('a time is that of the end, else that of the message', () => {
  assert.equal(endedMs(end()), Date.parse('2026-11-30T14:26:28Z'));
  assert.equal(endedMs(end({ at_ns: '1796048788000000000' })), 1_796_048_788_000);
});

test('an end whose time is not known is found by that of the message', () => {
  host.value = 'vm';
  assert.equal(endLink(end()), `#/ends?host=vm&id=a&when=${Date.parse('2026-11-30T14:26:28Z')}`);
  assert.deepEqual(endParams(end({ at_ns: 1_796_048_788_000_400_000 }, { host: 'other' })), { id: 'a', when: 1_796_048_788_000, host: 'other' });
});

test('an end whose time is not known stands among those that it was reported with', () => {
  const found = groupsOf([end({ at_ns: '1796048700000000000' }, { id: 'b' }), end({}, { id: 'c' }), end({ at_ns: '1796048900000000000' }, { id: 'd' })]);
  assert.deepEqual(found.map(({ ends }) => ends.map(({ id }) => id)), [['d', 'c', 'b']]);
});

test('ends that are alike are one group, the newest first', () => {
  const alike = (pid: number, at_s: number, text = `ls (${pid}) did not find /a`): End => end({ at_ns: at_s * 1e9 }, { id: String(pid), process: { ...end().process, pid, comm: 'ls' }, cause: { class: 'not-found', subject: { kind: 'file' }, text, confidence: 1 } });
  const groups = groupsOf([alike(7, 1_796_000_010), alike(9, 1_796_000_030), alike(8, 1_796_000_020, 'ls (8) did not find /b'), alike(5, 1_796_000_040)]);
  assert.deepEqual(groups.map(({ ends }) => ends.map(({ process }) => process.pid)), [[5, 9, 7], [8]]);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Process } from '../api/types';
import { filtered, rowOf, runqMean, summed, type Row } from './processes-rows';
import { mark, tree } from './processes-tree';

const process = (pid: number, comm: string, labels: Process['labels'] = {}, values: Process['values'] = {}, states: Process['states'] = {}): Process =>
  ({ host: 'vm', pid, start_ms: pid * 10, comm, labels, values, states });
const NGINX = { cgroup: '/system.slice/nginx.service', unit: 'nginx.service' };
const POD = { cgroup: '/kubepods/x', container: 'web', pod: 'shop-1', namespace: 'shop' };
const ROWS = [
  process(1, 'nginx', NGINX), process(2, 'nginx', NGINX), process(3, 'logger', NGINX), process(4, 'java', POD, {}, { oncpu_ns: 5e9, lost_ns: 1e9 }), process(5, 'bash', { cgroup: '/' }),
  process(0, 'other', {}, { processes: 49 }),
].map((each) => rowOf(each, 10));
const byCpu = (rows: Row[]) => [...rows].sort((a, b) => (b.cpu || 0) - (a.cpu || 0));
const text = (rows: Row[]) => rows.map(({ level, who, members }) => `${'.'.repeat(level)}${who.comm}${members === 1 ? '' : ` ${members}`}`);

test('figures are rates of the interval, and what is not known is not zero', () => {
  const row = rowOf(process(7, 'a', {}, { user_ns: 2e9, syscalls: 50, runq_ns: 1e6, context_switches: 10 }, { oncpu_ns: 5e9, runq_woken_ns: 1e9, poll_ns: 4e9, lost_ns: 1e9 }), 10);
  assert.equal(row.cpu, 0.5);
  assert.equal(row.lost, 0.1);
  assert.equal(row.calls, 5);
  assert.equal(runqMean(row), 1e5);
  assert.ok(Number.isNaN(row.read));
  assert.deepEqual(row.times.filter(Boolean), [5e9, 1e9, 4e9]);
});

test('all words are looked for, in name, PID, unit, container and pod', () => {
  assert.deepEqual(filtered(ROWS, 'NGINX.service log').map(({ who }) => who.pid), [3]);
  assert.deepEqual(filtered(ROWS, 'shop').map(({ who }) => who.pid), [4]);
  assert.equal(filtered(ROWS, ' ').length, 6);
  assert.equal(filtered(ROWS, 'nobody').length, 0);
});

test('a group has the sum of what is known', () => {
  const sum = summed([rowOf(process(1, 'a', {}, { rss_bytes: 5 }), 1), rowOf(process(2, 'b', {}, { rss_bytes: 6, syscalls: 1 }), 1)]);
  assert.equal(sum.rss, 11);
  assert.equal(sum.calls, 1);
  assert.ok(Number.isNaN(sum.fds));
});

test('places are open, names are shut, and marks turn that around', () => {
  const closed = tree(ROWS, byCpu, new Set(), false);
  assert.deepEqual(text(closed), ['shop/shop-1', '.web', '..java', 'nginx.service 3', '.nginx 2', '.logger', '/', '.bash', 'other 49']);
  const unit = closed.find(({ who }) => who.comm === 'nginx.service')!;
  const names = closed.find(({ who, kind }) => who.comm === 'nginx' && kind === 'group')!;
  const turned = tree(ROWS, byCpu, new Set([names, unit].map(({ who }) => who.id.replace('group ', ''))), false);
  assert.deepEqual(text(turned), ['shop/shop-1', '.web', '..java', 'nginx.service 3', '/', '.bash', 'other 49']);
  assert.deepEqual(text(tree(ROWS, byCpu, new Set(), true)).slice(3, 7), ['nginx.service 3', '.nginx 2', '..nginx', '..nginx']);
  assert.notEqual(mark('a'), mark('b'));
});

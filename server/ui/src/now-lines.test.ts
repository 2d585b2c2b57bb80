import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Series } from './api/series';
import { busyLines, cpuLines, diskLines, lostLines, memoryLines, netLines, pressureLines, runqLines } from './now-lines';

const series = (rows: Record<string, (number | null)[]>, windows = [1, 1]): Series => ({
  step_s: 1, times: [1_000, 2_000], windows,
  series: Object.entries(rows).map(([key, values]) => {
    const [name, label = ''] = key.split('|');
    const [field, value] = label.split('=');
    return { labels: { __name__: `s7mpa_${name}`, ...(field ? { [field]: value! } : {}) }, values };
  }),
});
const values = (lines: { label: string; values: readonly (number | null)[] }[], label: string) => lines.find((line) => line.label === label)?.values;

test('time of a CPU is a share of all modes, whatever the length of the part', () => {
  const lines = cpuLines(series({ 'cpu_user_ns|cpu=all': [5e9, 1e9], 'cpu_idle_ns|cpu=all': [5e9, 3e9] }, [5, 2]));
  assert.deepEqual(values(lines, 'programs'), [0.5, 0.25]);
  assert.equal(values(lines, 'taken by the hypervisor'), undefined);
});

test('lost time has no idle time, and unknown parts are gaps', () => {
  const lines = lostLines(series({ host_time_fsync_ns: [2e9, null], host_time_poll_ns: [9e9, 9e9], host_time_runq_woken_ns: [4e9, 1e9], host_time_net_recv_ns: [1e9, 1e9] }, [2, 1]));
  assert.deepEqual(lines.map((line) => line.label), ['waits for a CPU', 'storage']);
  assert.deepEqual(values(lines, 'storage'), [1e9, null]);
});

test('the wait for a CPU is for each time that a thread got one', () => {
  assert.deepEqual(values(runqLines(series({ host_time_runq_woken_ns: [1e6, 4e6], host_context_switches: [100, 0] })), 'after it was woken'), [1e4, null]);
});

test('shared memory is not counted as cache', () => {
  const lines = memoryLines(series({ memory_cached_bytes: [100, 100], memory_buffers_bytes: [5, 5], memory_shmem_bytes: [30, 30], memory_swap_total_bytes: [0, 0], memory_swap_free_bytes: [0, 0] }));
  assert.deepEqual(values(lines, 'file cache'), [75, 75]);
  assert.equal(values(lines, 'in swap'), undefined);
});

test('what stands on other disks is not counted twice', () => {
  const data = series({ 'disk_read_bytes|device=sda': [10, 20], 'disk_read_bytes|device=dm-0': [10, 20], 'disk_busy_ns|device=sda': [5e8, 1e9], 'disk_busy_ns|device=loop0': [1e9, 1e9] });
  assert.deepEqual(values(diskLines(data), 'read'), [10, 20]);
  assert.deepEqual(busyLines(data).map((line) => [line.label, line.values]), [['sda busy', [0.5, 1]]]);
});

test('traffic within the host is not that of the network', () => {
  const lines = netLines(series({ 'net_tx_bytes|interface=lo': [7, 7], 'net_tx_bytes|interface=eth0': [1, 2], 'net_rx_bytes|interface=eth0': [3, 4] }));
  assert.deepEqual(values(lines, 'sent'), [1, 2]);
  assert.deepEqual(values(lines, 'within the host'), [7, 7]);
});

test('pressure is a share of time, and absent where the kernel does not say it', () => {
  const lines = pressureLines(series({ 'pressure_some_ns|resource=cpu': [2e8, 4e8] }, [1, 2]));
  assert.deepEqual(lines.map((line) => [line.label, line.values]), [['CPU', [0.2, 0.2]]]);
});

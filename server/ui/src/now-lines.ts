// Lines of the graphs of the first view, out of what metrics were over time.
import type { Series } from './api/series';
import type { Labels } from './api/types';
import type { Line } from './parts/chart';
import { GROUPS, stateOf, type Group } from './states';

/** All that the graphs show, in one question. */
export const SELECTS: readonly string[] = [
  '{__name__=~"s7mpa_cpu_(user|nice|system|idle|iowait|irq|softirq|steal)_ns",cpu="all"}',
  '{__name__=~"s7mpa_host_time_.*_ns",__name__!="s7mpa_host_time_lost_ns"}',
  '{__name__=~"s7mpa_host_(context_switches|load1|runnable|blocked)"}',
  '{__name__=~"s7mpa_memory_(total|free|anon|shmem|cached|buffers|slab|page_tables|kernel_stack|swap_total|swap_free)_bytes"}',
  '{__name__=~"s7mpa_disk_(read_bytes|write_bytes|busy_ns)"}',
  '{__name__=~"s7mpa_net_(rx|tx)_bytes"}',
  '{__name__=~"s7mpa_pressure_.*_ns"}',
];

type Values = readonly (number | null)[];
const PREFIX = 's7mpa_';
const metric = (labels: Labels) => (labels.__name__ ?? '').slice(PREFIX.length);

/** Sum over the series that `take` takes; null where none of them has a value. */
function sum(data: Series, take: (name: string, labels: Labels) => boolean): (number | null)[] {
  const out = Array<number | null>(data.times.length).fill(null);
  for (const { labels, values } of data.series) {
    if (!take(metric(labels), labels)) continue;
    values.forEach((value, at) => { if (value !== null) out[at] = (out[at] ?? 0) + value; });
  }
  return out;
}
/** A counter each second. */
const rate = (data: Series, values: Values): (number | null)[] => values.map((value, at) => (value === null ? null : value / (data.windows[at] || 1)));
const each = (values: Values, of: (value: number, at: number) => number | null): (number | null)[] => values.map((value, at) => (value === null ? null : of(value, at)));
const named = (name: string) => (other: string) => other === name;
const some = (values: Values) => values.some((value) => value);

/** Shares of the time of all CPUs. */
export function cpuLines(data: Series): Line[] {
  const mode = (...modes: string[]) => sum(data, (name) => modes.some((mode) => name === `cpu_${mode}_ns`));
  const all = sum(data, (name) => name.startsWith('cpu_'));
  const of = (label: string, colour: string, ...modes: string[]): Line => ({ label, colour, values: each(mode(...modes), (value, at) => (all[at] ? value / all[at]! : null)) });
  return [of('programs', 'c3', 'user'), of('low priority', 'c7', 'nice'), of('kernel', 'c2', 'system'), of('interrupts', 'c4', 'irq', 'softirq'),
    of('taken by the hypervisor', 'c6', 'steal')].filter((line, at) => at === 0 || at === 2 || line.values.some((value) => value && value > 0.002));
}

const LOST_GROUPS: readonly Group[] = ['runq', 'quota', 'disk', 'memory', 'lock', 'net', 'other'];
/** Lost time of all threads by group, ns each second. */
export function lostLines(data: Series): Line[] {
  const own = (group: Group) => (name: string) => {
    if (!name.startsWith('host_time_')) return false;
    const state = stateOf(name.slice('host_time_'.length));
    return state.group === group && state.lost;
  };
  return GROUPS.filter(({ group }) => LOST_GROUPS.includes(group))
    .map(({ group, label }) => ({ label, colour: `state-${group}`, values: rate(data, sum(data, own(group))) }))
    .filter((line) => some(line.values));
}

/** Mean wait for a CPU of each time that a thread got one, ns. */
export function runqLines(data: Series): Line[] {
  const switches = sum(data, named('host_context_switches'));
  const wait = (label: string, colour: string, key: string): Line =>
    ({ label, colour, values: each(sum(data, named(`host_time_runq_${key}_ns`)), (value, at) => (switches[at] ? value / switches[at]! : null)) });
  return [wait('after it was woken', 'c5', 'woken'), wait('after it was preempted', 'c2', 'preempted')];
}

/** Bytes that are in use, by what for. */
export function memoryLines(data: Series): Line[] {
  const of = (label: string, colour: string, ...fields: string[]): Line => ({ label, colour, values: sum(data, (name) => fields.some((field) => name === `memory_${field}_bytes`)) });
  const shared = sum(data, named('memory_shmem_bytes'));
  const cache = of('file cache', 'c1', 'cached', 'buffers');
  const total = sum(data, named('memory_swap_total_bytes'));
  const free = sum(data, named('memory_swap_free_bytes'));
  const swap: Line = { label: 'in swap', colour: 'c6', values: each(total, (value, at) => value - (free[at] ?? value)) };
  // The kernel counts shared memory as cache, but cannot drop it.
  return [of('programs', 'c3', 'anon'), of('shared', 'c7', 'shmem'), of('kernel', 'c2', 'slab', 'page_tables', 'kernel_stack'),
    { ...cache, values: each(cache.values, (value, at) => Math.max(0, value - (shared[at] ?? 0))) }, ...(some(swap.values) ? [swap] : [])];
}
export const memoryTotal = (data: Series) => sum(data, named('memory_total_bytes')).findLast((value) => value !== null) ?? 0;

/** What stands on top of other disks would be counted twice. */
export const ON_OTHERS = /^(loop|dm-|md|ram|zram|sr|nbd)\d/;
const ownDisk = (labels: Labels) => !ON_OTHERS.test(labels.device ?? '');
export function diskLines(data: Series): Line[] {
  return [
    { label: 'read', colour: 'c1', values: rate(data, sum(data, (name, labels) => name === 'disk_read_bytes' && ownDisk(labels))) },
    { label: 'written', colour: 'c2', values: rate(data, sum(data, (name, labels) => name === 'disk_write_bytes' && ownDisk(labels))) },
  ];
}
/** Share of the time in which a disk has requests; the busiest few. */
export function busyLines(data: Series): Line[] {
  const lines = data.series.filter(({ labels }) => metric(labels) === 'disk_busy_ns' && ownDisk(labels)).map(({ labels, values }) => {
    const shares = rate(data, values).map((value) => (value === null ? null : Math.min(1, value / 1e9)));
    return { device: labels.device ?? '', shares, most: Math.max(0, ...shares.map((value) => value ?? 0)) };
  });
  return lines.sort((a, b) => b.most - a.most).slice(0, 4).map(({ device, shares }, at) => ({ label: `${device} busy`, colour: `c${4 + at}`, values: shares }));
}

export function netLines(data: Series): Line[] {
  const of = (label: string, colour: string, metricName: string, local: boolean): Line =>
    ({ label, colour, values: rate(data, sum(data, (name, labels) => name === metricName && (labels.interface === 'lo') === local)) });
  const local = of('within the host', 'c8', 'net_tx_bytes', true);
  return [of('received', 'c1', 'net_rx_bytes', false), of('sent', 'c2', 'net_tx_bytes', false), ...(some(local.values) ? [local] : [])];
}

/** Share of the time in which at least one task is held up. The kernel's clock of it is not that of windows: a second may have a little more. */
export function pressureLines(data: Series): Line[] {
  const of = (label: string, colour: string, resource: string): Line => ({
    label, colour, values: each(rate(data, sum(data, (name, labels) => name === 'pressure_some_ns' && labels.resource === resource)), (value) => Math.min(1, value / 1e9)),
  });
  return [of('CPU', 'c2', 'cpu'), of('memory', 'c4', 'memory'), of('storage', 'c1', 'io')].filter((line) => line.values.some((value) => value !== null));
}

export function loadLines(data: Series): Line[] {
  const of = (label: string, colour: string, field: string): Line => ({ label, colour, values: sum(data, named(`host_${field}`)) });
  return [of('run or wait for a CPU', 'c3', 'runnable'), of('wait for storage', 'c1', 'blocked'), of('load, mean of a minute', 'c8', 'load1')];
}

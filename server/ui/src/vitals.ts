// The few figures that say how a host is, and from where on each is a reason to look.
import type { Labels, Row, Values } from './api/types';
import { bytes, bytesPerS, count, name, nsPerS, perS, share } from './format';
import { ON_OTHERS } from './now-lines';
import { byGroup, groupLabel, stateOf } from './states';

interface Vital {
  readonly key: string;
  readonly label: string;
  readonly value: string;
  readonly detail: string;
  /** It is a reason to look; the words say why. */
  readonly strained?: string | undefined;
}

/** Share of CPU time in use from which new work waits. */
const CPU_BUSY = 0.9;
const MEMORY_AVAILABLE = 0.1;
const DISK_BUSY = 0.8;
const PRESSURE = 0.25;
const FILESYSTEM_AVAILABLE = 0.1;
const HYPERVISOR = 0.05;

type Rows = Readonly<Record<string, Row[]>>;
const first = (rows: Rows, measurement: string): Values | undefined => rows[measurement]?.[0]?.values;
const total = (rows: readonly { values: Values }[], field: string) => rows.reduce((sum, row) => sum + (row.values[field] ?? 0), 0);
const real = (label: keyof Labels & string, skip: RegExp) => (row: Row) => !skip.test(row.labels[label] ?? '');

export const cpus = (rows: Rows) => Math.max(0, (rows.s7mpa_cpu ?? []).filter(({ labels }) => labels.cpu !== 'all').length);

/** Time lost by group without what is only idle, the largest first. */
export function lostGroups(states: Values): { label: string; ns: number }[] {
  const lost = Object.fromEntries(Object.entries(states).filter(([key]) => key !== 'lost_ns' && stateOf(key).lost));
  return [...byGroup(lost)].map(([group, ns]) => ({ label: groupLabel(group), ns })).sort((a, b) => b.ns - a.ns);
}

function lostTime(rows: Rows, span_s: number): Vital | null {
  const states = first(rows, 's7mpa_host_time');
  if (!states) return null;
  const [worst] = lostGroups(states);
  return { key: 'lost', label: 'Lost time', value: nsPerS((states.lost_ns ?? 0) / span_s), detail: worst ? `most: ${worst.label}` : 'no thread was held up' };
}

function cpu(rows: Rows): Vital | null {
  const all = rows.s7mpa_cpu?.find(({ labels }) => labels.cpu === 'all')?.values;
  if (!all) return null;
  const time = (...fields: string[]) => fields.reduce((sum, field) => sum + (all[`${field}_ns`] ?? 0), 0);
  const wall = time('user', 'nice', 'system', 'idle', 'iowait', 'irq', 'softirq', 'steal');
  if (!wall) return null;
  const steal = time('steal') / wall;
  const busy = 1 - time('idle', 'iowait') / wall;
  const number = cpus(rows);
  return {
    key: 'cpu', label: 'CPU', value: share(busy), detail: `of ${number || '?'} CPU${number === 1 ? '' : 's'}${steal >= 0.01 ? `, ${share(steal)} taken by the hypervisor` : ''}`,
    strained: busy >= CPU_BUSY ? 'nearly all in use' : steal >= HYPERVISOR ? 'the hypervisor takes much' : undefined,
  };
}

function memory(rows: Rows): Vital | null {
  const values = first(rows, 's7mpa_memory');
  if (!values?.total_bytes) return null;
  const available = values.available_bytes ?? values.free_bytes ?? 0;
  const swapped = (values.swap_total_bytes ?? 0) - (values.swap_free_bytes ?? 0);
  return {
    key: 'memory', label: 'Memory', value: bytes(values.total_bytes - available),
    detail: `of ${bytes(values.total_bytes)} in use${swapped > 0 ? `, ${bytes(swapped)} in swap` : ''}`,
    strained: (values.oom_kills ?? 0) > 0 ? 'a process was killed for lack of it' : available / values.total_bytes < MEMORY_AVAILABLE ? 'little is left' : undefined,
  };
}

function storage(rows: Rows, span_s: number): Vital | null {
  const disks = (rows.s7mpa_disk ?? []).filter(real('device', ON_OTHERS));
  if (!disks.length) return null;
  const busy = (row: Row) => Math.min(1, (row.values.busy_ns ?? 0) / 1e9 / span_s);
  const worst = disks.reduce((a, b) => (busy(b) > busy(a) ? b : a));
  return {
    key: 'disk', label: 'Storage', value: bytesPerS((total(disks, 'read_bytes') + total(disks, 'write_bytes')) / span_s),
    detail: `${name(worst.labels.device ?? '', 20)} busy ${share(busy(worst))} of the time`, strained: busy(worst) >= DISK_BUSY ? 'busy nearly always' : undefined,
  };
}

function network(rows: Rows, span_s: number): Vital | null {
  const ports = (rows.s7mpa_net ?? []).filter(real('interface', /^lo$/));
  if (!rows.s7mpa_net) return null;
  const tcp = first(rows, 's7mpa_netstat');
  const again = (tcp?.tcp_retransmits ?? 0) / span_s;
  const refused = ((tcp?.tcp_listen_overflows ?? 0) + (tcp?.tcp_listen_drops ?? 0)) / span_s;
  return {
    key: 'net', label: 'Network', value: bytesPerS((total(ports, 'rx_bytes') + total(ports, 'tx_bytes')) / span_s),
    detail: again > 0 ? `${perS(again)} segments sent again` : `${count(tcp?.tcp_established)} connections`,
    strained: refused > 0 ? 'connections are refused' : again > 1 && again > 0.01 * ((tcp?.tcp_out_segments ?? 0) / span_s) ? 'segments are lost' : undefined,
  };
}

function pressure(rows: Rows, span_s: number): Vital | null {
  const all = (rows.s7mpa_pressure ?? []).map(({ labels, values }) => ({ resource: labels.resource === 'io' ? 'storage' : labels.resource === 'cpu' ? 'CPU' : labels.resource ?? '', of: Math.min(1, (values.some_ns ?? 0) / 1e9 / span_s) }));
  if (!all.length) return null;
  const worst = all.reduce((a, b) => (b.of > a.of ? b : a));
  return { key: 'pressure', label: 'Pressure', value: share(worst.of), detail: `of the time some task lacks ${name(worst.resource, 20)}`, strained: worst.of >= PRESSURE && worst.resource !== 'CPU' ? 'tasks are held up' : undefined };
}

function fullest(rows: Rows): Vital | null {
  const sized = (rows.s7mpa_filesystem ?? []).filter(({ values }) => values.size_bytes && values.available_bytes !== undefined && !values.readonly);
  if (!sized.length) return null;
  const left = (row: Row) => row.values.available_bytes! / row.values.size_bytes!;
  const worst = sized.reduce((a, b) => (left(b) < left(a) ? b : a));
  return {
    key: 'filesystem', label: 'Fullest file system', value: `${bytes(worst.values.available_bytes)} left`, detail: name(worst.labels.mountpoint ?? '', 40),
    strained: left(worst) < FILESYSTEM_AVAILABLE ? 'nearly full' : undefined,
  };
}

export const vitals = (rows: Rows, span_s: number): Vital[] =>
  [lostTime(rows, span_s), cpu(rows), memory(rows), storage(rows, span_s), network(rows, span_s), pressure(rows, span_s), fullest(rows)].filter((each) => each !== null);

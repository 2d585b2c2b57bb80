// What the table of processes shows of each: figures per second out of the amounts of an interval, and what one can look for.
import type { Process, Values } from '../api/types';
import { groupTimes } from '../states';

/** What a process belongs to, the outermost first. */
export interface Place { readonly kind: 'pod' | 'container' | 'unit' | 'cgroup'; readonly label: string }
/** What stays the same while a process runs the same program. */
export interface Who {
  /** PID and start: two processes may have had the same PID. */
  readonly id: string; readonly pid: number; readonly start: number; readonly comm: string;
  readonly cgroup: string; readonly container: string; readonly pod: string; readonly unit: string;
  readonly places: readonly Place[];
  /** All that one can look for, in small letters. */
  readonly words: string;
}
/** NaN: not known. */
export interface Figures {
  /** 1: a whole CPU. */
  readonly cpu: number;
  /** 1: one thread is held up all the time. */
  readonly lost: number;
  /** Time by group of states, in the order of `GROUPS`. */
  readonly times: readonly number[];
  readonly rss: number; readonly swap: number;
  /** Each second. */
  readonly read: number; readonly write: number; readonly calls: number; readonly errors: number; readonly switches: number; readonly faults: number;
  readonly threads: number; readonly fds: number;
  /** Waited for a CPU, ns each second. */
  readonly runq: number;
}
export interface Row extends Figures {
  readonly who: Who;
  /** `other`: all processes without a row of their own. */
  readonly kind: 'process' | 'other' | 'group';
  /** Processes in it. */
  readonly members: number;
  /** It is not there any more at the end of the interval. */
  readonly ended: boolean;
  /** Depth in the tree; set by it. */
  level: number;
  /** Of a group: whether its rows are shown. */
  readonly open?: boolean;
  readonly place?: Place['kind'] | 'name';
}

const known = new Map<string, Who>();
/** Most processes that are remembered: beyond, all are read again. */
const MOST_KNOWN = 20_000;

function whoOf({ pid, start_ms, comm, labels }: Process): Who {
  const id = `${pid}/${start_ms}`;
  const { cgroup = '', container = '', pod = '', unit = '', namespace = '', image = '' } = labels;
  const old = known.get(id);
  if (old && old.comm === comm && old.cgroup === cgroup && old.container === container && old.pod === pod && old.unit === unit) return old;
  if (known.size > MOST_KNOWN) known.clear();
  const places: Place[] = [];
  if (pod) places.push({ kind: 'pod', label: namespace ? `${namespace}/${pod}` : pod });
  if (container) places.push({ kind: 'container', label: container });
  else if (unit) places.push({ kind: 'unit', label: unit });
  else if (cgroup && !pod) places.push({ kind: 'cgroup', label: cgroup });
  const words = [comm, pid, cgroup, container, namespace, pod, unit, image].join('\n').toLowerCase();
  const who = { id, pid, start: start_ms, comm, cgroup, container, pod, unit, places, words };
  known.set(id, who);
  return who;
}

const of = (values: Values, key: string) => values[key] ?? NaN;

export function rowOf(process: Process, span_s: number): Row {
  const { values, states, pid } = process;
  const members = values.processes ?? 1;
  const cpu = states.oncpu_ns ?? of(values, 'user_ns') + of(values, 'system_ns');
  return {
    who: whoOf(process), kind: pid === 0 ? 'other' : 'process', members, ended: members === 0, level: 0,
    cpu: cpu / 1e9 / span_s,
    lost: (states.lost_ns ?? (Object.keys(states).length ? 0 : NaN)) / 1e9 / span_s,
    times: groupTimes(states),
    rss: of(values, 'rss_bytes'), swap: of(values, 'swap_bytes'),
    read: of(values, 'read_bytes') / span_s, write: of(values, 'write_bytes') / span_s,
    calls: of(values, 'syscalls') / span_s, errors: of(values, 'syscall_errors') / span_s,
    switches: of(values, 'context_switches') / span_s,
    faults: (of(values, 'min_flt') + of(values, 'maj_flt')) / span_s,
    threads: of(values, 'threads'), fds: of(values, 'fds'),
    runq: of(values, 'runq_ns') / span_s,
  };
}

/** How long a thread waits for a CPU each time that it gets one, ns. */
export const runqMean = ({ runq, switches }: Figures) => (switches > 0 ? runq / switches : NaN);

/** Rows that have all words of `text`, in whatever order, in name, PID, cgroup, container, pod or unit. */
export function filtered(rows: readonly Row[], text: string): readonly Row[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return rows;
  return rows.filter(({ who }) => words.every((word) => who.words.includes(word)));
}

const SUMS = ['cpu', 'lost', 'rss', 'swap', 'read', 'write', 'calls', 'errors', 'switches', 'faults', 'threads', 'fds', 'runq'] as const;
/** Figures of several rows together. What is known of none is not known of all. */
export function summed(rows: readonly Row[]): Figures {
  const sums = { cpu: NaN, lost: NaN, rss: NaN, swap: NaN, read: NaN, write: NaN, calls: NaN, errors: NaN, switches: NaN, faults: NaN, threads: NaN, fds: NaN, runq: NaN };
  const times = (rows[0]?.times ?? []).map(() => 0);
  for (const row of rows) {
    for (const key of SUMS) {
      const value = row[key];
      if (value === value) sums[key] = sums[key] === sums[key] ? sums[key] + value : value;   // NaN is not itself
    }
    for (let at = 0; at < times.length; at++) times[at]! += row.times[at]!;
  }
  return { ...sums, times };
}

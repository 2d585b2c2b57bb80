// Who changed: what processes take more, or less, than in another interval. Grouped by name and cgroup, ranked, and said in words.
import type { Change, Process, Values } from './api/types';
import { bytes, bytesPerS, nsPerS, signed } from './format';
import { stateOf } from './states';
import { EARLIER_MS, earlier, type Interval } from './time';

export interface StateChange { readonly key: string; readonly before: number; readonly after: number; readonly more: number }
export interface Changed {
  readonly comm: string;
  readonly cgroup: string;
  readonly pids: readonly number[];
  /** What changed most comes first; ns each second. */
  readonly states: readonly StateChange[];
  readonly before: Values;
  readonly after: Values;
  /** Of CPU time and lost time together, ns each second. */
  readonly more: number;
  readonly cpu: number;
  readonly lost: number;
  /** Bytes; undefined: not known. */
  readonly memory: number | undefined;
  /** Bytes each second. */
  readonly storage: number | undefined;
  /** It is in one of both intervals alone. */
  readonly life: 'new' | 'gone' | '';
  readonly score: number;
}

/** What stands for as much as one second of a thread each second, in the order of the list. */
const MEMORY_BYTES = 2 ** 30;
const STORAGE_BYTES_PER_S = 100 * 2 ** 20;
/** Waits for others say little of who changed, idle ones nothing. */
const PEER_WEIGHT = 0.05;
/** Who waits for a CPU is held up by who runs: the latter should stand before it. */
const RUNQ_WEIGHT = 0.5;
/** Below it a change is noise, ns each second. */
const LEAST_NS = 1e6;

function weight(key: string): number {
  const { group, lost } = stateOf(key);
  if (group === 'idle') return 0;
  return group === 'runq' ? RUNQ_WEIGHT : group === 'ran' || lost ? 1 : PEER_WEIGHT;
}

interface Use { memory: number; storage: number }
const useKey = (comm: string, cgroup: string) => `${comm}\n${cgroup}`;
/** Memory and storage by name and cgroup. */
export function uses(processes: readonly Process[], span_s: number): Map<string, Use> {
  const found = new Map<string, Use>();
  for (const { pid, comm, labels, values } of processes) {
    if (!pid) continue;
    const key = useKey(comm, labels.cgroup ?? '');
    const use = found.get(key) ?? { memory: 0, storage: 0 };
    use.memory += values.rss_bytes ?? 0;
    use.storage += ((values.read_bytes ?? 0) + (values.write_bytes ?? 0)) / (span_s || 1);
    found.set(key, use);
  }
  return found;
}

/** Whether it was woken or preempted before it waits for a CPU says nothing of who changed. */
function merged(list: readonly Change[]): StateChange[] {
  const found = new Map<string, StateChange>();
  for (const { state, before_ns_per_s: before, after_ns_per_s: after, more_ns_per_s: more } of list) {
    const key = state === 'runq_woken' || state === 'runq_preempted' ? 'runq' : state;
    const old = found.get(key);
    found.set(key, old ? { key, before: old.before + before, after: old.after + after, more: old.more + more } : { key, before, after, more });
  }
  return [...found.values()];
}

/** `usesBefore`, `usesAfter`: undefined while they are not known. */
export function grouped(changes: readonly Change[], usesBefore?: ReadonlyMap<string, Use>, usesAfter?: ReadonlyMap<string, Use>): Changed[] {
  const found = new Map<string, Change[]>();
  for (const change of changes) {
    const key = useKey(change.comm, change.cgroup);
    const list = found.get(key);
    if (list) list.push(change);
    else found.set(key, [change]);
  }
  return [...found].map(([key, list]) => {
    const states = merged(list)
      .sort((a, b) => weight(b.key) * Math.abs(b.more) - weight(a.key) * Math.abs(a.more));
    const sum = (take: (key: string) => boolean, of: 'before' | 'after' | 'more') => states.reduce((total, each) => total + (take(each.key) ? each[of] : 0), 0);
    const any = () => true;
    const cpu = sum((state) => stateOf(state).group === 'ran', 'more');
    const lost = sum((state) => stateOf(state).lost, 'more');
    const [before, after] = [usesBefore?.get(key), usesAfter?.get(key)];
    // A process that is known in one interval alone has nothing in the other, if that other one is known.
    const known = usesBefore && usesAfter && (before || after);
    const memory = known ? (after?.memory ?? 0) - (before?.memory ?? 0) : undefined;
    const storage = known ? (after?.storage ?? 0) - (before?.storage ?? 0) : undefined;
    const weighed = states.reduce((total, each) => total + weight(each.key) * each.more, 0);
    return {
      comm: list[0]!.comm, cgroup: list[0]!.cgroup, pids: [...new Set(list.flatMap((each) => each.pids))], states,
      before: Object.fromEntries(states.map((each) => [each.key, each.before])), after: Object.fromEntries(states.map((each) => [each.key, each.after])),
      more: cpu + lost, cpu, lost, memory, storage,
      life: !sum(any, 'before') ? 'new' : !sum(any, 'after') ? 'gone' : '',
      score: weighed / 1e9 + (memory ?? 0) / MEMORY_BYTES + (storage ?? 0) / STORAGE_BYTES_PER_S,
    };
  });
}

/** What a list of changes is ordered by. `less`: those that take less. */
export const ORDERS = {
  all: 'most of all', cpu: 'CPU', lost: 'lost time', storage: 'storage', memory: 'memory', less: 'what takes less',
} as const;
export type Order = keyof typeof ORDERS;

export function ordered(all: readonly Changed[], order: Order): Changed[] {
  const by = (of: (each: Changed) => number, least: number) => all.filter((each) => of(each) > least).sort((a, b) => of(b) - of(a));
  switch (order) {
    case 'cpu': return by((each) => each.cpu, LEAST_NS);
    case 'lost': return by((each) => each.lost, LEAST_NS);
    case 'storage': return by((each) => each.storage ?? 0, 1024);
    case 'memory': return by((each) => each.memory ?? 0, 64 * 1024);
    case 'less': return by((each) => -each.score, LEAST_NS / 1e9);
    default: return by((each) => each.score, LEAST_NS / 1e9);
  }
}

const WAITS: Readonly<Record<string, string>> = {
  runq: 'for a CPU', runq_throttled: 'for its CPU quota',
  disk_read: 'for reads of storage', disk_write: 'for writes to storage', fsync: 'for fsync', writeback: 'held back for dirty pages', async_io: 'for asynchronous I/O',
  fault_file: 'for page faults that read files', swap: 'for page faults that read swap', reclaim: 'to free memory',
  futex_lock: 'for a lock', kernel_lock: 'for a lock of the kernel', file_lock: 'for a lock of a file',
  net_connect: 'to connect', net_send: 'to send to the network', net_recv: 'to receive from the network', dns: 'for name lookups',
  ipc: 'for another process (pipe or local socket)', child: 'for a child process', device: 'for a terminal or device',
  interruptible: 'for a cause that is not known', uninterruptible: 'in the kernel, for a cause that is not known', offcpu: 'off the CPU',
};
/** `computes 1.2 s/s more`, `waits 300 ms/s less for fsync`. */
export function stateWords({ key, more }: StateChange): string {
  const { group, label } = stateOf(key);
  const by = `${nsPerS(Math.abs(more))} ${more < 0 ? 'less' : 'more'}`;
  return group === 'ran' ? `computes ${by}` : group === 'idle' ? `is idle ${by} (${label})` : `waits ${by} ${WAITS[key.replace(/_ns$/, '')] ?? `(${label})`}`;
}
/** The changes of a group that matter, in words; at most `most`. Those in one direction with its sum first. */
export function words({ states, memory, storage, score }: Changed, most = 3): string[] {
  const largest = Math.abs(states[0]?.more ?? 0) * weight(states[0]?.key ?? '');
  const said = states.filter((each) => weight(each.key) > 0 && Math.abs(each.more) >= LEAST_NS && weight(each.key) * Math.abs(each.more) >= 0.1 * largest)
    .sort((a, b) => Number(Math.sign(b.more) === Math.sign(score)) - Number(Math.sign(a.more) === Math.sign(score)))
    .slice(0, most).map(stateWords);
  if (memory !== undefined && Math.abs(memory) >= 2 ** 20 * 16) said.push(`memory ${signed(bytes(memory), memory)}`);
  if (storage !== undefined && Math.abs(storage) >= 2 ** 20) said.push(`storage ${signed(bytesPerS(storage), storage)}`);
  return said;
}
/** Kind of the flame graph that shows the largest change. */
export function graphOf({ states }: Changed): 'on-cpu' | 'off-cpu' {
  const [top] = states.filter((each) => each.more > 0 && weight(each.key) > 0);
  return top && stateOf(top.key).group !== 'ran' && stateOf(top.key).group !== 'runq' ? 'off-cpu' : 'on-cpu';
}

/** What it is compared with. */
export const BASES = { before: 'the time just before', hour: 'an hour earlier', day: 'a day earlier' } as const;
export type Base = keyof typeof BASES;
export const baseOf = (text: string | undefined): Base => (text !== undefined && Object.hasOwn(BASES, text) ? text as Base : 'before');
/** Its begin and end. */
export const baseInterval = (time: Interval, base: Base): Interval => earlier(time, EARLIER_MS[base]);

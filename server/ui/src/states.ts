// The thirty thread states: what each is called and which colour it has. Colours of groups are CSS variables (`--state-…`).
import type { Values } from './api/types';
import { name } from './format';

/** The same groups as in the report (`diagnosis/src/groups.rs`). */
export type Group = 'ran' | 'runq' | 'quota' | 'disk' | 'memory' | 'lock' | 'net' | 'peer' | 'other' | 'idle';
export interface State { readonly key: string; readonly label: string; readonly group: Group; /** Held up: it is part of lost time. */ readonly lost: boolean }

export const GROUPS: readonly { readonly group: Group; readonly label: string }[] = [
  { group: 'ran', label: 'on a CPU' },
  { group: 'runq', label: 'waits for a CPU' },
  { group: 'quota', label: 'CPU quota used up' },
  { group: 'disk', label: 'storage' },
  { group: 'memory', label: 'memory' },
  { group: 'lock', label: 'lock' },
  { group: 'net', label: 'network' },
  { group: 'peer', label: 'other process, child, input' },
  { group: 'other', label: 'blocked, cause not known' },
  { group: 'idle', label: 'idle' },
];

const WORDS: Readonly<Record<Group, readonly (readonly [string, string])[]>> = {
  ran: [['oncpu', 'on a CPU'], ['oncpu_user', 'user code'], ['oncpu_kernel', 'kernel code']],
  runq: [['runq_woken', 'woken, waits for a CPU'], ['runq_preempted', 'preempted, waits for a CPU'], ['runq', 'waits for a CPU']],
  quota: [['runq_throttled', 'CPU quota used up']],
  disk: [['disk_read', 'reads storage'], ['disk_write', 'writes to storage'], ['fsync', 'fsync'], ['writeback', 'held back for dirty pages'],
    ['async_io', 'asynchronous I/O']],
  memory: [['fault_file', 'page fault reads a file'], ['swap', 'page fault reads swap'], ['reclaim', 'frees memory itself']],
  lock: [['futex_lock', 'lock (futex)'], ['kernel_lock', 'lock of the kernel'], ['file_lock', 'lock of a file']],
  net: [['net_connect', 'connects'], ['net_send', 'sends'], ['net_recv', 'receives'], ['dns', 'name lookup']],
  peer: [['ipc', 'pipe or local socket'], ['child', 'waits for a child'], ['device', 'terminal or device'], ['interruptible', 'blocked, can be interrupted']],
  other: [['uninterruptible', 'blocked, cannot be interrupted'], ['offcpu', 'off the CPU']],
  idle: [['futex_wait', 'condition (futex)'], ['net_accept', 'waits for a connection'], ['sleep', 'timer'], ['poll', 'polls'], ['stopped', 'stopped or traced'],
    ['kernel_idle', 'kernel thread without work']],
};
const LOST: ReadonlySet<Group> = new Set<Group>(['runq', 'quota', 'disk', 'memory', 'lock', 'net', 'other']);

export const STATES: readonly State[] = GROUPS.flatMap(({ group }) =>
  WORDS[group].map(([key, label]) => ({ key, label, group, lost: LOST.has(group) && key !== 'net_recv' && key !== 'offcpu' })));
const BY_KEY: Readonly<Record<string, State>> = Object.fromEntries(STATES.map((each) => [each.key, each]));
/** Of a key with or without `_ns`. */
export const stateOf = (key: string): State =>
  BY_KEY[key.replace(/_ns$/, '')] ?? { key, label: name(key.replaceAll('_', ' '), 60), group: 'other', lost: false };
export const groupLabel = (group: Group) => GROUPS.find((each) => each.group === group)!.label;

/** Time by state without `lost_ns`, the largest of each group together, in the order of the groups. */
export function byState(states: Values): { state: State; ns: number }[] {
  const found = Object.entries(states).filter(([key, ns]) => key !== 'lost_ns' && key !== 'lost' && ns > 0)
    .map(([key, ns]) => ({ state: stateOf(key), ns }));
  const order = (each: { state: State }) => GROUPS.findIndex(({ group }) => group === each.state.group);
  return found.sort((a, b) => order(a) - order(b) || b.ns - a.ns);
}
/** Time by group. */
export function byGroup(states: Values): Map<Group, number> {
  const found = new Map<Group, number>();
  for (const { state, ns } of byState(states)) found.set(state.group, (found.get(state.group) ?? 0) + ns);
  return found;
}

const PLACE = new Map<string, number>();
/** Time by group in the order of `GROUPS`: `byGroup` for many rows a second. */
export function groupTimes(states: Values): number[] {
  const sums = GROUPS.map(() => 0);
  for (const key in states) {
    if (key === 'lost_ns' || key === 'lost') continue;
    let at = PLACE.get(key);
    if (at === undefined) {
      const { group } = stateOf(key);
      at = GROUPS.findIndex((each) => each.group === group);
      PLACE.set(key, at);
    }
    sums[at]! += states[key]!;
  }
  return sums;
}

/** What a finding's class says of its subject: `postgres waits for a lock`. Classes of rule files are shown as they are. */
export const CLASSES: Readonly<Record<string, string>> = {
  child: 'waits for children that make no progress',
  'cpu-kernel': 'computes in the kernel',
  'cpu-quota': 'has used up its CPU quota',
  'cpu-steal': 'lacks CPU time that the hypervisor takes',
  'cpu-user': 'computes',
  crash: 'ended badly',
  'crash-loop': 'ends badly again and again',
  'disk-read': 'waits for reads',
  'disk-write': 'waits for writes',
  dns: 'waits for name lookups',
  'error-storm': 'repeats a call that fails',
  'fault-major-file': 'waits for page faults that read files',
  'fault-minor': 'maps memory again and again',
  'fd-leak': 'leaks file descriptors',
  'file-lock': 'waits for a lock on a file',
  frozen: 'is frozen',
  fsync: 'waits for fsync',
  futex: 'waits for a lock',
  hang: 'hangs in the kernel',
  'host-cpu': 'has too few CPUs',
  'host-disk': 'has a busy disk',
  'host-memory': 'is short of memory',
  'host-network': 'has a busy network',
  'ipc-peer': 'waits for another process',
  'kernel-lock': 'waits for a lock of the kernel',
  'memory-leak': 'leaks memory',
  'net-accept-queue': 'accepts connections too slowly',
  'net-connect': 'waits for connections',
  'net-peer': 'waits for the other end of a connection',
  'net-retransmit': 'loses segments',
  oom: 'was killed for lack of memory',
  'priority-inversion': 'waits for a holder of a lock that does not run',
  'process-churn': 'starts short processes again and again',
  reclaim: 'frees memory before it can use it',
  refused: 'is refused a resource',
  'runq-neighbour': 'waits for a CPU that others use',
  'runq-self': 'waits for a CPU behind its own threads',
  'service-failed': 'failed as a service',
  'single-thread': 'is bound by one thread',
  softirq: 'spends a CPU on interrupts',
  swap: 'waits for swap',
  'syscall-storm': 'repeats a short call',
  'table-full': 'runs out of a kernel table',
  'thread-leak': 'leaks threads',
  'timer-storm': 'sleeps too briefly, again and again',
  writeback: 'is held back for dirty pages',
  'zombie-leak': 'does not collect its dead children',
};

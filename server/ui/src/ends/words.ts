// What an end or an event says, in plain words.
import { certainty } from '../findings';
import { length, name } from '../format';
import type { End, HostEvent } from './types';

/** Classes of causes: what each means. */
const CAUSES: Readonly<Record<string, string>> = {
  'null-pointer': 'It used a pointer that is null, or null and a small offset.', 'bad-pointer': 'It touched memory that it does not have, or not for this.', 'stack-overflow': 'It used up a thread’s stack.',
  assertion: 'A condition that it checks itself did not hold.', abort: 'It ended itself by abort.', 'heap-corruption': 'The allocator or a sanitizer found the heap damaged.',
  'illegal-instruction': 'The CPU could not carry out an instruction.', 'uncaught-exception': 'An exception that nothing caught.', panic: 'A panic of Go, Rust or Swift.',
  'oom-cgroup': 'Killed because a control group reached its memory limit.', 'oom-host': 'Killed because the host ran out of memory.', 'heap-limit': 'It got no more memory from its run time or within its own limit.',
  'killed-by-process': 'Another process sent the signal.', 'killed-by-watchdog': 'Its supervisor ended it because it did not answer.', deadlock: 'Its threads waited for each other in a circle.',
  seccomp: 'A filter refused a system call.', 'connection-refused': 'Nothing listens where it wants to connect.', 'name-resolution': 'A host name could not be resolved.',
  timeout: 'A peer, or something that it waited for, did not answer in time.', permission: 'It may not do what it tried.', 'not-found': 'A file or program that it needs does not exist.',
  'missing-library': 'A library, symbol or module that it needs cannot be loaded.', 'exec-format': 'The file is no program for this host.', 'exec-permission': 'The program may not be executed.',
  'address-in-use': 'Another process has the address that it wants to listen on.', 'disk-full': 'No space, or no quota, is left in a file system.', 'fd-limit': 'A limit on descriptors, watches or tasks was reached.',
  'cpu-limit': 'It used up its limit of CPU time.', 'file-size-limit': 'A file grew to the limit for its size.', 'broken-pipe': 'The other end of a pipe or connection is gone.', 'parent-died': 'It ended with its parent.',
  'config-error': 'Its configuration or arguments are wrong.', 'bad-upgrade': 'A package or build that changed just before does not fit.', 'hardware-error': 'Memory, a disk or another device is faulty.',
  'by-design': 'The end is as it is meant to be.', unknown: 'No evidence says why.',
};
const SHORT: Readonly<Record<string, string>> = { 'oom-cgroup': 'memory limit of its cgroup', 'oom-host': 'host out of memory', 'fd-limit': 'limit of descriptors', unknown: 'cause not known' };
export const causeWords = (key: string) => SHORT[key] ?? name(key.replaceAll('-', ' '), 60);
/** How sure the cause is: `certain`, `likely`, `possible`, `a guess`. */
export const certaintyOf = ({ cause }: End) => certainty(cause.confidence).replace('may be as it should be', 'a guess');
export const causeMeans = (key: string) => CAUSES[key] ?? '';

const SIGNALS: Readonly<Record<number, string>> = {
  1: 'SIGHUP', 2: 'SIGINT', 3: 'SIGQUIT', 4: 'SIGILL', 5: 'SIGTRAP', 6: 'SIGABRT', 7: 'SIGBUS', 8: 'SIGFPE', 9: 'SIGKILL', 10: 'SIGUSR1', 11: 'SIGSEGV', 12: 'SIGUSR2', 13: 'SIGPIPE', 14: 'SIGALRM', 15: 'SIGTERM',
  16: 'SIGSTKFLT', 24: 'SIGXCPU', 25: 'SIGXFSZ', 26: 'SIGVTALRM', 27: 'SIGPROF', 29: 'SIGIO', 30: 'SIGPWR', 31: 'SIGSYS',
};

/** `ended with code 1`, `was ended by SIGKILL, sent by bash (42)`. */
export function howWords({ ended: { kind, code, signal, core, by } }: End): string {
  const signalled = signal === null ? 'a signal' : SIGNALS[signal] ?? `signal ${signal}`;
  const how = kind === 'oom' ? 'was killed by the kernel for lack of memory' : kind === 'exit' ? (code === null ? 'ended' : `ended with code ${code}`) : `was ended by ${signalled}`;
  const sender = by && kind !== 'oom' ? `, sent by ${by.pid === 0 ? 'the kernel' : `${name(by.comm, 60)} (${by.pid})${by.uid === 0 ? '' : ` of user ${by.uid}`}`}` : '';
  return `${how}${sender}${core ? ', with a core dump' : ''}`;
}

/** `unit nginx.service`, `container web`; '' where it is in none. */
export const placeOf = ({ process: { unit, container } }: End) => (container ? `container ${name(container, 80)}` : unit ? `unit ${name(unit, 80)}` : '');
export const whoOf = ({ process: { comm, pid } }: End) => `${name(comm, 60)} (${pid})`;
/** Longer ones are in whole minutes, s. */
const MOST_SECONDS = 180;
/** `4 times in 2 min`; '' if it is in no loop. */
export const loopWords = ({ loop }: End) => (loop ? `${loop.count} times in ${loop.span_s < MOST_SECONDS ? `${Math.max(1, loop.span_s)} s` : length(Math.round(loop.span_s / 60) * 60_000)}` : '');
export const startOf = (end: End) => (Number(end.process.start_ns) > 0 ? Math.floor(Number(end.process.start_ns) / 1e6) : undefined);

/** Frames of a stack, the innermost first. */
export const frames = (text: string) => text.split(/ < |\n/).map((each) => each.trim()).filter(Boolean);

/** Kinds of evidence: what each is called. */
export const KIND_WORDS: Readonly<Record<string, string>> = {
  kernel: 'The kernel', abort: 'Last message of its run time', stack: 'Stack', syscall: 'Failed system call', log: 'Its words', limit: 'Limit', change: 'Change on the host',
};

export const subjectOf = ({ subject }: HostEvent) => (typeof subject === 'string' ? name(subject, 120)
  : [subject.kind && subject.kind !== 'host' && name(subject.kind, 40), subject.name && name(subject.name, 120), subject.pid ? `(${subject.pid})` : ''].filter(Boolean).join(' ') || 'the host');
export const pidOf = ({ subject }: HostEvent) => (typeof subject === 'object' && subject.kind === 'process' && subject.pid ? subject.pid : undefined);
export const eventWords = (key: string) => name(key.replaceAll('-', ' '), 60);
export const isGrave = (severity: string) => ['emergency', 'alert', 'critical', 'error'].includes(severity);

/** Rows of a time line: the ends, then each class of events; the gravest and the most frequent first. */
export interface Lane<T> { readonly key: string; readonly label: string; readonly grave: boolean; readonly marks: readonly { readonly at: number; readonly of: T; readonly count: number }[] }
export function lanesOf(events: readonly HostEvent[]): Lane<HostEvent>[] {
  const found = new Map<string, HostEvent[]>();
  for (const event of events) found.set(event.class, [...(found.get(event.class) ?? []), event]);
  return [...found].map(([key, rows]) => ({
    key, label: eventWords(key), grave: rows.some((each) => isGrave(each.severity)), marks: rows.map((of) => ({ at: Date.parse(of.at), of, count: of.count })),
  })).sort((a, b) => Number(b.grave) - Number(a.grave) || b.marks.length - a.marks.length || (a.key < b.key ? -1 : 1));
}

// Scales and rows of the heat map of system calls. Each colour is a decade: p99 of a disk and of a name lookup are far apart.
import type { Series } from '../api/series';
import { ns, perS, share } from '../format';

export type Mode = 'p99' | 'time' | 'calls';
/** Colours of a scale: `--heat-0` … `--heat-7`. */
export const COLOURS = 8;
interface Scale { readonly label: string; readonly help: string; /** Where the second colour begins; each next one at ten times that. */ readonly first: number; readonly format: (value: number) => string }
export const SCALES: Readonly<Record<Mode, Scale>> = {
  p99: { label: 'Slowest calls (p99)', help: '99 of 100 calls took less', first: 1e3, format: ns },
  time: { label: 'Time in calls', help: '100 %: one thread is in this call all the time', first: 0.0001, format: share },
  calls: { label: 'Calls each second', help: 'Calls that returned', first: 0.1, format: perS },
};

/** Which colour a value has; -1: none. */
export function colourAt({ first }: Scale, value: number | null): number {
  if (value === null || !(value > 0)) return -1;
  // Decades of 1e3, 1e4 … are not exact in binary.
  return Math.max(0, Math.min(COLOURS - 1, Math.floor(Math.log10(value / first) + 1e-9) + 1));
}
/** What the colours stand for, in words. */
export const legend = ({ first, format }: Scale) => Array.from({ length: COLOURS }, (_, at) =>
  (at === 0 ? `< ${format(first)}` : `≥ ${format(first * 10 ** (at - 1))}`));

export interface HeatRow { readonly syscall: string; readonly time: number; readonly p99: readonly (number | null)[]; readonly share: readonly (number | null)[]; readonly calls: readonly (number | null)[] }
export const valuesOf = (row: HeatRow, mode: Mode) => (mode === 'p99' ? row.p99 : mode === 'time' ? row.share : row.calls);

const added = (a: readonly (number | null)[] | undefined, b: readonly (number | null)[]) =>
  (a ? a.map((value, at) => (value === null ? b[at]! : b[at] === null ? value : value + b[at]!)) : b);
const most = (a: readonly (number | null)[] | undefined, b: readonly (number | null)[]) =>
  (a ? a.map((value, at) => (value === null ? b[at]! : b[at] === null ? value : Math.max(value, b[at]!))) : b);

/** A row for each system call, those with the most time first. */
export function heatRows({ series, windows }: Series): HeatRow[] {
  const found = new Map<string, { p99?: readonly (number | null)[]; total?: readonly (number | null)[]; count?: readonly (number | null)[] }>();
  for (const { labels, values } of series) {
    const syscall = labels.syscall ?? '';
    const row = found.get(syscall) ?? {};
    found.set(syscall, row);
    // By exec a process takes another name, and has two rows of one call.
    if (labels.__name__?.endsWith('_p99_ns')) row.p99 = most(row.p99, values);
    else if (labels.__name__?.endsWith('_total_ns')) row.total = added(row.total, values);
    else if (labels.__name__?.endsWith('_count')) row.count = added(row.count, values);
  }
  const none = windows.map(() => null);
  const each = (values: readonly (number | null)[] | undefined, per: number) => values?.map((value, at) => (value === null ? null : value / (windows[at] || 1) / per)) ?? none;
  return [...found].map(([syscall, { p99, total, count }]) => ({
    syscall, time: (total ?? []).reduce<number>((sum, value) => sum + (value ?? 0), 0), p99: p99 ?? none, share: each(total, 1e9), calls: each(count, 1),
  })).sort((a, b) => b.time - a.time || (a.syscall < b.syscall ? -1 : 1));
}

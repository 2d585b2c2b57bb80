// Alerts as a list and on a time line: what fits a filter, in which order, and where bars stand.
import type { Alert, Columns } from '../api/types';
import { classWords, sentence } from '../findings';
import type { Interval } from '../time';

export const openedMs = (alert: Alert) => alert.opened_unix_ns / 1e6;
export const isOpen = (alert: Alert) => alert.state !== 'resolved';
/** From opened to resolved; an open one lasts until `now`. */
export const lasted = (alert: Alert, now: number): Interval => ({ from: openedMs(alert), to: Math.max(openedMs(alert), isOpen(alert) ? now : alert.at_unix_ns / 1e6) });

/** A moment as the server writes it: Unix seconds, ms or ns, or a date. */
export function momentOf(value: number | string): number {
  if (typeof value === 'string') return /^\d+(\.\d+)?$/.test(value) ? momentOf(Number(value)) : Date.parse(value);
  return value > 1e17 ? value / 1e6 : value > 1e14 ? value / 1e3 : value > 1e11 ? value : value * 1e3;
}

export interface Filter { readonly state?: string | undefined; readonly class?: string | undefined; readonly q?: string | undefined }
export function fits(alert: Alert, { state, class: kind, q }: Filter): boolean {
  if (state === 'open' ? !isOpen(alert) : state === 'resolved' ? isOpen(alert) : state === 'unseen' ? !isOpen(alert) || !!alert.acknowledged || !!alert.silenced : false) return false;
  if (kind && alert.finding.class !== kind) return false;
  const text = `${sentence(alert.finding)} ${alert.finding.class} ${alert.host} ${alert.finding.headline ?? ''} ${alert.acknowledged?.note ?? ''}`.toLowerCase();
  return !q || text.includes(q.trim().toLowerCase());
}

/** Each alert once, by its latest message: open ones first, then the newest. */
export function merged(...lists: readonly (readonly Alert[])[]): Alert[] {
  const found = new Map<string, Alert>();
  for (const alert of lists.flat()) {
    const key = `${alert.host}\n${alert.id}`;
    const known = found.get(key);
    if (!known || known.at_unix_ns < alert.at_unix_ns) found.set(key, alert);
  }
  return [...found.values()].sort((a, b) => Number(isOpen(b)) - Number(isOpen(a)) || b.opened_unix_ns - a.opened_unix_ns);
}

export interface Bar { readonly alert: Alert; readonly lane: number; /** Parts of the width. */ readonly from: number; readonly to: number }
export interface Lanes { readonly key: string; readonly label: string; readonly count: number; readonly lanes: number; readonly bars: readonly Bar[] }
/** A short alert is still to be hit by a finger: part of the width. */
const LEAST = 0.006;

/** Bars by class, each in the first lane that is free. */
export function lanes(alerts: readonly Alert[], shown: Interval, now: number): Lanes[] {
  const length = shown.to - shown.from;
  const found = new Map<string, { bars: Bar[]; ends: number[] }>();
  const rows = alerts.map((alert) => ({ alert, ...lasted(alert, now) })).filter((each) => each.to >= shown.from && each.from <= shown.to).sort((a, b) => a.from - b.from);
  for (const { alert, from, to } of rows) {
    const row = found.get(alert.finding.class) ?? { bars: [], ends: [] };
    found.set(alert.finding.class, row);
    const start = Math.min(1 - LEAST, Math.max(0, (from - shown.from) / length));
    const end = Math.min(1, Math.max(start + LEAST, (to - shown.from) / length));
    const free = row.ends.findIndex((each) => each <= start);
    const lane = free < 0 ? row.ends.length : free;
    row.ends[lane] = end + 0.001;
    row.bars.push({ alert, lane, from: start, to: end });
  }
  return [...found].map(([key, { bars, ends }]) => ({ key, label: classWords(key), count: bars.length, lanes: ends.length, bars }))
    .sort((a, b) => b.count - a.count || (a.key < b.key ? -1 : 1));
}

/** The latest part of so many ms within `hour` that touches none of `busy`; null: there is none. */
export function quietPart(busy: readonly Interval[], hour: Interval, length: number): Interval | null {
  let to = hour.to;
  for (const each of [...busy].sort((a, b) => b.to - a.to || b.from - a.from)) {
    if (each.from >= to) continue;
    if (Math.min(to, hour.to) - Math.max(each.to, hour.from) >= length) break;
    to = Math.min(to, each.from);
  }
  return to - length >= hour.from ? { from: to - length, to } : null;
}

/** Parts of an hour of which no profile is kept. */
export function unknownParts({ from, to, step_s, samples, waits }: Pick<Columns, 'from' | 'to' | 'step_s' | 'samples' | 'waits'>): Interval[] {
  const [first, last, step] = [Date.parse(from), Date.parse(to), step_s * 1_000];
  return samples.flatMap((count, at) => (count === 0 && !waits[at] ? [{ from: first + at * step, to: Math.min(last, first + (at + 1) * step) }] : []));
}

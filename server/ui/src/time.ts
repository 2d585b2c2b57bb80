// The one time cursor of the page. All views show the same time, live or past.
//
// `view`: what graphs over time show. `selection`: the interval that tables, flame graphs and all else are of; null: the newest
// seconds (live). Both stand in the address, so a link restores them.
import { computed, signal } from '@preact/signals';
import { newest } from './api/live';

export interface Interval { readonly from: number; readonly to: number }   // Unix ms
/** Live: the last `span` ms; past: `from`…`to`. */
export type View = { readonly live: true; readonly span: number } | ({ readonly live: false } & Interval);

/** What is shown of the newest time when nothing is selected, ms. */
export const LIVE_MS = 10_000;
/** The same of waits. They are stored about once a minute, later when the store is busy: the newest ten seconds have none yet. */
export const LIVE_WAITS_MS = 180_000;
export const SPANS = [60_000, 300_000, 900_000, 3_600_000, 6 * 3_600_000, 24 * 3_600_000] as const;

/** The host that views are of; '': not known yet. */
export const host = signal('');
export const view = signal<View>({ live: true, span: 300_000 });
export const selection = signal<Interval | null>(null);

/** End of the newest window of the chosen host, Unix ms; now if none has come yet. */
export const end = computed(() => newest.value[host.value] ?? Date.now());
/** What graphs over time show. */
export const range = computed<Interval>(() => {
  const shown = view.value;
  return shown.live ? { from: end.value - shown.span, to: end.value } : shown;
});
/** What all else is of. A chosen time that goes on beyond the newest window ends with that of the moment in which it was chosen: nothing is known
 * of what comes after, and each window would be another question. */
export const chosen = computed<Interval>(() => {
  const shown = view.value;
  const picked = selection.value ?? (shown.live ? null : shown);
  if (!picked) return { from: end.value - LIVE_MS, to: end.value };
  // Another host has another newest window.
  void host.value;
  const { from, to } = picked;
  const known = end.peek();
  return from < known && known < to ? { from, to: known } : { from, to };
});
/** Nothing is selected, and the newest time is shown. */
export const isLive = computed(() => view.value.live && selection.value === null);

/** Selects a time; graphs stand still, with it in sight. */
export function select(interval: Interval | null) {
  if (!interval) {
    selection.value = null;
    return;
  }
  const from = Math.round(Math.min(interval.from, interval.to));
  const to = Math.round(Math.max(interval.from, interval.to, from + 1_000));
  const shown = range.value;
  const length = Math.max(shown.to - shown.from, 2 * (to - from));
  const inSight = from >= shown.from && to <= shown.to;
  const start = inSight ? shown.from : Math.floor((from + to - length) / 2);
  view.value = { live: false, from: start, to: start + length };
  selection.value = { from, to };
}

/** Moves the selection by so many of its lengths; by a second if it is a second. */
export function step(by: number) {
  const { from, to } = chosen.value;
  const length = selection.value ? to - from : 1_000;
  const base = selection.value ? from : to - length;
  const moved = Math.min(base + by * length, end.value - length);
  select({ from: moved, to: moved + length });
}

/** Shows the newest time again. */
export function goLive(span?: number) {
  const shown = range.value;
  const length = span ?? SPANS.find((each) => each >= shown.to - shown.from) ?? SPANS[SPANS.length - 1]!;
  selection.value = null;
  view.value = { live: true, span: length };
}

/** Parameters of a request about the chosen time. Live ones are relative, so that all who watch ask the same. */
export function asked(live_ms = LIVE_MS): { from: string; to?: string } {
  if (isLive.value) return { from: `-${live_ms / 1_000}s` };
  return absolute(chosen.value);
}
export const absolute = ({ from, to }: Interval) => ({ from: iso(from), to: iso(to) });
/** How much earlier another interval is that this one is compared with, ms; 0: by its own length. */
export const EARLIER_MS = { before: 0, hour: 3_600_000, day: 86_400_000, week: 7 * 86_400_000 } as const;
/** The interval so many ms earlier; 0: the one of the same length that ends where it begins. */
export function earlier({ from, to }: Interval, ms = 0): Interval {
  const back = ms || to - from;
  return { from: from - back, to: to - back };
}
/** The least interval around it of whole parts of so many ms. What live views ask for stays at one address for as long. */
export const onGrid = ({ from, to }: Interval, part = LIVE_MS): Interval => ({ from: Math.floor(from / part) * part, to: Math.ceil(to / part) * part });
export const iso = (ms: number) => new Date(ms).toISOString();

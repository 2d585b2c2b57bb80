// The parts of a time that numbers come in: as they are shown, and as new ones follow old ones.
import type { Labels } from './types';

/** `times`: end of each part, Unix ms. `windows`: windows known in it; 0: nothing is known. Of a counter a value is the amount of the part, of a
 * gauge the last level in it; null: it has none. */
export interface Series {
  readonly step_s: number;
  readonly times: readonly number[];
  readonly windows: readonly number[];
  readonly series: readonly { readonly labels: Labels; readonly values: readonly (number | null)[] }[];
}
export interface Part { from: string; to: string; step_s: number; windows: number[]; series: { labels: Labels; values: (number | null)[] }[] }

const identity = (labels: Labels) => JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));

export function read(answer: Part): Series {
  const first = Date.parse(answer.from);
  const times = answer.windows.map((_, at) => first + (at + 1) * answer.step_s * 1_000);
  return { step_s: answer.step_s, times, ...evened(answer) };
}

/** Windows that end close to the border of two parts may come as one too many in one and none in the other: each then has what both have. */
function evened({ windows, series, step_s }: Pick<Part, 'windows' | 'series' | 'step_s'>): Pick<Series, 'windows' | 'series'> {
  const from = windows.map((known, at) => (known > 0 ? at : windows[at + 1]! > step_s ? at + 1 : windows[at - 1]! > step_s ? at - 1 : at));
  if (from.every((other, at) => other === at)) return { windows, series };
  return { windows: from.map((at) => windows[at]!), series: series.map(({ labels, values }) => ({ labels, values: from.map((at) => values[at]!) })) };
}

/** `old` with the parts of `next` in place of its own, and without what is before `from`. The first part of `next` that both have stays the old one:
 * whether it has windows of the one before it, `next` cannot know. */
export function joined(old: Series, all: Series, from: number): Series {
  const next = old.times.includes(all.times[0]!) ? rest(all) : all;
  const keep = old.times.findIndex((time) => time >= (next.times[0] ?? Infinity));
  const until = keep < 0 ? old.times.length : keep;
  const start = Math.max(0, old.times.findIndex((time) => time > from));
  const named = new Map(old.series.map((each) => [identity(each.labels), each]));
  const seen = new Set<string>();
  const empty = Array<null>(Math.max(0, until - start)).fill(null);
  const series = next.series.map((each) => {
    const key = identity(each.labels);
    seen.add(key);
    return { labels: each.labels, values: [...(named.get(key)?.values.slice(start, until) ?? empty), ...each.values] };
  });
  const none = Array<null>(next.times.length).fill(null);
  for (const [key, each] of named) {
    if (seen.has(key)) continue;
    const values = [...each.values.slice(start, until), ...none];
    if (values.some((value) => value !== null)) series.push({ labels: each.labels, values });
  }
  return { step_s: next.step_s, times: [...old.times.slice(start, until), ...next.times], windows: [...old.windows.slice(start, until), ...next.windows], series };
}
const rest = ({ step_s, times, windows, series }: Series): Series =>
  ({ step_s, times: times.slice(1), windows: windows.slice(1), series: series.map(({ labels, values }) => ({ labels, values: values.slice(1) })) });

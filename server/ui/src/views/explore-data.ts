// Answers of Prometheus's API as lines of a graph and rows of a table.
import { FORMATS, commonLabels, seriesName, type Unit } from './explore-units';

type Labels = Readonly<Record<string, string>>;
export interface RangeAnswer { readonly data: { readonly resultType: string; readonly result: readonly { readonly metric: Labels; readonly values: readonly (readonly [number, string])[] }[] }; readonly warnings?: readonly string[]; readonly infos?: readonly string[] }
type Element = { readonly metric: Labels; readonly value: readonly [number, string] };
export interface InstantAnswer { readonly data: { readonly resultType: string; readonly result: readonly Element[] | readonly [number, string] }; readonly warnings?: readonly string[] }

/** Most series of a graph: more cannot be told apart, and browsers break. */
export const MOST = 50;
const COLOURS = 8;

export interface Drawn {
  readonly times: readonly number[];
  readonly lines: readonly { readonly key: string; readonly label: string; readonly colour: string; readonly values: readonly (number | null)[]; readonly last: number | null; readonly least: number; readonly most: number; readonly mean: number }[];
  readonly total: number;
}
const numberOf = (text: string) => {
  const value = text === '+Inf' ? Infinity : text === '-Inf' ? -Infinity : Number(text);
  return Number.isFinite(value) ? value : null;
};

/** The series with the largest mean, each on the grid from `start` to `end` (Unix s). */
export function drawn({ data }: RangeAnswer, start: number, end: number, step: number): Drawn {
  const places = Math.floor((end - start) / step + 1e-6) + 1;
  const all = data.resultType === 'matrix' ? data.result : [];
  const common = commonLabels(all.map((each) => each.metric));
  const lines = all.map(({ metric, values }) => {
    const row: (number | null)[] = Array<null>(places).fill(null);
    let [least, most, sum, known] = [Infinity, -Infinity, 0, 0];
    let last: number | null = null;
    for (const [time, text] of values) {
      const value = numberOf(text);
      const at = Math.round((time - start) / step);
      if (value === null || at < 0 || at >= places) continue;
      row[at] = last = value;
      least = Math.min(least, value);
      most = Math.max(most, value);
      sum += value;
      known++;
    }
    return { key: JSON.stringify(metric), label: seriesName(metric, common), values: row, last, least, most, mean: known ? sum / known : -Infinity };
  }).sort((a, b) => b.mean - a.mean);
  return {
    times: Array.from({ length: places }, (_, at) => (start + at * step) * 1_000), total: all.length,
    lines: lines.slice(0, MOST).map((line, at) => ({ ...line, colour: `c${(at % COLOURS) + 1}` })),
  };
}

export interface InstantRow { readonly key: string; readonly labels: Labels; readonly value: number | null; readonly text: string }
export function instantRows({ data: { resultType, result } }: InstantAnswer): InstantRow[] {
  if (resultType === 'scalar' || resultType === 'string') {
    const [, text] = result as readonly [number, string];
    return [{ key: '', labels: {}, value: numberOf(text), text }];
  }
  return (result as readonly Element[]).map(({ metric, value: [, text] }) => ({ key: JSON.stringify(metric), labels: metric, value: numberOf(text), text }));
}

export const valueText = (value: number | null, text: string, unit: Unit) => (value === null ? text : FORMATS[unit](value));

const FINE = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400];
export const STEPS = FINE.filter((each) => each !== 2 && each !== 120 && each !== 7_200);
/** The server gives no more points of a series. */
const POINTS = 11_000;
/** The step that was asked for, or the next larger one that the server allows. */
export function stepFor(span_s: number, wish: number, auto: number): number {
  const step = wish > 0 ? wish : auto;
  return span_s / step <= POINTS ? step : FINE.find((each) => span_s / each <= POINTS) ?? Math.ceil(span_s / POINTS);
}

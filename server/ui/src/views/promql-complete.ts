// What may come next in a PromQL query: from the text before the cursor alone, for half a query has no grammar.
export interface Completion { readonly text: string; readonly kind: 'function' | 'metric' | 'label' | 'value' | 'keyword' | 'duration'; readonly help: string }
/** What has to be known of the server for it. */
export type Wanted = { readonly kind: 'names' } | { readonly kind: 'labels'; readonly metric: string } | { readonly kind: 'values'; readonly metric: string; readonly label: string } | { readonly kind: 'durations' };
/** The text from `from` to `to` is replaced by a completion. */
export interface Completions { readonly from: number; readonly to: number; readonly options: readonly Completion[] }
export interface Catalogue { readonly metrics: readonly string[]; readonly help: Readonly<Record<string, string>>; readonly labels: readonly string[]; readonly values: readonly string[] }

const MOST = 60;
const AGGREGATIONS: Readonly<Record<string, string>> = {
  sum: 'sum of series', avg: 'mean of series', mean: 'mean of series, the same as avg', median: 'median of series', min: 'smallest', max: 'largest', count: 'number of series', topk: 'the k largest: topk(5, …)',
  bottomk: 'the k smallest: bottomk(5, …)', quantile: 'quantile of series: quantile(0.9, …)', stddev: 'standard deviation of series', stdvar: 'variance of series', group: '1 for each group',
  count_values: 'number of series by value', limitk: 'any k series', limit_ratio: 'a share of the series',
};
const FUNCTIONS: Readonly<Record<string, string>> = {
  rate: 'per second, of a counter: rate(…_total[1m])', irate: 'per second, of the last two values', increase: 'how much a counter rose', delta: 'difference of a gauge', idelta: 'difference of the last two values',
  deriv: 'slope per second of a gauge', predict_linear: 'value so many seconds ahead', changes: 'how often the value changed', resets: 'how often a counter began again',
  avg_over_time: 'mean of a time', mean_over_time: 'mean of a time', median_over_time: 'median of a time', min_over_time: 'smallest of a time', max_over_time: 'largest of a time', sum_over_time: 'sum of a time: exact for amounts of one window',
  count_over_time: 'number of values', quantile_over_time: 'quantile of a time: quantile_over_time(0.9, …[5m])', stddev_over_time: 'standard deviation of a time', stdvar_over_time: 'variance of a time', last_over_time: 'newest value',
  first_over_time: 'oldest value', present_over_time: '1 where there is a value', absent_over_time: '1 where there is none', mad_over_time: 'median absolute deviation of a time', absent: '1 if there is no such series',
  abs: 'without its sign', ceil: 'rounded up', floor: 'rounded down', round: 'rounded', clamp: 'held between two values', clamp_min: 'at least', clamp_max: 'at most', sgn: 'sign', sqrt: 'square root', exp: 'e to the power',
  ln: 'natural logarithm', log2: 'logarithm to base 2', log10: 'logarithm to base 10', histogram_quantile: 'quantile of buckets: histogram_quantile(0.99, …)', label_replace: 'a label made from another', label_join: 'a label made from several',
  scalar: 'number of a single series', vector: 'series of a number', sort: 'by value, rising', sort_desc: 'by value, falling', sort_by_label: 'by label', time: 'time of the value, Unix seconds', timestamp: 'time of each value',
  minute: 'minute of the hour', hour: 'hour of the day (UTC)', day_of_week: 'day of the week', day_of_month: 'day of the month', days_in_month: 'days of the month', month: 'month', year: 'year', pi: 'π',
  double_exponential_smoothing: 'smoothed', info: 'with labels of an info metric',
};
const KEYWORDS: Readonly<Record<string, string>> = { by: 'keeps these labels', without: 'drops these labels', on: 'matches by these labels', ignoring: 'matches without these labels', group_left: 'many to one', group_right: 'one to many', offset: 'earlier: offset 1h', bool: '0 or 1 instead of leaving out', and: 'in both', or: 'in one of both', unless: 'not in the other' };
const DURATIONS: Readonly<Record<string, string>> = { '10s': '', '30s': '', '1m': 'one minute', '5m': '', '15m': '', '1h': 'one hour', '6h': '', '1d': 'one day' };

interface Context { readonly wanted: Wanted; readonly from: number; readonly typed: string; readonly quote: string }

/** Where the cursor stands. null: in a comment, or in a string that is no label's value. */
export function contextAt(text: string, at: number): Context | null {
  const open: { sign: string; place: number }[] = [];
  let quote = '';
  let quoted = 0;
  for (let place = 0; place < at; place++) {
    const sign = text[place]!;
    if (quote) {
      if (sign === '\\' && quote !== '`') place++;
      else if (sign === quote) quote = '';
    } else if (sign === '"' || sign === "'" || sign === '`') {
      quote = sign;
      quoted = place + 1;
    } else if (sign === '#') {
      const end = text.indexOf('\n', place);
      if (end < 0 || end >= at) return null;
      place = end;
    } else if ('({['.includes(sign)) open.push({ sign, place });
    else if (')}]'.includes(sign)) open.pop();
  }
  const inside = open[open.length - 1];
  const word = /[A-Za-z_:][\w:]*$/.exec(text.slice(0, at))?.[0] ?? '';
  if (inside?.sign === '{') {
    const metric = /([A-Za-z_:][\w:]*)\s*$/.exec(text.slice(0, inside.place))?.[1] ?? '';
    if (!quote) return { wanted: { kind: 'labels', metric }, from: at - word.length, typed: word, quote };
    const label = /([A-Za-z_]\w*)\s*(?:=~|!~|!=|=)\s*$/.exec(text.slice(0, quoted - 1))?.[1];
    return label ? { wanted: { kind: 'values', metric, label }, from: quoted, typed: text.slice(quoted, at), quote } : null;
  }
  if (quote) return null;
  if (inside?.sign === '[') {
    const typed = /[\w]*$/.exec(text.slice(inside.place + 1, at))![0];
    return { wanted: { kind: 'durations' }, from: at - typed.length, typed, quote };
  }
  if (inside && /\b(by|without|on|ignoring|group_left|group_right)\s*$/i.test(text.slice(0, inside.place))) {
    return { wanted: { kind: 'labels', metric: metricNear(text, inside.place) }, from: at - word.length, typed: word, quote };
  }
  if (!word && /[\w"'`)\]}]$/.test(text.slice(0, at))) return null;
  return { wanted: { kind: 'names' }, from: at - word.length, typed: word, quote };
}

/** Labels of `sum by (…) (rate(metric[1m]))` are those of the metric that follows, or else of one before. */
function metricNear(text: string, at: number): string {
  const names = (part: string) => [...part.replace(/"(?:[^"\\]|\\.)*"|\{[^}]*\}/g, ' ').matchAll(/[A-Za-z_:][\w:]*(?!\s*\(|\w)/g)].map(([name]) => name).filter((name) => name.includes('_') && !(name in FUNCTIONS) && !(name in KEYWORDS));
  return names(text.slice(at).replace(/^\([^)]*\)?/, ''))[0] ?? names(text.slice(0, at)).at(-1) ?? '';
}

/** What begins with what was typed stands before what has it inside. */
function ranked(all: readonly Completion[], typed: string): Completion[] {
  const wanted = typed.toLowerCase();
  const place = (each: Completion) => each.text.toLowerCase().indexOf(wanted);
  return all.filter((each) => place(each) >= 0)
    .sort((a, b) => Math.min(1, place(a)) - Math.min(1, place(b)) || (wanted ? a.text.length - b.text.length : 0)).slice(0, MOST);
}
const some = (table: Readonly<Record<string, string>>, kind: Completion['kind']): Completion[] => Object.entries(table).map(([text, help]) => ({ text, kind, help }));

/** null: nothing is to be completed here. */
export function complete(text: string, at: number, known: Catalogue): Completions | null {
  const context = contextAt(text, at);
  if (!context) return null;
  const { wanted, from, typed } = context;
  const options = ((): Completion[] => {
    switch (wanted.kind) {
      case 'durations': return ranked(some(DURATIONS, 'duration'), typed);
      case 'labels': return ranked(known.labels.map((each) => ({ text: each, kind: 'label', help: '' })), typed);
      case 'values': return ranked(known.values.map((each) => ({ text: each, kind: 'value', help: '' })), typed);
      default: return ranked([
        ...some(AGGREGATIONS, 'function'), ...some(FUNCTIONS, 'function'), ...some(KEYWORDS, 'keyword'),
        ...known.metrics.map((each): Completion => ({ text: each, kind: 'metric', help: known.help[each] ?? '' })),
      ], typed);
    }
  })();
  // Done already.
  if (options.length === 1 && options[0]!.text === typed) return null;
  return { from, to: at, options };
}

/** A value of a label as it stands between these quotes. */
const escaped = (value: string, quote: string) => (quote === '`' ? value : value.replace(/\\/g, '\\\\').replaceAll(quote, `\\${quote}`).replace(/\n/g, '\\n'));

/** The text with the completion in it, and where the cursor is then. */
export function inserted(text: string, { from, to }: Pick<Completions, 'from' | 'to'>, { text: word, kind }: Completion): { text: string; at: number } {
  const rest = text.slice(to);
  const call = kind === 'function' && !/^\s*(\(|by\b|without\b)/.test(rest);
  const value = kind === 'value' ? escaped(word, text[from - 1] ?? '"') : word;
  const put = value + (call ? '()' : '');
  return { text: text.slice(0, from) + put + rest, at: from + put.length - (call ? 1 : 0) };
}

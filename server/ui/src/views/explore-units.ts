// The unit of a query's values, guessed from the names in it, and texts of values.
import { bytes, bytesPerS, count, ns, nsPerS, perS, share } from '../format';

export const UNITS = { none: 'number', ns: 'time', ns_s: 'time each second', s: 'seconds', bytes: 'bytes', bytes_s: 'bytes each second', pct: 'percent', ratio: 'share', per_s: 'each second' } as const;
export type Unit = keyof typeof UNITS;

export const FORMATS: Readonly<Record<Unit, (value: number) => string>> = {
  none: count, ns, ns_s: nsPerS, s: (value) => ns(value * 1e9), bytes, bytes_s: bytesPerS, pct: (value) => share(value / 100), ratio: share, per_s: perS,
};

const SUFFIX: Readonly<Record<string, 'ns' | 's' | 'bytes' | 'pct'>> = { ns: 'ns', seconds: 's', bytes: 'bytes', pct: 'pct' };
const RATES = /\b(rate|irate|deriv|idelta)\s*\(/;

/** Of `rate(s7mpa_disk_read_bytes_total[1m])`: bytes each second. */
export function unitOf(query: string): Unit {
  const bare = query.replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`/g, '""').replace(/#[^\n]*/g, '').replace(/\{[^}]*\}/g, '').replace(/\[[^\]]*\]/g, '');
  // The number of series, not what they are.
  if (/^\s*(count|group|count_values|absent|changes|resets)\b/.test(bare)) return 'none';
  const found = [...bare.matchAll(/[A-Za-z_:][\w:]*(?![\w:]|\s*\()/g)].flatMap(([name]) => SUFFIX[/_([a-z]+?)(?:_total)?$/.exec(name)?.[1] ?? ''] ?? (/_total$/.test(name) ? ['count' as const] : []));
  const [first] = found;
  const same = first !== undefined && found.every((each) => each === first);
  if (bare.includes('/') && found.length > 1 && same) return 'ratio';
  // By a number, or by something of another unit: then it is not known any more.
  if (/[/*^]/.test(bare)) return found.length === 1 && first === 'ns' && /\/\s*1e9\b/.test(bare) ? (RATES.test(bare) ? 'none' : 's') : 'none';
  if (!same) return 'none';
  const rate = RATES.test(bare);
  if (first === 'count') return rate ? 'per_s' : 'none';
  if (first === 'ns') return rate ? 'ns_s' : 'ns';
  if (first === 'bytes') return rate ? 'bytes_s' : 'bytes';
  // Seconds each second are a share of the time.
  if (first === 's') return rate ? 'ratio' : 's';
  return rate ? 'none' : 'pct';
}

/** `{comm="nginx", pid="7"}` without what all of them have. */
export function seriesName(labels: Readonly<Record<string, string>>, common: ReadonlySet<string>): string {
  const { __name__: metric = '', ...others } = labels;
  const rest = Object.entries(others).filter(([key]) => !common.has(key)).sort(([a], [b]) => (a < b ? -1 : 1));
  const only = rest.length === 1 ? rest[0]![1] : rest.map(([key, value]) => `${key}=${value}`).join(', ');
  return [common.has('__name__') ? '' : metric, only].filter(Boolean).join(' ') || metric || Object.values(others).join(', ') || 'value';
}
/** Labels that all have with the same value. */
export function commonLabels(all: readonly Readonly<Record<string, string>>[]): Set<string> {
  const [first, ...rest] = all;
  if (!first || rest.length === 0) return new Set(first ? Object.keys(first).filter((key) => key === 'host') : []);
  return new Set(Object.entries(first).filter(([key, value]) => rest.every((each) => each[key] === value)).map(([key]) => key));
}

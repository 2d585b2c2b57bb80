// Figures of the server as text: of any field that is there, by what its name says of its unit.
import { bytes, count, length, moment, name } from '../format';

const LABELS: Readonly<Record<string, string>> = {
  version: 'Version', started_at: 'Started', url: 'Address', kind: 'Kind', file_bytes: 'File', free_bytes: 'Of that free', log_bytes: 'Not yet taken in', series: 'Series', as_written_s: 'Each second is kept for',
  ten_seconds_s: 'One value in 10 s is kept for', all_s: 'One value in 60 s is kept for', max_bytes: 'Size at most', connected: 'Connected to the broker', waiting_windows: 'Windows that wait for the store',
  received_windows: 'Windows that arrived', stored_windows: 'Windows stored', missing_windows: 'Windows that are missing', store_failures: 'Writes that failed', groups: 'Groups of rules', failed: 'Of them failed', silences: 'Silences in force',
  bytes: 'Size', from: 'From', to: 'To', host: 'Host', step_s: 'A value each', windows: 'Windows', samples: 'Values', target: 'Sends to', sent: 'Sent', last_error: 'Last error',
};
export const labelOf = (key: string) => LABELS[key] ?? name(key.replace(/_(s|ns|bytes|at)$/, '').replaceAll('_', ' '), 60).replace(/^./, (letter) => letter.toUpperCase());

/** Seconds as a length of time: `7 d`. */
const span = (seconds: number) => (seconds === 0 ? '–' : length(seconds * 1_000));
export function figure(key: string, value: unknown): string {
  if (value === null || value === undefined || value === '') return '–';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (typeof value === 'number') {
    if (/(^|_)bytes$/.test(key)) return bytes(value);
    if (key === 'step_s' && value === 0) return 'window, as it was written';
    if (/_s$/.test(key)) return span(value);
    if (/_at$/.test(key) || ((key === 'from' || key === 'to') && value > 1e9)) return moment(value > 1e12 ? value : value * 1_000);
    return count(value);
  }
  if (typeof value === 'string') return /^\d{4}-\d\d-\d\dT[\d:.]+Z?$/.test(value) ? moment(Date.parse(value)) : name(value, 300);
  if (Array.isArray(value)) return value.map((each) => figure(key, each)).join(', ') || '–';
  return Object.entries(value as object).map(([inner, each]) => `${labelOf(inner)} ${figure(inner, each)}`).join(', ') || '–';
}

/** Lines of a metrics page: `name{label="value"} 1`. */
export function metricLines(text: string, wanted: RegExp): { name: string; labels: string; help: string; value: number }[] {
  const help = new Map<string, string>();
  const found: { name: string; labels: string; help: string; value: number }[] = [];
  for (const line of text.split('\n')) {
    const said = /^# HELP (\S+) (.*)$/.exec(line);
    if (said) help.set(said[1]!, said[2]!);
    const value = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (value && wanted.test(value[1]!)) found.push({ name: value[1]!, labels: value[2] ?? '', help: help.get(value[1]!) ?? help.get(value[1]!.replace(/_total$/, '')) ?? '', value: Number(value[3]) });
  }
  return found;
}

// Numbers and times as text. Unknown is `–`, which is not zero.

const digits = (value: number) => (Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2);
const trim = (value: number, places = digits(value)) => {
  const text = value.toFixed(places);
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
};
function scaled(value: number, units: readonly (readonly [number, string])[]): string {
  if (!Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  for (const [factor, unit] of units) if (size >= factor) return `${trim(value / factor)} ${unit}`;
  const last = units[units.length - 1]!;
  return value === 0 ? `0 ${last[1]}` : `${trim(value / last[0])} ${last[1]}`;
}

/** A length of time. */
export const ns = (value: number | undefined) => value === undefined ? '–' : scaled(value, [[86_400e9, 'd'], [3_600e9, 'h'], [60e9, 'min'], [1e9, 's'], [1e6, 'ms'], [1e3, 'µs'], [1, 'ns']]);
/** Time in each second of wall time: `1.2 s/s` is more than one thread. */
export const nsPerS = (value: number | undefined) => value === undefined ? '–' : `${scaled(value, [[1e9, 's'], [1e6, 'ms'], [1e3, 'µs'], [1, 'ns']])}/s`;
export const bytes = (value: number | undefined) => value === undefined ? '–' : scaled(value, [[2 ** 40, 'TiB'], [2 ** 30, 'GiB'], [2 ** 20, 'MiB'], [2 ** 10, 'KiB'], [1, 'B']]);
export const bytesPerS = (value: number | undefined) => value === undefined ? '–' : `${bytes(value)}/s`;
export const count = (value: number | undefined) => value === undefined || !Number.isFinite(value) ? '–'
  : Math.abs(value) < 10_000 ? trim(value, Number.isInteger(value) ? 0 : digits(value)) : scaled(value, [[1e9, 'G'], [1e6, 'M'], [1e3, 'k']]).replace(' ', '');
export const perS = (value: number | undefined) => value === undefined ? '–' : `${count(value)}/s`;
/** A share: 0.5 is 50 %. */
export const share = (value: number | undefined) => {
  if (value === undefined || !Number.isFinite(value)) return '–';
  const pct = value * 100;
  return `${pct !== 0 && Math.abs(pct) < 0.01 ? '<0.01' : trim(pct, Math.abs(pct) >= 10 ? 0 : Math.abs(pct) >= 1 ? 1 : 2)} %`;
};
/** With its sign. */
export const signed = (text: string, value: number) => (value > 0 ? `+${text}` : text.replace('-', '−'));

const two = (value: number) => String(value).padStart(2, '0');
/** In the viewer's zone. */
export const clock = (ms: number, fraction = false) => {
  const at = new Date(ms);
  const text = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return fraction ? `${text}.${String(at.getMilliseconds()).padStart(3, '0')}` : text;
};
export const day = (ms: number) => {
  const at = new Date(ms);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
};
/** With the day, unless it is today. */
export const moment = (ms: number) => (day(ms) === day(Date.now()) ? clock(ms) : `${day(ms)} ${clock(ms)}`);
export const span = (from: number, to: number) => `${moment(from)} – ${day(from) === day(to) ? clock(to) : moment(to)}`;
/** `12 s`, `5 min`. */
export const length = (ms: number) => ns(ms * 1e6);
export const ago = (ms: number) => `${length(Math.max(0, Date.now() - ms))} ago`;
export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** Names come from strangers: what turns the direction of text around, or cannot be seen, is shown as a mark. At most `most` characters. */
export function name(text: string, most = 200): string {
  const clean = text.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, '\ufffd');
  return clean.length > most ? `${clean.slice(0, most - 1)}…` : clean;
}

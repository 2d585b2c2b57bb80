// Which view is shown, and of what. It stands behind the `#` of the address: `#/process?pid=42&start=8520&host=vm&…`.
import { batch, effect, signal } from '@preact/signals';
import { host, selection, view, type Interval, type View } from './time';

/** Name of the view. */
export const page = signal('now');
/** All other parameters of the view. */
export const params = signal<Readonly<Record<string, string>>>({});

const OWN = new Set(['host', 'span', 'view', 'time']);
/** No date is later, ms. */
const MOST_MS = 8.64e15;
const interval = (text: string | null): Interval | null => {
  const [from, to] = (text ?? '').split('~').map((each) => Math.round(Number(each) * 1_000));
  return from && to && to > from && to < MOST_MS ? { from, to } : null;
};
const written = ({ from, to }: Interval) => `${from / 1_000}~${to / 1_000}`;

/** Address of a view: of the same host and time, unless `extra` says otherwise. Empty parameters are left out. */
export function link(name: string, extra: Readonly<Record<string, string | number | undefined>> = {}): string {
  const query = new URLSearchParams();
  const put = (key: string, value: string | number | undefined) => {
    if (value !== undefined && value !== '') query.set(key, String(value));
  };
  if (!('host' in extra)) put('host', host.value);
  if (!('time' in extra) && selection.value) put('time', written(selection.value));
  const shown = view.value;
  if (!('view' in extra) && !('span' in extra)) {
    if (!shown.live) put('view', written(shown));
    else if (shown.span !== 300_000) put('span', shown.span / 1_000);
  }
  for (const [key, value] of Object.entries(extra)) put(key, value);
  const text = query.toString();
  return `#/${name}${text && `?${text}`}`;
}
/** The parameters of a link that selects this time. */
export const at = (time: Interval, around: Interval = { from: time.from - 2 * (time.to - time.from), to: time.to + 2 * (time.to - time.from) }) =>
  ({ time: written(time), view: written(around) });

/** Shows a view; it is a step that the browser's back button takes back. */
export function go(name: string, extra: Readonly<Record<string, string | number | undefined>> = {}) {
  location.hash = link(name, extra);
}
/** Changes parameters of the present view without such a step. */
export function set(changed: Readonly<Record<string, string | undefined>>) {
  const next: Record<string, string> = { ...params.value };
  for (const [key, value] of Object.entries(changed)) {
    if (value) next[key] = value;
    else delete next[key];
  }
  params.value = next;
}

function read(hash: string) {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?');
  const found = new URLSearchParams(query);
  batch(() => {
    page.value = path || 'now';
    host.value = found.get('host') ?? host.value;
    const shown = interval(found.get('view'));
    const span = Number(found.get('span'));
    const picked = interval(found.get('time'));
    // What is selected is in sight.
    const sight = shown ?? (picked && interval(at(picked).view));
    const next: View = sight ? { live: false, ...sight } : { live: true, span: span > 0 ? span * 1_000 : 300_000 };
    view.value = next;
    selection.value = picked;
    params.value = Object.fromEntries([...found].filter(([key]) => !OWN.has(key)));
  });
}

/** Follows the address, and keeps it that of what is shown. `first`: what to begin with in place of the address. */
export function startRoute(first?: string) {
  read(first ?? location.hash);
  addEventListener('hashchange', () => read(location.hash));
  effect(() => {
    const now = link(page.value, params.value);
    // Each step of the cursor would fill the history.
    if (now !== location.hash) history.replaceState(null, '', now);
  });
}

// What completion has to know of the server: asked for when it is needed, and kept.
import { signal } from '@preact/signals';
import { get, part } from '../api/http';
import { promqlAddress } from '../trusted';
import type * as Promql from './promql';
import type { Catalogue, Wanted } from './promql';

/** The part of the page that knows PromQL; null: it is not loaded (a saved page has none). */
export const promql = signal<typeof Promql | null>(null);
export function loadPromql() {
  if (promql.value) return;
  try {
    const address = promqlAddress();
    import(address).then((loaded: typeof Promql) => { promql.value = loaded; }, () => { /* the editor is plain text then */ });
  } catch { /* the same */ }
}

interface Listed { readonly data: readonly string[] }
interface Metadata { readonly data: Readonly<Record<string, readonly { readonly help: string }[]>> }
/** Only what is of the last so many seconds is offered: to look through all that is kept takes long. */
const RECENT_S = 600;
/** Values of a label that are offered at most. */
const VALUES = 1_000;

const lists = signal<Readonly<Record<string, readonly string[]>>>({});
const help = signal<Readonly<Record<string, string>>>({});
const asked = new Set<string>();

function list(key: string, path: string, params: Record<string, string | number | undefined>) {
  if (asked.has(key)) return;
  asked.add(key);
  get<Listed>(path, params).then(({ data }) => { lists.value = { ...lists.peek(), [key]: data }; }, () => { asked.delete(key); });
}

/** Asks for what is wanted, unless it is known, and returns what is known now. */
export function catalogue(wanted: Wanted): Catalogue {
  const start = Math.floor(Date.now() / 1_000) - RECENT_S;
  let labels = '';
  let values = '';
  list('names', 'api/v1/label/__name__/values', { start });
  if (!asked.has('help')) {
    asked.add('help');
    get<Metadata>('api/v1/metadata').then(({ data }) => { help.value = Object.fromEntries(Object.entries(data).map(([name, [first]]) => [name, first?.help ?? ''])); }, () => { asked.delete('help'); });
  }
  if (wanted.kind === 'labels' || wanted.kind === 'values') {
    // Without a metric only a small one is looked through.
    const match = wanted.metric || (wanted.kind === 'values' ? `{__name__=~"s7mpa_.*",${wanted.label}!=""}` : 's7mpa_process_rss_bytes');
    const params = { 'match[]': match, start };
    if (wanted.kind === 'labels') list(labels = `labels ${match}`, 'api/v1/labels', params);
    else if (wanted.label === '__name__') values = 'names';
    else list(values = `values ${match} ${wanted.label}`, `api/v1/label/${part(wanted.label)}/values`, { ...params, limit: VALUES });
  }
  const known = lists.value;
  // Our own metrics are described; the list of all that are kept takes longer, and has those of others too.
  return { metrics: [...new Set([...Object.keys(help.value), ...(known.names ?? [])])], help: help.value, labels: (known[labels] ?? []).filter((each) => each !== '__name__'), values: known[values] ?? [] };
}

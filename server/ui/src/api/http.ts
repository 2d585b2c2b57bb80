// Requests to the server. Paths are relative: a reverse proxy may put a prefix before them.
import { signal } from '@preact/signals';

export const API = 'api/s7mpa/v1/';

/** A parameter that is `undefined` or '' is left out; a list is repeated. */
export type Params = Record<string, string | number | boolean | readonly string[] | undefined>;

/** What the server refused, or why it could not be asked. */
export class Refusal extends Error {
  /** HTTP status; 0: the server did not answer. */
  readonly status: number;
  constructor(status: number, detail: string) {
    super(detail);
    this.status = status;
  }
}

/** Since when the server has not answered, Unix ms; null: it answers. */
export const awaySince = signal<number | null>(null);
/** The session has ended, or there never was one. */
export const signedOut = signal(false);

/** A page that was saved has the answers that it showed, by address (see `export.ts`). */
export interface Saved {
  readonly at_ms: number;
  readonly host: string;
  /** End of the newest window by host. */
  readonly newest: Readonly<Record<string, number>>;
  readonly route: string;
  readonly answers: Record<string, { readonly json?: unknown; readonly base64?: string }>;
}
export const saved: Saved | null = (globalThis as { S7MPA_SAVED?: Saved }).S7MPA_SAVED ?? null;

/** Answers that the present view has, by address: what an export is made of. Changed by `load.ts`, and where more than one answer is one (`series.ts`, `logs/lines.ts`). */
export const shown = new Map<string, unknown>();

export function address(path: string, params: Params = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value === undefined || value === '' || value === false) continue;
    if (typeof value === 'object') for (const each of value) query.append(name, each);
    else query.append(name, String(value));
  }
  const text = query.toString();
  return (path.startsWith('api/') ? path : API + path) + (text && `${path.includes('?') ? '&' : '?'}${text}`);
}

/** A part of a path that may hold anything: a host, an id. */
export const part = encodeURIComponent;

async function ask(url: string, options: RequestInit): Promise<Response> {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if ((error as Error).name === 'AbortError') throw error;
    awaySince.value ??= Date.now();
    throw new Refusal(0, 'The server does not answer.');
  }
  if (response.status === 502 || response.status === 504) awaySince.value ??= Date.now();
  else awaySince.value = null;
  if (response.ok) return response;
  if (response.status === 401) signedOut.value = true;
  let detail = response.statusText;
  try {
    const problem = await response.json();
    detail = problem.detail ?? problem.error ?? problem.message ?? detail;
  } catch { /* not ours: the status has to do */ }
  throw new Refusal(response.status, detail);
}

// What says of each number which time it is of may be asked for about another second.
const DATED = /\/(series|states|alerts|columns|logs|histogram|postmortems|events)\?/;
const timeless = (url: string) => (DATED.test(url) ? url.replace(/([?&])(from|to)=[^&]*/g, '$1') : url);
const savedAnswer = (url: string) => {
  const found = saved?.answers[url] ?? Object.entries(saved?.answers ?? {}).find(([other]) => timeless(other) === timeless(url))?.[1];
  if (saved && !found) throw new Refusal(0, 'This is not in the saved page.');
  return found;
};

/** JSON of the answer. */
export async function get<T>(path: string, params?: Params, abort?: AbortSignal): Promise<T> {
  const url = address(path, params);
  const found = savedAnswer(url);
  if (found) return found.json as T;
  return (await ask(url, abort ? { signal: abort } : {})).json();
}

/** Bytes of the answer. */
export async function bytes(path: string, params?: Params, abort?: AbortSignal): Promise<ArrayBuffer> {
  const url = address(path, params);
  const found = savedAnswer(url);
  if (found) return Uint8Array.from(atob(found.base64 ?? ''), (c) => c.charCodeAt(0)).buffer;
  return (await ask(url, abort ? { signal: abort } : {})).arrayBuffer();
}

/** Changes something. */
export async function send<T>(method: 'POST' | 'PUT' | 'DELETE', path: string, body: unknown = {}, params?: Params): Promise<T> {
  if (saved) throw new Refusal(0, 'A saved page changes nothing.');
  const headers = { 'Content-Type': 'application/json' };
  const response = await ask(address(path, params), { method, headers, body: JSON.stringify(body) });
  return response.status === 204 ? ({} as T) : response.json();
}

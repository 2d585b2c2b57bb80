// Answers for views: asked for when their address changes, and again with each window while the page is live.
import { useEffect } from 'preact/hooks';
import { effect, signal, untracked, useSignal, type Signal } from '@preact/signals';
import { end, isLive } from '../time';
import { Refusal, address, bytes, get, saved, shown, type Params } from './http';
import { missed } from './live';

/** An answer. While another one is on its way the old one stays, so nothing jumps. */
export interface Answer<T> { readonly data: T | null; readonly error: Error | null; readonly loading: boolean }

/** The page can be seen: nothing is asked for by a hidden tab. */
export const visible = signal(!document.hidden);
document.addEventListener('visibilitychange', () => { visible.value = !document.hidden; });

export interface Options {
  /** Ask again with each window while the page is live; a number: at most once in so many ms. */
  readonly live?: boolean | number;
  /** The answer is bytes (`ArrayBuffer`). */
  readonly binary?: boolean;
  /** Ask again in so many ms when there is none: what is asked for may still come. */
  readonly again?: number;
}

/** What the server could not answer just then is asked for again after so long, ms. */
export const AGAIN_MS = 10_000;
export const mayRecover = (error: unknown) => !saved && error instanceof Refusal && (error.status === 0 || error.status === 429 || error.status >= 500);

/** An answer that one or more parts of the page show: asked for once for all of them. */
interface Asked { readonly url: string; readonly answer: Signal<Answer<unknown>>; readonly stop: () => void; users: number }
const everything = new Map<string, Asked>();

/** Follows an answer, with all others that ask the same in the same way. Gives how to leave it. */
function follow<T>(url: string, options: Required<Options>, take: (answer: Answer<T>) => void): () => void {
  const key = `${url} ${options.live} ${options.binary} ${options.again}`;
  const asked = everything.get(key) ?? start(url, options);
  everything.set(key, asked);
  asked.users++;
  const stop = asked.answer.subscribe((answer) => take(answer as Answer<T>));
  return () => {
    stop();
    if (--asked.users) return;
    everything.delete(key);
    asked.stop();
    // Another part may ask for it more or less often.
    if (![...everything.values()].some((each) => each.url === url)) shown.delete(url);
  };
}

function start(url: string, { live, binary, again: later }: Required<Options>): Asked {
  const answer = signal<Answer<unknown>>({ data: null, error: null, loading: true });
  const least = typeof live === 'number' ? live : 0;
  const abort = new AbortController();
  let running = false;
  let again = false;
  let failed = false;
  let last = -Infinity;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const ask = async () => {
    clearTimeout(timer);
    // One at a time: a slow server is asked less often.
    if (running) {
      again = true;
      return;
    }
    const wait = last + least - performance.now();
    if (wait > 0) {
      timer = setTimeout(ask, wait);
      return;
    }
    running = true;
    again = false;
    last = performance.now();
    try {
      const data = await (binary ? bytes(url, undefined, abort.signal) : get(url, undefined, abort.signal));
      // A long answer is read in one task and shown in another: 2,000 processes take 10 to 20 ms each.
      await new Promise((next) => { setTimeout(next); });
      if (abort.signal.aborted) return;
      shown.set(url, data);
      failed = false;
      answer.value = { data, error: null, loading: false };
    } catch (error) {
      if (abort.signal.aborted) return;
      answer.value = { data: answer.peek().data, error: error as Error, loading: false };
      const wait = mayRecover(error) ? AGAIN_MS : later;
      failed = wait > 0;
      // What is rarely asked for does not stay without an answer for as long.
      if (failed) last = Math.min(last, performance.now() + wait - least);
      if (failed && visible.peek()) timer = setTimeout(ask, wait);
    }
    running = false;
    if (again) void ask();
  };
  let seen = '';
  const stop = effect(() => {
    if (!visible.value) return;
    const now = `${missed.value} ${live && isLive.value && !saved ? end.value : ''}`;
    if (now === seen && !failed) return;
    seen = now;
    untracked(() => void ask());
  });
  return {
    url, answer, users: 0,
    stop() {
      stop();
      clearTimeout(timer);
      abort.abort();
    },
  };
}

/** The answer to a request; `path` null: nothing to ask yet. Paths as for `get` of `http.ts`. */
export function useAnswer<T>(path: string | null, params?: Params, { live = false, binary = false, again = 0 }: Options = {}): Answer<T> {
  const url = path === null ? '' : address(path, params);
  const answer = useSignal<Answer<T>>({ data: null, error: null, loading: url !== '' });
  useEffect(() => {
    if (!url) {
      answer.value = { data: null, error: null, loading: false };
      return undefined;
    }
    return follow<T>(url, { live, binary, again }, (next) => {
      // What was known of another time or host stays until something is known of this one; not as if it were of this one, if nothing is.
      answer.value = next.loading ? { data: answer.peek().data, error: null, loading: true } : next;
    });
  }, [url, live, binary, again]);
  return answer.value;
}

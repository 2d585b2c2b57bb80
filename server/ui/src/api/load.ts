// Answers for views: asked for when their address changes, and again with each window while the page is live.
import { useEffect } from 'preact/hooks';
import { effect, signal, untracked, useSignal } from '@preact/signals';
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

/** The answer to a request; `path` null: nothing to ask yet. Paths as for `get` of `http.ts`. */
export function useAnswer<T>(path: string | null, params?: Params, { live = false, binary = false, again: later = 0 }: Options = {}): Answer<T> {
  const url = path === null ? '' : address(path, params);
  const answer = useSignal<Answer<T>>({ data: null, error: null, loading: url !== '' });
  useEffect(() => {
    if (!url) {
      answer.value = { data: null, error: null, loading: false };
      return undefined;
    }
    const least = typeof live === 'number' ? live : 0;
    const abort = new AbortController();
    let running = false;
    let again = false;
    let failed = false;
    /** The answer that is shown is of this address. */
    let own = false;
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
        const data = await (binary ? bytes(url, undefined, abort.signal) : get<T>(url, undefined, abort.signal)) as T;
        // A long answer is read in one task and shown in another: 2,000 processes take 10 to 20 ms each.
        await new Promise((next) => { setTimeout(next); });
        if (abort.signal.aborted) return;
        shown.set(url, data);
        own = true;
        failed = false;
        answer.value = { data, error: null, loading: false };
      } catch (error) {
        if (abort.signal.aborted) return;
        // What was known of another time or host is not shown as if it were of this one.
        answer.value = { data: own ? answer.peek().data : null, error: error as Error, loading: false };
        const wait = mayRecover(error) ? AGAIN_MS : later;
        failed = wait > 0;
        if (failed && visible.peek()) timer = setTimeout(ask, wait);
      }
      running = false;
      if (again) void ask();
    };
    answer.value = { ...answer.peek(), error: null, loading: true };
    let seen = '';
    const stop = effect(() => {
      if (!visible.value) return;
      const now = `${missed.value} ${live && isLive.value && !saved ? end.value : ''}`;
      if (now === seen && !failed) return;
      seen = now;
      untracked(() => void ask());
    });
    return () => {
      stop();
      clearTimeout(timer);
      abort.abort();
      shown.delete(url);
    };
  }, [url, live, binary, later]);
  return answer.value;
}

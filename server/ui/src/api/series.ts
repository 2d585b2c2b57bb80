// Numbers over time for graphs. The past is asked for at once; live ones only for what is new, and kept in a ring.
import { useEffect } from 'preact/hooks';
import { effect, untracked, useSignal } from '@preact/signals';
import { end, host, view } from '../time';
import { address, get, part, saved, shown } from './http';
import { AGAIN_MS, mayRecover, visible } from './load';
import { missed } from './live';
import { joined, read, type Part, type Series } from './series-parts';

export type { Series };

/** Most points of a graph over time. */
const POINTS = 300;
const STEPS = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_800, 3_600];
export const stepOf = (span_ms: number) => STEPS.find((each) => span_ms / 1_000 / each <= POINTS) ?? 3_600;

/** What metrics (PromQL selectors, such as `s7mpa_cpu_user_ns{cpu="all"}`) were over the time that graphs show; of the chosen host. */
export function useSeries(selects: readonly string[], of: string = host.value): { data: Series | null; error: Error | null } {
  const state = useSignal<{ data: Series | null; error: Error | null }>({ data: null, error: null });
  const key = selects.join('\n');
  const shownView = view.value;
  const span = shownView.live ? shownView.span : shownView.to - shownView.from;
  const step = stepOf(span);
  const fixed = shownView.live ? '' : `${shownView.from} ${shownView.to}`;
  useEffect(() => {
    if (!of || !key) return undefined;
    const abort = new AbortController();
    const floor = (ms: number) => Math.floor(ms / 1_000 / step) * step;
    const ask = async (from_s: number, to_s: number) => {
      const params = { select: key.split('\n'), from: from_s, to: to_s, step: `${step}s` };
      const path = `hosts/${part(of)}/series`;
      const answer = await get<Part>(path, params, abort.signal);
      return { answer, url: address(path, params) };
    };
    let running = false;
    let whole = '';
    let timer: ReturnType<typeof setTimeout> | undefined;
    let newestSeen = -1;
    const run = async (all: boolean) => {
      if (running) return;
      running = true;
      clearTimeout(timer);
      try {
        const old = state.peek().data;
        const to_ms = shownView.live ? end.peek() : shownView.to;
        const from_ms = to_ms - span;
        // The newest part is not whole yet, and late windows may have come. The first end may have been that of a clock ahead of the server's.
        const last = (old?.times[old.times.length - 1] ?? 0) / 1_000 - 3 * step;
        const anew = all || last <= 0 || last > floor(to_ms);
        const from_s = anew ? floor(from_ms) : Math.max(floor(from_ms), last);
        const { answer, url } = await ask(from_s, floor(to_ms) + step);
        const next = read(answer);
        const data = old && !anew ? joined(old, next, from_ms) : next;
        if (abort.signal.aborted) return;
        if (anew) {
          shown.delete(whole);
          whole = url;
        }
        // A saved page asks for all at once.
        shown.set(whole, { from: new Date((data.times[0] ?? to_ms) - step * 1_000).toISOString(), to: answer.to, step_s: step, windows: data.windows, series: data.series });
        state.value = { data, error: null };
      } catch (error) {
        if (abort.signal.aborted) return;
        // Of another host or time: it is not what was asked for.
        state.value = { data: whole ? state.peek().data : null, error: error as Error };
        if (mayRecover(error)) timer = setTimeout(() => { timer = undefined; if (visible.peek()) void run(!whole); else newestSeen = -1; }, AGAIN_MS);
      } finally {
        running = false;
      }
    };
    let missedSeen = -1;
    const stop = effect(() => {
      if (!visible.value) return;
      const tick = shownView.live && !saved ? Math.floor(end.value / 1_000 / step) : 0;
      const lost = missed.value;
      const all = missedSeen !== lost || (tick - newestSeen) * step * 1_000 > span;
      if (tick === newestSeen && missedSeen === lost) return;
      newestSeen = tick;
      missedSeen = lost;
      untracked(() => void run(all));
    });
    return () => {
      stop();
      clearTimeout(timer);
      abort.abort();
      shown.delete(whole);
    };
  }, [key, of, span, step, fixed]);
  return state.value;
}

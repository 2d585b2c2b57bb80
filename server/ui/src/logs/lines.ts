// The lines of a question as they come: the first ones, older ones on demand, newer ones while the page is live.
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { effect, untracked } from '@preact/signals';
import { address, get, saved, shown } from '../api/http';
import { logged } from '../api/live';
import { mayRecover, useAnswer, visible } from '../api/load';
import { end } from '../time';
import { msOfNs, newestOf } from './model';
import { MOST_WAITING, PAGE, pagesOf, type Ask } from './pages';
import type { Lines } from './types';

/** Lines that came meanwhile are asked for so often at most, ms; without news of them as often as the second number says. */
const NEWS_MS = 500;
const WITHOUT_NEWS_MS = 5_000;
/** The server says at most twice a second that there are lines: of those that came just after it said so nothing is said. So it is asked once more, ms. */
const ONCE_MORE_MS = 700;
/** After an error that may pass newer lines are asked for again, ms. */
const AFTER_ERROR_MS = 2_000;
/** So much before the newest line is asked for again: sources are read one after another, ms. */
const LATE_MS = 3_000;

export interface Question {
  readonly host: string | undefined;
  readonly query: string;
  readonly from: string;
  /** Without it, the newest time: lines that come belong to it. */
  readonly to?: string | undefined;
  readonly limit?: number;
}

/** `following`: new lines are shown as they come; else they wait. */
export function useLines(question: Question | null, following: boolean) {
  const { limit = PAGE, ...of } = question ?? { host: undefined, query: '', from: '' };
  const answer = useAnswer<Lines>(question && 'logs', { ...of, limit });
  const pages = useMemo(pagesOf, []);
  const { list, waiting, failed, cut } = pages;
  const follows = useRef(following);
  follows.current = following;
  const data = answer.data;
  // In the same turn: the lines of one question are never shown as those of another.
  useMemo(() => untracked(() => pages.begin(data)), [data]);

  const url = address('logs', { ...of, limit });
  useEffect(() => effect(() => {
    const whole = pages.whole();
    // A saved page asks once. Of a question that is left nothing is saved.
    if (whole && shown.has(url)) shown.set(url, whole);
  }), [data]);

  const ask: Ask = (params, abort) => get<Lines>('logs', { ...of, limit, ...params }, abort);
  // Of a question that has no answer yet nothing follows.
  const older = async () => { if (!answer.loading) await pages.older(ask); };
  const onwards = async () => { if (!answer.loading) await pages.onwards(ask); };

  const live = question !== null && question.to === undefined && !saved;
  const key = JSON.stringify(of);
  useEffect(() => {
    if (!live || !data) return undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let running = false;
    let again = false;
    /** News came: what came just after them is to be asked for, too. */
    let trail = false;
    let last = performance.now();
    const abort = new AbortController();
    const newer = async () => {
      timer = undefined;
      running = true;
      again = false;
      last = performance.now();
      let next: number | undefined;
      try {
        const newest = [newestOf(list.value)?.at_ns, waiting.value[0]?.at_ns].filter((each) => each !== undefined).sort().at(-1);
        const from = newest === undefined ? of.from : new Date(msOfNs(newest) - LATE_MS).toISOString();
        const found = await get<Lines>('logs', { ...of, from, limit: MOST_WAITING }, abort.signal);
        if (abort.signal.aborted) return;
        pages.came(found.lines, follows.current);
      } catch (error) {
        if (abort.signal.aborted) return;
        if (!mayRecover(error)) failed.value = error as Error;
        else if (visible.peek()) next = AFTER_ERROR_MS;
        // A hidden tab asks again when it is seen.
        else last = -Infinity;
      } finally {
        running = false;
        next ??= again ? NEWS_MS : trail ? ONCE_MORE_MS : undefined;
        trail = again;
        if (next !== undefined && !abort.signal.aborted) soon(next);
      }
    };
    const soon = (least: number) => {
      if (running) {
        again = true;
        return;
      }
      const wait = Math.max(0, last + least - performance.now());
      timer ??= setTimeout(() => void newer(), wait);
    };
    const newsOf = (all: Readonly<Record<string, number>>) => (of.host === undefined ? Object.values(all).reduce((sum, each) => sum + each, 0) : all[of.host] ?? 0);
    let seen = newsOf(logged.peek());
    // What came while the first answer was on its way.
    soon(ONCE_MORE_MS);
    const stop = effect(() => {
      if (!visible.value) return;
      const news = newsOf(logged.value);
      void end.value;
      untracked(() => {
        if (news !== seen) {
          trail = true;
          soon(NEWS_MS);
        } else if (performance.now() - last >= WITHOUT_NEWS_MS) soon(0);
        seen = news;
      });
    });
    return () => {
      stop();
      clearTimeout(timer);
      abort.abort();
    };
  }, [live, key, data]);
  useEffect(() => { if (following && !cut.value) pages.show(); }, [following]);

  return { ...pages, answer, older, onwards, live };
}
export type Found = ReturnType<typeof useLines>;

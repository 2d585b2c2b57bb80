// The lines of a question as they come: the first ones, older ones on demand, newer ones while the page is live.
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { batch, effect, untracked, useSignal } from '@preact/signals';
import { get, saved, type Params } from '../api/http';
import { logged } from '../api/live';
import { mayRecover, useAnswer, visible } from '../api/load';
import { end } from '../time';
import { MOST, NONE, beforeOf, idOf, listOf, newestOf, withNewer, withOlder, type List } from './model';
import type { Line, Lines } from './types';

/** Lines of the first answer and of those that follow. */
const PAGE = 200;
/** Most lines of one answer. */
const MOST_PAGE = 5_000;
/** Lines that came meanwhile are asked for so often at most, ms; without news of them as often as the second number says. */
const NEWS_MS = 500;
const WITHOUT_NEWS_MS = 5_000;
/** The server says at most twice a second that there are lines: of those that came just after it said so nothing is said. So it is asked once more, ms. */
const ONCE_MORE_MS = 700;
/** After an error that may pass, ms. */
const AGAIN_MS = 2_000;
/** So much before the newest line is asked for again: sources are read one after another, ms. */
const LATE_MS = 3_000;
/** New lines that wait at most while one reads older ones. */
const MOST_WAITING = 1_000;

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
  const list = useSignal<List>(NONE);
  const more = useSignal(false);
  /** How far back was looked, Unix ns, where it was not all the way. */
  const stopped = useSignal<string | null>(null);
  const waiting = useSignal<readonly Line[]>([]);
  const busy = useSignal(false);
  const failed = useSignal<Error | null>(null);
  /** Newer lines than the list's first one were left out. */
  const cut = useSignal(false);
  const follows = useRef(following);
  follows.current = following;
  const data = answer.data;

  /** Rises when another question begins. */
  const generation = useRef(0);
  const begin = (lines: Lines | null) => batch(() => {
    generation.current++;
    list.value = lines ? listOf(lines.lines) : NONE;
    more.value = lines?.more ?? false;
    stopped.value = lines && !lines.complete ? lines.searched_to_ns : null;
    waiting.value = [];
    failed.value = null;
    cut.value = false;
  });
  // In the same turn: the lines of one question are never shown as those of another.
  useMemo(() => untracked(() => begin(data)), [data]);

  const ask = (params: Params) => get<Lines>('logs', { ...of, ...params } as Params);
  /** Asks for older lines. An answer that has nothing new ends among lines of one moment: the next one is longer. */
  const older = async () => {
    const before = list.value;
    const asked = generation.current;
    // Of a question that has no answer yet nothing follows.
    if (busy.value || answer.loading || (!more.value && stopped.value === null) || before.count >= MOST) return;
    busy.value = true;
    failed.value = null;
    try {
      for (let size = PAGE; ; size = Math.min(size * 5, MOST_PAGE)) {
        const found = await ask({ before_ns: stopped.value ?? beforeOf(before), limit: size });
        if (generation.current !== asked) return;
        const next = withOlder(list.value, found.lines);
        const grew = next.count > list.value.count;
        batch(() => {
          list.value = next;
          more.value = found.more && (grew || size < MOST_PAGE);
          stopped.value = found.complete ? null : found.searched_to_ns;
        });
        if (grew || !found.more || size >= MOST_PAGE) return;
      }
    } catch (error) {
      failed.value = error as Error;
    } finally {
      busy.value = false;
    }
  };
  /** Goes on with older lines in place of those that are shown. */
  const onwards = async () => {
    const before_ns = beforeOf(list.value);
    busy.value = true;
    try {
      const found = await ask({ before_ns, limit });
      begin(found);
      cut.value = true;
    } catch (error) {
      failed.value = error as Error;
    } finally {
      busy.value = false;
    }
  };
  const show = () => {
    if (cut.value) return void begin(data);
    const lines = waiting.value;
    if (lines.length === 0) return undefined;
    return batch(() => {
      // Too many came: what lies between is asked for as one scrolls down.
      list.value = lines.length >= MOST_WAITING ? listOf(lines) : withNewer(list.value, lines);
      if (lines.length >= MOST_WAITING) more.value = true;
      waiting.value = [];
    });
  };

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
        const from = newest === undefined ? of.from : new Date(Number(BigInt(newest) / 1_000_000n) - LATE_MS).toISOString();
        const found = await get<Lines>('logs', { ...of, from, limit: MOST_WAITING }, abort.signal);
        if (abort.signal.aborted) return;
        const fresh = listOf(found.lines).blocks.flatMap((block) => block.lines);
        batch(() => {
          const all = withNewer(waiting.value.length ? listOf(waiting.value) : NONE, fresh.filter((line) => !list.value.known.has(idOf(line))));
          waiting.value = all.blocks.flatMap((block) => block.lines).slice(0, MOST_WAITING);
          if (follows.current && !cut.value) show();
        });
      } catch (error) {
        if (abort.signal.aborted) return;
        if (mayRecover(error)) next = AGAIN_MS;
        else failed.value = error as Error;
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
  useEffect(() => { if (following && !cut.value) show(); }, [following]);

  return { answer, list, more, stopped, waiting, busy, failed, cut, older, onwards, show, live };
}
export type Found = ReturnType<typeof useLines>;

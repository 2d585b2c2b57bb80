// The lines that a view has of its question: those of the first answer, older ones on demand, and newer ones, which may wait while one reads.
import { batch, signal } from '@preact/signals';
import type { Params } from '../api/http';
import { MOST, NONE, beforeOf, idOf, linesOf, listOf, withNewer, withOlder, type List } from './model';
import type { Line, Lines } from './types';

/** Lines of the first answer and of those that follow. */
export const PAGE = 200;
/** Most lines of one answer. */
const MOST_PAGE = 5_000;
/** New lines that wait at most while one reads older ones. */
export const MOST_WAITING = 1_000;

/** Asks the present question about other lines of it. */
export type Ask = (params: Params, abort?: AbortSignal) => Promise<Lines>;

export function pagesOf() {
  const list = signal<List>(NONE);
  const more = signal(false);
  /** How far back was looked, Unix ns, where it was not all the way. */
  const stopped = signal<string | null>(null);
  const waiting = signal<readonly Line[]>([]);
  const busy = signal(false);
  const failed = signal<Error | null>(null);
  /** Newer lines than the list's first one were left out. */
  const cut = signal(false);
  let first: Lines | null = null;
  /** Ends what is asked of the present lines when others take their place. */
  let present = new AbortController();

  const put = (lines: Lines | null) => batch(() => {
    present.abort();
    present = new AbortController();
    list.value = lines ? listOf(lines.lines) : NONE;
    more.value = lines?.more ?? false;
    stopped.value = lines && !lines.complete ? lines.searched_to_ns : null;
    waiting.value = [];
    busy.value = false;
    failed.value = null;
    cut.value = false;
  });
  /** Another question begins: with its answer, or without one. */
  const begin = (lines: Lines | null) => {
    first = lines;
    put(lines);
  };

  /** Does `work`, which asks: once other lines have taken the place of those it asks of, no answer and no error of it counts. */
  const asking = async (ask: Ask, work: (ask: Ask) => Promise<void>) => {
    const { signal: abort } = present;
    batch(() => {
      busy.value = true;
      failed.value = null;
    });
    try {
      await work(async (params) => {
        const found = await ask(params, abort);
        abort.throwIfAborted();
        return found;
      });
    } catch (error) {
      if (!abort.aborted) failed.value = error as Error;
    } finally {
      if (!abort.aborted) busy.value = false;
    }
  };
  /** Asks for older lines. An answer that has nothing new ends among lines of one moment: the next one is longer. */
  const older = async (ask: Ask) => {
    const before = list.value;
    if (busy.value || (!more.value && stopped.value === null) || before.count >= MOST) return;
    await asking(ask, async (own) => {
      for (let size = PAGE; ; size = Math.min(size * 5, MOST_PAGE)) {
        const found = await own({ before_ns: stopped.value ?? beforeOf(before), limit: size });
        const next = withOlder(list.value, found.lines);
        const grew = next.count > list.value.count;
        batch(() => {
          list.value = next;
          more.value = found.more && (grew || size < MOST_PAGE);
          stopped.value = found.complete ? null : found.searched_to_ns;
        });
        if (grew || !found.more || size >= MOST_PAGE) return;
      }
    });
  };
  /** Goes on with older lines in place of those that are shown. */
  const onwards = async (ask: Ask) => {
    if (busy.value) return;
    await asking(ask, async (own) => {
      const found = await own({ before_ns: beforeOf(list.value) });
      batch(() => {
        put(found);
        cut.value = true;
      });
    });
  };
  /** Shows the newest lines: those that wait, or the first ones again. */
  const show = () => {
    if (cut.value) return put(first);
    const lines = waiting.value;
    if (lines.length === 0) return undefined;
    return batch(() => {
      // Too many came: what lies between is asked for as one scrolls down.
      list.value = lines.length >= MOST_WAITING ? listOf(lines) : withNewer(list.value, lines);
      if (lines.length >= MOST_WAITING) more.value = true;
      waiting.value = [];
    });
  };
  /** Lines that came meanwhile, newest first; some of them may be known. */
  const came = (lines: readonly Line[], following: boolean) => batch(() => {
    const { known } = list.value;
    waiting.value = linesOf(withNewer(listOf(waiting.value), lines.filter((line) => !known.has(idOf(line))))).slice(0, MOST_WAITING);
    if (following && !cut.value) show();
  });
  /** The first answer as if it had been asked for now: with the lines that followed. */
  const whole = (): Lines | null => {
    const now = { lines: linesOf(list.value), more: more.value, complete: stopped.value === null };
    return first && { ...first, ...now, searched_to_ns: stopped.value ?? first.searched_to_ns };
  };
  return { list, more, stopped, waiting, busy, failed, cut, begin, older, onwards, show, came, whole };
}

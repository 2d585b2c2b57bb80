// What is asked of the server: what the graph is of, as parameters of `GET flamegraph`.
import type { Params } from '../api/http';
import { EARLIER_MS, absolute, earlier, iso, type Interval } from '../time';
import type { FlameProps } from './flame';

/** Profiles come once a minute: without a chosen time it is of what came in so many seconds. */
const LIVE_S = 120;

/** What else may be compared with, by the word in the address. */
export const BASES: Readonly<Record<keyof typeof EARLIER_MS, string>> = {
  before: 'the same length before', hour: 'an hour earlier', day: 'a day earlier', week: 'a week earlier',
};

/** `time` null: live. */
export function timeParams(time: Interval | null): Params {
  return time ? absolute(time) : { from: `-${LIVE_S}s` };
}
export function baseParams(time: Interval | null, base: Interval | string | undefined): Params {
  if (!base) return {};
  const own = typeof base !== 'string';
  if (!own && !Object.hasOwn(BASES, base)) return {};
  const { from, to } = own ? base : earlier(time ?? { from: -LIVE_S * 1_000, to: 0 }, EARLIER_MS[base as keyof typeof EARLIER_MS]);
  return own || time ? { base_from: iso(from), base_to: iso(to) } : { base_from: `${from / 1_000}s`, base_to: `${to / 1_000}s` };
}
export function ofParams({ pid, comm, place }: Pick<FlameProps, 'pid' | 'comm' | 'place'>, host: string): Params {
  const pids = pid === undefined ? [] : typeof pid === 'number' ? [pid] : pid;
  return { host, pid: pids.map(String), comm, place };
}

// What is asked of the server: what the graph is of, as parameters of `GET flamegraph`.
import type { Params } from '../api/http';
import { before, iso, type Interval } from '../time';
import type { FlameProps } from './flame';

/** Profiles come once a minute: without a chosen time it is of what came in so many seconds. */
const LIVE_S = 120;

/** What else may be compared with, by the word in the address: ms before. */
export const BASES: readonly { readonly key: string; readonly label: string; readonly ms: number }[] = [
  { key: 'before', label: 'the same length before', ms: 0 },
  { key: 'hour', label: 'an hour earlier', ms: 3_600_000 },
  { key: 'day', label: 'a day earlier', ms: 86_400_000 },
  { key: 'week', label: 'a week earlier', ms: 7 * 86_400_000 },
];

/** `time` null: live. */
export function timeParams(time: Interval | null): Params {
  return time ? { from: iso(time.from), to: iso(time.to) } : { from: `-${LIVE_S}s` };
}
export function baseParams(time: Interval | null, base: Interval | string | undefined): Params {
  if (!base) return {};
  if (typeof base !== 'string') return { base_from: iso(base.from), base_to: iso(base.to) };
  const ms = BASES.find(({ key }) => key === base)?.ms;
  if (ms === undefined) return {};
  if (time) {
    const other = ms ? { from: time.from - ms, to: time.to - ms } : before(time);
    return { base_from: iso(other.from), base_to: iso(other.to) };
  }
  const s = ms ? ms / 1_000 : LIVE_S;
  return { base_from: `-${s + LIVE_S}s`, base_to: `-${s}s` };
}
export function ofParams({ pid, comm, place }: Pick<FlameProps, 'pid' | 'comm' | 'place'>, host: string): Params {
  const pids = pid === undefined ? [] : typeof pid === 'number' ? [pid] : pid;
  return { host, pid: pids.map(String), comm, place };
}

// Moments below what is drawn over time, in even steps from its begin to its end.
import { clock, day, moment } from '../format';
import type { Interval } from '../time';

const TICKS = 5;

/** With the day, and without seconds, if it goes over midnight. */
export function Axis({ time: { from, to } }: { time: Interval }) {
  const long = day(from) !== day(to);
  const words = (ms: number) => (long ? moment(ms).replace(/:\d\d$/, '') : clock(ms));
  return <div class="time-axis" aria-hidden="true">{Array.from({ length: TICKS }, (_, at) => <span key={at}>{words(from + ((to - from) * at) / (TICKS - 1))}</span>)}</div>;
}

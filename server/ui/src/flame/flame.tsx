// A flame graph that other views embed: `<Flame pid={42} start_ms={8520} prefix="f-" />`.
import { Empty } from '../parts/notes';
import type { Interval } from '../time';

/** What a flame graph is of: where threads ran (samples), where they waited and for what (ns), both (ns), or where they waited and who ended that. */
export type FlameKind = 'on-cpu' | 'off-cpu' | 'wall' | 'wakers';
export const KINDS: readonly { readonly kind: FlameKind; readonly label: string; readonly help: string }[] = [
  { kind: 'on-cpu', label: 'On CPU', help: 'Where threads ran' },
  { kind: 'off-cpu', label: 'Off CPU', help: 'Where threads waited, and for what' },
  { kind: 'wall', label: 'Wall', help: 'Both: all time of the threads' },
  { kind: 'wakers', label: 'Wakers', help: 'Where threads waited, and who ended it' },
];

/** All are optional: `<Flame />` is of the whole chosen host at the chosen time. */
export interface FlameProps {
  /** Of this host; the chosen one, if left out. */
  readonly host?: string | undefined;
  /** Of this process (or these). With `start_ms` (its start since boot) it is told from others that had its PID. */
  readonly pid?: number | readonly number[] | undefined;
  readonly start_ms?: number | undefined;
  /** Of processes of this name. */
  readonly comm?: string | undefined;
  /** Of processes of this container, cgroup or unit. */
  readonly place?: string | undefined;
  /** The time it is of, Unix ms; the chosen time of the page (live: the newest that is kept), if left out. */
  readonly time?: Interval | undefined;
  /** Shows from the start the difference to this time. Left out: the viewer may switch on the difference to the same length before. null: never. */
  readonly base?: Interval | null | undefined;
  /** The id of an alert: the stacks that went out with it, in place of a time. */
  readonly alert?: string | undefined;
  /** What it begins with; `on-cpu`, if left out. */
  readonly kind?: FlameKind | undefined;
  /** What one may switch between; all four, if left out. */
  readonly kinds?: readonly FlameKind[] | undefined;
  /** Put before its parameters in the address, so that two graphs of a view do not share them, such as `before-`. */
  readonly prefix?: string | undefined;
  /** Pixels of the graph; what the window has room for (360 at least), if left out. */
  readonly height?: number | undefined;
  /** With the table of functions beside it from the start. */
  readonly table?: boolean | undefined;
  /** With the strip of CPU and waiting over time that selects the time of the page. */
  readonly heat?: boolean | undefined;
  /** What it is called by screen readers; `Flame graph`, if left out. */
  readonly title?: string | undefined;
}

export function Flame(_: FlameProps) {
  return <Empty>The flame graph is not built yet.</Empty>;
}

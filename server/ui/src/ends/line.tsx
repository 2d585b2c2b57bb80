// Ends and events over time: a row for the ends, one for each class of events.
import { useLayoutEffect, useRef } from 'preact/hooks';
import { count, moment } from '../format';
import { Axis } from '../parts/axis';
import { go } from '../route';
import { select, type Interval } from '../time';
import { endParams, endedMs } from './group';
import type { End, HostEvent } from './types';
import { subjectOf, whoOf, type Lane } from './words';

/** Half of the time that a click on an event selects, ms. */
const AROUND_MS = 5_000;
/** Marks of a row that are drawn. */
const MOST_MARKS = 200;

export function Line({ time, ends, lanes }: { time: Interval; ends: readonly End[]; lanes: readonly Lane<HostEvent>[] }) {
  if (ends.length === 0 && lanes.length === 0) return null;
  // The lists below have the same as links: here a pointer is enough.
  return (
    <figure class="card alert-line" aria-label={`Time line of ${ends.length} ends and ${lanes.length} kinds of events; the lists below have the same.`}>
      <div class="alert-rows">
        {ends.length > 0 && (
          <div class="alert-row">
            <span class="alert-label">bad ends <span class="dim">{count(ends.length)}</span></span>
            <div class="alert-lanes end-lane">
              {ends.slice(0, MOST_MARKS).map((each) => (
                <Mark key={`${each.host} ${each.id}`} time={time} at={endedMs(each)} grave title={`${whoOf(each)}\n${moment(endedMs(each))}`}
                  onClick={() => go('ends', endParams(each))} />
              ))}
            </div>
          </div>
        )}
        {lanes.map((lane) => (
          <div class="alert-row" key={lane.key}>
            <span class="alert-label">{lane.label} <span class="dim">{count(lane.marks.length)}</span></span>
            <div class="alert-lanes end-lane">
              {lane.marks.slice(0, MOST_MARKS).map(({ at, of, count: times }, nth) => (
                <Mark key={`${nth} ${at}`} time={time} at={at} grave={lane.grave} title={`${subjectOf(of)}${times > 1 ? `, ${times} times` : ''}\n${moment(at)}`} onClick={() => select({ from: at - AROUND_MS, to: at + AROUND_MS })} />
              ))}
            </div>
          </div>
        ))}
      </div>
      <div class="alert-row" aria-hidden="true">
        <span class="alert-label" />
        <Axis time={time} />
      </div>
    </figure>
  );
}

function Mark({ time, at, grave, title, onClick }: { time: Interval; at: number; grave: boolean; title: string; onClick: () => void }) {
  const ref = useRef<HTMLButtonElement>(null);
  const part = Math.round(((at - time.from) / (time.to - time.from)) * 1_000) / 10;
  useLayoutEffect(() => { ref.current!.style.left = `${Math.min(100, Math.max(0, part))}%`; }, [part]);
  return <button ref={ref} tabIndex={-1} aria-hidden="true" class={`alert-mark end-mark ${grave ? 'open' : ''}`} title={title} onClick={onClick} />;
}

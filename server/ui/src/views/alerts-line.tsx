// Bars from opened to resolved over the time that graphs show, by kind.
import { useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import type { Alert } from '../api/types';
import { sentence } from '../findings';
import { count, length, moment } from '../format';
import { Axis } from '../parts/axis';
import { go } from '../route';
import { host, type Interval } from '../time';
import { isOpen, lanes, openedMs, type Bar } from './alerts-list';

const LANE = 16;
/** Bars move by such a part of the width, about a pixel. */
const STEPS = 1_000;

/** Alerts that are open last until the end of what is shown. */
export function AlertLine({ alerts, shown }: { alerts: readonly Alert[]; shown: Interval }) {
  const width_ms = shown.to - shown.from;
  const to = Math.ceil((shown.to * STEPS) / width_ms) * (width_ms / STEPS);
  const rows = useMemo(() => {
    const found = lanes(alerts, { from: to - width_ms, to }, to);
    return found.length > 0 && (
      <div class="alert-rows">
        {found.map((row) => (
          <div class="alert-row" key={row.key}>
            <span class="alert-label">{row.label} <span class="dim">{count(row.count)}</span></span>
            <Lanes count={row.lanes}>{row.bars.map((bar) => <Mark key={`${bar.alert.host} ${bar.alert.id}`} bar={bar} />)}</Lanes>
          </div>
        ))}
      </div>
    );
  }, [alerts, width_ms, to]);
  if (!rows) return null;
  // The list below has the same as links: here a pointer is enough.
  return (
    <figure class="card alert-line" aria-label={`Time line of ${alerts.length} alerts; the table below has the same.`}>
      {rows}
      <div class="alert-row" aria-hidden="true">
        <span class="alert-label" />
        <Axis time={shown} />
      </div>
    </figure>
  );
}

function Lanes({ count: lines, children }: { count: number; children: preact.ComponentChildren }) {
  const ref = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => { ref.current!.style.height = `${lines * LANE + 4}px`; }, [lines]);
  return <div ref={ref} class="alert-lanes">{children}</div>;
}

function Mark({ bar }: { bar: Bar }) {
  const ref = useRef<HTMLButtonElement>(null);
  const { alert, from, to, lane } = bar;
  useLayoutEffect(() => {
    const { style } = ref.current!;
    style.left = `${from * 100}%`;
    style.width = `${(to - from) * 100}%`;
    style.top = `${lane * LANE + 2}px`;
  }, [from, to, lane]);
  const words = `${sentence(alert.finding)}\n${moment(openedMs(alert))}, ${isOpen(alert) ? 'open' : `open for ${length(Math.max(1_000, alert.at_unix_ns / 1e6 - openedMs(alert)))}`}`;
  return (
    <button ref={ref} tabIndex={-1} aria-hidden="true" class={`alert-mark ${isOpen(alert) ? 'open' : ''} ${alert.acknowledged ? 'seen' : ''}`} title={words}
      onClick={() => go('alerts', { id: alert.id, ...(alert.host === host.value ? {} : { host: alert.host }) })} />
  );
}

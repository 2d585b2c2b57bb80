// The strip below the navigation: what the threads of the host did over time. Dragging selects the time that all views show.
import { useEffect, useRef } from 'preact/hooks';
import { effect, useSignal } from '@preact/signals';
import { useAnswer } from './api/load';
import { useSeries, type Series } from './api/series';
import type { Alerts } from './api/types';
import { clock, nsPerS, span } from './format';
import { cleared, drawCursor, timeAt, useDrag, useWidth } from './parts/canvas';
import { GROUPS, groupLabel, stateOf, type Group } from './states';
import { colour, theme } from './theme';
import { absolute, chosen, goLive, host, isLive, onGrid, range, select, selection, step } from './time';

const HEIGHT = 56;
/** What may be idle is left out: it would hide the rest. */
const DRAWN = GROUPS.map(({ group }) => group).filter((group) => group !== 'idle' && group !== 'peer');
const STATES_OF_HOST = ['{__name__=~"s7mpa_host_time_.*_ns",__name__!="s7mpa_host_time_lost_ns"}'];

/** ns each second by drawn group, for each part. */
function stacked(data: Series): Map<Group, number[]> {
  const found = new Map<Group, number[]>(DRAWN.map((group) => [group, data.times.map(() => 0)]));
  for (const { labels, values } of data.series) {
    const state = stateOf((labels.__name__ ?? '').replace('s7mpa_host_time_', ''));
    const sums = state.key === 'net_recv' ? undefined : found.get(state.group);
    if (sums) values.forEach((value, at) => { sums[at]! += (value ?? 0) / (data.windows[at] || 1); });
  }
  return found;
}

export function Timeline() {
  const canvas = useRef<HTMLCanvasElement>(null);
  const wide = useWidth(canvas);
  const hover = useSignal<number | null>(null);
  const { data } = useSeries(STATES_OF_HOST);
  const shown = range.value;
  const alerts = useAnswer<Alerts>(host.value ? 'alerts' : null, { host: host.value, ...absolute(onGrid(shown)), limit: 200 });
  const groups = data && stacked(data);
  const { drag, ...dragging } = useDrag((from, to) => select(onGrid({ from, to }, (data?.step_s ?? 1) * 1_000)));

  useEffect(() => effect(() => {
    theme.value;
    const width = wide.value;
    if (!canvas.current || !width) return;
    const g = cleared(canvas.current, width, HEIGHT);
    const { from, to } = range.value;
    const x = (time: number) => ((time - from) / (to - from)) * width;
    if (data && groups) {
      const sums = data.times.map((_, at) => DRAWN.reduce((sum, group) => sum + groups.get(group)![at]!, 0));
      const top = Math.max(1e9, ...sums) * 1.05;
      const base = data.times.map(() => HEIGHT);
      for (const group of DRAWN) {
        g.fillStyle = colour(`state-${group}`);
        groups.get(group)!.forEach((value, at) => {
          if (!value) return;
          const end = x(data.times[at]!);
          const start = x(data.times[at]! - data.step_s * 1_000);
          const height = (value / top) * (HEIGHT - 6);
          base[at]! -= height;
          g.fillRect(start, base[at]!, Math.max(end - start - (end - start > 4 ? 1 : 0), 0.7), height + 0.3);
        });
      }
      // Where nothing is known.
      g.fillStyle = colour('line');
      data.windows.forEach((known, at) => {
        if (!known && data.times[at]! < to) g.fillRect(x(data.times[at]! - data.step_s * 1_000), HEIGHT - 3, x(data.times[at]!) - x(data.times[at]! - data.step_s * 1_000) + 0.5, 3);
      });
    }
    g.fillStyle = colour('bad');
    for (const alert of alerts.data?.alerts ?? []) {
      const at = x(alert.opened_unix_ns / 1e6);
      if (at < 0 || at > width) continue;
      g.beginPath();
      g.moveTo(at - 4, 0);
      g.lineTo(at + 4, 0);
      g.lineTo(at, 6);
      g.fill();
    }
    const picked = drag.value ?? selection.value;
    drawCursor(g, x, HEIGHT, picked, drag.value ? null : hover.value);
  }), [data, alerts.data]);

  const timeOf = (event: PointerEvent) => timeAt(canvas.current!, event, range.value);
  const press = (event: KeyboardEvent) => {
    const { from, to } = chosen.value;
    const length = to - from;
    if (event.key === 'ArrowLeft' || event.key === 'ArrowRight') {
      const by = event.key === 'ArrowLeft' ? -1 : 1;
      if (event.shiftKey) select({ from, to: Math.max(from + 1_000, to + by * 1_000) });
      else step(by);
    } else if (event.key === 'Home') select({ from: range.value.from, to: range.value.from + length });
    else if (event.key === 'End') goLive();
    else return;
    event.preventDefault();
  };

  const at = data && hover.value !== null ? data.times.findIndex((time) => time >= hover.value!) : -1;
  const words = at >= 0 && groups
    ? `${clock(data!.times[at]!)}  ${DRAWN.filter((group) => groups.get(group)![at]! > 1e6).map((group) => `${groupLabel(group)} ${nsPerS(groups.get(group)![at]!)}`).join(', ') || 'idle'}`
    : selection.value ? `Selected: ${span(selection.value.from, selection.value.to)}` : 'Drag to select a time';
  return (
    <div class="timeline">
      <canvas
        ref={canvas} tabIndex={0} role="application" aria-label={`Time line of ${host.value}. ${isLive.value ? 'Live.' : `Selected: ${span(chosen.value.from, chosen.value.to)}.`} Left and right arrows step, with Shift they change the end.`}
        onKeyDown={press}
        onPointerDown={(event) => dragging.begin(event, timeOf(event))}
        onPointerMove={(event) => {
          if (drag.value) dragging.move(timeOf(event));
          else hover.value = timeOf(event);
        }}
        onPointerUp={dragging.end} onPointerCancel={dragging.cancel}
        onPointerLeave={() => { hover.value = null; }}
        onDblClick={() => select(null)}
      />
      <div class="dim timeline-words">
        <span class="cut">{words}</span>
        <span class="legend wide">{groups && DRAWN.filter((group) => groups.get(group)!.some((value) => value > 0)).map((group) => <span key={group}><i class={`swatch s-${group}`} />{groupLabel(group)}</span>)}</span>
      </div>
    </div>
  );
}

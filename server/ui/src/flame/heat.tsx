// How much ran and waited over the time that graphs show, a column a part: dragging over it selects the time of the page.
import { useEffect, useRef } from 'preact/hooks';
import { effect, useSignal } from '@preact/signals';
import { useAnswer } from '../api/load';
import type { Params } from '../api/http';
import type { Columns } from '../api/types';
import { length, nsPerS, span } from '../format';
import { cleared, drawCursor, useDrag, useWidth } from '../parts/canvas';
import { colour, theme } from '../theme';
import { LIVE_MS, absolute, onGrid, range, select, selection } from '../time';

const LANE = 22;
const LANES = [
  { key: 'oncpu_ns', label: 'on a CPU', short: 'CPU', colour: 'state-ran' },
  { key: 'waited_ns', label: 'waited', short: 'waited', colour: 'state-disk' },
] as const;

export function Heat({ of }: { of: Params }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const at = useSignal(-1);
  const { data, error } = useAnswer<Columns>('flamegraph/columns', { ...of, ...absolute(onGrid(range.value)) }, { live: LIVE_MS });
  const begin = data ? Date.parse(data.from) : 0;
  const step = (data?.step_s ?? 10) * 1_000;
  const columns = data?.oncpu_ns.length ?? 0;
  const wide = useWidth(canvas, columns > 0);
  /** The time of columns from one to another. */
  const timeOf = (from: number, to: number) => ({ from: begin + from * step, to: begin + (to + 1) * step });
  const pick = (from: number, to: number) => select(timeOf(from, to));
  const { drag, ...dragging } = useDrag(pick);

  useEffect(() => effect(() => {
    theme.value;
    const width = wide.value;
    if (!canvas.current || !width || !data) return;
    const g = cleared(canvas.current, width, LANES.length * LANE);
    const each = width / columns;
    LANES.forEach(({ key, colour: name }, lane) => {
      const values = data[key];
      const most = Math.max(...values, 1);
      g.fillStyle = colour(name);
      values.forEach((value, column) => {
        if (value <= 0) return;
        // The root: what is little is still seen. Height and strength say the same.
        const part = Math.sqrt(value / most);
        g.globalAlpha = 0.35 + 0.65 * part;
        const height = Math.max(1, part * (LANE - 3));
        g.fillRect(column * each, (lane + 1) * LANE - height, Math.max(each - (each > 4 ? 1 : 0), 0.7), height);
      });
    });
    g.globalAlpha = 1;
    g.font = '11px system-ui';
    g.textBaseline = 'top';
    LANES.forEach(({ short }, lane) => {
      g.fillStyle = colour('card');
      g.fillRect(2, lane * LANE + 2, g.measureText(short).width + 6, 14);
      g.fillStyle = colour('text');
      g.fillText(short, 5, lane * LANE + 3);
    });
    const x = (time: number) => ((time - begin) / step) * each;
    const picked = drag.value ? timeOf(drag.value.from, drag.value.to) : selection.value;
    drawCursor(g, x, LANES.length * LANE, picked, null);
    if (at.value >= 0) {
      g.strokeStyle = colour('text');
      g.strokeRect(at.value * each + 0.5, 0.5, Math.max(each - 1, 1), LANES.length * LANE - 1);
    }
  }), [data]);

  const columnOf = (event: PointerEvent) => {
    const box = canvas.current!.getBoundingClientRect();
    return Math.max(0, Math.min(columns - 1, Math.floor(((event.clientX - box.left) / box.width) * columns)));
  };
  const press = (event: KeyboardEvent) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
    if (by) at.value = Math.max(0, Math.min(columns - 1, at.value + by));
    else if (event.key === 'Enter' && at.value >= 0) pick(at.value, at.value);
    else if (event.key === 'Escape' && selection.peek()) select(null);
    else return;
    event.preventDefault();
  };
  if (!data || error || columns === 0 || data.kept_step_s === 0) return null;
  const seconds = step / 1_000;
  const picked = timeOf(at.value, at.value);
  const words = at.value < 0 ? `CPU and waiting, a column each ${length(step)}${data.kept_step_s > seconds ? ` (kept: each ${length(data.kept_step_s * 1_000)})` : ''}. Drag to select a time.`
    : `${span(picked.from, picked.to)}: ${LANES.map(({ key, label }) => `${label} ${nsPerS(data[key][at.value]! / seconds)}`).join(', ')}`;
  return (
    <div class="flame-heat">
      <canvas ref={canvas} tabIndex={0} role="application" aria-label="CPU and waiting over time. Left and right arrows move by a column, Enter selects it."
        onKeyDown={press} onPointerLeave={() => { at.value = -1; }} onPointerCancel={dragging.cancel}
        onPointerDown={(event) => dragging.begin(event, columnOf(event))}
        onPointerMove={(event) => {
          at.value = columnOf(event);
          dragging.move(at.value);
        }}
        onPointerUp={dragging.end}
      />
      <p class="dim small" aria-live="polite">{words}</p>
    </div>
  );
}

// System call × time, coloured by how long calls took, how much time they took, or how many there were. Dragging selects a time; arrows move a
// cell cursor, Enter selects its time.
import { useEffect, useRef } from 'preact/hooks';
import { effect, useSignal } from '@preact/signals';
import { clock, name, ns, perS, share } from '../format';
import { cleared, useDrag, useWidth } from '../parts/canvas';
import { params, set } from '../route';
import { colour, theme } from '../theme';
import { onGrid, range, select, selection } from '../time';
import { SCALES, colourAt, legend, valuesOf, type HeatRow, type Mode } from './process-heat';

const ROW = 22;
const AXIS = 20;
/** Names of calls stand left of the cells. */
const LEFT = 118;
/** Most rows: calls with less time follow behind a button. */
const FIRST_ROWS = 14;

interface Props { readonly rows: readonly HeatRow[]; readonly times: readonly number[]; readonly step_s: number }

export function HeatMap({ rows: all, times, step_s }: Props) {
  const { heat: asMode = 'p99', allcalls, call } = params.value;
  const mode = (asMode in SCALES ? asMode : 'p99') as Mode;
  const rows = allcalls ? all : all.slice(0, FIRST_ROWS);
  const scale = SCALES[mode];
  const canvas = useRef<HTMLCanvasElement>(null);
  const width = useWidth(canvas);
  const cell = useSignal<{ row: number; at: number } | null>(null);
  const { drag, ...dragging } = useDrag((from, to) => select(onGrid({ from, to }, step_s * 1_000)));
  const height = rows.length * ROW + AXIS;

  const x = (ms: number) => {
    const { from, to } = range.peek();
    return LEFT + ((ms - from) / (to - from)) * (width.peek() - LEFT);
  };
  useEffect(() => effect(() => {
    theme.value;
    const element = canvas.current!;
    const wide = width.value;
    const picked = drag.value ?? selection.value;
    const at = cell.value;
    if (!wide) return;
    element.style.height = `${height}px`;
    const g = cleared(element, wide, height);
    const colours = Array.from({ length: 8 }, (_, index) => colour(`heat-${index}`));
    g.font = '12px system-ui';
    g.textBaseline = 'middle';
    rows.forEach((row, index) => {
      const y = index * ROW;
      g.fillStyle = colour('raise');
      g.fillRect(LEFT, y + 1, wide - LEFT, ROW - 2);
      valuesOf(row, mode).forEach((value, part) => {
        const shade = colourAt(scale, value);
        const end = x(times[part]!);
        if (shade < 0 || end < LEFT) return;
        const start = Math.max(LEFT, x(times[part]! - step_s * 1_000));
        g.fillStyle = colours[shade]!;
        g.fillRect(start, y + 1, Math.max(end - start - (end - start > 4 ? 1 : 0), 0.7), ROW - 2);
      });
      g.fillStyle = colour(row.syscall === call ? 'accent' : 'text');
      g.fillText(`${row.syscall === call ? '▸ ' : ''}${name(row.syscall === 'other' ? 'all others' : row.syscall, 40)}`, 0, y + ROW / 2, LEFT - 8);
    });
    g.fillStyle = colour('dim');
    const { from, to } = range.peek();
    const marks = Math.max(2, Math.floor((wide - LEFT) / 110));
    for (let mark = 0; mark <= marks; mark++) {
      const time = from + ((to - from) * mark) / marks;
      g.textAlign = mark === 0 ? 'left' : mark === marks ? 'right' : 'center';
      g.fillText(clock(time), x(time), height - AXIS / 2 + 2);
    }
    g.textAlign = 'left';
    if (picked) {
      const [a, b] = [Math.max(LEFT, x(picked.from)), Math.min(wide, x(picked.to))];
      g.fillStyle = colour('select');
      if (b > a) g.fillRect(a, 0, b - a, height - AXIS);
    }
    if (at && times[at.at] !== undefined) {
      g.strokeStyle = colour('text');
      g.lineWidth = 1.5;
      g.strokeRect(x(times[at.at]! - step_s * 1_000), at.row * ROW + 0.75, Math.max(2, x(times[at.at]!) - x(times[at.at]! - step_s * 1_000)), ROW - 1.5);
    }
  }), [rows, times, mode, call, height]);

  const found = (event: PointerEvent) => {
    const box = canvas.current!.getBoundingClientRect();
    const { from, to } = range.value;
    const share = (event.clientX - box.left - LEFT) / (box.width - LEFT);
    const time = from + Math.min(1, Math.max(0, share)) * (to - from);
    return { time, row: Math.floor((event.clientY - box.top) / ROW), left: share < 0, at: times.findIndex((each) => each >= time) };
  };
  const press = (event: KeyboardEvent) => {
    const now = cell.value ?? { row: 0, at: times.length - 1 };
    const moves: Record<string, [number, number]> = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const move = moves[event.key];
    if (move) cell.value = { row: Math.min(rows.length - 1, Math.max(0, now.row + move[0])), at: Math.min(times.length - 1, Math.max(0, now.at + move[1])) };
    else if (event.key === 'Enter' && cell.value) select({ from: times[now.at]! - step_s * 1_000, to: times[now.at]! });
    else return;
    event.preventDefault();
  };
  const at = cell.value;
  const picked = at && rows[at.row];
  const words = picked && times[at.at] !== undefined ? describe(picked, times[at.at]!, at.at) : 'Point at a cell for its numbers; drag to select a time';
  return (
    <div class="stack heat">
      <div class="row">
        <div class="row joined three" role="group" aria-label="What colours show">
          {(Object.keys(SCALES) as Mode[]).map((each) => <button key={each} aria-pressed={each === mode} title={SCALES[each].help} onClick={() => set({ heat: each === 'p99' ? undefined : each })}>{SCALES[each].label}</button>)}
        </div>
        <div class="legend" aria-label={`Colours: ${scale.label}`}>{legend(scale).map((text, index) => <span key={text}><i class={`swatch heat-${index}`} />{text}</span>)}</div>
      </div>
      <canvas ref={canvas} tabIndex={0} role="application" aria-label={`System calls over time: ${scale.label}. Arrows move, Enter selects the time. ${words}`} onKeyDown={press}
        onPointerDown={(event) => {
          const { time, left, row } = found(event);
          if (left) {
            const syscall = rows[row]?.syscall;
            set({ call: syscall === call ? undefined : syscall });
            return;
          }
          dragging.begin(event, time);
        }}
        onPointerMove={(event) => {
          const { time, row, at: part, left } = found(event);
          dragging.move(time);
          cell.value = !left && rows[row] && part >= 0 ? { row, at: part } : null;
        }}
        onPointerUp={dragging.end} onPointerCancel={dragging.cancel}
        onPointerLeave={() => { cell.value = null; }} />
      <div class="row dim heat-words"><span class="grow" role="status">{words}</span>
        {all.length > FIRST_ROWS && <button onClick={() => set({ allcalls: allcalls ? undefined : '1' })}>{allcalls ? 'Show fewer' : `Show all ${all.length} calls`}</button>}
      </div>
    </div>
  );
}

const described = (value: number | null | undefined, format: (value: number) => string) => (value === null || value === undefined ? '–' : format(value));
const describe = (row: HeatRow, time: number, at: number) =>
  `${clock(time)} ${name(row.syscall, 60)}: p99 ${described(row.p99[at], ns)}, ${described(row.share[at], share)} of a thread, ${described(row.calls[at], perS)}`;

// A graph over time (uPlot). Dragging selects the time that all views show; what is selected is marked in all graphs.
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { effect, useSignal, type Signal } from '@preact/signals';
import uPlot from 'uplot';
import { bytes, bytesPerS, clock, name } from '../format';
import { colour, theme } from '../theme';
import { range, select, selection } from '../time';
import { Swatch } from './swatch';

export interface Line {
  readonly label: string;
  /** One a time; null: none. */
  readonly values: readonly (number | null)[];
  /** Name of a colour variable, such as `c1` or `state-disk`. */
  readonly colour: string;
}
interface Props {
  /** What the graph is called by. */
  readonly title: string;
  /** Unix ms, rising. */
  readonly times: readonly number[];
  readonly lines: readonly Line[];
  readonly format: (value: number) => string;
  /** One on top of the other. */
  readonly stacked?: boolean;
  readonly height?: number;
  /** The least that the axis reaches. */
  readonly top?: number;
}

/** Steps of an axis of bytes: their multiples are round in KiB and above. */
const BINARY_STEPS = Array.from({ length: 50 }, (_, power) => 2 ** power);
const BINARY_FORMATS: readonly unknown[] = [bytes, bytesPerS];

export function Chart({ title, times, lines, format, stacked = false, height = 130, top }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  /** Place in `times` that the pointer is at, in this graph or in another one. */
  const at = useSignal<number | null>(null);
  const props = useRef<Latest['current']>({ times, lines, top, format, at });
  props.current = { times, lines, top, format, at };
  const key = lines.map((line) => `${line.label}\t${line.colour}`).join('\n');

  useLayoutEffect(() => {
    const element = place.current!;
    let own: uPlot;
    const make = () => {
      own?.destroy();
      own = new uPlot(options(element.clientWidth, height, props, stacked), columns(props.current.times, props.current.lines, stacked), element);
      own.root.style.fontFamily = 'inherit';
      plot.current = own;
    };
    // Colours are drawn, not styled.
    const stop = effect(() => { theme.value; make(); });
    const resized = new ResizeObserver(() => { if (element.clientWidth && element.clientWidth !== own.width) own.setSize({ width: element.clientWidth, height }); });
    resized.observe(element);
    const marks = effect(() => { selection.value; plot.current?.redraw(false); });
    return () => {
      stop();
      marks();
      resized.disconnect();
      own.destroy();
      plot.current = null;
    };
  }, [key, stacked, height]);
  useEffect(() => { plot.current?.setData(columns(times, lines, stacked)); }, [times, lines]);

  const last = lines.map((line) => `${name(line.label, 120)} ${format(line.values.findLast((value) => value !== null) ?? NaN)}`).join(', ');
  return (
    <figure class="chart">
      <figcaption>
        <strong>{title}</strong>
        {lines.length <= 8 && <Keys times={times} lines={lines} format={format} at={at} />}
      </figcaption>
      <div ref={place} role="img" aria-label={`${title}: ${last}`} />
    </figure>
  );
}

/** Names and values: of the second that the pointer is at, else the last ones. */
function Keys({ times, lines, format, at }: Omit<Latest['current'], 'top'>) {
  const place = at.value;
  const time = place === null ? undefined : times[place];
  const value = (line: Line) => (time === undefined ? line.values.findLast((each) => each !== null) : line.values[place!]) ?? NaN;
  return (
    <span class="legend">
      {lines.map((line) => <span key={line.label}><Swatch fill={`var(--${line.colour})`} />{name(line.label, 120)} <span class="legend-value">{format(value(line))}</span></span>)}
      <span class="legend-time">{time !== undefined && clock(time)}</span>
    </span>
  );
}

function columns(times: readonly number[], lines: readonly Line[], stacked: boolean): uPlot.AlignedData {
  const seconds = times.map((time) => time / 1_000);
  if (!stacked) return [seconds, ...lines.map((line) => [...line.values])] as uPlot.AlignedData;
  const sums = times.map(() => 0);
  const stack = lines.map((line) => line.values.map((value, at) => (value === null ? null : (sums[at]! += value))));
  return [seconds, ...stack] as uPlot.AlignedData;
}

interface Latest { readonly current: { times: readonly number[]; lines: readonly Line[]; top: number | undefined; format: (value: number) => string; at: Signal<number | null> } }

function options(width: number, height: number, latest: Latest, stacked: boolean): uPlot.Options {
  const grid = { stroke: colour('line'), width: 1 };
  const axis = { stroke: colour('dim'), grid, ticks: { show: false }, font: '11px system-ui', size: 20 };
  const { lines } = latest.current;
  return {
    width: width || 300,
    height,
    padding: [6, 8, 0, 0],
    legend: { show: false },
    cursor: { drag: { x: true, y: false, setScale: false }, sync: { key: 'time' }, points: { show: false } },
    scales: {
      x: { time: true, range: () => [range.value.from / 1_000, range.value.to / 1_000] },
      y: { range: (_, least, most) => [Math.min(0, least || 0) * 1.05, Math.max(most || 0, latest.current.top ?? 0) * 1.05 || (least < 0 ? 0 : 1)] },
    },
    axes: [
      { ...axis, values: (_, splits) => splits.map((at) => clock(at * 1_000)), space: 70 },
      { ...axis, size: 66, ...(BINARY_FORMATS.includes(latest.current.format) ? { incrs: BINARY_STEPS } : {}), values: (_, splits) => splits.map((value) => latest.current.format(value)), space: 26 },
    ],
    series: [
      {},
      ...lines.map((line, at) => ({
        label: line.label,
        stroke: colour(line.colour),
        width: stacked ? 0 : 1.5,
        fill: stacked ? colour(line.colour) : lines.length === 1 ? `${colour(line.colour)}22` : undefined,
        spanGaps: false,
        points: { show: false },
        _at: at,
      })) as uPlot.Series[],
    ],
    // The lower ones are drawn over the upper ones.
    ...(stacked ? { bands: lines.slice(1).map((_, at) => ({ series: [at + 2, at + 1] as [number, number], fill: colour(lines[at + 1]!.colour) })) } : {}),
    hooks: {
      setSelect: [(self) => {
        const { left, width: wide } = self.select;
        if (wide < 3) return;
        const at = (pixel: number) => self.posToVal(pixel, 'x') * 1_000;
        select({ from: Math.floor(at(left) / 1_000) * 1_000, to: Math.ceil(at(left + wide) / 1_000) * 1_000 });
        self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      }],
      draw: [(self) => {
        const picked = selection.peek();
        if (!picked) return;
        const x = (ms: number) => self.valToPos(ms / 1_000, 'x', true);
        const [a, b] = [Math.max(x(picked.from), self.bbox.left), Math.min(x(picked.to), self.bbox.left + self.bbox.width)];
        if (b <= a) return;
        self.ctx.fillStyle = colour('select');
        self.ctx.fillRect(a, self.bbox.top, b - a, self.bbox.height);
      }],
      setCursor: [(self) => {
        const { times, at } = latest.current;
        const place = self.cursor.idx;
        at.value = place === null || place === undefined || times[place] === undefined || self.cursor.left! < 0 ? null : place;
      }],
    },
  };
}

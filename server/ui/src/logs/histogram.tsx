// How many lines there were when, by severity, below the page's time line and on the same axis. Dragging selects the time of all views.
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { effect, useSignal } from '@preact/signals';
import { useAnswer } from '../api/load';
import { clock, count, moment } from '../format';
import { Axis } from '../parts/axis';
import { cleared, drawCursor, timeAt, useDrag, useWidth } from '../parts/canvas';
import { colour, theme } from '../theme';
import { absolute, isLive, onGrid, range, select, selection } from '../time';
import { msOfNs } from './model';
import { GROUPS, grouped, type Group } from './severity';
import type { Histogram as Answer } from './types';

const HEIGHT = 72;
/** Bars over the width; each has a length that a clock has too, s. */
const BARS = 90;
const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400];
/** While the page is live lines are counted so often at most, ms; less often where a bar is long: after such a part of its length. */
const EVERY_MS = 2_000;
const PART_OF_BAR = 0.1;

const stepOf = (span_ms: number) => STEPS_S.find((each) => each * 1_000 * BARS >= span_ms) ?? STEPS_S[STEPS_S.length - 1]!;

interface Props { readonly host: string | undefined; readonly query: string; readonly asks: boolean; readonly onGroup: (group: Group) => void; readonly least: string }

export function Histogram({ host, query, asks, onGroup, least }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const wide = useWidth(canvas);
  const hover = useSignal<number | null>(null);
  const shown = range.value;
  const step_s = stepOf(shown.to - shown.from);
  const time = onGrid(shown, step_s * 1_000);
  const { data, error } = useAnswer<Answer>(asks ? 'logs/histogram' : null, { host, query, ...absolute(time), step: `${step_s}s` }, { live: isLive.value ? Math.max(EVERY_MS, step_s * 1_000 * PART_OF_BAR) : false });
  const bars = useMemo(() => (data?.bars ?? []).map(({ at, counts }) => ({ at: Date.parse(at), counts: grouped(counts), all: Object.values(counts).reduce((sum, each) => sum + each, 0) })), [data]);
  const sums = useMemo(() => {
    const all: Partial<Record<Group, number>> = {};
    for (const { counts } of bars) for (const group of GROUPS) if (counts[group]) all[group] = (all[group] ?? 0) + counts[group]!;
    return all;
  }, [bars]);
  const most = bars.reduce((top, { all }) => Math.max(top, all), 0);
  const length = (data?.step_s ?? step_s) * 1_000;
  const { drag, ...dragging } = useDrag((from, to) => {
    const picked = onGrid({ from, to: Math.max(to, from + 1) }, length);
    select(picked);
  });

  useEffect(() => effect(() => {
    theme.value;
    const width = wide.value;
    if (!canvas.current || !width) return;
    const g = cleared(canvas.current, width, HEIGHT);
    const { from, to } = range.value;
    const x = (at: number) => ((at - from) / (to - from)) * width;
    for (const { at, counts } of bars) {
      let base = HEIGHT;
      const [start, end] = [Math.max(0, x(at)), x(at + length)];
      // The gravest stand at the bottom: they are few, and all of them have their feet on the ground.
      for (const group of GROUPS) {
        const value = counts[group];
        if (!value || end < 0) continue;
        const height = Math.max((value / most) * (HEIGHT - 8), group === 'critical' || group === 'error' ? 3 : 1);
        g.fillStyle = colour(`sev-${group}`);
        g.fillRect(start, base - height, Math.max(end - start - (end - start > 4 ? 1 : 0), 1), height);
        base -= height;
      }
    }
    const missing = data && !data.complete ? msOfNs(data.searched_to_ns) : null;
    if (missing !== null && missing > from) {
      g.fillStyle = colour('line');
      g.fillRect(0, HEIGHT - 4, x(missing), 4);
    }
    const picked = drag.value ?? selection.value;
    drawCursor(g, x, HEIGHT, picked, picked ? null : hover.value);
  }), [bars, most, length, data]);

  const timeOf = (event: PointerEvent) => timeAt(canvas.current!, event, shown);
  const over = hover.value === null ? undefined : bars.find(({ at }) => at <= hover.value! && hover.value! < at + length);
  const words = over
    ? `${moment(over.at)} – ${clock(over.at + length)}: ${over.all === 0 ? 'no line' : GROUPS.filter((group) => over.counts[group]).map((group) => `${group} ${count(over.counts[group])}`).join(', ')}`
    : `${data ? `${count(data.lines)} ${data.lines === 1 ? 'line' : 'lines'}${data.complete ? '' : ' at least'}, a bar is ${length / 1_000} s` : error || !asks ? '' : 'Counting …'}`;
  const counted = GROUPS.filter((group) => sums[group]).map((group) => `${group} ${count(sums[group])}`).join(', ');
  return (
    <figure class="log-histogram">
      <canvas ref={canvas} role="img" aria-label={`Lines over time: ${counted || 'none'}`}
        onPointerDown={(event) => dragging.begin(event, timeOf(event))}
        onPointerMove={(event) => {
          hover.value = timeOf(event);
          if (drag.value) dragging.move(hover.value);
        }}
        onPointerUp={dragging.end} onPointerCancel={dragging.cancel} onPointerLeave={() => { hover.value = null; }} onDblClick={() => select(null)} />
      <Axis time={shown} />
      <figcaption class="row">
        <span class="dim grow log-words">{words}</span>
        <span class="row log-legend">
          {GROUPS.filter((group) => sums[group]).map((group) => (
            <button key={group} class="plain" title={`Only ${group} and worse`} disabled={group === 'unknown'} aria-pressed={least === group} onClick={() => onGroup(group)}>
              <i class={`swatch sev-${group}`} />{group === 'unknown' ? 'not said' : group} {count(sums[group])}
            </button>
          ))}
        </span>
      </figcaption>
    </figure>
  );
}

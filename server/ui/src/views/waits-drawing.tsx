// The graph of waits as SVG. Arrow keys walk along it; Enter shows details.
import { useLayoutEffect, useRef } from 'preact/hooks';
import { name, nsPerS } from '../format';
import { set } from '../route';
import { stateOf } from '../states';
import { commOf, isRoot, titleOf, whomOf, type Arrow } from './waits-graph';
import { BOX, HEAD, ROW, type Box, type Drawn, type Wire } from './waits-layout';

interface Props {
  readonly drawn: Drawn;
  readonly span_s: number;
  readonly node: string | undefined;
  readonly edge: string | undefined;
}
const MARGIN = 8;
/** Room for arrows that circle back beside the outer layers. */
const SIDE = 26;

export function WaitsDrawing({ drawn, span_s, node, edge }: Props) {
  const svg = useRef<SVGSVGElement>(null);
  const scroll = useRef<HTMLDivElement>(null);
  // What was chosen, or waits most, is in sight at first; later the viewer scrolls.
  useLayoutEffect(() => {
    const box = drawn.boxes.find((each) => each.id === node) ?? drawn.boxes.reduce<Box | null>((best, each) => (!best || each.ns > best.ns ? each : best), null);
    const place = scroll.current!;
    if (!box) return;
    if (box.x < place.scrollLeft || box.x + BOX > place.scrollLeft + place.clientWidth) place.scrollLeft = box.x;
    if (box.y < place.scrollTop || box.y + box.height > place.scrollTop + place.clientHeight) place.scrollTop = box.y - Math.max(0, (place.clientHeight - box.height) / 2);
  }, [node]);
  const most = Math.max(1, ...drawn.wires.map((wire) => wire.arrow.ns));
  const near = node ? new Set(drawn.boxes.flatMap((box) => box.rows).map((row) => row.arrow).filter((each) => each.from === node || each.to === node).map((each) => each.key)) : null;
  const stands = edge ? new Set([edge]) : near;
  const faint = (arrow: Arrow) => stands !== null && !stands.has(arrow.key);
  const used = stands && new Set(drawn.boxes.flatMap((box) => box.rows).filter((row) => stands.has(row.arrow.key)).flatMap((row) => [row.arrow.from, row.arrow.to]));
  const focus = (id: string | undefined) => {
    if (id !== undefined) [...svg.current!.querySelectorAll<SVGElement>('[data-at]')].find((each) => each.dataset.at === id)?.focus();
  };
  const press = (event: KeyboardEvent) => {
    const place = (event.target as SVGElement).dataset.at;
    if (place === undefined) return;
    const to = walk(drawn, place, event.key);
    if (to === null) return;
    event.preventDefault();
    focus(to);
  };
  return (
    <div ref={scroll} class="waits-scroll" tabIndex={0} role="region" aria-label="Graph of waits; arrow keys walk along it">
      <svg ref={svg} class="waits-graph" role="group" aria-label="Graph of waits" width={drawn.width + 2 * (MARGIN + SIDE)} height={drawn.height + 2 * MARGIN}
        viewBox={`${-MARGIN - SIDE} ${-MARGIN} ${drawn.width + 2 * (MARGIN + SIDE)} ${drawn.height + 2 * MARGIN}`} onKeyDown={press}>
        <defs>
          <marker id="waits-end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 8 4 0 8Z" class="waits-head" /></marker>
        </defs>
        {drawn.wires.map((wire) => <Line key={wire.arrow.key} wire={wire} width={1.2 + 6.8 * Math.sqrt(wire.arrow.ns / most)} faint={faint(wire.arrow)} span_s={span_s} />)}
        {drawn.boxes.map((box) => <Node key={box.id} box={box} span_s={span_s} picked={node === box.id} faint={used !== null && !used.has(box.id)} edge={edge} faintArrow={faint} />)}
      </svg>
    </div>
  );
}

/** Where an arrow key leads to from a box (its id) or a row (the key of its arrow); null: the key has no meaning. */
function walk({ boxes }: Drawn, place: string, key: string): string | null | undefined {
  const box = boxes.find((each) => each.id === place || each.rows.some((row) => row.arrow.key === place))!;
  const row = box.rows.findIndex((each) => each.arrow.key === place);
  const layer = boxes.filter((each) => each.layer === box.layer).sort((a, b) => a.y - b.y);
  const at = layer.indexOf(box);
  if (key === 'ArrowRight') return (row < 0 ? box.rows.reduce<Box['rows'][number] | null>((best, each) => (!best || each.arrow.ns > best.arrow.ns ? each : best), null) : box.rows[row])?.arrow.to;
  if (key === 'ArrowLeft') return boxes.flatMap((each) => each.rows).filter((each) => each.arrow.to === box.id && each.arrow.from !== box.id).sort((a, b) => b.arrow.ns - a.arrow.ns)[0]?.arrow.from;
  if (key === 'ArrowDown') return box.rows[row + 1]?.arrow.key ?? layer[at + 1]?.id;
  if (key === 'ArrowUp') return row > 0 ? box.rows[row - 1]!.arrow.key : row === 0 ? box.id : layer[at - 1]?.rows.at(-1)?.arrow.key ?? layer[at - 1]?.id;
  return null;
}

const sentence = (arrow: Arrow, span_s: number) =>
  `${titleOf(arrow.from)} waits for ${arrow.to === arrow.from ? 'its own threads' : whomOf(arrow.to)}: ${stateOf(arrow.reason).label}, ${nsPerS(arrow.ns / span_s)}`;

function Line({ wire, width, faint, span_s }: { wire: Wire; width: number; faint: boolean; span_s: number }) {
  const { points, back, arrow } = wire;
  let path = `M${points[0]![0]} ${points[0]![1]}`;
  for (let at = 1; at < points.length; at++) {
    const [ax, ay] = points[at - 1]!;
    const [bx, by] = points[at]!;
    // Across a layer it is straight, between layers it bends.
    const bend = Math.max(24, Math.abs(bx - ax) / 2) * (back ? -1 : 1);
    path += at % 2 === 0 ? ` L${bx} ${by}` : ` C${ax + bend} ${ay} ${bx - bend} ${by} ${bx} ${by}`;
  }
  return (
    <g class={`waits-wire ${faint ? 'faint' : ''}`}>
      <path d={path} class={`w-${stateOf(arrow.reason).group}`} fill="none" stroke-width={width} stroke-dasharray={back ? '7 4' : undefined} marker-end="url(#waits-end)" />
      <path d={path} class="waits-hit" fill="none" stroke-width={Math.max(12, width)} onClick={() => set({ edge: arrow.key, node: undefined })}>
        <title>{sentence(arrow, span_s)}{back ? '. They wait for each other.' : ''}</title>
      </path>
    </g>
  );
}

function act(event: KeyboardEvent, run: () => void) {
  if (event.key !== 'Enter' && event.key !== ' ') return;
  event.preventDefault();
  run();
}

interface NodeProps { box: Box; span_s: number; picked: boolean; faint: boolean; edge: string | undefined; faintArrow: (arrow: Arrow) => boolean }
function Node({ box, span_s, picked, faint, edge, faintArrow }: NodeProps) {
  const { id, x, y, height, rows, ns } = box;
  const root = isRoot(id);
  const pick = () => set({ node: picked ? undefined : id, edge: undefined });
  const title = root ? titleOf(id) : name(commOf(id), 21);
  return (
    <g class={`waits-node ${root ? 'root' : ''} ${picked ? 'picked' : ''} ${faint ? 'faint' : ''}`}>
      <rect x={x} y={y} width={BOX} height={height} rx={root ? HEAD / 2 : 6} class="waits-box" />
      <g role="button" tabindex={0} data-at={id} aria-pressed={picked} aria-label={`${title}${rows.length > 1 ? ` ${nsPerS(ns / span_s)}` : ''}, ${root ? 'root of waits' : `process${rows.length > 0 ? ` that waits ${nsPerS(ns / span_s)}` : ' that others wait for'}`}`} onClick={pick} onKeyDown={(event) => act(event, pick)}>
        <rect x={x} y={y} width={BOX} height={HEAD} rx={root ? HEAD / 2 : 6} class="waits-title" />
        <text x={x + (root ? BOX / 2 : 9)} y={y + 17} text-anchor={root ? 'middle' : 'start'} class="waits-name">{title}</text>
        {rows.length > 1 && <text x={x + BOX - 8} y={y + 17} text-anchor="end" class="waits-sum">{` ${nsPerS(ns / span_s)}`}</text>}
      </g>
      {rows.map(({ arrow, y: middle }) => {
        const open = () => set({ edge: edge === arrow.key ? undefined : arrow.key, node: undefined });
        const state = stateOf(arrow.reason);
        const self = arrow.from === arrow.to;
        const words = `${self ? '↻ ' : ''}${state.label}`;
        const label = words.length > 24 ? `${words.slice(0, 23)}…` : words;
        return (
          <g key={arrow.key}>
            <title>{sentence(arrow, span_s)}</title>
            <g role="button" tabindex={-1} data-at={arrow.key} aria-pressed={edge === arrow.key} aria-label={`${label} ${nsPerS(arrow.ns / span_s)}. ${sentence(arrow, span_s)}`} class={`waits-row ${faintArrow(arrow) ? 'faint' : ''}`}
              onClick={open} onKeyDown={(event) => act(event, open)}>
              <rect x={x + 1} y={middle - ROW / 2} width={BOX - 2} height={ROW} rx={4} class="waits-back" />
              <rect x={x + 9} y={middle - 4} width={8} height={8} rx={2} class={`f-${state.group}`} />
              <text x={x + 22} y={middle + 4}>{label}</text>
              <text x={x + BOX - 8} y={middle + 4} text-anchor="end" class="waits-time">{` ${nsPerS(arrow.ns / span_s)}`}</text>
            </g>
          </g>
        );
      })}
    </g>
  );
}

// A graph on the page: the canvas with its pointer, its keys, the box at the pointer, and what is said to screen readers.
import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import { visible } from '../api/load';
import { colour, theme } from '../theme';
import { inks } from './colours';
import { Details, sentence } from './details';
import { findPath, frameKey } from './graph';
import { children, pathTo } from './layout';
import type { Drawn } from './opened';
import { STEPS, type Paint } from './paint';
import { Renderer, ROW } from './renderer';
import { changeOf } from './values';

interface Props {
  readonly drawn: Drawn;
  readonly paint: Paint;
  /** Root at the bottom. */
  readonly turned: boolean;
  /** The node that fills the width. */
  readonly zoomed: number;
  readonly matches: Uint8Array | null;
  readonly label: string;
  /** px; as the style sheet says, if left out. */
  readonly height?: number | undefined;
  /** Changes what is drawn by change: labels begin with it. */
  readonly differs: boolean;
  readonly onZoom: (node: number) => void;
  readonly onBack: () => void;
  /** −1: none. */
  readonly onCursor: (node: number) => void;
  readonly cursor: number;
  /** Keys of the letters that it has no use for. */
  readonly onKey?: (key: string) => boolean;
}
/** So far a pointer moves before it pulls, px. */
const PULL = 4;

/** Widest child, parent, neighbours: where the arrows lead. */
function moved({ graph, layout }: Drawn, node: number, key: string, turned: boolean): number {
  const up = turned ? 'ArrowDown' : 'ArrowUp';
  const down = turned ? 'ArrowUp' : 'ArrowDown';
  if (node < 0) return 0;
  if (key === 'Home') return 0;
  if (key === up) return Math.max(0, layout.parent[node]!);
  if (key === down) {
    let widest = -1;
    for (const child of children(layout, node)) if (layout.width[child]! > (widest < 0 ? 0 : layout.width[widest]!)) widest = child;
    return widest < 0 ? node : widest;
  }
  const row = layout.nodes.subarray(layout.rows[graph.depth[node]!]!, layout.rows[graph.depth[node]! + 1]!);
  const at = row.indexOf(node);
  return row[at + (key === 'ArrowLeft' ? -1 : 1)] ?? node;
}

export function Canvas({ drawn, paint, turned, zoomed, matches, label, height, differs, onZoom, onBack, onCursor, cursor, onKey }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const below = useRef<HTMLDivElement>(null);
  const tip = useRef<HTMLDivElement>(null);
  const renderer = useRef<Renderer | null>(null);
  const before = useRef<{ drawn: Drawn; turned: boolean } | null>(null);
  const hover = useSignal(-1);
  const said = useSignal('');
  const toBottom = useRef(0);
  const pull = useRef<{ x: number; from: number; to: number; moved: boolean } | null>(null);
  const shade = theme.value;
  const look = useMemo(() => ({
    inks: inks(paint.colours), of: paint.of, match: inks(['flame-match'])[0]!, card: colour('card'), line: colour('text'), focus: colour('focus'),
    before: differs ? (node: number) => (paint.of[node] === STEPS ? '' : `${changeOf(drawn.graph, node)} `) : undefined,
  }), [paint, shade, differs]);

  // Room below the canvas makes its box scroll as far as the graph is deep.
  const room = () => {
    const own = renderer.current!;
    const place = box.current!;
    below.current!.style.height = `${Math.max(0, own.rows * ROW - own.height)}px`;
    own.scroll = place.scrollTop;
  };
  const reveal = (node: number) => {
    const own = renderer.current!;
    const top = own.top(drawn.graph.depth[node]!);
    if (top < 0) box.current!.scrollTop += top - 2 * ROW;
    else if (top > own.height - ROW) box.current!.scrollTop += top - own.height + 3 * ROW;
    own.scroll = box.current!.scrollTop;
    own.ask();
  };

  useLayoutEffect(() => {
    const own = renderer.current = new Renderer(canvas.current!);
    const place = box.current!;
    const resize = () => {
      own.size(place.clientWidth, place.clientHeight);
      room();
      // A root at the bottom stays where it is.
      if (own.turned) own.scroll = place.scrollTop = place.scrollHeight - place.clientHeight - toBottom.current;
    };
    const sized = new ResizeObserver(resize);
    sized.observe(place);
    // A listener of the page itself could not keep the browser from zooming all of it.
    const wheel = (event: WheelEvent) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const { layout } = props.current.drawn;
      const at = own.valueAt(event.clientX - place.getBoundingClientRect().left);
      const factor = Math.exp(Math.max(-1, Math.min(1, event.deltaY / 200)));
      const from = Math.max(0, at - (at - own.from) * factor);
      const to = Math.min(layout.total, at + (own.to - at) * factor);
      if (to - from > 0) own.move(from, to);
    };
    place.addEventListener('wheel', wheel, { passive: false });
    resize();
    return () => { sized.disconnect(); place.removeEventListener('wheel', wheel); own.stop(); renderer.current = null; };
  }, []);
  const props = useRef({ drawn });
  props.current = { drawn };

  useLayoutEffect(() => {
    const own = renderer.current!;
    const place = box.current!;
    const rows = Math.max(1, drawn.layout.rows.length - 1);
    place.style.height = height ? `${height}px` : '';
    place.style.maxHeight = `${Math.max(5, rows) * ROW + 2}px`;
    const same = before.current?.drawn === drawn;
    // The cursor stays on the function it is on.
    if (!same && before.current && cursor >= 0) {
      const { graph, layout } = before.current.drawn;
      const keys = cursor < graph.count ? pathTo(layout, cursor).map((node) => frameKey(graph.frames, graph.frame[node]!)) : [];
      const found = keys.length > 0 ? findPath(drawn.graph, (node) => children(drawn.layout, node), keys) : -1;
      onCursor(found > 0 && drawn.graph.depth[found] === keys.length - 1 ? found : -1);
    }
    const wasTurned = before.current?.turned;
    before.current = { drawn, turned };
    own.turned = turned;
    own.show(drawn, look);
    own.find(matches);
    const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
    own.size(place.clientWidth, place.clientHeight);
    if (own.zoomed !== zoomed || !same) own.zoom(zoomed, same && !calm);
    const bottom = place.scrollHeight - place.scrollTop;
    room();
    if (turned) place.scrollTop = wasTurned && same ? place.scrollHeight - bottom : place.scrollHeight;
    else if (wasTurned) place.scrollTop = 0;
    own.scroll = place.scrollTop;
    reveal(zoomed);
  }, [drawn, look, turned, zoomed, matches, height]);
  useEffect(() => { if (visible.value) renderer.current?.ask(); }, [visible.value]);
  useEffect(() => {
    const own = renderer.current!;
    own.cursor = cursor;
    if (cursor >= 0 && cursor < drawn.graph.count) reveal(cursor);
    own.ask();
  }, [cursor, drawn]);

  const point = (event: PointerEvent) => {
    const place = canvas.current!.getBoundingClientRect();
    return [event.clientX - place.left, event.clientY - place.top] as const;
  };
  const show = (event: PointerEvent) => {
    const [x, y] = point(event);
    const own = renderer.current!;
    const node = own.at(x, y);
    if (own.hover !== node) {
      own.hover = hover.value = node;
      own.ask();
    }
    const element = tip.current;
    if (!element || node < 0) return;
    const half = x > own.width / 2;
    element.style.left = half ? '' : `${Math.max(0, x + 14)}px`;
    element.style.right = half ? `${Math.max(0, own.width - x + 14)}px` : '';
    const low = y > own.height / 2;
    element.style.top = low ? '' : `${y + 18}px`;
    element.style.bottom = low ? `${own.height - y + 12}px` : '';
  };
  const leave = () => {
    hover.value = -1;
    if (renderer.current) { renderer.current.hover = -1; renderer.current.ask(); }
  };
  const press = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key.startsWith('Arrow') || event.key === 'Home') {
      const next = moved(drawn, cursor, event.key, turned);
      onCursor(next);
      said.value = sentence(drawn, next);
    } else if (event.key === 'Enter' && cursor >= 0) {
      onZoom(cursor);
      said.value = `Zoomed to ${sentence(drawn, cursor)}`;
    } else if (event.key === 'Escape') onBack();
    else if (!onKey?.(event.key)) return;
    event.preventDefault();
  };
  const node = hover.value < drawn.graph.count ? hover.value : -1;
  return (
    <div class="flame-canvas">
      <div class="flame-box" ref={box} onScroll={() => {
        const { scrollTop, scrollHeight, clientHeight } = box.current!;
        toBottom.current = scrollHeight - clientHeight - scrollTop;
        renderer.current!.scroll = scrollTop;
        leave();
        renderer.current!.draw();
      }}>
        <canvas ref={canvas} tabIndex={0} role="application"
          aria-label={`${label}. Arrows move to callers, callees and neighbours, Enter zooms, Escape goes back, C copies the stack, S shows callers and callees. The table has the same functions.`}
          onKeyDown={press} onPointerLeave={leave}
          onPointerDown={(event) => {
            const own = renderer.current!;
            if (event.button === 0) pull.current = { x: event.clientX, from: own.from, to: own.to, moved: false };
          }}
          onPointerMove={(event) => {
            const pulled = pull.current;
            const own = renderer.current!;
            if (!pulled) { if (event.pointerType !== 'touch') show(event); return; }
            const by = event.clientX - pulled.x;
            if (!pulled.moved && Math.abs(by) < PULL) return;
            if (!pulled.moved) canvas.current!.setPointerCapture(event.pointerId);
            pulled.moved = true;
            const shift = Math.max(-pulled.from, Math.min(drawn.layout.total - pulled.to, (-by / own.width) * (pulled.to - pulled.from)));
            own.move(pulled.from + shift, pulled.to + shift);
          }}
          onPointerUp={(event) => {
            const pulled = pull.current;
            pull.current = null;
            if (!pulled || pulled.moved) return;
            const [x, y] = point(event);
            const found = renderer.current!.at(x, y);
            if (found < 0) return;
            // What was at the pointer is somewhere else now.
            leave();
            onCursor(found);
            onZoom(found);
          }}
          onPointerCancel={() => { pull.current = null; }}
          onContextMenu={(event) => {
            const place = canvas.current!.getBoundingClientRect();
            const found = renderer.current!.at(event.clientX - place.left, event.clientY - place.top);
            if (found >= 0) onCursor(found);
          }}
        />
        <div ref={below} />
      </div>
      <div class="flame-tip" ref={tip} hidden={node < 0} aria-hidden="true">{node >= 0 && <Details drawn={drawn} node={node} />}</div>
      <p class="sr" aria-live="polite">{said.value}</p>
    </div>
  );
}

// What canvases over time have in common: as many dots as the screen has, their width, where a pointer is, what is selected, and dragging from one
// place to another.
import type { RefObject } from 'preact';
import { useEffect } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import { colour } from '../theme';
import type { Interval } from '../time';

/** More dots in a pixel than these cost time and are not seen. */
const MOST_SCALE = 2;

/** Empties a canvas of so many pixels, to be drawn on in pixels. */
export function cleared(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D {
  const scale = Math.min(devicePixelRatio, MOST_SCALE);
  canvas.width = width * scale;
  canvas.height = height * scale;
  const g = canvas.getContext('2d')!;
  g.scale(scale, scale);
  return g;
}

/** Over what is drawn: the selected time with its edges, and the moment that a pointer is at; null: there is none. `x`: place of a moment, px. */
export function drawCursor(g: CanvasRenderingContext2D, x: (at: number) => number, height: number, picked: Interval | null, hover: number | null) {
  if (picked) {
    const [a, b] = [x(picked.from), x(picked.to)];
    g.fillStyle = colour('select');
    g.fillRect(a, 0, Math.max(b - a, 2), height);
    g.fillStyle = colour('focus');
    g.fillRect(a - 1, 0, 2, height);
    g.fillRect(b - 1, 0, 2, height);
  }
  if (hover !== null) {
    g.fillStyle = colour('dim');
    g.fillRect(x(hover), 0, 1, height);
  }
}

/** The moment that a pointer is at, of the time over which a canvas is drawn, Unix ms. */
export function timeAt(canvas: HTMLCanvasElement, event: PointerEvent, { from, to }: Interval): number {
  const box = canvas.getBoundingClientRect();
  return from + Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * (to - from);
}

/** Width of a canvas, px, as it changes; `there`: changes when there is one, or another one. */
export function useWidth(canvas: RefObject<HTMLCanvasElement | null>, there: unknown = true) {
  const width = useSignal(0);
  useEffect(() => {
    const sized = new ResizeObserver(() => { width.value = canvas.current?.clientWidth ?? 0; });
    if (canvas.current) sized.observe(canvas.current);
    return () => sized.disconnect();
  }, [there]);
  return width;
}

/** Dragging over a canvas. `from` ≤ `to`: what is dragged over, in whatever the places are given in; null: nothing is. */
export function useDrag(done: (from: number, to: number) => void) {
  const drag = useSignal<{ readonly start: number; readonly from: number; readonly to: number } | null>(null);
  return {
    drag,
    begin(event: PointerEvent, place: number) {
      (event.currentTarget as HTMLCanvasElement).setPointerCapture(event.pointerId);
      drag.value = { start: place, from: place, to: place };
    },
    move(place: number) {
      const start = drag.value?.start;
      if (start !== undefined) drag.value = { start, from: Math.min(start, place), to: Math.max(start, place) };
    },
    end() {
      const picked = drag.value;
      drag.value = null;
      if (picked) done(picked.from, picked.to);
    },
    cancel() { drag.value = null; },
  };
}

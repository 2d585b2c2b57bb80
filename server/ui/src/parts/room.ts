// The height of a list that scrolls by itself: what the window has left for it.
import type { RefObject } from 'preact';
import { useLayoutEffect } from 'preact/hooks';
import { useSignal } from '@preact/signals';

/** What is left for the foot of the page, px. */
const FOOT = 64;
/** Before it is measured, px. */
const GUESS = 600;

interface Options {
  /** Not less than so much, px. */
  readonly least: number;
  /** So much, whatever the window has left, px. */
  readonly height?: number | undefined;
  /** Selects what it stands in: it moves as other children of that change their height. */
  readonly within?: string;
}
/** Most height of an element, px, as the window changes; the element has it. */
export function useRoom(place: RefObject<HTMLElement | null>, { least, height, within }: Options) {
  const room = useSignal(height ?? GUESS);
  useLayoutEffect(() => {
    const box = place.current!;
    const fit = () => {
      room.value = height ?? Math.max(least, innerHeight - box.getBoundingClientRect().top - scrollY - FOOT);
      box.style.maxHeight = `${room.value}px`;
    };
    fit();
    addEventListener('resize', fit);
    const others = new ResizeObserver(fit);
    for (const each of (within && box.closest(within)?.children) || []) if (!each.contains(box)) others.observe(each);
    return () => {
      removeEventListener('resize', fit);
      others.disconnect();
    };
  }, [height]);
  return room;
}

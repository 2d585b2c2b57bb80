// The list of lines. Blocks that are out of sight are empty places of their height: thousands of lines cost as much as those in sight.
import type { ComponentChildren } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { useSignal, type Signal } from '@preact/signals';
import { useRoom } from '../parts/room';
import { LineRow, type Acts } from './line';
import { idOf, type Block, type List as Lines } from './model';

/** Least height of the list, px. */
const LEAST = 320;
/** Blocks this near to what is in sight are there already. */
const BEYOND = '900px';
/** Blocks that are there from the beginning. */
const FIRST = 2;
/** Height of a line that was never shown, px. */
const GUESS = 24;

interface Props {
  readonly list: Lines;
  readonly picked: Signal<string>;
  readonly opened: Signal<ReadonlySet<string>>;
  readonly target: string;
  readonly found: RegExp | null;
  readonly acts: Acts;
  readonly place: { current: HTMLDivElement | null };
  /** The list's end is near. */
  readonly onEnd: () => void;
  readonly onTop: (top: boolean) => void;
  readonly children: ComponentChildren;
}

export function LineList({ list, picked, opened, target, found, acts, place, onEnd, onTop, children }: Props) {
  const end = useRef<HTMLDivElement>(null);
  const seen = useSignal<IntersectionObserver | null>(null);
  const latest = useRef(onEnd);
  latest.current = onEnd;
  useRoom(place, { least: LEAST, within: '.logs' });
  useEffect(() => {
    const blocks = new IntersectionObserver((entries) => { for (const entry of entries) (entry.target as Sighted).sighted?.(entry.isIntersecting); }, { root: place.current, rootMargin: BEYOND });
    seen.value = blocks;
    return () => blocks.disconnect();
  }, []);
  useEffect(() => {
    // It says once that the end is near: of a longer list it is asked again.
    const nearEnd = new IntersectionObserver(([entry]) => { if (entry?.isIntersecting) latest.current(); }, { root: place.current, rootMargin: BEYOND });
    nearEnd.observe(end.current!);
    return () => nearEnd.disconnect();
  }, [list]);
  return (
    <div ref={place} class="card log-list" tabIndex={0} role="region" aria-label="Log lines, newest first. j and k move, Enter opens." onScroll={(event) => onTop(event.currentTarget.scrollTop < 8)}>
      <ol>
        {list.blocks.map((block, nth) => <BlockView key={block.id} block={block} first={nth < FIRST} seen={seen} picked={picked} opened={opened} target={target} found={found} acts={acts} />)}
      </ol>
      <div ref={end} />
      {children}
    </div>
  );
}

type Sighted = HTMLElement & { sighted?: (near: boolean) => void };
function BlockView({ block, first, seen, picked, opened, target, found, acts }: Pick<Props, 'picked' | 'opened' | 'target' | 'found' | 'acts'> & { block: Block; first: boolean; seen: Signal<IntersectionObserver | null> }) {
  const ref = useRef<HTMLLIElement & Sighted>(null);
  // Others come into the document as they come near.
  const near = useSignal(first);
  const height = useRef(0);
  const observer = seen.value;
  useEffect(() => {
    const element = ref.current!;
    element.sighted = (now) => {
      if (near.value && !now) height.current = element.offsetHeight;
      near.value = now;
    };
    observer?.observe(element);
    return () => observer?.unobserve(element);
  }, [observer]);
  useLayoutEffect(() => { ref.current!.style.height = near.value ? '' : `${height.current || block.lines.length * GUESS}px`; }, [near.value]);
  const own = picked.value;
  const open = opened.value;
  return (
    <li ref={ref} class="log-block">
      {near.value && <ol>{block.lines.map((line) => {
        const id = idOf(line);
        return <LineRow key={id} line={line} open={open.has(id)} picked={own === id} target={target === line.at_ns} found={found} acts={acts} />;
      })}</ol>}
    </li>
  );
}

// How much of a whole something is, as a thin bar.
import { useLayoutEffect, useRef } from 'preact/hooks';

/** `of`: 0 to 1. So much is drawn at `least`, that it can be seen. */
export function Meter({ of, least = 0, title }: { of: number; least?: number; title?: string }) {
  const ref = useRef<HTMLElement>(null);
  useLayoutEffect(() => { ref.current!.style.width = `${Math.min(1, Math.max(least, of)) * 100}%`; }, [of, least]);
  return <span class="meter" title={title}><i ref={ref} /></span>;
}

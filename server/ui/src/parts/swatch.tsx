// A small square of a colour, as legends have it. The page's policy forbids style attributes.
import { useLayoutEffect, useRef } from 'preact/hooks';

/** `fill`: any CSS colour, such as `var(--c1)`. */
export function Swatch({ fill }: { fill: string }) {
  const ref = useRef<HTMLElement>(null);
  useLayoutEffect(() => { ref.current!.style.background = fill; }, [fill]);
  return <i ref={ref} class="swatch" />;
}

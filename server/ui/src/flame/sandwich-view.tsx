// A function in the middle: who calls it above, what it calls below.
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import { share } from '../format';
import { Canvas } from './canvas';
import { layout } from './layout';
import { clean } from './names';
import { widths, type Drawn, type Opened } from './opened';
import { paint, type Colouring } from './paint';
import { sandwich } from './sandwich';
import { amount } from './values';

interface Props {
  readonly opened: Opened;
  readonly frame: number;
  readonly by: 'value' | 'base';
  readonly colouring: Colouring;
  readonly matches: Uint8Array | null;
  readonly onClose: () => void;
  /** Another function in the middle. */
  readonly onOpen: (frame: number) => void;
}

export function SandwichView({ opened, frame, by, colouring, matches, onClose, onOpen }: Props) {
  const halves = useMemo(() => {
    const found = sandwich(opened.graph, opened.layout, frame);
    const drawn = (graph: Drawn['graph']): Drawn => ({ graph, layout: layout(graph, widths(graph, by)) });
    return { callers: drawn(found.callers), callees: drawn(found.callees) };
  }, [opened, frame, by]);
  const { graph } = halves.callees;
  const title = clean(opened.graph.frames.names[frame]!);
  const all = opened.graph.about.total || 1;
  const back = useRef<HTMLButtonElement>(null);
  // The graph that had the focus is gone.
  useEffect(() => { if (document.activeElement === document.body) back.current?.focus(); }, []);
  return (
    <div class="stack flame-sandwich" onKeyDown={(event) => {
      if (event.key !== 'Escape' || event.defaultPrevented) return;
      event.preventDefault();
      onClose();
    }}>
      <div class="row">
        <button ref={back} onClick={onClose}>‹ Whole graph</button>
        <strong class="mono grow">{title}</strong>
        <span>{amount(graph.about, graph.value[0]!)} · {share(graph.value[0]! / all)} of all · itself {share(graph.own[0]! / all)}</span>
      </div>
      <h3>Who calls it {halves.callers.graph.count === 1 && <span class="dim">(nobody: stacks begin with it)</span>}</h3>
      <Half drawn={halves.callers} turned colouring={colouring} matches={matches} label={`Callers of ${title}`} onOpen={onOpen} onClose={onClose} />
      <h3>What it calls {halves.callees.graph.count === 1 && <span class="dim">(nothing: stacks end with it)</span>}</h3>
      <Half drawn={halves.callees} turned={false} colouring={colouring} matches={matches} label={`What ${title} calls`} onOpen={onOpen} onClose={onClose} />
    </div>
  );
}

function Half({ drawn, turned, colouring, matches, label, onOpen, onClose }: {
  drawn: Drawn; turned: boolean; colouring: Colouring; matches: Uint8Array | null; label: string; onOpen: (frame: number) => void; onClose: () => void;
}) {
  const zoomed = useSignal(0);
  const cursor = useSignal(-1);
  useEffect(() => { zoomed.value = 0; cursor.value = -1; }, [drawn]);
  const painted = useMemo(() => paint(drawn.graph, drawn.layout, colouring), [drawn, colouring]);
  const middle = () => { if (cursor.value >= 0) onOpen(drawn.graph.frame[cursor.value]!); };
  return (
    <>
      <Canvas drawn={drawn} paint={painted} turned={turned} zoomed={Math.min(zoomed.value, drawn.graph.count - 1)} matches={matches} label={label} height={260} differs={colouring === 'difference'}
        cursor={cursor.value} onCursor={(node) => { cursor.value = node; }} onZoom={(node) => { zoomed.value = node; }}
        onBack={() => { if (zoomed.value > 0) zoomed.value = 0; else onClose(); }}
        onKey={(key) => { if (key === 's') middle(); return key === 's'; }} />
      {cursor.value > 0 && cursor.value < drawn.graph.count && (
        <div class="row small"><span class="mono cut grow">{clean(drawn.graph.frames.names[drawn.graph.frame[cursor.value]!]!)}</span><button onClick={middle}>Its callers and callees</button></div>
      )}
    </>
  );
}

// Beside the graph of waits: its chains in words, and what is known of the chosen node or arrow.
import { useAnswer } from '../api/load';
import type { Waits } from '../api/types';
import { count, name, ns, nsPerS } from '../format';
import { link, set } from '../route';
import { stateOf } from '../states';
import { host } from '../time';
import { chainWords, commOf, isRoot, titleOf, whomOf, type Arrow } from './waits-graph';

const CHAINS = 12;

export function Chains({ data, q, chosen }: { data: Waits; q: string; chosen: string }) {
  const wanted = q.trim().toLowerCase();
  const rows = data.chains.map((chain) => ({ chain, words: chainWords(chain), ns: chain.links[0]?.waited_ns ?? 0 }))
    .filter((each) => each.words.toLowerCase().includes(wanted)).sort((a, b) => b.ns - a.ns);
  return (
    <section class="card">
      <h2>Chains</h2>
      <p class="dim">Each waits for what stands to its right. The time is that of the first.</p>
      {rows.length === 0 ? <p>No chain: who waits here waits for nobody who waits.</p> : (
        <ol class="waits-chains">
          {rows.slice(0, CHAINS).map(({ chain, words, ns: time }) => (
            <li key={words}>
              <button aria-pressed={words === chosen} onClick={() => set({ chain: words === chosen ? undefined : words, node: undefined, edge: undefined })}>
                <span>{words}{chain.circular && <strong class="warn"> ↻ circular</strong>}</span> <strong class="num">{nsPerS(time / data.span_s)}</strong>
              </button>
            </li>
          ))}
        </ol>
      )}
      {rows.length > CHAINS && <p class="dim">{count(rows.length - CHAINS)} lighter chains are in the graph. The filter narrows them down.</p>}
    </section>
  );
}

interface PickedProps {
  readonly all: readonly Arrow[]; readonly span_s: number; readonly node: string | undefined; readonly edge: string | undefined;
  readonly time: { from: string; to?: string }; readonly idle: boolean;
}
export function Picked({ all, span_s, node, edge, time, idle }: PickedProps) {
  const arrow = edge ? all.find((each) => each.key === edge) : undefined;
  const close = <button aria-label="Close the details" onClick={() => set({ node: undefined, edge: undefined })}>✕</button>;
  if (edge && !arrow) return <section class="card"><div class="row"><span class="grow">This wait is not in what is shown now.</span>{close}</div></section>;
  if (arrow) return <OfArrow arrow={arrow} span_s={span_s} close={close} />;
  return node ? <OfNode id={node} all={all} span_s={span_s} time={time} idle={idle} close={close} /> : null;
}

/** Parameters that say which process: of `comm (pid)` its number. */
const whoIs = (id: string): Record<string, string> => {
  const [, comm, pid] = /^(.*?)(?: \((\d+)\))?$/.exec(commOf(id)) ?? [];
  return pid ? { pid } : { comm: comm ?? '' };
};

function OfArrow({ arrow, span_s, close }: { arrow: Arrow; span_s: number; close: preact.ComponentChildren }) {
  const { from, to, reason, waits, places } = arrow;
  const state = stateOf(reason);
  const self = from === to;
  return (
    <section class="card stack" aria-live="polite">
      <header class="row"><h2 class="grow">{titleOf(from)} waits for {self ? 'its own threads' : whomOf(to)}</h2>{close}</header>
      <p><i class={`swatch s-${state.group}`} />{state.label}: <strong>{nsPerS(arrow.ns / span_s)}</strong></p>
      <p class="dim">{count(waits)} {waits === 1 ? 'wait was' : 'waits were'} seen; together they stand for {ns(arrow.ns)}. {places.length > 0 && `In ${places.slice(0, 4).map((each) => name(each, 60)).join(', ')}.`}</p>
      <ul>
        <li><a href={link('flamegraph', { ...whoIs(from), kind: 'off-cpu' })}>Where {titleOf(from)} waits: flame graph</a></li>
        {!isRoot(to) && !self && <li><a href={link('flamegraph', { ...whoIs(to), kind: 'on-cpu' })}>What {titleOf(to)} does: flame graph</a></li>}
        {!isRoot(to) && !self && <li><a href={link('flamegraph', { ...whoIs(from), kind: 'wakers' })}>Where {titleOf(to)} ends the waits: flame graph</a></li>}
        <li><button class="plain" onClick={() => set({ node: from, edge: undefined })}>All waits of {titleOf(from)}</button></li>
        {!isRoot(to) && !self && <li><button class="plain" onClick={() => set({ node: to, edge: undefined })}>All waits of {titleOf(to)}</button></li>}
      </ul>
    </section>
  );
}

interface NodeProps { id: string; all: readonly Arrow[]; span_s: number; time: { from: string; to?: string }; idle: boolean; close: preact.ComponentChildren }
function OfNode({ id, all, span_s, time, idle, close }: NodeProps) {
  const own = all.filter((each) => each.from === id);
  const theirs = all.filter((each) => each.to === id && each.from !== id);
  const root = isRoot(id);
  return (
    <section class="card stack" aria-live="polite">
      <header class="row"><h2 class="grow">{titleOf(id)}</h2>{close}</header>
      {!root && <Processes id={id} time={time} idle={idle} span_s={span_s} />}
      {own.length > 0 && <List title="Waits for" arrows={own} end={(each) => (each.to === id ? 'its own threads' : titleOf(each.to))} span_s={span_s} />}
      {theirs.length > 0 && <List title={root ? 'Who waits for it' : 'Who waits for it (by name)'} arrows={theirs} end={(each) => titleOf(each.from)} span_s={span_s} />}
      {!root && (
        <ul>
          <li><a href={link('flamegraph', { ...whoIs(id), kind: 'off-cpu' })}>Where it waits: flame graph</a></li>
          <li><a href={link('flamegraph', { ...whoIs(id), kind: 'on-cpu' })}>What it does: flame graph</a></li>
        </ul>
      )}
    </section>
  );
}

function List({ title, arrows, end, span_s }: { title: string; arrows: readonly Arrow[]; end: (arrow: Arrow) => string; span_s: number }) {
  return (
    <div>
      <h3>{title}</h3>
      <ul class="waits-list">
        {arrows.slice(0, 10).map((each) => (
          <li key={each.key}>
            <button class="plain" onClick={() => set({ edge: each.key, node: undefined })}><i class={`swatch s-${stateOf(each.reason).group}`} />{end(each)}: {stateOf(each.reason).label}</button>
            <strong class="num">{nsPerS(each.ns / span_s)}</strong>
          </li>
        ))}
      </ul>
      {arrows.length > 10 && <p class="dim">and {count(arrows.length - 10)} lighter ones</p>}
    </div>
  );
}

/** The graph knows names; which processes of the name wait is asked for. */
function Processes({ id, time, idle, span_s }: { id: string; time: { from: string; to?: string }; idle: boolean; span_s: number }) {
  const who = whoIs(id);
  const { data } = useAnswer<Waits>('waits', { host: host.value, ...time, ...who, by: 'process', idle, limit: 1_000 });
  if (who.pid) return <p><a href={link('process', { pid: who.pid })}>The process</a></p>;
  if (!data) return null;
  const by = new Map<number, number>();
  for (const edge of data.edges) if (edge.pid) by.set(edge.pid, (by.get(edge.pid) ?? 0) + edge.waited_ns);
  const rows = [...by].sort((a, b) => b[1] - a[1]);
  if (rows.length === 0) return <p class="dim">Processes of this name do not wait themselves.</p>;
  return (
    <p>
      {rows.length === 1 ? 'Process' : `${count(rows.length)} processes`}:{' '}
      {rows.slice(0, 8).map(([pid, time_ns], at) => <span key={pid}>{at > 0 && ', '}<a href={link('process', { pid })}>{pid}</a> <span class="dim">{nsPerS(time_ns / span_s)}</span></span>)}
      {rows.length > 8 && ', …'}
    </p>
  );
}

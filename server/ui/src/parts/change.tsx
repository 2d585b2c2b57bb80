// Who takes more than before: a row each, with what it takes, before and after, and the ways to why.
import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { useAnswer, type Answer } from '../api/load';
import { part } from '../api/http';
import type { Changes, Processes, Values } from '../api/types';
import { baseInterval, graphOf, grouped, uses, words, type Base, type Changed, type StateChange } from '../changes';
import { groupLink, groupName, placeWords } from '../groups';
import { count, nsPerS, signed } from '../format';
import { link } from '../route';
import { stateOf } from '../states';
import { LIVE_MS, absolute, asked, chosen, host, isLive } from '../time';
import { StateBar } from './bar';

/** Most changes that are asked for: a host has up to thirty a process. */
const MOST_CHANGES = 1_000;
const MOST_PROCESSES = 2_000;
/** While the page is live, ms. */
const EVERY_MS = 5_000;

/** Parameters of the interval to compare with; live ones are relative, so that all who watch ask the same. */
function askedBase(base: Base): { from: string; to: string } {
  if (!isLive.value) return absolute(baseInterval(chosen.value, base));
  const { from, to } = baseInterval({ from: -LIVE_MS, to: 0 }, base);
  return { from: `${from / 1_000}s`, to: `${to / 1_000}s` };
}

interface Compared { readonly answer: Answer<Changes>; readonly all: readonly Changed[]; /** Start by PID. */ readonly starts: ReadonlyMap<number, number> }
export function useChanges(base: Base): Compared {
  const path = host.value ? `hosts/${part(host.value)}/` : null;
  const of = asked();
  const before = askedBase(base);
  const answer = useAnswer<Changes>(path && `${path}changes`, { ...of, before_from: before.from, before_to: before.to, limit: MOST_CHANGES }, { live: EVERY_MS });
  const usedAfter = useAnswer<Processes>(path && `${path}processes`, { ...of, limit: MOST_PROCESSES }, { live: EVERY_MS });
  const usedBefore = useAnswer<Processes>(path && `${path}processes`, { ...before, limit: MOST_PROCESSES }, { live: EVERY_MS });
  const [a, b] = [usedBefore.data, usedAfter.data];
  const all = useMemo(() => (answer.data ? grouped(answer.data.changes, whole(a), whole(b)) : []), [answer.data, a, b]);
  const starts = useMemo(() => new Map([...(a?.processes ?? []), ...(b?.processes ?? [])].map((each) => [each.pid, each.start_ms])), [a, b]);
  return { answer, all, starts };
}

/** In a list that was cut, who is missing may have much. */
const whole = (data: Processes | null) => (data && data.total <= data.processes.length ? uses(data.processes, data.span_s) : undefined);

const active = (states: Values) => Object.fromEntries(Object.entries(states).filter(([key]) => stateOf(key).group !== 'idle'));
const total = (states: Values) => Object.values(states).reduce((sum, each) => sum + each, 0);

/** Both bars have the same scale. */
function Pair({ before, after }: Pick<Changed, 'before' | 'after'>) {
  const [a, b] = [active(before), active(after)];
  const most = Math.max(total(a), total(b)) || 1;
  return (
    <div class="pair">
      <span class="dim">before</span><Scaled of={total(a) / most}><StateBar states={a} label="Before" /></Scaled><span class="num">{nsPerS(total(a))}</span>
      <span class="dim">then</span><Scaled of={total(b) / most}><StateBar states={b} label="Then" /></Scaled><span class="num">{nsPerS(total(b))}</span>
    </div>
  );
}
function Scaled({ of, children }: { of: number; children: ComponentChildren }) {
  const ref = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => { ref.current!.style.width = `${Math.max(of * 100, 1)}%`; }, [of]);
  return <div class="pair-track"><div ref={ref} class="pair-bar">{children}</div></div>;
}

/** `details`: with a table of all states. */
export function ChangeRow({ changed, base, starts, details = false }: { changed: Changed; base: Base; starts: Compared['starts']; details?: boolean }) {
  const { comm, cgroup, pids, states, life, more } = changed;
  const group = { comm, processes: pids.map((pid) => ({ host: '', pid, start_ms: starts.get(pid) ?? 0, comm, labels: {}, values: {}, states: {} })) };
  const kind = graphOf(changed);
  const [pid] = pids;
  const graph = { comm, ...(pids.length === 1 ? { pid, start: starts.get(pid!) || undefined } : { place: cgroup.length > 1 ? cgroup : undefined }) };
  const place = placeWords({ cgroup });
  return (
    <li class="change">
      <div class="change-who">
        <a href={groupLink(group)}><strong>{groupName(group)}</strong></a>
        {pids.length === 1 && <span class="dim">{pid}</span>}
        {life && <span class="badge">{life === 'new' ? 'not there before' : 'not there any more'}</span>}
        {place && <span class="dim cut wide" title={place}>{place}</span>}
        <strong class={`num ${more > 0 ? 'bad' : 'good'}`} title="CPU time and lost time together">{signed(nsPerS(more), more)}</strong>
      </div>
      <p>{words(changed).join(', ') || 'hardly changed'}</p>
      <Pair {...changed} />
      <div class="change-links">
        <a class="button" href={link('flamegraph', { ...graph, kind })}>Flame graph</a>
        <a class="button" href={link('flamegraph', { ...graph, kind, base })}>Difference</a>
        <a href={link('flamegraph', { ...graph, kind: kind === 'on-cpu' ? 'off-cpu' : 'on-cpu' })}>{kind === 'on-cpu' ? 'where it waits' : 'where it computes'}</a>
        <a href={link('waits', pids.length === 1 ? { pid } : { q: comm })}>who makes it wait</a>
        {details && <AllStates states={states} of={groupName(group)} />}
      </div>
    </li>
  );
}

function AllStates({ states, of }: { states: readonly StateChange[]; of: string }) {
  return (
    <details>
      <summary>{count(states.length)} states</summary>
      <div class="table" tabIndex={0} role="region" aria-label={`States of ${of}`}>
        <table>
          <thead><tr><th>State</th><th class="num">Before</th><th class="num">Then</th><th class="num">More</th></tr></thead>
          <tbody>
            {states.map((each) => (
              <tr key={each.key}>
                <td><i class={`swatch s-${stateOf(each.key).group}`} />{stateOf(each.key).label}</td>
                <td class="num">{nsPerS(each.before)}</td><td class="num">{nsPerS(each.after)}</td><td class="num">{signed(nsPerS(each.more), each.more)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}

// Who makes a process wait, who waits for it, and from there down to who waits for nobody.
import { useAnswer } from '../api/load';
import { Refusal } from '../api/http';
import type { Chain, Edge, Waits } from '../api/types';
import { count, name, ns, nsPerS, span } from '../format';
import { Empty, Shown } from '../parts/notes';
import { link, params, set } from '../route';
import { groupLabel, stateOf } from '../states';
import { LIVE_WAITS_MS, asked, host, isLive } from '../time';
import type { Of } from './process';

export function ProcessWaits({ of: { pid, comm } }: { of: Of }) {
  const idle = params.value.work === '1';
  const time = asked(LIVE_WAITS_MS);
  const own = useAnswer<Waits>(host.value ? 'waits' : null, { host: host.value, pid: String(pid), ...time, by: 'process', idle }, { live: 10_000 });
  const all = useAnswer<Waits>(host.value ? 'waits' : null, { host: host.value, ...time, by: 'process', idle, limit: 2_000 }, { live: 10_000 });
  const early = own.error instanceof Refusal && own.error.status === 404 ? own.error : null;
  if (early) {
    return <Empty>No waits are stored of this time{isLive.value ? ' yet: it takes a minute or two' : ''}. The server says: {name(early.message)}.</Empty>;
  }
  const chains = (all.data?.chains ?? []).filter(({ links }) => links[0]?.comm === comm);
  return (
    <>
      <div class="row">
        <span class="dim">{own.data && `Of ${span(Date.parse(own.data.from), Date.parse(own.data.to))}, from ${count(own.data.looked_at.waits)} waits that were looked at`}</span>
        <span class="grow" />
        <label><input type="checkbox" checked={idle} onChange={() => set({ work: idle ? undefined : '1' })} /> with waits for work (idle)</label>
        <a href={link('waits', { pid, comm })}>As a graph</a>
      </div>
      <div class="halves">
        <section class="card">
          <h2>What makes it wait</h2>
          <Shown answer={own} what="Its waits">{(data) => <Edges edges={data.edges} span_s={data.span_s} empty={`Nothing made it wait${idle ? '' : ' but waits for work'}: good.`} />}</Shown>
        </section>
        <section class="card">
          <h2>Who waits for it</h2>
          <p class="dim">Who ended a wait is kept by name: these are waits that any process named {name(comm || String(pid), 60)} ended.</p>
          <Shown answer={all} what="Waits of others">
            {(data) => <Edges edges={data.edges.filter(({ waker, pid: other }) => waker === comm && other !== pid)} span_s={data.span_s} others empty="Nobody waits for a process of this name: good." />}
          </Shown>
        </section>
      </div>
      <section class="card">
        <h2>Down to the root</h2>
        {chains.length ? chains.map((chain, at) => <Down key={at} chain={chain} span_s={all.data!.span_s} />)
          : <Empty>No process of this name waits for another one, so it is itself the root of what waits for it.</Empty>}
      </section>
      {own.data && own.data.not_covered.length > 0 && (
        <details class="dim"><summary>What this cannot say</summary><ul>{own.data.not_covered.map((text) => <li key={text}>{name(text, 400)}</li>)}</ul></details>
      )}
    </>
  );
}

const SHOWN = 40;
function Edges({ edges, span_s, others = false, empty }: { edges: readonly Edge[]; span_s: number; others?: boolean; empty: string }) {
  const rows = [...edges].sort((a, b) => Number(a.idle) - Number(b.idle) || b.waited_ns - a.waited_ns);
  if (!rows.length) return <Empty>{empty}</Empty>;
  return (
    <div class="table" tabIndex={0} role="region" aria-label={others ? 'Who waits for it' : 'What makes it wait'}>
      <table>
        <thead><tr>{others && <th>Who waits</th>}<th>What for</th>{!others && <th>Ended by</th>}<th class="num">Time each second</th><th class="num wide">Waits</th><th class="num wide">Each</th></tr></thead>
        <tbody>
          {rows.slice(0, SHOWN).map(({ comm, pid, reason, waker, waits, waited_ns, idle }, at) => {
            const state = stateOf(reason);
            return (
              <tr key={at}>
                {others && <td><a href={link('process', { pid, comm })}>{name(comm, 60)} ({pid})</a></td>}
                <td><i class={`swatch s-${state.group}`} />{state.label}{idle && <span class="dim"> (for work)</span>}</td>
                {!others && <td>{waker === null ? <span class="dim" title="An interrupt, or not known">a device or timer</span> : <a href={link('processes', { q: waker })}>{name(waker, 60)}</a>}</td>}
                <td class="num">{nsPerS(waited_ns / span_s)}</td>
                <td class="num wide">{count(waits)}</td>
                <td class="num wide">{ns(waited_ns / waits)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
      {rows.length > SHOWN && <p class="dim">and {count(rows.length - SHOWN)} more that cost less</p>}
    </div>
  );
}

function Down({ chain: { links, root, root_reason, circular }, span_s }: { chain: Chain; span_s: number }) {
  const reason = root_reason && stateOf(root_reason);
  return (
    <ol class="down">
      {links.map(({ comm, reason: why, waited_ns }, at) => {
        const state = stateOf(why);
        return (
          <li key={at}><a href={link('processes', { q: comm })}>{name(comm, 60)}</a> waits <strong>{nsPerS(waited_ns / span_s)}</strong> <i class={`swatch s-${state.group}`} />{state.label} <span aria-label="for">→</span></li>
        );
      })}
      <li>
        {root === null ? 'a device or timer' : <a href={link('processes', { q: root })}>{name(root, 60)}</a>}
        {reason ? <>, which waits for <i class={`swatch s-${reason.group}`} />{groupLabel(reason.group)} ({reason.label})</> : circular ? ', which waits for one of them: they wait for each other' : ', which waits for nobody'}
      </li>
    </ol>
  );
}

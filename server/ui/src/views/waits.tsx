// Who waits for whom, down to what ends all waiting: as a graph, in words, and as a table.
import { useMemo } from 'preact/hooks';
import { Refusal, part } from '../api/http';
import { useAnswer } from '../api/load';
import type { Edge, Process, Waits as Answered } from '../api/types';
import { count, length, nsPerS, span } from '../format';
import { Empty, Failed, Loading } from '../parts/notes';
import { Table, sorted, type Column } from '../parts/table';
import { params, set } from '../route';
import { stateOf } from '../states';
import { LIVE_WAITS_MS, asked, chosen, host, isLive } from '../time';
import { WaitsDrawing } from './waits-drawing';
import { arrows, arrowsOf, chainWords, filtered, heaviest, titleOf, type Arrow } from './waits-graph';
import { layout } from './waits-layout';
import { Chains, Picked } from './waits-side';

const SIZES = [25, 50, 100, 250] as const;
const MOST_EDGES = 2_000;

/** Of one process: its own edges, and beyond them those of all. Of who waits for it only the name is known. */
function ofProcess(all: readonly Edge[], own: readonly Edge[], pid: number): Edge[] {
  const comm = own[0]?.comm ?? '';
  const title = `${comm} (${pid})`;
  return [...own.map((edge) => ({ ...edge, comm: title })), ...all.filter((edge) => edge.comm !== comm)];
}

export function Waits() {
  const { pid, idle, q = '', chain = '', node, edge, as } = params.value;
  const most = Number(params.value.most) || SIZES[1];
  const time = asked(LIVE_WAITS_MS);
  const answer = useAnswer<Answered>(host.value ? 'waits' : null, { host: host.value, ...time, idle: Boolean(idle), limit: MOST_EDGES }, { live: 10_000 });
  const own = useAnswer<Answered>(host.value && pid ? 'waits' : null, { host: host.value, ...time, idle: Boolean(idle), pid, limit: MOST_EDGES }, { live: 10_000 });
  const who = useAnswer<{ process: Process }>(host.value && pid ? `hosts/${part(host.value)}/processes/${part(pid)}` : null, asked(), { live: 10_000 });
  const { data } = answer;

  const graph = useMemo(() => {
    if (!data) return null;
    const number = Number(pid);
    const edges = pid ? ofProcess(data.edges, own.data?.edges ?? [], number) : data.edges;
    const all = arrows(edges);
    const comm = own.data?.edges[0]?.comm;
    const wanted = pid && comm ? filtered(all, `${comm} (${number})`) : pid ? [] : filtered(all, q);
    const found = chain ? data.chains.find((each) => chainWords(each) === chain) : undefined;
    const keys = found && new Set(arrowsOf(found));
    const shown = heaviest(keys ? wanted.filter((each) => keys.has(each.key)) : wanted, keys ? Infinity : most);
    return { all: wanted, chained: Boolean(keys), ...shown, drawn: layout(shown.kept), ns: wanted.reduce((sum, each) => sum + each.ns, 0) };
  }, [data, own.data, pid, q, most, chain]);

  const notKept = answer.error instanceof Refusal && answer.error.status === 404;
  const name = who.data?.process.comm;
  return (
    <div class="stack waits">
      <header class="row">
        <h1>Who waits for whom</h1>
        {data && <span class="dim">{span(Date.parse(data.from), Date.parse(data.to))} ({length(data.span_s * 1_000)})</span>}
      </header>
      <div class="row" role="search" aria-label="What is shown">
        {pid
          ? <span class="badge">only {name ? `${titleOf(`p ${name}`)} (${pid})` : `process ${pid}`} <button class="plain" onClick={() => set({ pid: undefined })}>show all</button></span>
          : <label>Name <input type="search" value={q} placeholder="a process, disk, …" size={16} onInput={(event) => set({ q: event.currentTarget.value, node: undefined, edge: undefined })} /></label>}
        <label><input type="checkbox" checked={Boolean(idle)} onChange={(event) => set({ idle: event.currentTarget.checked ? '1' : undefined })} /> with waits for work</label>
        <label>Heaviest{' '}
          <select value={String(most)} onChange={(event) => set({ most: event.currentTarget.value })}>
            {[...new Set([...SIZES, most])].sort((a, b) => a - b).map((each) => <option key={each} value={String(each)}>{each >= MOST_EDGES ? 'all' : each}</option>)}
          </select>
        </label>
        <div class="row" role="group" aria-label="Form">
          <button aria-pressed={as !== 'table'} onClick={() => set({ as: undefined })}>Graph</button>
          <button aria-pressed={as === 'table'} onClick={() => set({ as: 'table' })}>Table</button>
        </div>
      </div>
      {answer.error && (notKept
        ? <NotKept detail={answer.error.message} />
        : <Failed error={answer.error} what="Who waits for whom" />)}
      {!data || !graph ? answer.loading && <Loading what="Who waits for whom" /> : graph.all.length === 0 ? (
        !notKept && <Nothing data={data} filtered={Boolean(q || pid)} idle={Boolean(idle)} />
      ) : (
        <>
          <p>
            <strong>{nsPerS(graph.ns / data.span_s)}</strong> {idle ? 'of waiting' : 'of held-up waiting'}{q || pid ? ' in what is shown' : ' on this host'}.
            {' '}<span class="dim">An arrow goes from who waits to whom it waits for; its width and number are the time that all waiting threads spend in each second.</span>
          </p>
          {chain && as !== 'table' && (
            <p class="note">
              {graph.chained ? <>Only the chain <strong>{chain}</strong>.</> : <>The chain {chain} is not in this time: all is shown.</>}
              {' '}<button onClick={() => set({ chain: undefined })}>Show the whole graph</button>
            </p>
          )}
          {graph.left > 0 && as !== 'table' && (
            <p class="note">
              The heaviest {count(graph.kept.length)} of {count(graph.all.length)} arrows. The other {count(graph.left)} take {nsPerS(graph.leftNs / data.span_s)} together.
              {' '}<button onClick={() => set({ most: String(SIZES.find((each) => each > most) ?? MOST_EDGES) })}>Show more</button>
            </p>
          )}
          <div class="waits-sides">
            <div class="card waits-main">
              {as === 'table'
                ? <Edges rows={graph.all} span_s={data.span_s} />
                : <WaitsDrawing drawn={graph.drawn} span_s={data.span_s} node={node} edge={edge} />}
            </div>
            <aside class="stack waits-aside">
              {(node || edge) && <Picked all={graph.all} span_s={data.span_s} node={node} edge={edge} time={time} idle={Boolean(idle)} />}
              <Chains data={data} q={pid ? own.data?.edges[0]?.comm ?? '' : q} chosen={chain} />
            </aside>
          </div>
        </>
      )}
      {data && (
        <details>
          <summary>What this cannot say</summary>
          <ul>
            {data.not_covered.map((each) => <li key={each}>{each}</li>)}
            <li>{count(data.looked_at.waits)} waits were looked at.</li>
            {data.total > data.edges.length && <li>{count(data.total - data.edges.length)} of the lightest pairs were not asked for.</li>}
          </ul>
        </details>
      )}
    </div>
  );
}

function NotKept({ detail }: { detail: string }) {
  return (
    <p class="note" role="status">
      Nothing is stored about waits of {isLive.value ? 'the newest time yet: they are written about once a minute' : `${span(chosen.value.from, chosen.value.to)}`}.
      {' '}<span class="dim">{detail}</span>
    </p>
  );
}

function Nothing({ data, filtered: some, idle }: { data: Answered; filtered: boolean; idle: boolean }) {
  if (some) return <Empty>Nothing that waits fits. <button onClick={() => set({ q: undefined, pid: undefined })}>Show all</button></Empty>;
  return (
    <Empty>
      Nothing was held up: of the {count(data.looked_at.waits)} waits that were looked at, {idle ? 'none is known' : 'all were for work'}.
      {!idle && <> <button onClick={() => set({ idle: '1' })}>Show waits for work</button></>}
    </Empty>
  );
}

function Edges({ rows, span_s }: { rows: readonly Arrow[]; span_s: number }) {
  const columns: Column<Arrow>[] = [
    { key: 'who', label: 'Who waits', by: (row) => titleOf(row.from), cell: (row) => titleOf(row.from) },
    { key: 'reason', label: 'What for', by: (row) => stateOf(row.reason).label, cell: (row) => <><i class={`swatch s-${stateOf(row.reason).group}`} />{stateOf(row.reason).label}</> },
    { key: 'whom', label: 'For whom', by: (row) => titleOf(row.to), cell: (row) => titleOf(row.to) },
    { key: 'time', label: 'Time each second', number: true, by: (row) => row.ns, cell: (row) => nsPerS(row.ns / span_s) },
    { key: 'waits', label: 'Waits seen', number: true, wide: true, by: (row) => row.waits, cell: (row) => count(row.waits) },
  ];
  const sort = params.value.sort ?? 'time';
  return (
    <Table label="Who waits for whom" rows={sorted(rows, columns, sort)} columns={columns} id={(row) => row.key} sort={sort} onSort={(key) => set({ sort: key })}
      onOpen={(row) => set({ edge: row.key, node: undefined })} />
  );
}

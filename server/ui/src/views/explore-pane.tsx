// One query of Explore: its text, its graph over the time of the page, and its values at the chosen time.
import { useMemo, useRef } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import { useAnswer, type Answer } from '../api/load';
import { stepOf } from '../api/series';
import { count, length, moment, name, ns } from '../format';
import { Chart } from '../parts/chart';
import { Empty, Loading } from '../parts/notes';
import { Swatch } from '../parts/swatch';
import { Table, sorted, type Column } from '../parts/table';
import { chosen, range } from '../time';
import { MOST, drawn, instantRows, stepFor, valueText, type InstantAnswer, type InstantRow, type RangeAnswer } from './explore-data';
import { Editor } from './explore-editor';
import { EXAMPLES } from './explore-examples';
import { FORMATS, UNITS, unitOf, type Unit } from './explore-units';

/** The grid of a live view, s: panes are asked for again when a part of it has passed. */
const LIVE_GRID_S = 5;
const ROWS = 1_000;

export interface Pane { readonly query: string; readonly as: string; readonly unit: string; readonly only: string; readonly sort: string }
interface Props {
  readonly at: number;
  readonly pane: Pane;
  readonly last: boolean;
  readonly single: boolean;
  /** Seconds; 0: the page chooses. */
  readonly step: number;
  readonly change: (changed: Partial<Pane>) => void;
  readonly move: (by: number) => void;
  readonly remove: () => void;
}

/** How long the answer to a new question took, ms. */
function useTook(answer: Answer<unknown>, question: string): number | null {
  const asked = useRef({ question: '', at: 0, took: null as number | null });
  const known = asked.current;
  if (known.question !== question && answer.loading) asked.current = { question, at: performance.now(), took: known.took };
  else if (known.question === question && !answer.loading && known.at > 0) {
    known.took = performance.now() - known.at;
    known.at = 0;
  }
  return asked.current.took;
}

export function PaneView({ at, pane, last, single, step: wish, change, move, remove }: Props) {
  const draft = useSignal<string | null>(null);
  const text = draft.value ?? pane.query;
  const run = () => {
    change({ query: text.trim(), only: '' });
    draft.value = null;
  };
  const asTable = pane.as === 'table';
  const unit = (pane.unit in UNITS ? pane.unit : unitOf(pane.query)) as Unit;
  return (
    <section class="card stack pane" aria-label={`Query ${at + 1}`}>
      <form class="pane-head" onSubmit={(event) => { event.preventDefault(); run(); }}>
        <Editor id={`query-${at}`} label={`Query ${at + 1}`} text={text} onText={(next) => { draft.value = next; }} onRun={run} />
        <div class="row pane-tools">
          <button class="main">Run</button>
          <div class="row" role="group" aria-label="Form">
            <button type="button" aria-pressed={!asTable} onClick={() => change({ as: '' })}>Graph</button>
            <button type="button" aria-pressed={asTable} onClick={() => change({ as: 'table' })}>Table</button>
          </div>
          <label>Unit{' '}
            <select value={pane.unit} onChange={(event) => change({ unit: event.currentTarget.value })}>
              <option value="">{pane.query ? `by name: ${UNITS[unitOf(pane.query)]}` : 'by name'}</option>
              {Object.entries(UNITS).map(([key, words]) => <option key={key} value={key}>{words}</option>)}
            </select>
          </label>
          <span class="grow" />
          {at > 0 && <button type="button" aria-label={`Move query ${at + 1} up`} onClick={() => move(-1)}>▴</button>}
          {!last && <button type="button" aria-label={`Move query ${at + 1} down`} onClick={() => move(1)}>▾</button>}
          {!single && <button type="button" aria-label={`Remove query ${at + 1}`} onClick={remove}>✕</button>}
        </div>
      </form>
      {!pane.query ? <Examples choose={(query) => { draft.value = null; change({ query, only: '' }); }} />
        : asTable ? <Instant pane={pane} unit={unit} change={change} /> : <Graph pane={pane} unit={unit} wish={wish} change={change} />}
    </section>
  );
}

function Examples({ choose }: { choose: (query: string) => void }) {
  return (
    <div class="stack">
      <p>Ask for any metric that is kept, in PromQL. To begin with:</p>
      <ul class="examples">
        {EXAMPLES.map(({ words, query }) => <li key={query}><button onClick={() => choose(query)}><strong>{words}</strong> <code class="dim">{query}</code></button></li>)}
      </ul>
      <p class="dim">Metrics whose names end with _total only rise: rate(…[1m]) makes a speed of them. Others are levels, or the amount of one second.</p>
    </div>
  );
}

const Refused = ({ error }: { error: Error }) => <p class="note bad" role="alert">{name(error.message.replace(/^invalid parameter "query": /, ''), 600)}</p>;
const Warnings = ({ of }: { of: readonly string[] | undefined }) => <>{of?.map((each) => <p key={each} class="note warn">{name(each, 400)}</p>)}</>;

interface PartProps { readonly pane: Pane; readonly unit: Unit; readonly change: (changed: Partial<Pane>) => void }

function Graph({ pane, unit, wish, change }: PartProps & { wish: number }) {
  const { from, to } = range.value;
  const span_s = (to - from) / 1_000;
  const step = stepFor(span_s, wish, stepOf(to - from));
  const grid = Math.ceil(LIVE_GRID_S / step) * step;
  const start = Math.floor(from / 1_000 / grid) * grid;
  const end = Math.floor(to / 1_000 / grid) * grid;
  const answer = useAnswer<RangeAnswer>('api/v1/query_range', { query: pane.query, start, end, step });
  const took = useTook(answer, `${pane.query} ${start} ${step}`);
  const kept = useRef({ start, end, step });
  const shown = useMemo(() => {
    if (!answer.data) return null;
    if (!answer.loading) kept.current = { start, end, step };
    return drawn(answer.data, kept.current.start, kept.current.end, kept.current.step);
  }, [answer.data]);
  const only = pane.only.split(',').filter(Boolean).map(Number);
  const lines = shown ? shown.lines.filter((_, at) => only.length === 0 || only.includes(at)) : [];
  return (
    <>
      {answer.error && <Refused error={answer.error} />}
      <Warnings of={answer.data?.warnings} />
      {!shown ? answer.loading && <Loading what="The graph" /> : shown.total === 0 ? (!answer.error && <Empty>No series has a value in this time.</Empty>) : (
        <>
          <p class="dim pane-facts">
            {shown.total > MOST ? <strong class="warn">The {MOST} largest of {count(shown.total)} series</strong> : `${count(shown.total)} series`}
            {' · '}a value each {length(step * 1_000)}{took !== null && ` · answered in ${ns(Math.round(took) * 1e6)}`}
          </p>
          <Chart title={name(pane.query, 100)} times={shown.times} lines={lines} format={FORMATS[unit]} height={240} />
          <Legend lines={shown.lines} only={only} unit={unit} pick={(at) => change({ only: only.length === 1 && only[0] === at ? '' : String(at) })} />
        </>
      )}
    </>
  );
}

function Legend({ lines, only, unit, pick }: { lines: ReturnType<typeof drawn>['lines']; only: readonly number[]; unit: Unit; pick: (at: number) => void }) {
  const format = FORMATS[unit];
  return (
    <div class="table pane-legend" tabIndex={0} role="region" aria-label="Series">
      <table>
        <thead><tr><th>Series</th><th class="num">Last</th><th class="num wide">Least</th><th class="num">Most</th><th class="num">Mean</th></tr></thead>
        <tbody>
          {lines.map((line, at) => (
            <tr key={line.key} class={only.length && !only.includes(at) ? 'dim' : ''}>
              <td><button class="plain" aria-pressed={only.includes(at)} title="Show this one alone" onClick={() => pick(at)}><Swatch fill={`var(--${line.colour})`} />{name(line.label, 120)}</button></td>
              <td class="num">{line.last === null ? '–' : format(line.last)}</td><td class="num wide">{format(line.least)}</td><td class="num">{format(line.most)}</td><td class="num">{format(line.mean)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Instant({ pane, unit, change }: PartProps) {
  const time = Math.floor(chosen.value.to / 1_000 / LIVE_GRID_S) * LIVE_GRID_S;
  const answer = useAnswer<InstantAnswer>('api/v1/query', { query: pane.query, time });
  const took = useTook(answer, `${pane.query} ${time}`);
  const rows = useMemo(() => (answer.data ? instantRows(answer.data) : []), [answer.data]);
  const keys = useMemo(() => [...new Set(rows.flatMap((row) => Object.keys(row.labels)))].sort((a, b) => Number(b === '__name__') - Number(a === '__name__') || (a < b ? -1 : 1)), [rows]);
  const columns: Column<InstantRow>[] = [
    { key: 'value', label: 'Value', number: true, by: (row) => row.value ?? -Infinity, cell: (row) => <span title={row.text}>{valueText(row.value, row.text, unit)}</span> },
    ...keys.map((key): Column<InstantRow> => ({ key: `l-${key}`, label: key === '__name__' ? 'metric' : name(key, 40), by: (row) => row.labels[key] ?? '', cell: (row) => name(row.labels[key] ?? '–', 100) })),
  ];
  const sort = pane.sort || 'value';
  return (
    <>
      {answer.error && <Refused error={answer.error} />}
      <Warnings of={answer.data?.warnings} />
      {!answer.data ? answer.loading && <Loading what="The values" /> : rows.length === 0 ? <Empty>No series has a value at {moment(time * 1_000)}.</Empty> : (
        <>
          <p class="dim pane-facts">{count(rows.length)} {rows.length === 1 ? 'value' : 'values'} at {moment(time * 1_000)}{rows.length > ROWS && `, the first ${count(ROWS)} are shown`}{took !== null && ` · answered in ${ns(Math.round(took) * 1e6)}`}</p>
          <Table label={`Values of query`} rows={sorted(rows, columns, sort).slice(0, ROWS)} columns={columns} id={(row) => row.key} sort={sort} onSort={(key) => change({ sort: key })} height={420} />
        </>
      )}
    </>
  );
}

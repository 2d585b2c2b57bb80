// What is stored, for how long, what notifiers sent; what the process of the server takes.
import { useMemo } from 'preact/hooks';
import { Refusal } from '../api/http';
import { useAnswer } from '../api/load';
import { ago, bytes, count, name, ns } from '../format';
import { Failed, Loading } from '../parts/notes';
import { figure, labelOf, metricLines } from './server-figures';

type Fields = Readonly<Record<string, unknown>>;
const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);
const isRows = (value: unknown): value is readonly Fields[] => Array.isArray(value) && value.length > 0 && value.every(isFields);
const TITLES: Readonly<Record<string, string>> = {
  store: 'Store', hosts: 'What is kept of each host', retention: 'How long it is kept', profiles: 'Profiles', ingest: 'What arrives', rules: 'Rules', notifiers: 'Notifiers',
};

export function State() {
  const answer = useAnswer<Fields>('server', {}, { live: 10_000 });
  const missing = answer.error instanceof Refusal && answer.error.status === 404;
  const { data } = answer;
  return (
    <>
      {answer.error && !missing && <Failed error={answer.error} what="The state of the server" />}
      {missing && <p class="note">This server does not say what it stores: it needs a newer version. Its own figures are below.</p>}
      {!data ? answer.loading && <Loading what="The state of the server" /> : <Known data={data} />}
      <Figures />
    </>
  );
}

function Known({ data }: { data: Fields }) {
  const plain = Object.entries(data).filter(([, value]) => !isFields(value) && !isRows(value));
  const parts = Object.entries(data).filter(([, value]) => isFields(value));
  const tables = Object.entries(data).filter(([, value]) => isRows(value));
  return (
    <>
      <div class="grid">
        <section class="card"><h2>Server</h2><List fields={Object.fromEntries(plain.filter(([key, value]) => !(key in TITLES && value === null)))} />{data.store === null && <p class="dim">The store is a database elsewhere: it has no figures here.</p>}</section>
        {parts.map(([key, value]) => (
          <section class="card" key={key}>
            <h2>{TITLES[key] ?? labelOf(key)}</h2>
            <List fields={value as Fields} />
            {key === 'store' && <Fill store={value as Fields} retention={data.retention} />}
          </section>
        ))}
      </div>
      {tables.map(([key, value]) => <Rows key={key} title={TITLES[key] ?? labelOf(key)} rows={value as readonly Fields[]} />)}
    </>
  );
}

function List({ fields }: { fields: Fields }) {
  return <dl class="figures">{Object.entries(fields).map(([key, value]) => <div key={key}><dt>{labelOf(key)}</dt><dd>{figure(key, value)}</dd></div>)}</dl>;
}

/** How much of the allowed size is used. */
function Fill({ store, retention }: { store: Fields; retention: unknown }) {
  const most = isFields(retention) ? Number(retention.max_bytes) : NaN;
  const used = Number(store.file_bytes) - Number(store.free_bytes ?? 0);
  if (!(most > 0) || !Number.isFinite(used)) return null;
  return <label class="stack">{bytes(used)} of {bytes(most)} in use <meter min={0} max={most} value={used} high={most * 0.9}>{Math.round((used / most) * 100)} %</meter></label>;
}

function Rows({ title, rows }: { title: string; rows: readonly Fields[] }) {
  const keys = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const isNumber = (key: string) => rows.some((row) => typeof row[key] === 'number');
  return (
    <section class="card">
      <h2>{title}</h2>
      <div class="table" tabIndex={0} role="region" aria-label={title}>
        <table>
          <thead><tr>{keys.map((key) => <th key={key} class={isNumber(key) ? 'num' : ''}>{labelOf(key)}</th>)}</tr></thead>
          <tbody>{rows.map((row, at) => <tr key={at}>{keys.map((key) => <td key={key} class={`${isNumber(key) ? 'num' : ''} ${key === 'last_error' && row[key] ? 'bad' : ''}`}>{figure(key, row[key])}</td>)}</tr>)}</tbody>
        </table>
      </div>
    </section>
  );
}

/** The server's own metrics, as Prometheus gets them. */
function Figures() {
  const answer = useAnswer<ArrayBuffer>('api/../metrics', {}, { live: 60_000, binary: true });
  const lines = useMemo(() => (answer.data ? metricLines(new TextDecoder().decode(answer.data), /^(s7mpa_server_|process_)/) : []), [answer.data]);
  const value = (wanted: string) => lines.find((line) => line.name === wanted)?.value;
  const started = value('process_start_time_seconds');
  const cpu = value('process_cpu_seconds_total');
  const up = started === undefined ? undefined : Date.now() / 1_000 - started;
  return (
    <section class="card stack">
      <h2>The server’s process</h2>
      {answer.error ? <p class="dim">Its figures are not known: {answer.error.message}</p> : lines.length === 0 ? <p class="dim" role="status">{answer.loading ? 'Loading …' : 'It says nothing of itself.'}</p> : (
        <>
          <dl class="figures">
            <div><dt>Runs since</dt><dd>{started === undefined ? '–' : ago(started * 1_000)}</dd></div>
            <div><dt>CPU time in all</dt><dd>{cpu === undefined ? '–' : `${ns(cpu * 1e9)}${up ? ` (${count((cpu / up) * 100)} % of a CPU)` : ''}`}</dd></div>
            <div><dt>Memory</dt><dd>{bytes(value('process_resident_memory_bytes'))}</dd></div>
            <div><dt>Open files</dt><dd>{count(value('process_open_fds'))}</dd></div>
          </dl>
          <details>
            <summary>All {count(lines.length)} figures</summary>
            <div class="table" tabIndex={0} role="region" aria-label="Figures of the server">
              <table>
                <thead><tr><th>Figure</th><th class="num">Value</th><th class="wide">Meaning</th></tr></thead>
                <tbody>{lines.map((line) => <tr key={`${line.name} ${line.labels}`}><td class="mono">{name(line.name)}{line.labels && ` (${name(line.labels)})`}</td><td class="num">{/_bytes(_total)?$/.test(line.name) ? bytes(line.value) : count(line.value)}</td><td class="wide">{name(line.help)}</td></tr>)}</tbody>
              </table>
            </div>
          </details>
        </>
      )}
    </section>
  );
}

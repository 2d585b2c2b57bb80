// What the page covers, what is lost, what the agent itself takes, and what words and keys mean.
import { part } from '../api/http';
import { useAnswer } from '../api/load';
import { useSeries, type Series } from '../api/series';
import type { HostActivity, Row } from '../api/types';
import { lossWords, TIERS, verdictWords } from '../coverage';
import { Chart, type Line } from '../parts/chart';
import { Empty, Failed, Loading, Shown } from '../parts/notes';
import { bytes, count, length, name, perS, share, span } from '../format';
import { asked, chosen, host, isLive } from '../time';
import { Keys, Words } from './about-words';

/** What a report says of its own limits (agent/JSON.md). */
interface ReportBody {
  report: { coverage: { missing?: string[] }; unknown?: string[] };
}
interface Build { data: { revision?: string; version?: string } }
interface Server { version?: string; started_at?: string }

const SELF = ['{__name__=~"s7mpa_self_(cpu_pct|rss_bytes|map_bytes)"}'];

export function About() {
  const base = host.value ? `hosts/${part(host.value)}` : null;
  const activity = useAnswer<HostActivity>(base, asked(), { live: 5_000 });
  const { from, to } = chosen.value;
  return (
    <div class="stack">
      <header class="stack about-head">
        <h1>About: what is covered, what is lost, what it costs</h1>
        <p class="dim">Host {name(host.value, 80)}, {isLive.value ? `the last ${length(to - from)}` : span(from, to)}. A number that is not known is shown as “–”, which is not zero.</p>
      </header>
      <Shown answer={activity} what="Coverage">
        {(data) => (
          <div class="about">
            <Coverage rows={data.measurements} span_s={data.span_s || 1} />
            <Lost rows={data.measurements.s7mpa_lost ?? []} span_s={data.span_s || 1} />
            <Stacks title="User stacks of samples" rows={data.measurements.s7mpa_unwound ?? []} />
            {data.measurements.s7mpa_python_stacks && <Stacks title="Python stacks of samples" rows={data.measurements.s7mpa_python_stacks} />}
          </div>
        )}
      </Shown>
      <Limits />
      <Cost rows={activity.data?.measurements ?? {}} />
      <Words />
      <Keys />
      <Version />
    </div>
  );
}

function Coverage({ rows, span_s }: { rows: Record<string, Row[]>; span_s: number }) {
  const values = rows.s7mpa_coverage?.[0]?.values;
  const waits = rows.s7mpa_waits?.[0]?.values;
  return (
    <section class="card" aria-labelledby="coverage">
      <h2 id="coverage">Coverage</h2>
      {!values ? <Empty>Not known.</Empty> : (
        <dl class="about-facts">
          <div><dt>Samples of what runs</dt><dd><strong>{values.expected ? share(values.captured! / values.expected) : '–'}</strong> of {count(values.expected)} arrived</dd></div>
          <div><dt>Names of functions</dt><dd>{values.symbolized_pct === undefined ? 'found when a flame graph is asked for' : `${share(values.symbolized_pct / 100)} of frames have one`}</dd></div>
          <div><dt>System calls</dt><dd>{values.syscall_times ? TIERS.times : TIERS.counts}</dd></div>
          <div><dt>Waits looked at with their stacks</dt><dd>{waits ? <>{perS((waits.waits ?? 0) / span_s)}, who ended them is known of {share((waits.woken ?? 0) / (waits.waits || 1))}</> : 'none: the kernel has no scheduler accounting here'}</dd></div>
        </dl>
      )}
    </section>
  );
}

function Lost({ rows, span_s }: { rows: readonly Row[]; span_s: number }) {
  const found = rows.filter(({ values }) => values.lost).sort((a, b) => b.values.lost! - a.values.lost!);
  return (
    <section class="card" aria-labelledby="lost">
      <h2 id="lost">Lost</h2>
      {found.length === 0 ? <Empty>Nothing was lost in this time.</Empty> : (
        <div class="table" tabIndex={0} role="region" aria-label="Table of what was lost"><table>
          <thead><tr><th>What, and why</th><th class="num">Number</th><th class="num">Each second</th></tr></thead>
          <tbody>{found.map(({ labels, values }) => (
            <tr key={labels.reason}><td title={labels.reason}>{lossWords(labels.reason ?? '')}</td><td class="num">{count(values.lost)}</td><td class="num">{perS(values.lost! / span_s)}</td></tr>
          ))}</tbody>
        </table></div>
      )}
    </section>
  );
}

function Stacks({ title, rows }: { title: string; rows: readonly Row[] }) {
  const found = rows.filter(({ values }) => values.samples).sort((a, b) => b.values.samples! - a.values.samples!);
  const all = found.reduce((sum, row) => sum + row.values.samples!, 0);
  const id = title.replaceAll(' ', '-');
  return (
    <section class="card" aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      {found.length === 0 ? <Empty>No sample in this time.</Empty> : (
        <div class="table" tabIndex={0} role="region" aria-label={`Table of ${title.toLowerCase()}`}><table>
          <thead><tr><th>How the walk up the stack ended</th><th class="num">Share</th><th class="num">Samples</th></tr></thead>
          <tbody>{found.map(({ labels, values }) => (
            <tr key={labels.verdict}><td>{verdictWords(labels.verdict ?? '')}</td><td class="num">{share(values.samples! / all)}</td><td class="num">{count(values.samples)}</td></tr>
          ))}</tbody>
        </table></div>
      )}
    </section>
  );
}

/** Of the last report: they do not change by the second. */
function Limits() {
  const live = isLive.value;
  const report = useAnswer<ReportBody>(host.value ? `hosts/${part(host.value)}/report` : null, live ? {} : { at: new Date(chosen.value.to).toISOString() }, { live: 60_000 });
  return (
    <section class="card" aria-labelledby="limits">
      <h2 id="limits">What cannot be known here</h2>
      <Shown answer={report} what="Limits">
        {({ report: { coverage, unknown } }) => (
          <ul class="about-limits">
            {(coverage.missing ?? []).map((each) => <li key={each}><span class="badge warn">not on this kernel</span> {name(each, 400)}</li>)}
            {(unknown ?? []).map((each) => <li key={each}>{name(each, 400)}</li>)}
            {!coverage.missing?.length && <li class="good">✓ This kernel and these permissions allow every feature.</li>}
          </ul>
        )}
      </Shown>
    </section>
  );
}

function ownLines(data: Series) {
  const of = (label: string, colour: string, field: string, factor: number): Line => {
    const found = data.series.find(({ labels }) => labels.__name__ === `s7mpa_self_${field}`);
    return { label, colour, values: (found?.values ?? data.times.map(() => null)).map((value) => (value === null ? null : value * factor)) };
  };
  return { cpu: [of('of one CPU', 'c2', 'cpu_pct', 0.01)], memory: [of('memory', 'c1', 'rss_bytes', 1), of('kernel memory of BPF maps', 'c4', 'map_bytes', 1)] };
}

function Cost({ rows }: { rows: Record<string, Row[]> }) {
  const values = rows.s7mpa_self?.[0]?.values;
  const { data, error } = useSeries(SELF);
  const lines = data && ownLines(data);
  return (
    <section class="card stack" aria-labelledby="cost">
      <h2 id="cost">What the agent itself takes</h2>
      <dl class="about-facts">
        <div><dt>CPU of the collector</dt><dd><strong>{share(values && values.cpu_pct! / 100)}</strong> of one CPU</dd></div>
        <div><dt>Its memory</dt><dd><strong>{bytes(values?.rss_bytes)}</strong></dd></div>
        <div><dt>Kernel memory of its BPF maps</dt><dd><strong>{bytes(values?.map_bytes)}</strong></dd></div>
        <div><dt>Unwind tables</dt><dd>{count(values?.unwind_tables)} files, {count(values?.unwind_processes)} processes, {bytes(values?.unwind_bytes)}</dd></div>
        <div><dt>Tables without room</dt><dd>{values?.unwind_refused ? <span class="warn">{count(values.unwind_refused)} refused</span> : 'none'}{values?.unwind_evicted ? `, ${count(values.unwind_evicted)} dropped to make room` : ''}</dd></div>
      </dl>
      {error && !data && <Failed error={error} what="Cost over time" />}
      {data && lines ? (
        <div class="about">
          <Chart title="CPU" times={data.times} lines={lines.cpu} format={share} top={0.05} />
          <Chart title="Memory" times={data.times} lines={lines.memory} format={bytes} top={2 ** 24} />
        </div>
      ) : !error && <Loading what="Cost over time" />}
    </section>
  );
}

function Version() {
  const build = useAnswer<Build>('api/v1/status/buildinfo');
  const server = useAnswer<Server>('server');
  const revision = server.data?.version ?? build.data?.data.revision?.replace(/^s7mpa-/, '');
  return (
    <p class="dim">
      s7mpa {revision ? name(revision, 60) : ''}{build.data?.data.version && `, queries as Prometheus ${name(build.data.data.version, 20)}`}.
      {' '}Free software: MIT or Apache-2.0. This page asks no other server.
    </p>
  );
}

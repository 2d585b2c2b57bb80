// The first view: is this host well, who is held up by whom, and what each graph costs whom. Live and past are the same.
import { Refusal, part } from '../api/http';
import { useAnswer } from '../api/load';
import { newest } from '../api/live';
import type { Alert, Alerts, Now as Answer, Process } from '../api/types';
import { StateBar } from '../parts/bar';
import { FindingCard } from '../parts/finding';
import { Empty, Shown } from '../parts/notes';
import { count, length, moment, name, nsPerS, share, span } from '../format';
import { placeWords } from '../groups';
import { at, link, params, set } from '../route';
import { hosts } from '../session';
import { LIVE_MS, absolute, chosen, host, isLive, selection } from '../time';
import { ranked, verdict, type Ranked } from '../verdict';
import { lostGroups, vitals } from '../vitals';
import { ChangesPanel } from './changes';
import { BadEnds } from './now-ends';
import { Graphs } from './now-graphs';

/** Processes of an answer: what graphs cost whom is of them. */
const MOST_PROCESSES = 300;
/** Rows of those that lost most time. */
const ROWS = 12;
/** Findings in sight before "show all". */
const FIRST = 3;
/** Longest time of which the server sums figures in this answer, ms. */
const LONGEST_MS = 3_600_000;
/** Figures and lists, ms: people cannot read them each second. Graphs go on with each window. */
const EVERY_MS = 2_000;

export function Now() {
  const live = isLive.value;
  const { from, to } = chosen.value;
  const base = host.value ? `hosts/${part(host.value)}` : null;
  const of = live ? {} : { at: new Date(to).toISOString(), duration: `${Math.min(to - from, LONGEST_MS) / 1_000}s` };
  const answer = useAnswer<Answer>(base && `${base}/now`, { ...of, limit: MOST_PROCESSES }, { live: EVERY_MS });
  // Alerts that were open within the selection, and are over at its end.
  const over = useAnswer<Alerts>(live || !host.value ? null : 'alerts', { host: host.value, ...absolute({ from, to }), limit: 100 });
  const now = answer.data;
  const unknown = answer.error instanceof Refusal && answer.error.status === 404;
  const all = now ? ranked(now, live ? [] : over.data?.alerts) : [];
  return (
    <div class="stack">
      <h1 class="sr">{live ? 'Now' : 'Then'}: host {name(host.value, 80)}</h1>
      {unknown ? <Unknown live={live} /> : <Shown answer={answer} what="The host">
        {(data) => (
          <>
            <Verdict now={data} all={all} live={live} />
            {to - from > LONGEST_MS && !live && <p class="note">Figures and lists are of the last hour of the selection, graphs are of all of it.</p>}
            {selection.value && <ChangesPanel />}
            <Findings all={all} until={Date.parse(data.to)} />
            <BadEnds />
            <Graphs processes={data.processes} span_s={data.span_s || 1} rows={data.measurements} />
            <Losers processes={data.processes} span_s={data.span_s || 1} total={data.total_processes} />
          </>
        )}
      </Shown>}
    </div>
  );
}

/** The server has no window of that time. Graphs lead to one that it has. */
function Unknown({ live }: { live: boolean }) {
  const last = hosts.value.find((each) => each.host === host.value)?.newest_at;
  const to = newest.value[host.value] ?? (last ? Date.parse(last) : 0);
  return (
    <>
      <div class="note warn" role="status">
        <strong>{live ? 'This host is silent.' : 'Nothing is known of this time.'}</strong>{' '}
        {live ? 'No figures have come from it in the last minute: it is off, cut off, or its agent does not run.' : 'The agent did not run, or what it saw is not kept any more.'}
        {to > 0 && <> <a href={link('now', at({ from: to - LIVE_MS, to }))}>Its newest figures: {moment(to)}</a></>}
      </div>
      <Graphs processes={null} span_s={1} rows={{}} />
    </>
  );
}

function Verdict({ now, all, live }: { now: Answer; all: readonly Ranked[]; live: boolean }) {
  const { state, text, detail } = verdict(all, !live);
  const figures = vitals(now.measurements, now.span_s || 1);
  const watch = state === 'good' ? figures.filter((each) => each.strained).map(({ label, strained }) => `${label}: ${strained}`).join(', ') : '';
  return (
    <section class={`card verdict ${state === 'good' ? 'well' : 'unwell'}`} aria-labelledby="verdict">
      <div class="verdict-words">
        <span class="verdict-mark" aria-hidden="true">{state === 'good' ? '✓' : '!'}</span>
        <div>
          <h2 id="verdict">{text}</h2>
          <p class="dim">
            {watch && <strong class="warn">But watch {watch}. </strong>}{detail} {live ? `Last ${length(now.span_s * 1e3)}` : span(Date.parse(now.from), Date.parse(now.to))}
            {now.report && `, report of ${moment(Date.parse(now.report.at))}`}
            {live && now.age_s > 5 && <strong class="warn"> The newest figures are {length(now.age_s * 1e3)} old.</strong>}
          </p>
        </div>
      </div>
      <dl class="vitals">
        {figures.map(({ key, label, value, detail: more, strained }) => (
          <div key={key} class={strained ? 'strained' : ''}>
            <dt>{label}</dt>
            <dd><strong>{value}</strong></dd>
            <dd class="dim">{more}</dd>
            {strained && <dd class="warn">▲ {strained}</dd>}
          </div>
        ))}
      </dl>
    </section>
  );
}

function Findings({ all, until }: { all: readonly Ranked[]; until: number }) {
  if (all.length === 0) return null;
  const open = params.value.finding;
  const most = params.value.findings ? all.length : FIRST;
  return (
    <section class="stack" aria-labelledby="findings">
      <h2 id="findings">What holds it back</h2>
      {all.slice(0, most).map(({ id, finding, alert }) => (
        <FindingCard key={id} finding={finding} open={open === id} onToggle={(now) => set({ finding: now ? id : undefined })} aside={alert && <AlertLink alert={alert} until={until} />} />
      ))}
      {all.length > most && <p><button onClick={() => set({ findings: 'all' })}>Show all {count(all.length)}</button></p>}
    </section>
  );
}

function AlertLink({ alert, until }: { alert: Alert; until: number }) {
  const since = alert.opened_unix_ns / 1e6;
  return <a href={link('alerts', { id: alert.id })}>{alert.state === 'resolved' ? `alert of ${moment(since)}` : `alert for ${length(Math.max(0, until - since))}`}</a>;
}

function Losers({ processes, span_s, total }: { processes: readonly Process[]; span_s: number; total: number }) {
  const rows = processes.filter(({ states }) => (states.lost_ns ?? 0) > 0).slice(0, ROWS);
  return (
    <section class="card" aria-labelledby="losers">
      <header class="row">
        <h2 id="losers">Processes that lost most time</h2><span class="grow" />
        <a href={link('processes')}>All {count(total)} processes</a>
      </header>
      {rows.length === 0 ? <Empty>No process was held up.</Empty> : (
        <div class="table losers" tabIndex={0} role="region" aria-label="Table of processes that lost most time">
          <table>
            <thead><tr><th>Process</th><th class="num">Lost</th><th class="wide">Most for</th><th class="num wide">CPU</th><th class="bar-column">What its threads did, without idle time</th><th class="wide">Container, service or cgroup</th></tr></thead>
            <tbody>{rows.map((each) => <Loser key={`${each.pid} ${each.start_ms}`} process={each} span_s={span_s} />)}</tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Loser({ process, span_s }: { process: Process; span_s: number }) {
  const { pid, start_ms, comm, labels, states } = process;
  const [most] = lostGroups(states);
  const title = pid ? `${name(comm, 60)} (${pid})` : 'all other processes';
  return (
    <tr>
      <td>{pid ? <a href={link('process', { pid, start: start_ms || undefined })}>{title}</a> : title}</td>
      <td class="num">{nsPerS((states.lost_ns ?? 0) / span_s)}</td>
      <td class="wide">{most ? `${most.label}, ${share(most.ns / (states.lost_ns || 1))}` : '–'}</td>
      <td class="num wide">{nsPerS((states.oncpu_ns ?? 0) / span_s)}</td>
      <td><StateBar states={states} idle={false} label={title} /></td>
      <td class="wide dim">{placeWords(labels, 40)}</td>
    </tr>
  );
}

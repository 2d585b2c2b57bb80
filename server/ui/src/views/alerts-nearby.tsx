// What else happened within a minute of an alert: other alerts, reports, who changed, which processes began.
import { Refusal, part } from '../api/http';
import { useAnswer } from '../api/load';
import type { Alert, Alerts, Change, Changes, HostActivity, Processes, Reports } from '../api/types';
import type { Events } from '../ends/types';
import { processOf, sentence } from '../findings';
import { clock, count, length, name, nsPerS } from '../format';
import { termOf } from '../logs/term';
import { Part } from '../parts/notes';
import { at, link } from '../route';
import { stateOf } from '../states';
import { absolute, type Interval } from '../time';
import { openedMs } from './alerts-list';

const MINUTE_MS = 60_000;
const FEW = 8;

const nearest = (reports: Reports['reports'], opened: number) => [...reports]
  .sort((a, b) => Math.abs(Date.parse(a.at) - opened) - Math.abs(Date.parse(b.at) - opened)).slice(0, 5).sort((a, b) => (a.at < b.at ? -1 : 1));
/** `12 s before`, `3 s after` the alert opened. */
const since = (ms: number) => (Math.abs(ms) < 500 ? 'at the same time' : `${length(Math.round(Math.abs(ms) / 1_000) * 1_000)} ${ms < 0 ? 'before' : 'after'}`);

export function Nearby({ alert }: { alert: Alert }) {
  const opened = Math.floor(openedMs(alert) / 1_000) * 1_000;
  const around: Interval = { from: opened - MINUTE_MS, to: opened + MINUTE_MS };
  const before: Interval = { from: opened - MINUTE_MS, to: opened };
  const path = `hosts/${part(alert.host)}`;
  const others = useAnswer<Alerts>('alerts', { host: alert.host, ...absolute(around), limit: 1_000 });
  const reports = useAnswer<Reports>('reports', { host: alert.host, ...absolute(around), limit: 20 });
  const changes = useAnswer<Changes>(`${path}/changes`, { ...absolute(before), limit: 100 });
  const processes = useAnswer<Processes>(`${path}/processes`, { ...absolute(around), limit: 3_000 });
  const whole = useAnswer<HostActivity>(path, absolute(around));
  const events = useAnswer<Events>('events', { host: alert.host, ...absolute(around), limit: 50 });
  return (
    <section class="card stack">
      <header class="row">
        <h2 class="grow">What else happened within a minute</h2>
        <LogLinks alert={alert} around={around} />
      </header>
      <div class="alert-near">
        <Part title="Other alerts that opened" answer={others}>
          {({ alerts }) => {
            const rows = alerts.filter((each) => each.id !== alert.id && openedMs(each) >= around.from && openedMs(each) <= around.to).sort((a, b) => openedMs(a) - openedMs(b));
            return rows.length === 0 ? <p class="dim">None.</p> : (
              <ul>
                {rows.slice(0, 2 * FEW).map((each) => <li key={each.id}><a href={link('alerts', { id: each.id, host: each.host })}>{sentence(each.finding)}</a> <span class="num dim">{since(openedMs(each) - openedMs(alert))}</span></li>)}
                {rows.length > 2 * FEW && <li class="dim">and {count(rows.length - 2 * FEW)} more</li>}
              </ul>
            );
          }}
        </Part>
        <Part title="Who changed in the minute before" answer={changes} more={<a href={link('changes', { ...at(before), host: alert.host })}>all</a>}>
          {(data) => <ChangeList changes={data.changes} before={before} />}
        </Part>
        <Part title="Processes that began" answer={processes} more={<Turnover whole={whole.data} />}>
          {(data) => <Begun data={data} whole={whole.data} around={around} opened={opened} host={alert.host} />}
        </Part>
        {!(events.error instanceof Refusal && events.error.status === 404) && (
          <Part title="Events of the host" answer={events} more={<a href={link('ends', { ...at(around), host: alert.host })}>ends and events</a>}>
            {(data) => (data.events.length === 0 ? <p class="dim">None.</p> : (
              <ul>
                {data.events.slice(0, FEW).map((each) => <li key={`${each.at} ${each.text}`}><span><strong>{name(each.class.replaceAll('-', ' '), 60)}</strong> <span class="dim">{name(each.text.split('\n')[0]!, 160)}</span></span> <span class="num dim">{since(Date.parse(each.at) - openedMs(alert))}</span></li>)}
                {data.events.length > FEW && <li class="dim">and {count(data.events.length - FEW)} more</li>}
              </ul>
            ))}
          </Part>
        )}
        <Part title="Reports nearest to it" answer={reports}>
          {(data) => (data.reports.length === 0 ? <p class="dim">None.</p> : (
            <ul>
              {nearest(data.reports, opened).map((each) => <li key={each.at}><span>{name(each.verdict, 300)}{each.findings.length > 0 && <span class="dim"> ({count(each.findings.length)} {each.findings.length === 1 ? 'finding' : 'findings'})</span>}</span> <span class="num dim">{clock(Date.parse(each.at))}</span></li>)}
            </ul>
          ))}
        </Part>
      </div>
    </section>
  );
}

/** Alerts that a post-mortem belongs to: it has the same id. */
const OF_ENDS = new Set(['crash', 'crash-loop', 'service-failed']);
export function EndLink({ alert: { finding, host, id, opened_unix_ns } }: { alert: Alert }) {
  return OF_ENDS.has(finding.class) ? <a class="button" href={link('ends', { host, id, pid: processOf(finding.subject), when: Math.round(opened_unix_ns / 1e6) })}>Why did it end</a> : null;
}

/** Log lines of this time: of the subject and of all, and what ended. */
function LogLinks({ alert: { finding, host }, around }: { alert: Alert; around: Interval }) {
  const pid = processOf(finding.subject);
  const unit = finding.places?.find((each) => each.pid === pid)?.unit;
  const ofUnit = unit ? termOf('label', 'unit', unit) : null;
  const of = { ...at(around), host };
  return (
    <>
      {pid !== undefined && <a href={link('logs', { ...of, q: `pid=${pid}` })}>its log lines</a>}
      {ofUnit && <a href={link('logs', { ...of, q: ofUnit })}>lines of its unit</a>}
      <a href={link('logs', of)}>all log lines</a>
    </>
  );
}

function ChangeList({ changes, before }: { changes: readonly Change[]; before: Interval }) {
  // What may be idle says nothing.
  const rows = changes.filter((each) => each.state === 'oncpu' || stateOf(each.state).group !== 'idle').slice(0, FEW);
  if (rows.length === 0) return <p class="dim">Nobody.</p>;
  return (
    <ul>
      {rows.map((each) => {
        const state = stateOf(each.state);
        return (
          <li key={`${each.comm} ${each.cgroup} ${each.state}`}>
            <span><i class={`swatch s-${state.group}`} />{name(each.comm, 40)}{each.pids.length === 1 && <> (<a href={link('process', { ...at(before), pid: each.pids[0] })}>{each.pids[0]}</a>)</>}: {state.label}</span>
            <strong class="num">{each.more_ns_per_s > 0 ? '+' : '−'}{nsPerS(Math.abs(each.more_ns_per_s))}</strong>
          </li>
        );
      })}
    </ul>
  );
}

function Turnover({ whole }: { whole: HostActivity | null }) {
  const row = whole?.measurements.s7mpa_host?.[0]?.values;
  if (!row || row.processes_started === undefined) return null;
  return <span class="dim">{count(row.processes_started)} began, {count(row.processes_ended)} ended</span>;
}

/** `start_ms` is since boot: with the uptime at the end of the time it is a moment. */
function Begun({ data, whole, around, opened, host }: { data: Processes; whole: HostActivity | null; around: Interval; opened: number; host: string }) {
  const uptime = whole?.measurements.s7mpa_host?.[0]?.values.uptime_ns;
  if (!whole || uptime === undefined) return <p class="dim">Not known.</p>;
  const boot = Date.parse(whole.to) - uptime / 1e6;
  const rows = data.processes.filter((each) => each.pid !== 0).map((each) => ({ ...each, began: boot + each.start_ms }))
    .filter((each) => each.began >= around.from && each.began <= around.to).sort((a, b) => (b.states.oncpu_ns ?? 0) - (a.states.oncpu_ns ?? 0));
  if (rows.length === 0) return <p class="dim">None with figures of their own.</p>;
  return (
    <ul>
      {rows.slice(0, FEW).map((each) => <li key={`${each.pid} ${each.start_ms}`}><a href={link('process', { ...at(around), pid: each.pid, start: each.start_ms, host })}>{name(each.comm, 40)} ({each.pid})</a> <span class="num dim">{since(each.began - opened)}</span></li>)}
      {rows.length > FEW && <li class="dim">and {count(rows.length - FEW)} that computed less</li>}
    </ul>
  );
}

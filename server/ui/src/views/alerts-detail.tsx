// One alert: the finding, the flame graph from before it beside a normal one, what else happened, and what one may do.
import { useEffect, useMemo } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import { useAnswer } from '../api/load';
import type { Alert, Alerts as Answered, Columns } from '../api/types';
import { culpritGraph, culpritOf, partyWords, processOf, subjectGraph } from '../findings';
import { ago, length, moment, name, span } from '../format';
import { Flame, KINDS, type FlameKind } from '../flame/flame';
import { FindingCard } from '../parts/finding';
import { Empty, Failed, Loading } from '../parts/notes';
import { at, link, params, set } from '../route';
import { EARLIER_MS, absolute, earlier, host, iso, type Interval } from '../time';
import { StateBadge } from './alerts';
import { Acts } from './alerts-acts';
import { isOpen, lasted, merged, openedMs, quietPart, unknownParts } from './alerts-list';
import { EndLink, Nearby } from './alerts-nearby';

/** Stacks of so long before an alert go out with it. */
const EVIDENCE_MS = 300_000;
/** How often it is asked for while it is open. Of one that is over all that still comes is what others say of it. */
const OPEN_MS = 5_000;
const OVER_MS = 60_000;

/** When an alert opened: its id ends with it, in Unix seconds. */
const openedOf = (id: string) => {
  const seconds = Number(/\/(\d{9,11})$/.exec(id)?.[1]);
  return seconds ? seconds * 1_000 : null;
};

export function AlertDetail({ id }: { id: string }) {
  const opened = openedOf(id);
  const over = useSignal(false);
  const answer = useAnswer<Answered>(host.value ? 'alerts' : null, {
    host: host.value, from: opened === null ? undefined : iso(opened - 60_000), limit: 10_000,
  }, { live: over.value ? OVER_MS : OPEN_MS });
  const alert = useMemo(() => answer.data?.alerts.find((each) => each.id === id), [answer.data, id]);
  useEffect(() => { over.value = alert !== undefined && !isOpen(alert); }, [alert]);
  const back = <nav aria-label="Back"><a href={link('alerts')}>‹ All alerts</a></nav>;
  if (!alert) {
    return (
      <div class="stack">
        {back}
        <h1>Alert</h1>
        {answer.error ? <Failed error={answer.error} what="The alert" /> : answer.loading && !answer.data ? <Loading what="The alert" /> : <Empty>The alert {name(id)} is not known on {name(host.value, 60)}. It may have been too long ago.</Empty>}
      </div>
    );
  }
  const from = openedMs(alert);
  const { to } = lasted(alert, Date.now());
  const time: Interval = { from: Math.floor(from / 1_000) * 1_000, to: Math.max(Math.ceil(to / 1_000) * 1_000, Math.floor(from / 1_000) * 1_000 + 1_000) };
  const before: Interval = { from: Math.floor(from / 1_000) * 1_000 - 30_000, to: Math.floor(from / 1_000) * 1_000 };
  return (
    <div class="stack">
      {back}
      <header class="row">
        <h1>Alert</h1> <StateBadge alert={alert} />
        <span class="dim">{isOpen(alert) ? `opened ${moment(from)}, ${ago(from)}` : `${span(time.from, time.to)} (${length(time.to - time.from)})`}</span>
        <span class="grow" />
        <EndLink alert={alert} />
        <a href={link('logs', { ...at({ from: before.from, to: before.to + 30_000 }), host: alert.host })}>Log lines of that minute</a>
        <a href={link('changes', at(before))}>Look at the 30 s before it</a>
      </header>
      <h2 class="sr">What was found</h2>
      <FindingCard finding={alert.finding} time={before} host={alert.host} open={params.value.evidence !== '0'} onToggle={(open) => set({ evidence: open ? undefined : '0' })} level={3} />
      {alert.of_rule && <OfRule alert={alert} />}
      <Acts alert={alert} />
      <Graphs alert={alert} />
      <Nearby alert={alert} />
    </div>
  );
}

function OfRule({ alert }: { alert: Alert }) {
  const { labels, annotations } = alert.of_rule!;
  return (
    <section class="card">
      <h2>From a rule file</h2>
      <dl>{[...Object.entries(labels), ...Object.entries(annotations)].map(([key, value]) => <div key={key} class="row"><dt class="dim">{name(key, 80)}</dt><dd>{name(value, 500)}</dd></div>)}</dl>
    </section>
  );
}

/** The stacks that went out with the alert beside a time without one. Both have the same kind, zoom and search. */
function Graphs({ alert }: { alert: Alert }) {
  const { finding } = alert;
  const from = openedMs(alert);
  const hour: Interval = { from: from - EVIDENCE_MS - EARLIER_MS.hour, to: from - EVIDENCE_MS };
  const others = useAnswer<Answered>('alerts', { host: alert.host, ...absolute({ from: hour.from, to: from }), limit: 2_000 });
  const known = useAnswer<Columns>('flamegraph/columns', { host: alert.host, ...absolute(hour), step: '60s', idle: true });
  // Where no profile is kept is no normal time either.
  const busy = [...(others.data ? merged(others.data.alerts).map((each) => lasted(each, from)) : []), ...(known.data ? unknownParts(known.data) : [hour])];
  const quiet = others.data ? quietPart(busy, hour, EVIDENCE_MS) ?? quietPart(busy, hour, EVIDENCE_MS / 5) : null;
  const wish = params.value.normal;
  const evidence: Interval = { from: from - EVIDENCE_MS, to: from };
  const choice = wish === 'hour' || wish === 'just' || wish === 'quiet' ? wish : quiet ? 'quiet' : 'just';
  const normal = choice === 'quiet' && quiet ? quiet : earlier(evidence, choice === 'hour' ? EARLIER_MS.hour : 0);
  const culprit = culpritOf(finding);
  const whom = [
    { key: '', label: 'the whole host', pid: undefined as number | undefined },
    ...(processOf(finding.subject) ? [{ key: 'subject', label: partyWords(finding.subject), pid: processOf(finding.subject) }] : []),
    ...(culprit && processOf(culprit) ? [{ key: 'culprit', label: partyWords(culprit), pid: processOf(culprit) }] : []),
  ];
  const of = whom.find((each) => each.key === params.value.of) ?? whom[0]!;
  const usual: FlameKind = of.key !== 'subject' && culprit ? culpritGraph(finding.class) : subjectGraph(finding.class);
  const kind = KINDS.find((each) => each.kind === params.value.kind)?.kind ?? usual;
  const differs = params.value.side === 'difference';
  return (
    <section class="card stack">
      <h2>The flame graph from before the alert{differs ? ', and how it differs' : ' beside a normal time'}</h2>
      <div class="row">
        <div class="row" role="group" aria-label="What it is of">
          {KINDS.map((each) => <button key={each.kind} title={each.help} aria-pressed={each.kind === kind} onClick={() => set({ kind: each.kind })}>{each.label}</button>)}
        </div>
        {whom.length > 1 && (
          <label>of <select value={of.key} onChange={(event) => set({ of: event.currentTarget.value })}>{whom.map(({ key, label }) => <option key={key} value={key}>{label}</option>)}</select></label>
        )}
        <label>Normal is{' '}
          <select value={choice} onChange={(event) => set({ normal: event.currentTarget.value })}>
            <option value="quiet" disabled={!quiet}>{quiet ? `without alerts: ${span(quiet.from, quiet.to)}` : 'without alerts: none in the hour before'}</option>
            <option value="just">the five minutes before</option>
            <option value="hour">an hour before</option>
          </select>
        </label>
        <div class="row" role="group" aria-label="Form">
          <button aria-pressed={!differs} onClick={() => set({ side: undefined })}>Side by side</button>
          <button aria-pressed={differs} onClick={() => set({ side: 'difference' })}>Difference</button>
        </div>
      </div>
      {differs ? (
        <Flame key={`d ${kind}`} host={alert.host} pid={of.pid} time={evidence} base={normal} kind={kind} kinds={[kind]} prefix="g-" height={420} title="Difference to the normal time" />
      ) : (
        <div class="alert-sides">
          <div class="stack">
            <h3>Before the alert <span class="dim">{span(evidence.from, evidence.to)}</span></h3>
            <Flame host={alert.host} alert={alert.id} pid={of.pid} kind={kind} kinds={[kind]} base={null} prefix="g-" height={420} title="Before the alert" />
          </div>
          <div class="stack">
            <h3>Normal <span class="dim">{span(normal.from, normal.to)}</span></h3>
            <Flame host={alert.host} time={normal} pid={of.pid} kind={kind} kinds={[kind]} base={null} prefix="g-" height={420} title="A normal time" />
          </div>
        </div>
      )}
    </section>
  );
}

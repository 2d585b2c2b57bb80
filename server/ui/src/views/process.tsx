// A process: who it is, where its time goes, and why. Each part is a tab with an address.
import { useAnswer } from '../api/load';
import { Refusal, part } from '../api/http';
import type { Now, ProcessActivity } from '../api/types';
import { bytes, count, moment, name, share } from '../format';
import { termOf } from '../logs/term';
import { StateBar } from '../parts/bar';
import { Failed, Loading, Empty } from '../parts/notes';
import { Flame } from '../flame/flame';
import { link, params } from '../route';
import { asked, chosen, host, isLive } from '../time';
import { summary } from './process-summary';
import { Gone } from './process-gone';
import { Overview } from './process-overview';
import { Calls } from './process-calls';
import { ProcessWaits } from './process-waits';
import { Threads } from './process-threads';
import { FiguresOverTime } from './process-figures';

/** The process that a part of the view is of. `start`: ms since boot; undefined: not known. */
export interface Of { readonly pid: number; readonly start: number | undefined; readonly comm: string }

const TABS = { overview: 'Overview', calls: 'System calls', waits: 'Waits', flame: 'Flame graphs', threads: 'Threads and files', figures: 'Figures over time' } as const;
type Tab = keyof typeof TABS;

export function Process() {
  const { pid: text = '', start: startText, comm: called = '', tab: asTab } = params.value;
  const pid = Number(text);
  const tab: Tab = asTab && asTab in TABS ? (asTab as Tab) : 'overview';
  const valid = Number.isInteger(pid) && pid > 0;
  // Another process is another view: nothing of the last one stays.
  return valid ? <One key={`${host.value} ${pid} ${startText}`} pid={pid} startText={startText} called={called} tab={tab} />
    : <section><h1 class="sr">Process</h1><Empty>No process is chosen. <a href={link('processes')}>All processes</a></Empty></section>;
}

function One({ pid, startText, called, tab }: { pid: number; startText: string | undefined; called: string; tab: Tab }) {
  const base = `hosts/${part(host.value)}`;
  const answer = useAnswer<ProcessActivity>(host.value ? `${base}/processes/${pid}` : null, { start_ms: startText, ...asked() }, { live: true });
  // What is found at the chosen time, and since when the host runs.
  const now = useAnswer<Now>(host.value ? `${base}/now` : null, { at: isLive.value ? undefined : new Date(chosen.value.to).toISOString(), limit: 1 }, { live: 10_000 });
  const { data, error, loading } = answer;
  const gone = error instanceof Refusal && error.status === 404;
  const process = data?.process;
  const start = startText ? Number(startText) : process?.start_ms || undefined;
  const comm = process?.comm ?? called;
  const of: Of = { pid, start, comm };
  return (
    <article class="stack process">
      <Head of={of} activity={gone ? null : data} now={now.data} />
      <nav class="tabs" aria-label="About this process">
        {Object.entries(TABS).map(([key, label]) => (
          <a key={key} href={link('process', { ...params.value, tab: key === 'overview' ? undefined : key })} aria-current={key === tab ? 'page' : undefined}>{label}</a>
        ))}
      </nav>
      {error && !gone && <Failed error={error} what="The process" />}
      {gone && <Gone of={of} detail={error.message} />}
      {loading && !data && !gone && <Loading what="The process" />}
      {tab === 'overview' && <Overview of={of} activity={gone ? null : data} now={now.data} />}
      {tab === 'calls' && <Calls of={of} activity={gone ? null : data} />}
      {tab === 'waits' && <ProcessWaits of={of} />}
      {tab === 'flame' && <section class="card" aria-label="Flame graphs"><Flame pid={pid} start_ms={start} prefix="f-" heat /></section>}
      {tab === 'threads' && <Threads of={of} />}
      {tab === 'figures' && <FiguresOverTime of={of} />}
    </article>
  );
}

function Head({ of: { pid, start, comm }, activity, now }: { of: Of; activity: ProcessActivity | null; now: Now | null }) {
  const process = activity?.process;
  const { container, pod, namespace, image, unit, cgroup } = process?.labels ?? {};
  const ofUnit = unit ? termOf('label', 'unit', unit) : null;
  const uptime = now?.measurements.s7mpa_host?.[0]?.values.uptime_ns;
  const since = start && uptime !== undefined && now ? Date.parse(now.to) - uptime / 1e6 + start : undefined;
  const { values } = process ?? {};
  return (
    <header class="card stack head">
      <div class="row">
        <h1>{comm ? name(comm, 80) : 'Process'} <span class="dim">{pid}</span></h1>
        {values?.processes === 0 && <span class="badge warn">has ended</span>}
        <span class="grow" />
        <a href={link('logs', { q: `pid=${pid}` })}>Its log lines</a>
        {ofUnit && <a href={link('logs', { q: ofUnit })}>Lines of its unit</a>}
        <a href={link('processes', { q: comm || pid })}>All of this name</a>
      </div>
      <dl class="facts">
        {pod && <Fact what="Pod" q={pod}>{name(namespace ? `${namespace}/${pod}` : pod)}</Fact>}
        {container && <Fact what="Container" q={container}>{name(container)}</Fact>}
        {image && <Fact what="Image">{name(image)}</Fact>}
        {unit && <Fact what="Unit" q={unit}>{name(unit)}</Fact>}
        {cgroup && <Fact what="Cgroup" q={cgroup}>{name(cgroup)}</Fact>}
        {since !== undefined && <Fact what="Runs since">{moment(since)}</Fact>}
        <Fact what="Host">{name(host.value)}</Fact>
        {process && activity && (
          <>
            <Fact what="CPU">{share((process.states.oncpu_ns ?? (values?.user_ns ?? NaN) + (values?.system_ns ?? NaN)) / 1e9 / activity.span_s)}</Fact>
            <Fact what="Lost">{share((process.states.lost_ns ?? NaN) / 1e9 / activity.span_s)}</Fact>
            <Fact what="Memory">{bytes(values?.rss_bytes)}</Fact>
            <Fact what="Threads">{count(values?.threads)}</Fact>
          </>
        )}
      </dl>
      {process && activity && (
        <>
          <StateBar states={process.states} label="Time of its threads" />
          <p>{summary(process, activity.span_s)}</p>
        </>
      )}
    </header>
  );
}

function Fact({ what, q, children }: { what: string; q?: string; children: preact.ComponentChildren }) {
  return <div><dt>{what}</dt><dd>{q ? <a href={link('processes', { q })}>{children}</a> : children}</dd></div>;
}

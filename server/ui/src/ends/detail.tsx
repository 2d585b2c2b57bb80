// One end: why, what speaks for it, what was ruled out, and what else happened within a minute.
import type { ComponentChildren } from 'preact';
import { useAnswer } from '../api/load';
import type { Alerts } from '../api/types';
import { sentence } from '../findings';
import { ago, clock, count, length, moment, name, share } from '../format';
import { Text } from '../logs/line';
import { termOf } from '../logs/term';
import { Empty, Failed, Loading, Part } from '../parts/notes';
import { at, link } from '../route';
import { absolute, host, type Interval } from '../time';
import { momentOf, openedMs } from '../views/alerts-list';
import { EventList } from './events';
import { endLink, endedMs } from './group';
import { Numbers } from './numbers';
import type { End, Ends, Events, Proof } from './types';
import { KIND_WORDS, causeMeans, causeWords, certaintyOf, frames, howWords, loopWords, placeOf, startOf, whoOf } from './words';

const MINUTE_MS = 60_000;
const FEW = 12;

/** By its id, else the one of this process that is nearest in time. */
const pick = (ends: readonly End[], id: string, pid: number, when: number) => ends.find((each) => each.id === id)
  ?? ends.filter((each) => each.process.pid === pid).sort((a, b) => Math.abs(endedMs(a) - when) - Math.abs(endedMs(b) - when))[0];

export function EndDetail({ id, when, pid }: { id: string; when: number; pid: number }) {
  // Without its time it is looked for in the last week.
  const time: Interval = when > 0 ? { from: when - MINUTE_MS, to: when + MINUTE_MS } : { from: Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - 7 * 1_440 * MINUTE_MS, to: Math.ceil(Date.now() / MINUTE_MS) * MINUTE_MS };
  const answer = useAnswer<Ends>(host.value ? 'postmortems' : null, { host: host.value, ...absolute(time), limit: 500 });
  const found = answer.data ? pick(answer.data.postmortems, id, pid, when) : undefined;
  const back = <nav aria-label="Back"><a href={link('ends')}>‹ All ends and events</a></nav>;
  if (!found) {
    return (
      <div class="stack">
        {back}
        <h1>Why did it end</h1>
        {answer.error ? <Failed error={answer.error} what="The end" /> : answer.loading && !answer.data ? <Loading what="The end" /> : <Empty>The end {name(id)} is not known on {name(host.value, 60)}. It may have been too long ago. {pid > 0 && <a href={link('ends', { q: pid })}>Ends of process {pid}</a>}</Empty>}
      </div>
    );
  }
  return <div class="stack ends">{back}<One end={found} others={answer.data!.postmortems} /></div>;
}

function One({ end, others }: { end: End; others: readonly End[] }) {
  const ms = endedMs(end);
  const { process, cause } = end;
  const last: Interval = { from: Math.floor(ms / 1_000) * 1_000 - 29_000, to: Math.floor(ms / 1_000) * 1_000 + 1_000 };
  const words: Interval = { from: last.from - 30_000, to: last.to + 4_000 };
  const of = { ...(end.host ? { host: end.host } : {}) };
  const term = process.unit ? termOf('label', 'unit', process.unit) : process.container ? termOf('label', 'container', process.container) : null;
  return (
    <>
      <header class="row">
        <h1>Why did it end</h1>
        <span class="dim">{moment(ms)}, {ago(ms)}</span>
      </header>
      <article class={`card finding end ${end.loop ? 'firm' : ''}`}>
        <header><h2>{name(cause.text, 1_000)}</h2><Numbers end={end} /></header>
        <p>{whoOf(end)} {howWords(end)}. <span class="dim">{causeMeans(cause.class)} {cause.class !== 'unknown' && `Confidence ${share(cause.confidence)}: ${certaintyOf(end)}.`}</span></p>
        {end.loop && <p class="bad">It is in a loop: it ended badly {loopWords(end)}.</p>}
        <dl class="facts">
          <Fact what="Process">{whoOf(end)}</Fact>
          {process.exe && <Fact what="Program"><code>{name(process.exe)}</code></Fact>}
          {placeOf(end) && <Fact what="In">{placeOf(end)}</Fact>}
          <Fact what="Host">{name(end.host, 80)}</Fact>
          {process.cmdline && <Fact what="Command"><code>{name(process.cmdline, 600)}</code></Fact>}
          <Blame end={end} />
        </dl>
        <div class="finding-links">
          <a href={link('process', { ...at(last), ...of, pid: process.pid, start: startOf(end), comm: process.comm })}>The process in its last 30 s</a>
          <a href={link('logs', { ...at(words), ...of, q: `pid=${process.pid}` })}>Its log lines</a>
          {term && <a href={link('logs', { ...at(words), ...of, q: term })}>Lines of its {process.unit ? 'unit' : 'container'}</a>}
          <a href={link('logs', { ...at(words), ...of })}>All lines of that minute</a>
          <a href={link('changes', { ...at(last), ...of })}>Who changed</a>
          <a href={link('flamegraph', { ...at(last), ...of, pid: process.pid, kind: 'wall' })}>Flame graph of its last 30 s</a>
        </div>
      </article>
      <section class="card stack" aria-labelledby="end-evidence">
        <h2 id="end-evidence">What speaks for it</h2>
        {end.evidence.length === 0 ? <Empty>Nothing but how it ended.</Empty>
          : <ol class="end-proofs">{end.evidence.map((each, nth) => <ProofItem key={nth} proof={each} ended={ms} host={end.host} />)}</ol>}
      </section>
      {end.ruled_out.length > 0 && (
        <section class="card stack" aria-labelledby="end-ruled-out">
          <h2 id="end-ruled-out">What was ruled out</h2>
          <ul class="end-ruled-out">{end.ruled_out.map((each) => <li key={each.class}><strong title={causeMeans(each.class)}>{causeWords(each.class)}</strong>: <span class="dim">{name(each.why_not, 600)}</span></li>)}</ul>
        </section>
      )}
      <Nearby end={end} others={others} />
    </>
  );
}

function Fact({ what, children }: { what: string; children: ComponentChildren }) {
  return <div><dt>{what}</dt><dd>{children}</dd></div>;
}

/** Who or what is to blame, as far as it is not the process itself. */
function Blame({ end: { cause: { subject }, process, host: of } }: { end: End }) {
  const { kind, pid, comm, path, peer, unit, function: called, line, call, limit, name: named } = subject;
  const own = pid === process.pid || (pid === undefined && comm === process.comm);
  const parts: ComponentChildren[] = [
    pid !== undefined && !own && <a href={link('process', { pid, comm, ...(of ? { host: of } : {}) })}>{name(comm ?? 'process', 60)} ({pid})</a>,
    ...[called && `${called}${line ? ` (${line})` : ''}`, call && `${call}()`, path, peer, unit, limit, named].filter(Boolean).map((each) => <code>{name(String(each), 300)}</code>),
  ].filter(Boolean);
  if (parts.length === 0) return null;
  return <Fact what={`To blame: ${name(kind, 40)}`}>{parts.map((each, nth) => <span key={nth}>{nth > 0 && ', '}{each}</span>)}</Fact>;
}

/** `3 s before` the end. */
const since = (ms: number, ended: number) => {
  const by = ms - ended;
  if (Math.abs(by) < 1) return 'as it ended';
  return `${length(Math.abs(by) < 1_000 ? Math.abs(by) : Math.round(Math.abs(by) / 100) * 100)} ${by < 0 ? 'before' : 'after'}`;
};

function ProofItem({ proof, ended, host: of }: { proof: Proof; ended: number; host: string }) {
  const known = Number(proof.at_ns) > 0;
  const ms = known ? momentOf(proof.at_ns) : 0;
  const second = Math.floor(ms / 1_000) * 1_000;
  const around = known ? link('logs', { ...at({ from: second - 30_000, to: second + 31_000 }), ...(of ? { host: of } : {}), around: String(proof.at_ns), was: location.hash }) : '';
  const stack = proof.kind === 'stack' ? frames(proof.text) : [];
  return (
    <li class={`end-proof ${proof.kind}`}>
      <span class="badge">{KIND_WORDS[proof.kind] ?? name(proof.kind, 30)}</span>
      <div class="stack">
        {proof.kind === 'stack' && stack.length > 1
          ? <ol class="finding-stack mono" aria-label="Stack, the innermost function first">{stack.map((each, nth) => <li key={nth}>{name(each, 400)}</li>)}</ol>
          : <p class={proof.kind === 'log' || proof.kind === 'abort' ? 'mono end-words' : ''}><Text text={proof.text} /></p>}
      </div>
      <span class="dim num end-when">
        {known && <span title={moment(ms)}>{since(ms, ended)}</span>}
        {proof.kind === 'log' && known && <> <a href={around}>lines around it</a></>}
        {proof.ref && <span class="mono cut" title={name(proof.ref)}> {name(proof.ref, 60)}</span>}
      </span>
    </li>
  );
}

function Nearby({ end, others }: { end: End; others: readonly End[] }) {
  const ms = endedMs(end);
  const around: Interval = { from: Math.floor(ms / 1_000) * 1_000 - MINUTE_MS, to: Math.floor(ms / 1_000) * 1_000 + MINUTE_MS };
  const asked = { host: end.host || host.value, ...absolute(around) };
  const events = useAnswer<Events>('events', { ...asked, limit: 50 });
  const alerts = useAnswer<Alerts>('alerts', { ...asked, limit: 200 });
  const near = others.filter((each) => each.id !== end.id && Math.abs(endedMs(each) - ms) <= MINUTE_MS);
  return (
    <section class="card stack" aria-labelledby="end-near">
      <h2 id="end-near">What else happened within a minute</h2>
      <div class="alert-near">
        <Part title="Events of the host" answer={events}>{(data) => <EventList events={data.events.slice(0, FEW)} since={(at_ms) => since(at_ms, ms)} />}</Part>
        <Part title="Alerts that opened" answer={alerts}>
          {(data) => {
            const rows = data.alerts.filter((each) => openedMs(each) >= around.from && openedMs(each) <= around.to);
            return rows.length === 0 ? <p class="dim">None.</p> : (
              <ul>
                {rows.slice(0, FEW).map((each) => <li key={each.id}><a href={link('alerts', { id: each.id, host: each.host })}>{sentence(each.finding)}</a> <span class="num dim">{since(openedMs(each), ms)}</span></li>)}
                {rows.length > FEW && <li class="dim">and {count(rows.length - FEW)} more</li>}
              </ul>
            );
          }}
        </Part>
        <section class="stack">
          <h3>Other bad ends</h3>
          {near.length === 0 ? <p class="dim">None.</p> : <ul>{near.slice(0, FEW).map((each) => <li key={each.id}><a href={endLink(each)}>{name(each.cause.text, 200)}</a> <span class="num dim">{clock(endedMs(each))}</span></li>)}</ul>}
        </section>
      </div>
    </section>
  );
}

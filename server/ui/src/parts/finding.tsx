// A finding in plain words: who waits for what because of whom, what that costs, how sure it is, and what to do.
import type { ComponentChildren } from 'preact';
import type { Finding, Party } from '../api/types';
import {
  ALERT_CONFIDENCE, certainty, classWords, culpritGraph, culpritOf, evidenceValue, holds, ofRule, partyPlace, partyWords, processOf, sentence, subjectGraph, threshold,
} from '../findings';
import { name, nsPerS, share } from '../format';
import { at, link } from '../route';
import type { Interval } from '../time';

interface Context {
  readonly finding: Finding;
  /** Links lead to this time; without it to the chosen one. */
  readonly time?: Interval | undefined;
  /** Links lead to this host; without it to the chosen one. */
  readonly host?: string | undefined;
}
/** Parameters that all links of a finding have. */
const context = ({ time, host }: Omit<Context, 'finding'>) => ({ ...(time ? at(time) : {}), ...(host ? { host } : {}) });
/** `comm` is not asked for beside the number: of a thread group both may differ. */
const graph = (party: Party, kind: string, more: ReturnType<typeof context>) => link('flamegraph', { ...more, pid: processOf(party), kind });

function PartyName({ party, ...of }: { party: Party } & Omit<Context, 'finding'>) {
  const pid = processOf(party);
  const words = partyWords(party);
  return pid === undefined ? <>{words}</> : <a href={link('process', { ...context(of), pid })}>{words}</a>;
}

/** The finding as a sentence, with links to the processes. */
function FindingSentence({ finding, ...of }: Context) {
  if (ofRule(finding)) return <>{sentence(finding)}</>;
  const culprit = culpritOf(finding);
  return (
    <>
      <PartyName party={finding.subject} {...of} /> {classWords(finding.class)}
      {culprit && <>, because of <PartyName party={culprit} {...of} /></>}.
    </>
  );
}

/** What it costs, and how sure it is. */
function FindingNumbers({ finding }: { finding: Finding }) {
  if (ofRule(finding)) return null;
  const unsure = finding.confidence < ALERT_CONFIDENCE;
  return (
    <ul class="finding-numbers">
      {finding.lost_ns_per_s > 0 && <li><strong>{nsPerS(finding.lost_ns_per_s)}</strong> lost</li>}
      {finding.share_pct > 0 && <li>{share(finding.share_pct / 100)} of {finding.subject.kind === 'host' ? 'the' : 'its'} time</li>}
      <li class={unsure ? 'dim' : ''} title={`Confidence ${share(finding.confidence)}`}>{certainty(finding.confidence)}</li>
    </ul>
  );
}

/** Links to what shows the finding: its process, flame graphs, waits. */
function FindingLinks({ finding, ...of }: Context) {
  const { subject } = finding;
  const culprit = culpritOf(finding);
  const more = context(of);
  const subjectPid = processOf(subject);
  const culpritPid = processOf(culprit);
  const kind = subjectGraph(finding.class);
  return (
    <>
      {culpritPid !== undefined && culprit && (
        <a href={graph(culprit, culpritGraph(finding.class), more)}>Flame graph: what {partyWords({ ...culprit, kind: 'process' })} does</a>
      )}
      {subjectPid !== undefined && (
        <a href={graph(subject, kind, more)}>Flame graph: where {partyWords(subject)} {kind === 'on-cpu' ? 'computes' : 'waits'}</a>
      )}
      {subjectPid !== undefined && kind === 'off-cpu' && <a href={link('waits', { ...more, pid: subjectPid })}>Who makes it wait</a>}
      {subjectPid === undefined && !ofRule(finding) && <a href={link('processes', more)}>Processes of this time</a>}
    </>
  );
}

/** Numbers, alternatives, what it explains, stacks: all that is behind the sentence. */
function FindingEvidence({ finding }: { finding: Finding }) {
  const place = partyPlace(finding, finding.subject.pid);
  const culpritPlace = partyPlace(finding, finding.culprit?.pid);
  return (
    <div class="stack finding-evidence">
      {(place || culpritPlace) && (
        <p>{place && <>{partyWords(finding.subject)} is in {place}. </>}{culpritPlace && finding.culprit && <>{partyWords(finding.culprit)} is in {culpritPlace}.</>}</p>
      )}
      {finding.evidence.length > 0 && (
        <div class="table" tabIndex={0} role="region" aria-label={`Evidence: ${sentence(finding)}`}>
          <table>
            <thead><tr><th>Measured</th><th class="num">Value</th><th>Alert from</th></tr></thead>
            <tbody>
              {finding.evidence.map((each) => (
                <tr key={`${each.what} ${each.value}`}>
                  <td>{name(each.what)}</td>
                  <td class="num">{evidenceValue(each.value, each.unit)}</td>
                  <td>{threshold(each)} {each.threshold !== undefined && <span class={holds(each) ? 'bad' : 'dim'}>{holds(each) ? '✓ reached' : 'not reached'}</span>}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {finding.alternatives.length > 0 && (
        <section>
          <h4>What else it could be, and why it is not</h4>
          <ul>{finding.alternatives.map((each) => <li key={each.class}>it {classWords(each.class)}: <span class="dim">{name(each.why_not)}</span></li>)}</ul>
        </section>
      )}
      {finding.caused.length > 0 && (
        <section>
          <h4>What it explains</h4>
          <ul>{finding.caused.map((each) => <li key={each}>it {classWords(each)}</li>)}</ul>
        </section>
      )}
      {finding.stacks.length > 0 && (
        <section>
          <h4>Stacks that show it best</h4>
          {finding.stacks.map((each) => <Stack key={each} folded={each} />)}
        </section>
      )}
    </div>
  );
}

/** `root;…;leaf value`, shown with the leaf first. */
function Stack({ folded }: { folded: string }) {
  const cut = folded.lastIndexOf(' ');
  const frames = (cut < 0 ? folded : folded.slice(0, cut)).split(';').reverse();
  return <ol class="finding-stack mono">{frames.map((frame, at) => <li key={at}>{name(frame)}</li>)}</ol>;
}

interface CardProps extends Context {
  /** The evidence is open. */
  readonly open?: boolean;
  /** The evidence was opened or closed: for the address. */
  readonly onToggle?: (open: boolean) => void;
  /** Level of the heading. */
  readonly level?: 2 | 3;
  /** What stands at its right, such as the alert that it is. */
  readonly aside?: ComponentChildren;
}
/** All of a finding: the sentence and its numbers in sight, the evidence behind a click. */
export function FindingCard({ finding, open = false, onToggle, level = 3, aside, ...of }: CardProps) {
  const Heading = `h${level}` as const;
  const sure = finding.confidence >= ALERT_CONFIDENCE;
  return (
    <article class={`card finding ${sure ? 'firm' : ''}`}>
      <header>
        <Heading><FindingSentence finding={finding} {...of} /></Heading>
        <FindingNumbers finding={finding} />
        {aside && <span class="finding-aside">{aside}</span>}
      </header>
      {finding.headline && !ofRule(finding) && <p>{name(finding.headline)}</p>}
      {finding.advice && <p class="finding-advice">{name(finding.advice, 600)}</p>}
      <div class="finding-links">
        <FindingLinks finding={finding} {...of} />
        <details open={open} onToggle={(event) => { if (event.currentTarget.open !== open) onToggle?.(event.currentTarget.open); }}>
          <summary>Evidence</summary>
          <FindingEvidence finding={finding} />
        </details>
      </div>
    </article>
  );
}

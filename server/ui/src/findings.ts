// What a finding says, in plain words: who, what it waits for, because of whom, and how sure that is.
import type { Evidence, Finding, Party } from './api/types';
import { bytes, count, name, ns, nsPerS, share } from './format';
import { CLASSES } from './states';

/** Confidence from which a finding opens an alert; below it, it may be as it should be. */
export const ALERT_CONFIDENCE = 0.5;

/** `waits for a lock`. Classes of rule files say of themselves what they are. */
export const classWords = (key: string) => CLASSES[key] ?? name(key.replaceAll(/[-_]/g, ' '), 80);

/** What a party is called: `postgres (4952)`, `disk vda`, `a lock that worker (7) holds`. */
export function partyWords({ kind, pid, comm }: Party): string {
  const who = comm === undefined ? '' : name(comm, 80);
  const both = pid === undefined ? who || kind : who ? `${who} (${pid})` : `process ${pid}`;
  if (kind === 'lock') return pid === undefined ? `the lock ${who}`.trim() : `a lock that ${both} holds`;
  if (kind === 'thread') return `thread ${both}`;
  if (kind === 'device') return `disk ${who}`;
  if (kind === 'cgroup') return `cgroup ${who}`;
  if (kind === 'peer') return `the other end, ${who}`;
  if (kind === 'host') return who || 'the host';
  return both;
}

/** A culprit that is not the subject itself. */
export const culpritOf = ({ subject, culprit }: Finding): Party | null =>
  culprit && !(culprit.kind === subject.kind && culprit.pid === subject.pid && culprit.comm === subject.comm) ? culprit : null;
/** The process that a party is. Of a thread the number is the thread's. */
export const processOf = (party: Party | null | undefined) => (party?.pid !== undefined && party.pid !== 0 && party.kind !== 'thread' ? party.pid : undefined);

/** A finding of a rule file has a summary, and no time that it lost. */
export const ofRule = (finding: Finding) => finding.subject.kind === 'series';

/** `postgres (4952) waits for a lock, because of worker (7).` */
export function sentence(finding: Finding): string {
  if (ofRule(finding)) return finding.headline ? name(finding.headline) : `${name(finding.class, 80)} ${finding.subject.comm ? name(finding.subject.comm) : ''}`.trim();
  const culprit = culpritOf(finding);
  return `${partyWords(finding.subject)} ${classWords(finding.class)}${culprit ? `, because of ${partyWords(culprit)}` : ''}.`;
}

/** How sure a finding is, in words. */
export function certainty(confidence: number): string {
  if (confidence >= 0.85) return 'certain';
  if (confidence >= 0.65) return 'likely';
  return confidence >= ALERT_CONFIDENCE ? 'possible' : 'may be as it should be';
}

/** A measured number in its unit; evidence has the units of the rules. */
export function evidenceValue(value: number, unit: string): string {
  switch (unit) {
    case 'ms/s': return nsPerS(value * 1e6);
    case 'ms': return ns(value * 1e6);
    case 'µs': case 'us': return ns(value * 1e3);
    case 's': return ns(value * 1e9);
    case '%': return share(value / 100);
    case 'MiB': return bytes(value * 2 ** 20);
    case 'bytes': return bytes(value);
    case 'count': return count(value);
    default: return `${count(value)} ${name(unit, 40)}`;
  }
}
/** `at least 100 ms/s`: from where on the number speaks for an alert. */
export const threshold = ({ threshold: at, side, unit }: Evidence) =>
  (at === undefined ? '' : `${side === 'below' ? 'at most' : 'at least'} ${evidenceValue(at, unit)}`);
/** It is on that side. A number without a threshold speaks for nothing by itself. */
export const holds = ({ threshold: at, side, value }: Evidence) => at !== undefined && (side === 'below' ? value <= at : value >= at);

/** `container app (pod web, namespace shop)`, `unit nginx.service`; '' where none is known. */
export function partyPlace(finding: Finding, pid: number | undefined): string {
  const place = finding.places?.find((each) => each.pid === pid);
  if (!place) return '';
  if (!place.container) return place.unit ? `unit ${name(place.unit, 80)}` : '';
  const more = [place.pod && `pod ${name(place.pod, 80)}`, place.namespace && `namespace ${name(place.namespace, 80)}`].filter(Boolean).join(', ');
  return `container ${name(place.container, 80)}${more && ` (${more})`}`;
}

const COMPUTES = new Set(['cpu-user', 'cpu-kernel', 'syscall-storm', 'error-storm', 'single-thread', 'softirq', 'host-cpu', 'process-churn',
  'fault-minor', 'timer-storm', 'memory-leak', 'fd-leak', 'thread-leak', 'cpu-quota']);
/** Waits for a CPU: what the subject does is not the cause, what the culprit computes is. */
const HELD_UP = new Set(['runq-neighbour', 'priority-inversion', 'host-cpu', 'cpu-steal', 'runq-self']);
/** The kind of flame graph that shows a finding at its subject. */
export const subjectGraph = (key: string) => (COMPUTES.has(key) ? 'on-cpu' : 'off-cpu');
/** The same at its culprit. */
export const culpritGraph = (key: string) => (HELD_UP.has(key) || COMPUTES.has(key) ? 'on-cpu' : 'wall');

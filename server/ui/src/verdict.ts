// Is the host well? What its open alerts and its last report say, taken together and ranked.
import type { Alert, Finding, Now } from './api/types';
import { ALERT_CONFIDENCE, ofRule, sentence } from './findings';

export interface Ranked {
  /** Stable while the finding is the same. */
  readonly id: string;
  readonly finding: Finding;
  /** The alert that it is, if it is one. */
  readonly alert: Alert | null;
}

const key = ({ class: of, subject }: Finding) => `${of}/${subject.kind}/${subject.pid ?? ''}/${subject.comm ?? ''}`;
/** Alerts of rule files have no lost time, but someone wanted to be called for them. */
const weight = ({ finding, alert }: Ranked) => (ofRule(finding) ? 1e12 : finding.confidence < ALERT_CONFIDENCE ? 0 : 1) * 1e12 + finding.lost_ns_per_s + (alert ? 1 : 0);

/** Alerts, and what the report found besides; what costs most comes first. `more`: alerts that the interval had, and that are over. */
export function ranked(now: Pick<Now, 'alerts' | 'report'>, more: readonly Alert[] = []): Ranked[] {
  const found = new Map<string, Ranked>();
  for (const alert of [...now.alerts, ...more]) {
    const of = key(alert.finding);
    if (!found.has(of)) found.set(of, { id: of, finding: alert.finding, alert });
  }
  for (const finding of now.report?.findings ?? []) {
    const of = key(finding);
    if (!found.has(of)) found.set(of, { id: of, finding, alert: null });
  }
  return [...found.values()].sort((a, b) => weight(b) - weight(a));
}

export interface Verdict { readonly state: 'good' | 'bad'; readonly text: string; readonly detail: string }
/** In one sentence. `past`: of a time that is over. */
export function verdict(all: readonly Ranked[], past: boolean): Verdict {
  const sure = all.filter(({ finding }) => finding.confidence >= ALERT_CONFIDENCE);
  const [worst] = sure;
  if (!worst) {
    const unsure = all.length;
    return {
      state: 'good', text: past ? 'Nothing held this host back.' : 'Nothing holds this host back.',
      detail: unsure ? `${unsure} finding${unsure === 1 ? '' : 's'} may be as ${unsure === 1 ? 'it' : 'they'} should be.` : '',
    };
  }
  const others = sure.length - 1;
  return { state: 'bad', text: sentence(worst.finding), detail: others ? `${others} more finding${others === 1 ? '' : 's'} below.` : '' };
}

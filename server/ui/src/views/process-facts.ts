// What is drawn and said of a process, out of answers of the server.
import type { Alert, Finding, Now, States } from '../api/types';
import { processOf } from '../findings';
import type { Line } from '../parts/chart';
import { GROUPS, stateOf } from '../states';

/** Lines by group out of states over time; idle time hides the rest, so it is left out unless it is asked for. */
export function stateLines({ states, windows, step_s }: Pick<States, 'states' | 'windows' | 'step_s'>, idle: boolean): Line[] {
  const sums = GROUPS.map(() => windows.map(() => 0));
  for (const [key, values] of Object.entries(states)) {
    if (key === 'lost') continue;
    const { group } = stateOf(key);
    const sum = sums[GROUPS.findIndex((each) => each.group === group)]!;
    values.forEach((value, at) => { sum[at]! += value / (windows[at] || 1); });
  }
  // Windows end a little before or after the grid of the parts: one has two, and the next none. They are no gap.
  const from = windows.map((known, at) => (known ? at : (windows[at - 1] ?? 0) > step_s ? at - 1 : (windows[at + 1] ?? 0) > step_s ? at + 1 : -1));
  return GROUPS.map(({ group, label }, at) => ({
    label, colour: `state-${group}`, values: from.map((part) => (part < 0 ? null : sums[at]![part]!)), all: sums[at]!.reduce((sum, value) => sum + value, 0), group,
  })).filter(({ group, all }) => all > 0 && (idle || group !== 'idle'));
}

/** First and last part in which the process was known, Unix ms. */
export function seen({ from, step_s, windows }: Pick<States, 'from' | 'step_s' | 'windows'>): { from: number; to: number } | null {
  const first = windows.findIndex((known) => known > 0);
  if (first < 0) return null;
  const last = windows.findLastIndex((known) => known > 0);
  const begin = Date.parse(from);
  return { from: begin + first * step_s * 1_000, to: begin + (last + 1) * step_s * 1_000 };
}

const about = (finding: Finding, pid: number) => processOf(finding.subject) === pid || processOf(finding.culprit) === pid;
/** Alerts of a process, and what the last report found of it that no alert says already. */
export function found(now: Now, pid: number): { alerts: Alert[]; findings: Finding[] } {
  const alerts = now.alerts.filter(({ finding }) => about(finding, pid));
  const said = new Set(alerts.map(({ finding }) => `${finding.class} ${finding.subject.pid}`));
  const findings = (now.report?.findings ?? []).filter((finding) => about(finding, pid) && !said.has(`${finding.class} ${finding.subject.pid}`));
  return { alerts, findings };
}

// Where the time of a process goes, in one sentence.
import type { Process } from '../api/types';
import { share } from '../format';
import { byState, groupLabel, type Group } from '../states';

/** Shares below this are not worth a word. */
const LEAST = 0.005;
/** From here on it is said first. */
const MUCH = 0.2;

interface Part { readonly label: string; readonly of: number }
const listed = (parts: readonly Part[]) => {
  const said = parts.filter(({ of }) => of >= LEAST).sort((a, b) => b.of - a.of);
  return said.length > 1 ? ` (${said.map(({ label, of }) => `${label} ${share(of)}`).join(', ')})` : said.length ? ` (${said[0]!.label})` : '';
};

/** For example: `Mostly held up. Of the time of its thread 4.3 % is on a CPU, 72 % held up (storage), and 24 % idle (polls).` */
export function summary({ states, values }: Pick<Process, 'states' | 'values'>, span_s: number): string {
  const found = byState(states);
  const all = found.reduce((sum, { ns }) => sum + ns, 0);
  if (!all) return 'Nothing is known of where its time goes: the host has no scheduler accounting, or it has just begun.';
  const pick = (which: (each: (typeof found)[number]) => boolean) => found.filter(which);
  const sum = (some: typeof found) => some.reduce((total, { ns }) => total + ns, 0) / all;
  const grouped = (some: typeof found): Part[] => {
    const groups = new Map<Group, number>();
    for (const { state, ns } of some) groups.set(state.group, (groups.get(state.group) ?? 0) + ns);
    return [...groups].map(([group, ns]) => ({ label: groupLabel(group), of: ns / all }));
  };
  const each = (some: typeof found): Part[] => some.map(({ state, ns }) => ({ label: state.label, of: ns / all }));
  const ran = pick(({ state }) => state.group === 'ran');
  const lost = pick(({ state }) => state.lost);
  const idle = pick(({ state }) => state.group === 'idle');
  const waits = pick(({ state }) => state.group !== 'ran' && !state.lost && state.group !== 'idle');
  const parts = [`${share(sum(ran))} is on a CPU`];
  if (sum(lost) >= LEAST) parts.push(`${share(sum(lost))} held up${listed(grouped(lost))}`);
  if (sum(waits) >= LEAST) parts.push(`${share(sum(waits))} waiting for others${listed(each(waits))}`);
  if (sum(idle) >= LEAST) parts.push(`${share(sum(idle))} idle${listed(each(idle).slice(0, 3))}`);
  const threads = values.threads ?? Math.round(all / 1e9 / span_s);
  const whole = threads > 1 ? `Of the time of its ${threads} threads` : 'Of the time of its thread';
  const first = sum(lost) >= MUCH ? 'Much of its time is lost. ' : sum(ran) >= 0.5 ? 'It mostly computes. ' : sum(idle) >= 0.95 ? 'It is idle. ' : '';
  const last = parts.pop()!;
  return `${first}${whole} ${parts.length ? `${parts.join(', ')}, and ${last}` : last}.`;
}

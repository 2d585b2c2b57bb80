// The state bar: all threads × time as 100 %, by group of states.
import { useLayoutEffect, useRef } from 'preact/hooks';
import type { Values } from '../api/types';
import { ns, share } from '../format';
import { GROUPS, byState, groupTimes, type Group } from '../states';

/** `idle` false: without idle time, so that what happened fills the bar. */
export const StateBar = ({ states, idle = true, label }: { states: Values; idle?: boolean; label?: string }) =>
  <GroupBar times={groupTimes(states)} idle={idle} label={label} />;

/** `times`: of each group, in the order of `GROUPS`. One element: a table has a bar in each row, and all change each second. */
export function GroupBar({ times, idle = true, label }: { times: readonly number[]; idle?: boolean; label?: string | undefined }) {
  const ref = useRef<HTMLDivElement>(null);
  const shares: { group: Group; label: string; of: number }[] = [];
  let all = 0;
  GROUPS.forEach((each, at) => {
    const of = times[at]!;
    if (!(of > 0) || (!idle && each.group === 'idle')) return;
    all += of;
    shares.push({ ...each, of });
  });
  let end = 0;
  const stops = shares.map(({ group, of }) => {
    const start = end;
    end += (of / all) * 100;
    return `var(--state-${group}) ${start.toFixed(1)}% ${end.toFixed(1)}%`;
  }).join(',');
  // A style in markup is what the page's policy forbids; set by script it is not.
  useLayoutEffect(() => { ref.current!.style.backgroundImage = stops && `linear-gradient(90deg,${stops})`; }, [stops]);
  const words = shares.filter(({ of }) => of / all >= 0.005).map((each) => `${each.label} ${share(each.of / all)}`).join(', ');
  return <div ref={ref} class="bar" role="img" aria-label={`${label ? `${label}: ` : ''}${words || 'nothing'}`} title={words} />;
}

export function Legend() {
  return (
    <div class="legend">
      {GROUPS.map(({ group, label }) => <span key={group}><i class={`swatch s-${group}`} />{label}</span>)}
    </div>
  );
}

/** Each state with its time, the longest first. */
export function StateTable({ states, per }: { states: Values; per: number }) {
  const rows = byState(states).sort((a, b) => b.ns - a.ns);
  const all = rows.reduce((sum, each) => sum + each.ns, 0);
  return (
    <table>
      <thead><tr><th>State</th><th class="num">Share</th><th class="num" title="Time each second">Each second</th></tr></thead>
      <tbody>
        {rows.map(({ state, ns: time }) => (
          <tr key={state.key}>
            <td class="state-name"><i class={`swatch s-${state.group}`} />{state.label}{state.lost && <span class="dim"> (lost)</span>}</td>
            <td class="num">{share(time / all)}</td>
            <td class="num">{ns(time / per)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

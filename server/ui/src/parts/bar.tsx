// The state bar: all threads × time as 100 %, by group of states.
import { useLayoutEffect, useRef } from 'preact/hooks';
import type { Values } from '../api/types';
import { ns, share } from '../format';
import { GROUPS, byGroup, byState, groupLabel } from '../states';

/** `idle` false: without idle time, so that what happened fills the bar. */
export function StateBar({ states, idle = true, label }: { states: Values; idle?: boolean; label?: string }) {
  const groups = byGroup(states);
  if (!idle) groups.delete('idle');
  const all = [...groups.values()].reduce((sum, each) => sum + each, 0);
  const parts = GROUPS.filter(({ group }) => (groups.get(group) ?? 0) > 0);
  const words = parts.filter(({ group }) => groups.get(group)! / all >= 0.005)
    .map(({ group }) => `${groupLabel(group)} ${share(groups.get(group)! / all)}`).join(', ');
  return (
    <div class="bar" role="img" aria-label={`${label ? `${label}: ` : ''}${words || 'nothing'}`} title={words}>
      {parts.map(({ group }) => <Part key={group} group={group} of={groups.get(group)! / all} />)}
    </div>
  );
}

// A width in markup would need a style that the page's policy forbids; set by script it does not.
function Part({ group, of }: { group: string; of: number }) {
  const ref = useRef<HTMLElement>(null);
  useLayoutEffect(() => { ref.current!.style.width = `${of * 100}%`; }, [of]);
  return <i ref={ref} class={`s-${group}`} />;
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
      <thead><tr><th>State</th><th class="num">Share</th><th class="num">Time each second</th></tr></thead>
      <tbody>
        {rows.map(({ state, ns: time }) => (
          <tr key={state.key}>
            <td><i class={`swatch s-${state.group}`} />{state.label}{state.lost && <span class="dim"> (lost)</span>}</td>
            <td class="num">{share(time / all)}</td>
            <td class="num">{ns(time / per)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

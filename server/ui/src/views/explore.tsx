// Any metric by PromQL: several queries on the time axis of the page. All of it stands in the address: `q1`, `q2`, … with what belongs to each.
import { length } from '../format';
import { params, set } from '../route';
import { STEPS } from './explore-data';
import { PaneView, type Pane } from './explore-pane';

const MOST_PANES = 12;
const KEYS = { query: 'q', as: 't', unit: 'u', only: 'o', sort: 's' } as const;
const EMPTY: Pane = { query: '', as: '', unit: '', only: '', sort: '' };
/** `n`: how many there are, for those without a query. */
function panes(): Pane[] {
  const own = params.value;
  const numbers = Object.keys(own).flatMap((key) => (/^[qtuos][1-9]\d?$/.test(key) ? [Number(key.slice(1))] : []));
  const many = Math.min(MOST_PANES, Math.max(1, Number(own.n) || 1, ...numbers));
  return Array.from({ length: many }, (_, at) => Object.fromEntries(Object.entries(KEYS).map(([field, key]) => [field, own[`${key}${at + 1}`] ?? ''])) as unknown as Pane);
}
function put(next: readonly Pane[]) {
  const changed: Record<string, string | undefined> = { n: next.length > 1 ? String(next.length) : undefined };
  for (let at = 0; at < MOST_PANES; at++) for (const [field, key] of Object.entries(KEYS)) changed[`${key}${at + 1}`] = next[at]?.[field as keyof Pane] || undefined;
  set(changed);
}

export function Explore() {
  const all = panes();
  const step = Number(params.value.step) || 0;
  const moved = (at: number, by: number) => {
    const next = [...all];
    next.splice(at + by, 0, ...next.splice(at, 1));
    put(next);
  };
  return (
    <div class="stack explore">
      <header class="row">
        <h1>Explore</h1>
        <span class="grow" />
        <label>A value each{' '}
          <select value={step ? String(step) : ''} onChange={(event) => set({ step: event.currentTarget.value })}>
            <option value="">as fits the time</option>
            {[...new Set([...STEPS, ...(step ? [step] : [])])].sort((a, b) => a - b).map((each) => <option key={each} value={String(each)}>{length(each * 1_000)}</option>)}
          </select>
        </label>
      </header>
      {all.map((pane, at) => (
        <PaneView key={at} at={at} pane={pane} last={at === all.length - 1} single={all.length === 1} step={step}
          change={(changed) => put(all.map((each, other) => (other === at ? { ...each, ...changed } : each)))}
          move={(by) => moved(at, by)} remove={() => put(all.filter((_, other) => other !== at))} />
      ))}
      {all.length < MOST_PANES && <p><button onClick={() => put([...all, EMPTY])}>Add a query</button></p>}
    </div>
  );
}

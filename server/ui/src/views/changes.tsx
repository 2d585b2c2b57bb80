// Who changed: processes by what they take more than in another interval, with the way to the flame graph of each.
import { BASES, ORDERS, baseInterval, baseOf, ordered, type Base, type Order } from '../changes';
import { ChangeRow, useChanges } from '../parts/change';
import { Legend } from '../parts/bar';
import { Empty, Shown } from '../parts/notes';
import { count, length, span } from '../format';
import { link, params, set } from '../route';
import { chosen, isLive } from '../time';

/** Rows in sight before "show all". */
const FIRST = 30;

export function Changes() {
  const base = baseOf(params.value.base);
  const order: Order = params.value.by && Object.hasOwn(ORDERS, params.value.by) ? params.value.by as Order : 'all';
  const search = params.value.q ?? '';
  const compared = useChanges(base);
  const wanted = search.toLowerCase();
  const rows = ordered(compared.all, order).filter((each) => `${each.comm} ${each.cgroup} ${each.pids.join(' ')}`.toLowerCase().includes(wanted));
  const most = params.value.all ? rows.length : FIRST;
  const { from, to } = chosen.value;
  const other = baseInterval(chosen.value, base);
  return (
    <div class="stack">
      <header class="stack changes-head">
        <h1>Who changed</h1>
        <p class="dim">
          {isLive.value ? `The last ${length(to - from)}` : span(from, to)}, compared with {base === 'before' ? `the ${length(other.to - other.from)} before` : BASES[base]}
          {!isLive.value && ` (${span(other.from, other.to)})`}.{isLive.value && ' Drag over the time line to look at another time.'}
        </p>
        <div class="row">
          <label>Compare with{' '}
            <select value={base} onChange={(event) => set({ base: event.currentTarget.value === 'before' ? undefined : event.currentTarget.value })}>
              {(Object.keys(BASES) as Base[]).map((key) => <option key={key} value={key}>{BASES[key]}</option>)}
            </select>
          </label>
          <label>Order by{' '}
            <select value={order} onChange={(event) => set({ by: event.currentTarget.value === 'all' ? undefined : event.currentTarget.value })}>
              {(Object.keys(ORDERS) as Order[]).map((key) => <option key={key} value={key}>{ORDERS[key]}</option>)}
            </select>
          </label>
          <label><span class="sr">Search a name, cgroup or PID</span>
            <input type="search" placeholder="Name, cgroup, PID" value={search} onInput={(event) => set({ q: event.currentTarget.value })} />
          </label>
        </div>
        <Legend />
      </header>
      <Shown answer={compared.answer} what="Changes">
        {(data) => (
          <>
            {data.before_span_s === 0 && <p class="note warn">Nothing is kept of the time to compare with: all that is shown looks new.</p>}
            {rows.length === 0
              ? <Empty>{search ? `No process that changed is called “${search}”.` : order === 'less' ? 'No process takes less than before.' : 'No process takes more than before: all is as it was.'}</Empty>
              : <ol class="card changes">{rows.slice(0, most).map((each) => <ChangeRow key={`${each.comm}\n${each.cgroup}`} changed={each} base={base} starts={compared.starts} details />)}</ol>}
            {rows.length > most && <p><button onClick={() => set({ all: '1' })}>Show all {count(rows.length)}</button></p>}
            {data.total > data.changes.length && <p class="dim">Of {count(data.total)} changes the {count(data.changes.length)} largest are shown.</p>}
          </>
        )}
      </Shown>
    </div>
  );
}

/** On other views as soon as a time is selected: the first few. */
export function ChangesPanel({ most = 5 }: { most?: number }) {
  const compared = useChanges('before');
  const rows = ordered(compared.all, 'all');
  return (
    <section class="card" aria-labelledby="changes-panel">
      <header class="row">
        <h2 id="changes-panel">Who changed</h2>
        <span class="dim">compared with the {length(chosen.value.to - chosen.value.from)} before</span>
        <span class="grow" />
        <a href={link('changes')}>{rows.length > most ? `All ${count(rows.length)}` : 'More'}, other comparisons</a>
      </header>
      <Shown answer={compared.answer} what="Changes">
        {() => (rows.length === 0
          ? <Empty>No process takes more than before.</Empty>
          : <ol class="changes">{rows.slice(0, most).map((each) => <ChangeRow key={`${each.comm}\n${each.cgroup}`} changed={each} base="before" starts={compared.starts} />)}</ol>)}
      </Shown>
    </section>
  );
}

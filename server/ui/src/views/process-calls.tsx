// System calls of a process: which, how often, how long; and how long they took over time.
import { useMemo } from 'preact/hooks';
import { useSeries } from '../api/series';
import type { ProcessActivity, Syscall } from '../api/types';
import { name, ns, nsPerS, perS, share } from '../format';
import { Chart } from '../parts/chart';
import { Empty, Failed, Loading } from '../parts/notes';
import { Table, sorted, type Column } from '../parts/table';
import { params, set } from '../route';
import type { Of } from './process';
import { selector } from './process-figures';
import { HeatMap } from './process-heat-map';
import { heatRows } from './process-heat';

type Row = Syscall & { readonly span_s: number };
const of = (row: Row, key: string) => row.values[key] ?? NaN;
const or = (value: number, format: (value: number) => string) => (Number.isNaN(value) ? '–' : format(value));
const column = (key: string, label: string, by: (row: Row) => number, format: (value: number) => string, help?: string, wide = false): Column<Row> =>
  ({ key, label, by, cell: (row) => or(by(row), format), number: true, width: 92, wide, ...(help ? { help } : {}) });
const COLUMNS: readonly Column<Row>[] = [
  { key: 'name', label: 'System call', cell: ({ syscall }) => (syscall === 'other' ? 'all others' : <button class="plain" tabIndex={-1} onClick={() => chooseCall(syscall)}>{name(syscall, 60)}</button>), by: ({ syscall }) => syscall },
  column('calls', 'Calls', (row) => of(row, 'count') / row.span_s, perS, 'Calls that returned, each second'),
  column('errors', 'Failed', (row) => of(row, 'errors') / row.span_s, (value) => (value ? perS(value) : '0'), 'Each second. Some are part of normal work', true),
  column('failed', 'Failed %', (row) => of(row, 'errors') / of(row, 'count'), (value) => (value ? share(value) : '0'), 'Share of the calls that failed', true),
  column('time', 'Time', (row) => of(row, 'total_ns') / row.span_s, nsPerS, 'Time in them each second, all threads'),
  column('mean', 'Mean', (row) => of(row, 'total_ns') / of(row, 'count'), ns, 'How long one took on average', true),
  column('p50', 'Median', (row) => of(row, 'p50_ns'), ns, 'Half of them took less', true),
  column('p99', 'p99', (row) => of(row, 'p99_ns'), ns, '99 of 100 took less'),
  column('max', 'Longest', (row) => of(row, 'max_ns'), ns, undefined, true),
];
const chooseCall = (syscall: string) => set({ call: params.value.call === syscall ? undefined : syscall });

export function Calls({ of: process, activity }: { of: Of; activity: ProcessActivity | null }) {
  const { callsort = 'time', call } = params.value;
  const rows = useMemo(() => (activity ? sorted(activity.syscalls.map((each) => ({ ...each, span_s: activity.span_s })), COLUMNS, callsort) : []), [activity, callsort]);
  const { data, error } = useSeries([selector(process, 's7mpa_syscall_(p99_ns|total_ns|count)')]);
  const heat = useMemo(() => data && heatRows(data), [data]);
  const one = call && heat?.find(({ syscall }) => syscall === call);
  return (
    <>
      <section class="card stack">
        <h2>How long system calls take over time</h2>
        {error && !data ? <Failed error={error} what="System calls over time" />
          : !heat ? <Loading what="System calls over time" />
            : heat.length ? <HeatMap rows={heat} times={data!.times} step_s={data!.step_s} /> : <Empty>It made no system call in the time that is shown.</Empty>}
        {one && data && (
          <div class="halves">
            <Chart title={`${name(one.syscall, 40)}: 99 of 100 took less`} times={data.times} lines={[{ label: 'p99', colour: 'c2', values: one.p99 }]} format={ns} />
            <Chart title={`${name(one.syscall, 40)}: calls`} times={data.times} lines={[{ label: 'each second', colour: 'c1', values: one.calls }]} format={perS} />
          </div>
        )}
      </section>
      {activity && (
        <section class="card">
          <h2>At the chosen time</h2>
          {rows.length
            ? <Table label="System calls" rows={rows} columns={COLUMNS} id={({ syscall }) => syscall} sort={callsort} height={Math.min(600, rows.length * 30 + 34)}
                onSort={(key) => set({ callsort: key === 'time' ? undefined : key })} onOpen={({ syscall }) => chooseCall(syscall)} />
            : <Empty>No system call of it returned in this time: it waits in one, or computes.</Empty>}
        </section>
      )}
    </>
  );
}

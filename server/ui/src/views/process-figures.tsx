// Figures of a process over time.
import { useSeries, type Series } from '../api/series';
import { bytes, bytesPerS, count, ns, perS, share } from '../format';
import { Chart, type Line } from '../parts/chart';
import { Empty, Failed, Loading } from '../parts/notes';
import type { Of } from './process';

type Values = readonly (number | null)[];
/** A selector of all fields of a measurement of the process. */
export const selector = ({ pid, start }: Of, fields: string) => `{__name__=~"${fields}",pid="${pid}"${start ? `,start="${start}"` : ''}}`;

/** A field over time: of a counter what it is each second. By exec a process takes another name: both rows are one. */
export function field(data: Series, name: string, rate: boolean): Values {
  const out: (number | null)[] = data.windows.map(() => null);
  for (const { labels, values } of data.series) {
    if (labels.__name__ !== name) continue;
    values.forEach((value, at) => { if (value !== null) out[at] = (out[at] ?? 0) + (rate ? value / (data.windows[at] || 1) : value); });
  }
  return out;
}
const divided = (values: Values, by: Values): Values => values.map((value, at) => (value === null || !by[at] ? null : value / by[at]!));
const scaled = (values: Values, by: number): Values => values.map((value) => (value === null ? null : value * by));

interface Graph { readonly title: string; readonly format: (value: number) => string; readonly stacked?: boolean; readonly lines: (of: (name: string, rate?: boolean) => Values) => Line[] }
const P = 's7mpa_process_';
const GRAPHS: readonly Graph[] = [
  { title: 'CPU (100 %: a whole one)', format: share, stacked: true, lines: (of) => [
    { label: 'user code', colour: 'c3', values: scaled(of(`${P}user_ns`, true), 1e-9) }, { label: 'kernel code', colour: 'c2', values: scaled(of(`${P}system_ns`, true), 1e-9) }] },
  { title: 'Memory', format: bytes, lines: (of) => [{ label: 'resident', colour: 'c1', values: of(`${P}rss_bytes`) }, { label: 'swapped out', colour: 'c6', values: of(`${P}swap_bytes`) }] },
  { title: 'Storage', format: bytesPerS, lines: (of) => [{ label: 'reads', colour: 'c1', values: of(`${P}read_bytes`, true) }, { label: 'writes', colour: 'c2', values: of(`${P}write_bytes`, true) }] },
  { title: 'System calls', format: perS, lines: (of) => [{ label: 'all', colour: 'c1', values: of(`${P}syscalls`, true) }, { label: 'failed', colour: 'c2', values: of(`${P}syscall_errors`, true) }] },
  { title: 'Wait for a CPU, each time', format: ns, lines: (of) => [{ label: 'mean', colour: 'c5', values: divided(of(`${P}runq_ns`, true), of(`${P}context_switches`, true)) }] },
  { title: 'Page faults', format: perS, lines: (of) => [{ label: 'without I/O', colour: 'c1', values: of(`${P}min_flt`, true) }, { label: 'read from storage', colour: 'c2', values: of(`${P}maj_flt`, true) }] },
  { title: 'Open files', format: count, lines: (of) => [{ label: 'file descriptors', colour: 'c7', values: of(`${P}fds`) }] },
  { title: 'Threads', format: count, lines: (of) => [{ label: 'threads', colour: 'c4', values: of(`${P}threads`) }] },
  { title: 'Context switches', format: perS, lines: (of) => [{ label: 'times that a thread got a CPU', colour: 'c8', values: of(`${P}context_switches`, true) }] },
  { title: 'Oldest system call that has not returned', format: ns, lines: (of) => [{ label: 'age', colour: 'c5', values: of(`${P}in_flight_age_ns`) }] },
];

function Graphs({ of, graphs }: { of: Of; graphs: readonly Graph[] }) {
  const { data, error } = useSeries([selector(of, `${P}.*`)]);
  if (error && !data) return <Failed error={error} what="Figures over time" />;
  if (!data) return <Loading what="Figures over time" />;
  const found = graphs.map((graph) => ({ graph, lines: graph.lines((name, rate = false) => field(data, name, rate)).filter(({ values }) => values.some((value) => value !== null)) }))
    .filter(({ lines }) => lines.length > 0);
  if (!found.length) return <Empty>No figures of it are known in the time that graphs show.</Empty>;
  return (
    <div class="grid figures">
      {found.map(({ graph, lines }) => (
        <section key={graph.title} class="card"><Chart title={graph.title} times={data.times} lines={lines} format={graph.format} stacked={graph.stacked ?? false} /></section>
      ))}
    </div>
  );
}
export const MainFigures = ({ of }: { of: Of }) => <Graphs of={of} graphs={GRAPHS.slice(0, 4)} />;
export const FiguresOverTime = ({ of }: { of: Of }) => <Graphs of={of} graphs={GRAPHS} />;

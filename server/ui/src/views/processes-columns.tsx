// Columns of the table of processes: what each is, and how it is written.
import { bytes, bytesPerS, count, name, ns, perS, share } from '../format';
import { GroupBar } from '../parts/bar';
import type { Column } from '../parts/table';
import { link, params, set } from '../route';
import { runqMean, type Row } from './processes-rows';

const or = (value: number, format: (value: number) => string) => (Number.isNaN(value) ? '–' : value === 0 ? '0' : format(value));
const KINDS = { pod: 'pod', container: 'container', unit: 'unit', cgroup: 'cgroup', name: 'processes' } as const;

/** The view of a process; of the same time. */
const linkOf = ({ who }: Row) => link('process', { pid: who.pid, start: who.start || undefined, comm: who.comm });

function Name({ row, fold }: { row: Row; fold: (row: Row, open: boolean) => void }) {
  const { who, kind, level, members } = row;
  const indent = `indent-${Math.min(params.value.tree ? level : 0, 4)}`;
  if (kind === 'group') {
    return (
      <span class={`who ${indent}`}>
        <button class="fold" aria-expanded={row.open} onClick={() => fold(row, !row.open)} tabIndex={-1}>{row.open ? '▾' : '▸'} <strong>{name(who.comm, 80)}</strong></button>
        {' '}<span class="dim">{row.place === 'name' ? `× ${count(members)}` : `${KINDS[row.place!]}, ${count(members)} ${members === 1 ? 'process' : 'processes'}`}</span>
      </span>
    );
  }
  if (kind === 'other') return <span class={`who dim ${indent}`} title="All processes that have no row of their own, together">other: {count(members)} processes together</span>;
  return <span class={`who ${indent}`}><a href={linkOf(row)} tabIndex={-1}>{name(who.comm, 60)}</a>{row.ended && <span class="badge ended">ended</span>}</span>;
}

const place = (text: string, param: string) => text && (
  <button class="place" tabIndex={-1} title={`Show only ${name(text)}`} onClick={() => set({ q: param })}>{name(text, 80)}</button>
);

/** All columns; `fold` opens and closes groups. */
export const columnsOf = (fold: (row: Row, open: boolean) => void): readonly Column<Row>[] => [
  { key: 'name', label: 'Name', cell: (row) => <Name row={row} fold={fold} />, by: ({ who }) => who.comm },
  { key: 'pid', label: 'PID', cell: ({ who }) => who.pid || '', by: ({ who }) => who.pid, number: true, wide: true, width: 72 },
  { key: 'cpu', label: 'CPU', cell: (row) => or(row.cpu, share), by: (row) => row.cpu, number: true, width: 68, help: '100 %: a whole CPU' },
  { key: 'lost', label: 'Lost', cell: (row) => or(row.lost, share), by: (row) => row.lost, number: true, width: 68,
    help: 'Held up: waits for a CPU, storage, memory, locks, sending, connecting. 100 %: one thread is held up all the time' },
  { key: 'states', label: 'Time', cell: (row) => <GroupBar times={row.times} />, help: 'What its threads do: the whole time of all of them is 100 %' },
  { key: 'mem', label: 'Memory', cell: (row) => or(row.rss, bytes), by: (row) => row.rss, number: true, wide: true, width: 88, help: 'Resident memory. Pages that processes share count in each' },
  { key: 'read', label: 'Reads', cell: (row) => or(row.read, bytesPerS), by: (row) => row.read, number: true, wide: true, width: 96, help: 'Fetched from storage each second' },
  { key: 'write', label: 'Writes', cell: (row) => or(row.write, bytesPerS), by: (row) => row.write, number: true, wide: true, width: 96, help: 'Sent to storage each second' },
  { key: 'calls', label: 'Syscalls', cell: (row) => or(row.calls, perS), by: (row) => row.calls, number: true, wide: true, width: 84, help: 'System calls that returned each second' },
  { key: 'errors', label: 'Errors', cell: (row) => or(row.errors, perS), by: (row) => row.errors, number: true, wide: true, width: 76, help: 'System calls that failed each second. Some are part of normal work' },
  { key: 'threads', label: 'Threads', cell: (row) => or(row.threads, count), by: (row) => row.threads, number: true, wide: true, width: 72 },
  { key: 'runq', label: 'CPU wait', cell: (row) => or(runqMean(row), ns), by: runqMean, number: true, wide: true, width: 80,
    help: 'Run-queue latency: how long a thread waits for a CPU each time, on average' },
  { key: 'container', label: 'Container', cell: ({ who }) => place(who.pod || who.container, who.pod || who.container), by: ({ who }) => who.pod + who.container, wide: true, width: 130, help: 'Pod or container' },
  { key: 'unit', label: 'Unit', cell: ({ who }) => place(who.unit, who.unit), by: ({ who }) => who.unit, wide: true, width: 150, help: 'Service or scope of systemd' },
  { key: 'cgroup', label: 'Cgroup', cell: ({ who }) => place(who.cgroup, who.cgroup), by: ({ who }) => who.cgroup, wide: true, width: 170 },
  { key: 'faults', label: 'Page faults', cell: (row) => or(row.faults, perS), by: (row) => row.faults, number: true, wide: true, width: 92 },
  { key: 'switches', label: 'Switches', cell: (row) => or(row.switches, perS), by: (row) => row.switches, number: true, wide: true, width: 84, help: 'Times that a thread got a CPU, each second' },
  { key: 'fds', label: 'Files', cell: (row) => or(row.fds, count), by: (row) => row.fds, number: true, wide: true, width: 64, help: 'Open file descriptors' },
  { key: 'swap', label: 'Swapped', cell: (row) => or(row.swap, bytes), by: (row) => row.swap, number: true, wide: true, width: 84 },
];

/** What is shown unless the address says otherwise; places only where there are any. */
const USUAL = ['name', 'pid', 'cpu', 'lost', 'states', 'mem', 'read', 'write', 'calls', 'errors', 'threads', 'runq'];
export function usual(rows: readonly Row[]): readonly string[] {
  const places = [...(rows.some(({ who }) => who.container || who.pod) ? ['container'] : []), ...(rows.some(({ who }) => who.unit) ? ['unit'] : [])];
  return [...USUAL, ...(places.length ? places : ['cgroup'])];
}

// Events of a host as a table: what happened to what, how grave, how often, and which findings it explains.
import { useMemo } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import { classWords } from '../findings';
import { count, moment, name } from '../format';
import { Text } from '../logs/line';
import { SEVERITIES, groupOf } from '../logs/severity';
import { Table, sorted, type Column } from '../parts/table';
import { at, link, params, set } from '../route';
import type { HostEvent } from './types';
import { eventWords, isGrave, pidOf, subjectOf } from './words';

const MINUTE_MS = 60_000;
const ROW = 30;
const MOST_HEIGHT = 480;

const columns: readonly Column<HostEvent>[] = [
  { key: 'at', label: 'When', by: (row) => Date.parse(row.at), cell: (row) => moment(Date.parse(row.at)), width: 92 },
  { key: 'severity', label: 'Severity', by: (row) => -SEVERITIES.indexOf(row.severity as (typeof SEVERITIES)[number]), cell: (row) => <span class={`end-severity sev-${groupOf(row.severity)}`}>{name(row.severity, 20)}</span>, width: 92 },
  { key: 'class', label: 'What', by: (row) => row.class, cell: (row) => eventWords(row.class), width: 180 },
  { key: 'subject', label: 'Of', by: subjectOf, cell: (row) => subjectOf(row), width: 170 },
  { key: 'count', label: 'Times', number: true, by: (row) => row.count, cell: (row) => count(row.count), width: 64 },
  { key: 'explains', label: 'Explains that a process', wide: true, cell: (row) => row.explains.map(classWords).join(', ') || '–', width: 250 },
  { key: 'text', label: 'Words', wide: true, cell: (row) => <span class="mono"><Text text={row.text.split('\n')[0]!.slice(0, 300)} /></span> },
];

export function EventTable({ events }: { events: readonly HostEvent[] }) {
  const { sort = 'at' } = params.value;
  const open = useSignal('');
  const rows = useMemo(() => sorted(events, columns, sort), [events, sort]);
  const key = (row: HostEvent) => `${row.host} ${row.at} ${row.class} ${subjectOf(row)}`;
  const shown = rows.find((row) => key(row) === open.value);
  return (
    <>
      <Table label="Events of the host" rows={rows} columns={columns} id={key} sort={sort} onSort={(next) => set({ sort: next })} onOpen={(row) => { open.value = open.value === key(row) ? '' : key(row); }} height={Math.min(MOST_HEIGHT, (rows.length + 2) * ROW)} />
      {shown && <EventDetail event={shown} />}
    </>
  );
}

function EventDetail({ event }: { event: HostEvent }) {
  const ms = Date.parse(event.at);
  const around = at({ from: ms - MINUTE_MS, to: ms + MINUTE_MS });
  const pid = pidOf(event);
  return (
    <section class={`note ${isGrave(event.severity) ? 'bad' : 'warn'} stack`} aria-label="The event">
      <p><strong>{eventWords(event.class)}</strong>, {subjectOf(event)}, {moment(ms)}{event.count > 1 && `, ${count(event.count)} times`}</p>
      <pre class="log-full" tabIndex={0} aria-label="Its words"><Text text={event.text} /></pre>
      {event.explains.length > 0 && <p>It may explain that a process {event.explains.map(classWords).join(', or ')}. <a href={link('alerts', around)}>Alerts of that time</a></p>}
      <p class="row"><a href={link('logs', around)}>Log lines of that minute</a> <a href={link('now', around)}>The host then</a>{pid !== undefined && <a href={link('process', { ...around, pid })}>Process {pid}</a>}</p>
    </section>
  );
}

/** A short list, for other views. */
export function EventList({ events, since }: { events: readonly HostEvent[]; since: (ms: number) => string }) {
  if (events.length === 0) return <p class="dim">None.</p>;
  return (
    <ul>
      {events.map((each) => <li key={`${each.at} ${each.class} ${subjectOf(each)}`}><span><span class={`end-severity sev-${groupOf(each.severity)}`}>{eventWords(each.class)}</span> {subjectOf(each)} <span class="dim mono"><Text text={each.text.split('\n')[0]!.slice(0, 160)} /></span></span> <span class="num dim">{since(Date.parse(each.at))}</span></li>)}
    </ul>
  );
}

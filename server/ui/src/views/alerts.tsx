// Alerts: when each was open, which there are, and what is behind each (`id`).
import { useMemo } from 'preact/hooks';
import { useAnswer } from '../api/load';
import type { Alert, Alerts as Answered } from '../api/types';
import { classWords, sentence } from '../findings';
import { count, length, moment, name, nsPerS } from '../format';
import { Empty, Failed, Loading } from '../parts/notes';
import { Table, sorted, type Column } from '../parts/table';
import { go, link, params, set } from '../route';
import { hosts } from '../session';
import { absolute, host, isLive, onGrid, range, selection, view } from '../time';
import { AlertDetail } from './alerts-detail';
import { AlertLine } from './alerts-line';
import { fits, isOpen, lasted, merged, openedMs } from './alerts-list';
import { SilenceList } from './alerts-acts';

const MOST = 2_000;

export function Alerts() {
  return params.value.id ? <AlertDetail id={params.value.id} key={params.value.id} /> : <List />;
}

function List() {
  const { state, class: kind, q, all, sort = 'state' } = params.value;
  const shown = range.value;
  const of = all ? undefined : host.value;
  const past = useAnswer<Answered>(host.value ? 'alerts' : null, { host: of, ...absolute(onGrid(shown)), limit: MOST });
  const open = useAnswer<Answered>(host.value && isLive.value ? 'alerts' : null, { host: of, state: 'open', limit: MOST }, { live: 5_000 });
  // There may be thousands: they are looked through when they change, not with each window.
  const known = useMemo(() => merged(past.data?.alerts ?? [], open.data?.alerts ?? []), [past.data, open.data]);
  const found = useMemo(() => known.filter((each) => fits(each, { state, class: kind, q })), [known, state, kind, q]);
  const classes = useMemo(() => [...new Set([...known.map((each) => each.finding.class), ...(kind ? [kind] : [])])].sort(), [known, kind]);
  const openCount = useMemo(() => known.filter(isOpen).length, [known]);
  const error = past.error ?? open.error;
  // Links of rows are of the time and host that are chosen.
  const columns = useMemo(() => columnsOf(Boolean(all)), [all, host.value, view.value, selection.value]);
  const rows = useMemo(() => sorted(found, columns, sort), [found, columns, sort]);
  return (
    <div class="stack alerts">
      <header class="row">
        <h1>Alerts</h1>
        <span class="dim">{!past.data ? '' : `${count(known.length)} in the time shown, ${openCount === 0 ? 'none open' : `${count(openCount)} open`}${isLive.value ? '' : ' at its end'}`}</span>
      </header>
      <div class="row" role="search" aria-label="Filter">
        <label>State{' '}
          <select value={state ?? ''} onChange={(event) => set({ state: event.currentTarget.value })}>
            <option value="">all</option><option value="open">open</option><option value="unseen">open, not acknowledged</option><option value="resolved">resolved</option>
          </select>
        </label>
        <label>Kind{' '}
          <select value={kind ?? ''} onChange={(event) => set({ class: event.currentTarget.value })}>
            <option value="">all</option>
            {classes.map((each) => <option key={each} value={each}>{classWords(each)}</option>)}
          </select>
        </label>
        <label>Text <input type="search" value={q ?? ''} placeholder="a process, a note, …" size={16} onInput={(event) => set({ q: event.currentTarget.value })} /></label>
        {hosts.value.length > 1 && <label><input type="checkbox" checked={Boolean(all)} onChange={(event) => set({ all: event.currentTarget.checked ? '1' : undefined })} /> of all hosts</label>}
      </div>
      {error && <Failed error={error} what="Alerts" />}
      {!past.data ? past.loading && <Loading what="Alerts" /> : known.length === 0 ? (
        <Empty>No alert was open between {moment(shown.from)} and {moment(shown.to)}. That is good news.</Empty>
      ) : (
        <>
          {past.data.cut && <p class="note warn">There were more messages of alerts than are read at once: the oldest alerts are missing. A shorter time shows them.</p>}
          <AlertLine alerts={found} shown={shown} />
          {rows.length === 0 ? <Empty>No alert fits. <button onClick={() => set({ state: undefined, class: undefined, q: undefined })}>Show all {count(known.length)}</button></Empty> : (
            <div class="card">
              <Table label="Alerts" rows={rows} columns={columns} id={(row) => `${row.host} ${row.id}`} sort={sort} onSort={(key) => set({ sort: key })}
                onOpen={(row) => go('alerts', { id: row.id, ...(row.host === host.value ? {} : { host: row.host }) })} />
            </div>
          )}
        </>
      )}
      <SilenceList />
    </div>
  );
}

/** An open alert lasts until the end of what is shown. */
const lengthOf = (alert: Alert, now: number) => lasted(alert, now).to - openedMs(alert);
function OpenFor({ alert }: { alert: Alert }) {
  const ms = lengthOf(alert, range.value.to);
  return <>{ms < 1_000 ? '< 1 s' : length(Math.round(ms / 1_000) * 1_000)}</>;
}

const columnsOf = (all: boolean): Column<Alert>[] => [
  { key: 'state', label: 'State', by: (row) => (isOpen(row) ? 1e15 : 0) + openedMs(row), cell: (row) => <StateBadge alert={row} /> },
  { key: 'what', label: 'What', by: (row) => sentence(row.finding), cell: (row) => <a href={link('alerts', { id: row.id, ...(row.host === host.value ? {} : { host: row.host }) })}>{sentence(row.finding)}</a> },
  { key: 'lost', label: 'Lost each second', number: true, by: (row) => row.finding.lost_ns_per_s, cell: (row) => (row.finding.lost_ns_per_s > 0 ? nsPerS(row.finding.lost_ns_per_s) : '–') },
  { key: 'opened', label: 'Opened', number: true, by: openedMs, cell: (row) => moment(openedMs(row)) },
  { key: 'length', label: 'Open for', number: true, wide: true, by: (row) => lengthOf(row, range.peek().to), cell: (row) => <OpenFor alert={row} /> },
  ...(all ? [{ key: 'host', label: 'Host', wide: true, by: (row: Alert) => row.host, cell: (row: Alert) => name(row.host, 60) }] : []),
];

export function StateBadge({ alert }: { alert: Alert }) {
  return (
    <>
      {isOpen(alert) ? <span class="badge bad">● open</span> : <span class="badge">resolved</span>}
      {alert.acknowledged && <span class="badge" title={`By ${name(alert.acknowledged.by)}: ${name(alert.acknowledged.note)}`}>✓ acknowledged</span>}
      {alert.silenced && <span class="badge">silenced</span>}
    </>
  );
}

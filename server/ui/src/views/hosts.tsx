// All hosts, those that lose most time first.
import { useAnswer } from '../api/load';
import type { Alerts, Hosts as Answer } from '../api/types';
import { StateBar } from '../parts/bar';
import { Empty, Failed, Shown } from '../parts/notes';
import { Table, sorted, type Column } from '../parts/table';
import { LENGTHS, LOST_QUERY, STATES_QUERY, fleet, fleetQuery, linePath, type FleetRow, type Instant, type Length, type Matrix } from '../fleet';
import { count, length as long, moment, name, nsPerS, share } from '../format';
import { go, link, params, set } from '../route';
import { chosen, isLive } from '../time';

const EVERY_MS = 5_000;
/** How long a line of lost time is, and how much of it one point is, s. */
const HISTORY_S = 3_600;
const POINT_S = 60;
const ROW = 30;
const [WIDTH, HEIGHT] = [120, 22];

export function Hosts() {
  const length: Length = params.value.of && params.value.of in LENGTHS ? params.value.of as Length : '1m';
  const sort = params.value.sort ?? 'lost';
  const search = params.value.q ?? '';
  const live = isLive.value;
  // Points are on a grid, so that the same question has the same address.
  const end_s = Math.floor((live ? Date.now() : chosen.value.to) / 1_000 / POINT_S) * POINT_S;
  const time = live ? undefined : String(chosen.value.to / 1_000);
  const answer = useAnswer<Answer>('hosts', {}, { live: EVERY_MS });
  const figures = useAnswer<Instant>('api/v1/query', { query: fleetQuery(length), time }, { live: EVERY_MS });
  const states = useAnswer<Instant>('api/v1/query', { query: STATES_QUERY, time }, { live: EVERY_MS });
  const history = useAnswer<Matrix>('api/v1/query_range', { query: LOST_QUERY, start: end_s - HISTORY_S, end: end_s, step: POINT_S });
  const alerts = useAnswer<Alerts>('alerts', live ? { from: '-24h', limit: 1_000 } : { from: new Date(chosen.value.to - 86_400_000).toISOString(), to: new Date(chosen.value.to).toISOString(), limit: 1_000 }, { live: EVERY_MS });
  const all = fleet(answer.data?.hosts ?? [], figures.data, states.data, history.data, alerts.data?.alerts ?? []);
  const top = Math.max(1e8, ...all.flatMap((row) => row.history.map(([, value]) => value)));
  const columns = columnsOf(end_s, top);
  const rows = sorted(all.filter((row) => row.host.toLowerCase().includes(search.toLowerCase())), columns, sort);
  const silent = all.filter((row) => row.silent).length;
  const troubled = all.filter((row) => row.open > 0).length;
  return (
    <div class="stack">
      <header class="stack">
        <h1>Hosts</h1>
        <p class="dim">
          {answer.data && <>{count(all.length)} host{all.length === 1 ? '' : 's'}, {silent ? <strong class="bad">{count(silent)} silent</strong> : 'none silent'}, {troubled ? `${count(troubled)} with open alerts` : 'no open alert'}. </>}
          Those that lose most time come first: time in which threads were held up{live ? '' : `, at ${moment(chosen.value.to)}`}.
        </p>
        <div class="row">
          <label>Figures are the mean of the last{' '}
            <select value={length} onChange={(event) => set({ of: event.currentTarget.value === '1m' ? undefined : event.currentTarget.value })}>
              {(Object.keys(LENGTHS) as Length[]).map((key) => <option key={key} value={key}>{long(LENGTHS[key] * 1_000)}</option>)}
            </select>
          </label>
          <label><span class="sr">Search a host</span><input type="search" placeholder="Host" value={search} onInput={(event) => set({ q: event.currentTarget.value })} /></label>
        </div>
      </header>
      {figures.error && <Failed error={figures.error} what="Figures of hosts" />}
      <Shown answer={answer} what="Hosts">
        {() => (rows.length === 0 ? <Empty>{search ? `No host is called “${search}”.` : 'No host has sent anything yet.'}</Empty> : (
          <div class="card">
            <Table label="Hosts" rows={rows} columns={columns} id={(row) => row.host} sort={sort} onSort={(key) => set({ sort: key === 'lost' ? undefined : key })}
              onOpen={(row) => go('now', { host: row.host })} height={Math.min(700, (rows.length + 1) * ROW + 20)} />
          </div>
        ))}
      </Shown>
    </div>
  );
}

const known = (value: number | undefined) => value ?? -1;
const columnsOf = (end_s: number, top: number): Column<FleetRow>[] => [
  { key: 'host', label: 'Host', by: (row) => row.host, cell: (row) => <><a href={link('now', { host: row.host })}>{name(row.host, 60)}</a>{row.silent && <> <span class="badge bad">silent {row.age_s === null ? '' : `for ${long(row.age_s * 1e3)}`}</span></>}</> },
  { key: 'lost', label: 'Lost time', number: true, by: (row) => known(row.lost), cell: (row) => <strong>{nsPerS(row.lost)}</strong>, help: 'Time in which its threads were held up, in each second' },
  { key: 'history', label: `Lost, last ${long(HISTORY_S * 1e3)}`, wide: true, cell: (row) => <History row={row} end_s={end_s} top={top} /> },
  { key: 'open', label: 'Open alerts', number: true, by: (row) => row.open, cell: (row) => (row.open ? <a href={link('alerts', { host: row.host })}>{count(row.open)}</a> : '0') },
  { key: 'loser', label: 'Loses most', wide: true, by: (row) => row.loser?.comm ?? '', cell: (row) => (row.loser ? <>{name(row.loser.comm, 40)} <span class="dim">{nsPerS(row.loser.lost)}</span></> : '–'), help: 'The process name that loses most time there' },
  { key: 'states', label: 'Threads in the last second', wide: true, cell: (row) => <StateBar states={row.states} idle={false} label={row.host} /> },
  { key: 'cpu', label: 'CPU', number: true, by: (row) => known(row.busy), cell: (row) => <>{share(row.busy)}<span class="dim"> of {count(row.cpus)}</span></>, help: 'Share of its CPUs in use' },
  { key: 'memory', label: 'Memory', number: true, by: (row) => known(row.memory), cell: (row) => share(row.memory), help: 'Share of its memory that is not available any more' },
  { key: 'disk', label: 'Disk busy', number: true, wide: true, by: (row) => known(row.disk), cell: (row) => share(row.disk), help: 'Share of the time in which its busiest disk has requests' },
];

/** All hosts have the same scale. */
function History({ row, end_s, top }: { row: FleetRow; end_s: number; top: number }) {
  return (
    <svg class="history" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} width={WIDTH} height={HEIGHT} role="img" aria-label={`Lost time over the last hour, at most ${nsPerS(Math.max(0, ...row.history.map(([, value]) => value)))}`}>
      <path d={linePath(row.history, end_s - HISTORY_S, end_s, top, WIDTH, HEIGHT - 1)} />
    </svg>
  );
}

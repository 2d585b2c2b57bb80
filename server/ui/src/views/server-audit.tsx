// Who did what, the newest first.
import { useAnswer } from '../api/load';
import { count, moment, name } from '../format';
import { Empty, Shown } from '../parts/notes';
import { Table, sorted, type Column } from '../parts/table';
import { params, set } from '../route';
import { session } from '../session';

interface Entry { readonly at: number; readonly who: string; readonly what: string; readonly outcome: string; readonly address: string }
const COLUMNS: readonly Column<Entry & { id: string }>[] = [
  { key: 'at', label: 'When', by: (row) => row.at, cell: (row) => moment(row.at * 1_000) },
  { key: 'who', label: 'Who', by: (row) => row.who, cell: (row) => name(row.who, 60) },
  { key: 'what', label: 'What', by: (row) => row.what, cell: (row) => <span class="mono">{name(row.what)}</span> },
  { key: 'outcome', label: 'Outcome', by: (row) => row.outcome, cell: (row) => <span class={row.outcome === 'done' ? '' : 'bad'}>{name(row.outcome, 40)}</span> },
  { key: 'address', label: 'From', wide: true, by: (row) => row.address, cell: (row) => name(row.address, 60) },
];

export function Audit() {
  const admin = session.value?.role === 'admin';
  const answer = useAnswer<{ entries: readonly Entry[] }>(admin ? 'audit' : null, { limit: 1_000 }, { live: 10_000 });
  if (!admin) return <Empty>The audit log is for the role admin.</Empty>;
  const wanted = (params.value.q ?? '').toLowerCase();
  const sort = params.value.sort ?? 'at';
  return (
    <Shown answer={answer} what="The audit log">
      {({ entries }) => {
        const rows = entries.map((each, at) => ({ ...each, id: `${each.at} ${entries.length - at}` })).filter((each) => `${each.who} ${each.what} ${each.outcome} ${each.address}`.toLowerCase().includes(wanted));
        return (
          <section class="card stack">
            <h2>Audit log</h2>
            <div class="row">
              <label>Filter <input type="search" value={params.value.q ?? ''} onInput={(event) => set({ q: event.currentTarget.value })} /></label>
              <span class="dim">{count(rows.length)} of the {count(entries.length)} newest entries</span>
            </div>
            {rows.length === 0 ? <Empty>{entries.length === 0 ? 'Nobody has changed anything yet.' : 'No entry fits.'}</Empty>
              : <Table label="Audit log" rows={sorted(rows, COLUMNS, sort)} columns={COLUMNS} id={(row) => row.id} sort={sort} onSort={(key) => set({ sort: key === 'at' ? undefined : key })} />}
          </section>
        );
      }}
    </Shown>
  );
}

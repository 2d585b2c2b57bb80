// All processes at the chosen time: flat or by what they belong to.
import { useMemo, useRef } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import { useAnswer } from '../api/load';
import { part } from '../api/http';
import type { Processes as Answer } from '../api/types';
import { count, length } from '../format';
import { Legend } from '../parts/bar';
import { Empty, Shown } from '../parts/notes';
import { Table, sorted } from '../parts/table';
import { go, params, set } from '../route';
import { asked, host, isLive } from '../time';
import { columnsOf, usual } from './processes-columns';
import { filtered, rowOf, type Row } from './processes-rows';
import { tree } from './processes-tree';

/** Most rows that are asked for: 2,000 are measured (`bench/table.mjs`). */
const MOST = 3_000;
const FIRST = 'lost';

function fold(row: Row, open: boolean) {
  if (row.kind !== 'group' || row.open === open) return;
  const turned = new Set((params.value.fold ?? '').split('.').filter(Boolean));
  const key = row.who.id.replace('group ', '');
  if (!turned.delete(key)) turned.add(key);
  set({ fold: [...turned].join('.') });
}
function open(row: Row) {
  if (row.kind === 'group') fold(row, !row.open);
  else if (row.kind === 'process') go('process', { pid: row.who.pid, start: row.who.start || undefined, comm: row.who.comm });
}
const COLUMNS = columnsOf(fold);
const id = (row: Row) => row.who.id;
const sort = (key: string) => set({ sort: key === FIRST ? undefined : key });

export function Processes() {
  const answer = useAnswer<Answer>(host.value ? `hosts/${part(host.value)}/processes` : null, { ...asked(), limit: MOST }, { live: true });
  return (
    <section class="stack">
      <h1 class="sr">Processes</h1>
      <Shown answer={answer} what="Processes">{(data) => <List data={data} />}</Shown>
    </section>
  );
}

function List({ data }: { data: Answer }) {
  const { q = '', tree: asTree, sort: key = FIRST, cols, fold: folded = '' } = params.value;
  const rows = useMemo(() => data.processes.map((each) => rowOf(each, data.span_s)), [data]);
  const usualKeys = usual(rows).join();
  const keys = cols ? `name,${cols}` : usualKeys;
  // A row that stays the same may stand elsewhere in the tree: other columns make it again.
  const columns = useMemo(() => COLUMNS.filter((column) => keys.split(',').includes(column.key)), [keys, asTree, q]);
  // Rows do not run away from the pointer: while it is over them they keep their places, and only the figures change.
  const still = useSignal(false);
  const places = useRef<Map<string, number> | null>(null);
  const [shown, matching] = useMemo(() => {
    const found = filtered(rows, q);
    const order = (some: readonly Row[]) => {
      const fresh = sorted(some, COLUMNS, key);
      const old = places.current;
      return old && !asTree ? fresh.map((row, at) => ({ row, at: old.get(id(row)) ?? old.size + at })).sort((a, b) => a.at - b.at).map(({ row }) => row) : fresh;
    };
    return [asTree ? tree(found, order, new Set(folded.split('.')), q !== '') : order(found), found.length];
  }, [rows, q, asTree, key, folded, still.value]);
  const hold = (on: boolean) => {
    if (!isLive.value && on) return;
    places.current = on ? new Map(shown.map((row, at) => [id(row), at])) : null;
    still.value = on;
  };
  return (
    <>
      <Tools data={data} matching={matching} still={still.value && !asTree} keys={keys.split(',')} usualKeys={usualKeys} />
      <div class="card flush" onPointerEnter={(event) => event.pointerType === 'mouse' && hold(true)} onPointerLeave={() => hold(false)}>
        {shown.length
          ? <Table label="Processes" rows={shown} columns={columns} id={id} sort={key} onSort={(next) => { places.current = null; sort(next); }} onOpen={open} onFold={fold} height="fill" />
          : <Empty>{q ? <>No process has “{q}” in its name, PID, cgroup, container, pod or unit. <button onClick={() => set({ q: undefined })}>Show all</button></> : 'No process is known of this time.'}</Empty>}
      </div>
    </>
  );
}

interface ToolProps { data: Answer; matching: number; still: boolean; keys: readonly string[]; usualKeys: string }
function Tools({ data, matching, still, keys, usualKeys }: ToolProps) {
  const { q = '', tree: asTree } = params.value;
  const { length: loaded } = data.processes;
  return (
    <div class="row tools">
      <input type="search" class="search" value={q} placeholder="Name, PID, unit, container, cgroup" aria-label="Filter processes by name, PID, cgroup, container, unit or pod"
        onInput={(event) => set({ q: event.currentTarget.value })} />
      <div class="row joined" role="group" aria-label="Order of rows">
        <button aria-pressed={!asTree} onClick={() => set({ tree: undefined })}>List</button>
        <button aria-pressed={!!asTree} onClick={() => set({ tree: '1' })} title="By pod, container, unit or cgroup, and there by name">Groups</button>
      </div>
      <Chooser keys={keys} usualKeys={usualKeys} />
      <span class="dim" role="status">
        {q ? `${count(matching)} of ${count(loaded)}` : `${count(loaded)} rows`}{data.total > loaded && `; ${count(data.total - loaded)} that lost less time are not shown`}
        {isLive.value ? `, means of ${length(data.span_s * 1_000)}` : ''}
      </span>
      {still && <span class="badge" title="Rows keep their places while the pointer is over them; figures go on">order stands still</span>}
      <span class="grow" />
      <div class="wide"><Legend /></div>
      <details class="narrow-only"><summary>What the colours mean</summary><Legend /></details>
    </div>
  );
}

function Chooser({ keys, usualKeys }: { keys: readonly string[]; usualKeys: string }) {
  const on = new Set(keys);
  const turn = (key: string) => {
    if (!on.delete(key)) on.add(key);
    const next = COLUMNS.map((column) => column.key).filter((each) => on.has(each)).join();
    set({ cols: next === usualKeys ? undefined : next });
  };
  return (
    <details class="menu chooser">
      <summary>Columns</summary>
      <div class="card">
        {COLUMNS.slice(1).map(({ key, label, help }) => (
          <label key={key} title={help}><input type="checkbox" checked={on.has(key)} onChange={() => turn(key)} /> {label}</label>
        ))}
      </div>
    </details>
  );
}

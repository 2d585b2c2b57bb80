// A table of many rows: only those in sight are in the document. Sorted by its heads; arrows move a row cursor, Enter opens it; in a tree the
// right arrow opens a row, the left one closes it.
import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { signal, useSignal } from '@preact/signals';
import { useRoom } from './room';

export interface Column<R> {
  readonly key: string;
  readonly label: string;
  readonly cell: (row: R) => ComponentChildren;
  /** What it is sorted by; without it, it is not. Numbers: the largest first, NaN (unknown) last. */
  readonly by?: (row: R) => number | string;
  readonly number?: boolean;
  /** Left out where there is little room. */
  readonly wide?: boolean;
  readonly help?: string;
  /** Pixels. If any column has a width all keep theirs, whatever stands in them; those without share the rest. */
  readonly width?: number;
}
interface Props<R> {
  readonly label: string;
  readonly rows: readonly R[];
  readonly columns: readonly Column<R>[];
  readonly id: (row: R) => string;
  readonly sort: string;
  readonly onSort: (key: string) => void;
  readonly onOpen?: (row: R) => void;
  /** Opens or closes a row of a tree. */
  readonly onFold?: (row: R, open: boolean) => void;
  /** Pixels of the part in sight; `fill`: what the window has left. */
  readonly height?: number | 'fill';
}
/** Height of a row, px; `.virtual td` has it too. */
const ROW = 30;
const BEYOND = 6;
/** Rows that `fill` has room for at least. */
const LEAST_ROWS = 10;
/** Least width of a column without one, px. */
const LEAST = 160;
const LEAST_NARROW = 100;

const small = matchMedia('(max-width: 40rem)');
/** Columns that are `wide` are left out. */
const narrow = signal(small.matches);
small.addEventListener('change', () => { narrow.value = small.matches; });

/** `key` or `-key` (turned around). */
export function sorted<R>(rows: readonly R[], columns: readonly Column<R>[], sort: string): R[] {
  const turn = sort.startsWith('-') ? -1 : 1;
  const by = columns.find((column) => column.key === sort.replace('-', ''))?.by;
  if (!by) return [...rows];
  const keyed = rows.map((row) => ({ row, value: by(row) }));
  keyed.sort((a, b) => {
    if (typeof a.value !== 'number' || typeof b.value !== 'number') return turn * ORDER.compare(String(a.value), String(b.value));
    const unknown = Number(Number.isNaN(a.value)) - Number(Number.isNaN(b.value));
    return unknown || turn * (b.value - a.value);
  });
  return keyed.map(({ row }) => row);
}
// `localeCompare` makes one for each comparison.
const ORDER = new Intl.Collator(undefined, { numeric: true });

export function Table<R>({ label, rows, columns, id, sort, onSort, onOpen, onFold, height = 600 }: Props<R>) {
  const place = useRef<HTMLDivElement>(null);
  const top = useSignal(0);
  const room = useRoom(place, { least: LEAST_ROWS * ROW, height: height === 'fill' ? undefined : height });
  const cursor = useSignal('');
  const above = useRef<HTMLTableRowElement>(null);
  const below = useRef<HTMLTableRowElement>(null);
  const first = Math.max(0, Math.min(Math.floor(top.value / ROW) - BEYOND, rows.length));
  const last = Math.min(rows.length, Math.ceil((top.value + room.value) / ROW) + BEYOND);
  useLayoutEffect(() => { above.current!.style.height = `${first * ROW}px`; }, [first]);
  useLayoutEffect(() => { below.current!.style.height = `${(rows.length - last) * ROW}px`; }, [rows.length - last]);

  const index = (of: string) => rows.findIndex((row) => id(row) === of);
  const move = (to: number) => {
    const next = Math.min(rows.length - 1, Math.max(0, to));
    const row = rows[next];
    if (!row) return;
    cursor.value = id(row);
    const box = place.current!;
    if (next * ROW < box.scrollTop) box.scrollTop = next * ROW;
    else if ((next + 2) * ROW > box.scrollTop + box.clientHeight) box.scrollTop = (next + 2) * ROW - box.clientHeight;
  };
  const press = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || (event.target as HTMLElement) !== place.current) return;
    const at = index(cursor.value);
    const page = Math.floor(room.value / ROW) - 2;
    const moves: Record<string, number> = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: rows.length - 1 };
    const to = moves[event.key];
    const row = rows[at];
    if (to !== undefined) move(to);
    else if (event.key === 'Enter' && row) onOpen?.(row);
    else if (onFold && row && (event.key === 'ArrowRight' || event.key === 'ArrowLeft')) onFold(row, event.key === 'ArrowRight');
    else return;
    event.preventDefault();
  };
  const click = (event: MouseEvent) => {
    const target = event.target as HTMLElement;
    const row = rows[Number(target.closest('tr')?.getAttribute('aria-rowindex')) - 1];
    if (!row) return;
    cursor.value = id(row);
    if (!target.closest('a, button, input, label')) onOpen?.(row);
  };
  const bare = sort.replace('-', '');
  return (
    <div class="table virtual" ref={place} tabIndex={0} role="region" aria-label={`${label}. Arrows move, Enter opens.`} onKeyDown={press} onScroll={(event) => { top.value = event.currentTarget.scrollTop; }}>
      <table aria-rowcount={rows.length} class={columns.some((column) => column.width) ? 'fixed' : ''}>
        <Widths columns={columns} />
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.key} class={cellClass(column)} title={column.help}
                aria-sort={column.key === bare ? (sort.startsWith('-') ? 'ascending' : 'descending') : undefined}>
                {column.by ? <button onClick={() => onSort(column.key === sort ? `-${column.key}` : column.key)}>{column.label}{column.key === bare ? (sort.startsWith('-') ? ' ▴' : ' ▾') : ''}</button> : column.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody onClick={click}>
          <tr ref={above} aria-hidden="true" />
          {rows.slice(first, last).map((row, at) => {
            const key = id(row);
            return <Line key={key} row={row} columns={columns as readonly Column<unknown>[]} at={first + at + 1} picked={key === cursor.value} />;
          })}
          <tr ref={below} aria-hidden="true" />
        </tbody>
      </table>
    </div>
  );
}

const cellClass = (column: { readonly number?: boolean; readonly wide?: boolean }) => `${column.number ? 'num' : ''}${column.wide ? ' wide' : ''}`;

/** A row is made again only if it is another one than before. */
function Line({ row, columns, at, picked }: { row: unknown; columns: readonly Column<unknown>[]; at: number; picked: boolean }) {
  return useMemo(() => (
    <tr aria-rowindex={at} aria-selected={picked ? 'true' : undefined}>
      {columns.map((column) => <td key={column.key} class={cellClass(column)}>{column.cell(row)}</td>)}
    </tr>
  ), [row, columns, at, picked]);
}

function Widths<R>({ columns }: { columns: readonly Column<R>[] }) {
  const group = useRef<HTMLTableColElement>(null);
  const thin = narrow.value;
  useLayoutEffect(() => {
    let sum = 0;
    columns.forEach((column, at) => {
      (group.current!.children[at] as HTMLElement).style.width = column.width ? `${column.width}px` : '';
      if (!thin || !column.wide) sum += column.width ?? (thin ? LEAST_NARROW : LEAST);
    });
    group.current!.closest('table')!.style.minWidth = columns.some((column) => column.width) ? `${sum}px` : '';
  }, [columns, thin]);
  return <colgroup ref={group}>{columns.map((column) => <col key={column.key} class={column.wide ? 'wide' : ''} />)}</colgroup>;
}

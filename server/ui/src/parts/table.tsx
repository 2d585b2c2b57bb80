// A table of many rows: only those in sight are in the document. Sorted by its heads; arrows move a row cursor, Enter opens it.
import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { useSignal } from '@preact/signals';

export interface Column<R> {
  readonly key: string;
  readonly label: string;
  readonly cell: (row: R) => ComponentChildren;
  /** What it is sorted by; without it, it is not. Numbers: the largest first. */
  readonly by?: (row: R) => number | string;
  readonly number?: boolean;
  /** Left out where there is little room. */
  readonly wide?: boolean;
  readonly help?: string;
}
interface Props<R> {
  readonly label: string;
  readonly rows: readonly R[];
  readonly columns: readonly Column<R>[];
  readonly id: (row: R) => string;
  readonly sort: string;
  readonly onSort: (key: string) => void;
  readonly onOpen?: (row: R) => void;
  /** Pixels of the part in sight. */
  readonly height?: number;
}
/** Height of a row, px; `.virtual td` has it too. */
const ROW = 30;
const BEYOND = 8;

/** `key` or `-key` (turned around). */
export function sorted<R>(rows: readonly R[], columns: readonly Column<R>[], sort: string): R[] {
  const turned = sort.startsWith('-');
  const by = columns.find((column) => column.key === sort.replace('-', ''))?.by;
  if (!by) return [...rows];
  const keyed = rows.map((row) => ({ row, value: by(row) }));
  keyed.sort((a, b) => (typeof a.value === 'number' && typeof b.value === 'number' ? b.value - a.value : String(a.value).localeCompare(String(b.value))));
  if (turned) keyed.reverse();
  return keyed.map(({ row }) => row);
}

export function Table<R>({ label, rows, columns, id, sort, onSort, onOpen, height = 600 }: Props<R>) {
  const place = useRef<HTMLDivElement>(null);
  const top = useSignal(0);
  const cursor = useSignal('');
  const above = useRef<HTMLTableRowElement>(null);
  const below = useRef<HTMLTableRowElement>(null);
  const first = Math.max(0, Math.floor(top.value / ROW) - BEYOND);
  const last = Math.min(rows.length, Math.ceil((top.value + height) / ROW) + BEYOND);
  useLayoutEffect(() => {
    place.current!.style.maxHeight = `${height}px`;
    above.current!.style.height = `${first * ROW}px`;
    below.current!.style.height = `${(rows.length - last) * ROW}px`;
  });
  const at = rows.findIndex((row) => id(row) === cursor.value);
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
    const page = Math.floor(height / ROW) - 2;
    const moves: Record<string, number> = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: rows.length - 1 };
    const to = moves[event.key];
    if (to !== undefined) move(to);
    else if (event.key === 'Enter' && rows[at] && (event.target as HTMLElement) === place.current) onOpen?.(rows[at]!);
    else return;
    event.preventDefault();
  };
  const bare = sort.replace('-', '');
  return (
    <div class="table virtual" ref={place} tabIndex={0} role="region" aria-label={`${label}. Arrows move, Enter opens.`} onKeyDown={press} onScroll={(event) => { top.value = event.currentTarget.scrollTop; }}>
      <table aria-rowcount={rows.length}>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.key} class={`${column.number ? 'num' : ''} ${column.wide ? 'wide' : ''}`} title={column.help}
                aria-sort={column.key === bare ? (sort.startsWith('-') ? 'ascending' : 'descending') : undefined}>
                {column.by ? <button onClick={() => onSort(column.key === sort ? `-${column.key}` : column.key)}>{column.label}{column.key === bare ? (sort.startsWith('-') ? ' ▴' : ' ▾') : ''}</button> : column.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          <tr ref={above} aria-hidden="true" />
          {rows.slice(first, last).map((row, index) => (
            <tr key={id(row)} aria-rowindex={first + index + 1} aria-selected={id(row) === cursor.value ? 'true' : undefined}
              onClick={(event) => { cursor.value = id(row); if (!(event.target as HTMLElement).closest('a, button')) onOpen?.(row); }}>
              {columns.map((column) => <td key={column.key} class={`${column.number ? 'num' : ''} ${column.wide ? 'wide' : ''}`}>{column.cell(row)}</td>)}
            </tr>
          ))}
          <tr ref={below} aria-hidden="true" />
        </tbody>
      </table>
    </div>
  );
}

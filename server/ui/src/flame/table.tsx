// The functions of a graph as a table: what each takes itself and with all that it calls.
import { useMemo } from 'preact/hooks';
import { share } from '../format';
import { Table, sorted, type Column } from '../parts/table';
import { REASON, ROOT } from './graph';
import { clean, file, short } from './names';
import type { Opened } from './opened';
import { scaleOf } from './paint';
import { changeText, time } from './values';

interface Row { readonly frame: number; readonly name: string; readonly module: string; readonly own: number; readonly total: number; readonly samples: number; readonly base_own: number; readonly base: number }
interface Props {
  readonly opened: Opened;
  /** Frames that are looked for; null: all. */
  readonly matches: Uint8Array | null;
  readonly sort: string;
  readonly onSort: (key: string) => void;
  readonly onOpen: (frame: number) => void;
  readonly height: number;
}

export function FunctionTable({ opened, matches, sort, onSort, onOpen, height }: Props) {
  const { graph, functions } = opened;
  const { about, frames } = graph;
  const all = about.total || 1;
  const scale = scaleOf(graph);
  const columns = useMemo(() => {
    const value = (key: string, label: string, get: (row: Row) => number, help: string): Column<Row> => ({
      key, label, number: true, help, by: get, cell: (row) => <span title={time(about, get(row))}>{share(get(row) / all)}</span>,
    });
    const differs = functions.base_total !== null;
    const found: Column<Row>[] = [
      { key: 'name', label: 'Function', by: (row) => row.name, cell: (row) => <span class="mono" title={row.module ? `${row.name}\n${row.module}` : row.name}>{clean(short(row.name))}</span> },
      value('own', 'Itself', (row) => row.own, 'What it takes itself, without what it calls'),
      value('total', 'In all', (row) => row.total, 'With all that it calls'),
    ];
    if (differs) {
      found.push({ key: 'change', label: 'Change', number: true, help: 'Of in all, against the other time', by: (row) => row.total - row.base, cell: (row) => changeText(row.total, row.base) });
    }
    found.push({ key: 'module', label: 'File', help: 'Program or library', by: (row) => row.module, cell: (row) => <span class="dim">{clean(file(row.module))}</span> });
    return found;
  }, [opened]);
  const rows = useMemo(() => {
    const found: Row[] = [];
    for (let frame = 0; frame < frames.names.length; frame++) {
      const kind = frames.kinds[frame];
      if (kind === ROOT || kind === REASON || (matches && !matches[frame])) continue;
      const base = (functions.base_total?.[frame] ?? 0) * scale;
      if (functions.total[frame] === 0 && base === 0) continue;
      found.push({
        frame, name: clean(frames.names[frame]!), module: frames.modules[frame]!, own: functions.own[frame]!, total: functions.total[frame]!, samples: functions.samples[frame]!,
        base_own: (functions.base_own?.[frame] ?? 0) * scale, base,
      });
    }
    return found;
  }, [opened, matches]);
  const shown = useMemo(() => sorted(rows, columns, sort), [rows, columns, sort]);
  return (
    <Table label={`${shown.length} functions; Enter shows who calls one and what it calls`} rows={shown} columns={columns} id={(row) => String(row.frame)} sort={sort} onSort={onSort}
      onOpen={(row) => onOpen(row.frame)} height={height} />
  );
}

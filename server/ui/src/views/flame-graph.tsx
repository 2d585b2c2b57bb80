// Flame graph of the whole host or of what the address names: `pid`, `start` (ms since boot), `comm`, `place`, `alert`; further what
// `flame/state.ts` keeps there, such as `kind`, `base=before`, `zoom`, `q`.
import { KINDS } from '../flame/toolbar';
import { Flame, type FlameKind } from '../flame/flame';
import { name } from '../format';
import { link, params } from '../route';

const number = (text: string | undefined) => (text && /^\d+$/.test(text) ? Number(text) : undefined);

export function FlameGraph() {
  const { pid, start, comm, place, alert, kind } = params.value;
  const process = number(pid);
  const of = alert ? 'the alert' : process !== undefined ? `${comm ? `${name(comm, 40)} ` : ''}(PID ${process})` : comm ? name(comm, 40) : place ? name(place, 80) : '';
  const words = KINDS.find((each) => each.kind === (kind ?? 'on-cpu'))?.help ?? '';
  return (
    <div class="stack">
      <div class="row">
        <h1>Flame graph{of && ` of ${of}`}</h1>
        <span class="dim">{words}</span>
        {of && <a href={link('flamegraph')}>of the whole host</a>}
        {process !== undefined && <a href={link('process', { pid: process, start })}>the process</a>}
      </div>
      <Flame pid={process} start_ms={number(start)} comm={process === undefined ? comm : undefined} place={place} alert={alert} kind={kind as FlameKind | undefined} prefix="" table={innerWidth >= 1_100} heat />
    </div>
  );
}

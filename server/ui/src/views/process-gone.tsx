// Nothing is known of the process at the chosen time: why that may be, and when it was seen.
import { useAnswer } from '../api/load';
import { part } from '../api/http';
import type { States } from '../api/types';
import { ago, length, moment, name } from '../format';
import { at, link, params } from '../route';
import { chosen, end, host } from '../time';
import type { Of } from './process';
import { seen } from './process-facts';

const MINUTE_MS = 60_000;
/** How far back, and ahead of a past time, one looks. */
const LOOK_MS = 6 * 3_600_000;

export function Gone({ of: { pid, start, comm }, detail }: { of: Of; detail: string }) {
  const shown = chosen.value;
  const path = `hosts/${part(host.value)}/processes/${pid}/states`;
  // Whole minutes: the same question is not asked anew each second.
  const minute = Math.floor(shown.from / MINUTE_MS) * MINUTE_MS;
  const to = Math.min(minute + LOOK_MS, Math.ceil(end.value / MINUTE_MS) * MINUTE_MS);
  const rough = useAnswer<States>(path, { start_ms: start, from: new Date(minute - LOOK_MS).toISOString(), to: new Date(to).toISOString(), step: '60s' });
  const known = rough.data && seen(rough.data);
  const fineFrom = known ? Math.max(known.to - 2 * MINUTE_MS, known.from) : 0;
  const fine = useAnswer<States>(known ? path : null, { start_ms: start, from: new Date(fineFrom).toISOString(), to: new Date(known ? known.to : 0).toISOString(), step: '1s' });
  const exact = (fine.data && seen(fine.data)?.to) || known?.to;
  const who = comm ? `${name(comm, 80)} (${pid})` : `process ${pid}`;
  const before = exact !== undefined && exact <= shown.from + 1_000;
  const last = exact !== undefined && { from: Math.max(exact - 10_000, known!.from), to: exact };
  const first = known && { from: known.from, to: known.from + MINUTE_MS };
  const time = before ? last : first;
  return (
    <div class="note warn stack" role="status">
      <p><strong>Nothing is known of {who} at this time.</strong> {before ? 'It has ended' : known ? 'It had not begun' : 'It had ended, had not begun'}, or it did so little that it has no row of its own and counts in “other”.</p>
      {rough.loading && !rough.data ? <p>Looking for when it was seen …</p>
        : time ? (
          <p>
            {before ? `It was last seen at ${moment(exact!)}, ${ago(exact!)}.` : `It was first seen about ${moment(known!.from)}.`}{' '}
            <a href={link('process', { ...params.value, ...at(time) })}>Show {before ? 'its last seconds' : 'that minute'}</a>
          </p>
        ) : <p>It was not seen in {length(LOOK_MS)} before this time either. {rough.error ? rough.error.message : ''}</p>}
      <p><a href={link('processes', { q: comm || undefined })}>{comm ? `Processes named ${name(comm, 80)}` : 'Processes'} at this time</a> · <a href={link('ends', { q: pid })}>Did it end badly?</a> · <a href={link('logs', { q: `pid=${pid}` })}>Its log lines</a></p>
      <p class="sr">{name(detail)}</p>
    </div>
  );
}

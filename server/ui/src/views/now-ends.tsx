// Processes that ended badly of late, if there are any: each in a sentence.
import { useMemo } from 'preact/hooks';
import { useAnswer } from '../api/load';
import { endLink, endedMs, groupsOf } from '../ends/group';
import type { Ends } from '../ends/types';
import { count, moment, name } from '../format';
import { link } from '../route';
import { absolute, chosen, host, isLive, onGrid } from '../time';

/** While the page is live they are of so long, ms; asked for so often. */
const LATELY_MS = 3_600_000;
const PART_MS = 60_000;
const EVERY_MS = 5_000;
const FEW = 3;
const MOST = 50;

export function BadEnds() {
  const { from, to } = chosen.value;
  const time = isLive.value ? onGrid({ from: to - LATELY_MS, to }, PART_MS) : { from, to };
  const { data } = useAnswer<Ends>(host.value ? 'postmortems' : null, { host: host.value, ...absolute(time), limit: MOST }, { live: EVERY_MS });
  const groups = useMemo(() => groupsOf(data?.postmortems ?? []), [data]);
  // Of servers that keep none nothing is said.
  if (!data || groups.length === 0) return null;
  return (
    <section class="card" aria-labelledby="bad-ends">
      <header class="row">
        <h2 id="bad-ends">Ended badly {isLive.value && 'in the last hour'}</h2><span class="grow" />
        <a href={link('ends')}>{count(data.postmortems.length)}{data.more ? ' or more' : ''}: why, and events of the host</a>
      </header>
      <ul class="bad-ends">
        {groups.slice(0, FEW).map(({ key, ends }) => (
          <li key={key}>
            <a href={endLink(ends[0])}>{name(ends[0].cause.text, 300)}</a> <Times of={ends.length} />
            <span class="dim num">{moment(endedMs(ends[0]))}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

const Times = ({ of }: { of: number }) => (of > 1 ? <span class="badge bad">↻ {count(of)} times</span> : null);

// Processes that ended badly of late, if there are any: each in a sentence.
import { useAnswer } from '../api/load';
import { count, moment, name } from '../format';
import { link } from '../route';
import { absolute, chosen, host, isLive, onGrid } from '../time';
import { momentOf } from './alerts-list';

/** While the page is live they are of so long, ms; asked for so often. */
const LATELY_MS = 3_600_000;
const PART_MS = 60_000;
const EVERY_MS = 5_000;
const FEW = 3;
const MOST = 50;

interface Ends { postmortems: { host: string; at: string; id: string; cause: { text: string }; ended: { at_ns: number | string } }[]; more: boolean }

export function BadEnds() {
  const { from, to } = chosen.value;
  const time = isLive.value ? onGrid({ from: to - LATELY_MS, to }, PART_MS) : { from, to };
  const { data } = useAnswer<Ends>(host.value ? 'postmortems' : null, { host: host.value, ...absolute(time), limit: MOST }, { live: EVERY_MS });
  // Of servers that keep none nothing is said. Those that say the same but for their numbers are one.
  const all = [...(data?.postmortems ?? [])].sort((a, b) => momentOf(b.ended.at_ns) - momentOf(a.ended.at_ns));
  const same = new Map<string, number>();
  const rows = all.filter(({ cause: { text } }) => {
    const key = text.replace(/\d+/g, '');
    same.set(key, (same.get(key) ?? 0) + 1);
    return same.get(key) === 1;
  });
  if (rows.length === 0) return null;
  return (
    <section class="card" aria-labelledby="bad-ends">
      <header class="row">
        <h2 id="bad-ends">Ended badly {isLive.value && 'in the last hour'}</h2><span class="grow" />
        <a href={link('ends')}>{count(all.length)}{data!.more ? ' or more' : ''}: why, and events of the host</a>
      </header>
      <ul class="bad-ends">
        {rows.slice(0, FEW).map((each) => (
          <li key={each.id}>
            <a href={link('ends', { id: each.id, when: Math.round(momentOf(each.ended.at_ns)) })}>{name(each.cause.text, 300)}</a> <Times of={same.get(each.cause.text.replace(/\d+/g, ''))!} />
            <span class="dim num">{moment(momentOf(each.ended.at_ns))}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

const Times = ({ of }: { of: number }) => (of > 1 ? <span class="badge bad">↻ {count(of)} times</span> : null);

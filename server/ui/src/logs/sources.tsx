// Where the lines of the time are from, and how many there are of each.
import type { Answer } from '../api/load';
import { count, name } from '../format';
import { useMenu } from '../parts/menu';
import { Meter } from '../parts/meter';
import { Failed } from '../parts/notes';
import { from, type Acts } from './line';
import { termOf } from './term';
import type { Streams } from './types';

const ROWS = 60;
/** Of a source with few lines so much is drawn, as a part of that with most. */
const LEAST_SHARE = 0.01;

export function Sources({ answer: { data, error }, acts, onOpen }: { answer: Answer<Streams>; acts: Acts; onOpen: () => void }) {
  const menu = useMenu();
  const most = data?.streams[0]?.lines ?? 1;
  return (
    <details class="menu log-sources" ref={menu} onToggle={(event) => { if (event.currentTarget.open) onOpen(); }}>
      <summary>Sources{data && ` ${count(data.total)}`}</summary>
      <div class="card">
        {error ? <Failed error={error} what="Sources" /> : !data ? <p class="dim">Loading …</p> : data.streams.length === 0 ? <p class="dim">None in this time.</p> : (
          <table>
            <tbody>
              {data.streams.slice(0, ROWS).map(({ labels, lines }) => {
                const { host: _, source = '', ...more } = labels;
                const { label, value } = from(labels);
                const term = termOf('label', label, value);
                return (
                  <tr key={JSON.stringify(labels)}>
                    <td class="dim">{name(source, 40)}</td>
                    <td class="mono">{name(value, 80)}{Object.entries(more).filter(([key]) => key !== label).map(([key, each]) => <span key={key} class="dim"> {name(key, 40)}={name(each, 60)}</span>)}</td>
                    <td class="num">{count(lines)}</td>
                    <td><Meter of={lines / most} least={LEAST_SHARE} /></td>
                    <td>{term && <><button class="plain" aria-label={`Only ${name(value, 60)}`} onClick={() => acts.add(term, false)}>+</button> <button class="plain" aria-label={`Without ${name(value, 60)}`} onClick={() => acts.add(term, true)}>−</button></>}</td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        )}
        {data && data.total > ROWS && <p class="dim">and {count(data.total - ROWS)} with fewer lines</p>}
      </div>
    </details>
  );
}

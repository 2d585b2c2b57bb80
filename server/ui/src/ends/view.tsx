// Why did it end: processes that ended badly, and what the kernel and systemd said of the host, of the chosen time or the last day.
import { useMemo } from 'preact/hooks';
import { Refusal } from '../api/http';
import { useAnswer } from '../api/load';
import { count, length, moment, name } from '../format';
import { Empty, Failed, Loading } from '../parts/notes';
import { params, set } from '../route';
import { absolute, chosen, end, host, isLive, onGrid, type Interval } from '../time';
import { EndDetail } from './detail';
import { EventTable } from './events';
import { endLink, endedMs, groupsOf } from './group';
import { Line } from './line';
import { Numbers } from './numbers';
import type { End, Ends as Answered, Events } from './types';
import { howWords, lanesOf, placeOf, whoOf } from './words';

/** Bad ends and events are rare: while nothing is selected they are of so long, ms. */
const REACHES = { hour: 3_600_000, day: 86_400_000, week: 7 * 86_400_000 } as const;
const MOST = 500;
const MOST_EVENTS = 500;
/** In sight before "show all". */
const FIRST = 10;
/** Of ends that are alike so many are listed. */
const MOST_OTHERS = 100;
/** The time moves by such a part, ms: a question stays the same for as long. */
const PART_MS = 30_000;
const EVERY_MS = 10_000;

export function Ends() {
  const { id, when, pid } = params.value;
  return id ? <EndDetail key={id} id={id} when={Number(when)} pid={Number(pid)} /> : <List />;
}

function List() {
  const { q = '', reach: reachText = 'day', all } = params.value;
  const live = isLive.value;
  const reach = Object.hasOwn(REACHES, reachText) ? (reachText as keyof typeof REACHES) : 'day';
  const time: Interval = live ? onGrid({ from: end.value - REACHES[reach], to: end.value }, PART_MS) : chosen.value;
  const options = { live: live ? EVERY_MS : false } as const;
  const asked = host.value ? { host: host.value, ...absolute(time) } : null;
  const ends = useAnswer<Answered>(asked && 'postmortems', { ...asked, limit: MOST }, options);
  const events = useAnswer<Events>(asked && 'events', { ...asked, limit: MOST_EVENTS }, options);
  const text = q.trim().toLowerCase();
  const rows = useMemo(() => [...(ends.data?.postmortems ?? [])].sort((a, b) => endedMs(b) - endedMs(a)), [ends.data]);
  const found = useMemo(() => rows.filter((each) => `${each.cause.text} ${each.cause.class} ${each.process.comm} ${each.process.pid} ${each.process.cmdline} ${placeOf(each)}`.toLowerCase().includes(text)), [rows, text]);
  const happened = useMemo(() => (events.data?.events ?? []).filter((each) => `${each.class} ${each.text} ${JSON.stringify(each.subject)}`.toLowerCase().includes(text)), [events.data, text]);
  const lanes = useMemo(() => lanesOf(happened), [happened]);
  const unknown = [ends.error, events.error].every((error) => error instanceof Refusal && error.status === 404);
  const groups = useMemo(() => groupsOf(found), [found]);
  const shown = all ? groups : groups.slice(0, FIRST);
  return (
    <div class="stack ends">
      <header class="row">
        <h1>Why did it end</h1>
        <span class="dim">{ends.data && `${rows.length === 0 ? 'no process' : `${count(rows.length)}${ends.data.more ? ' or more' : ''} ${rows.length === 1 ? 'process' : 'processes'}`} ended badly`}</span>
        <span class="grow" />
        <label><span class="sr">Text</span><input type="search" value={q} placeholder="a process, a unit, a cause, …" size={22} onInput={(event) => set({ q: event.currentTarget.value })} /></label>
        {live && (
          <label><span class="sr">Time</span>
            <select value={reach} onChange={(event) => set({ reach: event.currentTarget.value === 'day' ? undefined : event.currentTarget.value })}>
              <option value="hour">of the last hour</option><option value="day">of the last day</option><option value="week">of the last week</option>
            </select>
          </label>
        )}
      </header>
      {unknown ? <Empty>This server keeps no ends of processes: it needs a newer version, or another server has this host’s.</Empty> : (
        <>
          <Line time={time} ends={found} lanes={lanes} />
          <section class="stack" aria-labelledby="ends-bad">
            <h2 id="ends-bad" class="sr">Processes that ended badly</h2>
            {ends.error && <Failed error={ends.error} what="Ends of processes" />}
            {!ends.data ? ends.loading && <Loading what="Ends" />
              : rows.length === 0 ? <Empty>No process ended badly between {moment(time.from)} and {moment(time.to)}. That is good news: those that end as they are meant to are not here.</Empty>
                : found.length === 0 ? <Empty>None fits. <button onClick={() => set({ q: undefined })}>Show all {count(rows.length)}</button></Empty>
                  : shown.map((each) => <Card key={each.key} ends={each.ends} />)}
            {shown.length < groups.length && <p><button onClick={() => set({ all: '1' })}>Show all {count(groups.length)}</button></p>}
            {ends.data?.more && <p class="note warn">There were more than {count(MOST)}: the oldest are missing. A shorter time shows them.</p>}
          </section>
          <section class="card stack" aria-labelledby="ends-events">
            <h2 id="ends-events">Events of the host</h2>
            {events.error ? <Failed error={events.error} what="Events" /> : !events.data ? <Loading what="Events" />
              : happened.length === 0 ? <Empty>{text && events.data.events.length > 0 ? 'No event fits.' : `The kernel and systemd said nothing of note in ${length(time.to - time.from)}.`}</Empty>
                : <EventTable events={happened} />}
            {events.data?.more && <p class="note warn">There were more than {count(MOST_EVENTS)}: the oldest are missing.</p>}
          </section>
        </>
      )}
    </div>
  );
}

/** The sentence first, then who it was and how it ended. Of ends that are alike the newest, and when the others were. */
function Card({ ends }: { ends: readonly [End, ...End[]] }) {
  const [each, ...others] = ends;
  const place = placeOf(each);
  return (
    <article class={`card finding end ${each.loop ? 'firm' : ''}`}>
      <header>
        <h3><a href={endLink(each)}>{name(each.cause.text, 400)}</a></h3>
        <Numbers end={each} />
        <span class="finding-aside dim num">{moment(endedMs(each))}</span>
      </header>
      <p class="dim">{whoOf(each)} {howWords(each)}{place && <>, in {place}</>}{each.process.cmdline && <> · <code>{name(each.process.cmdline, 160)}</code></>}</p>
      {others.length > 0 && (
        <details>
          <summary>and {count(others.length)} more like it since {moment(endedMs(others[others.length - 1]!))}</summary>
          <ul class="end-others">{others.slice(0, MOST_OTHERS).map((other) => <li key={other.id}><a href={endLink(other)} title={name(other.cause.text, 400)}>{moment(endedMs(other))}</a> <span class="dim">{other.process.pid}</span></li>)}</ul>
        </details>
      )}
    </article>
  );
}

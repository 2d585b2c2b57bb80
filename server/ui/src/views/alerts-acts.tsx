// What one may do about alerts: say that someone looks after it, and keep notifiers quiet.
import { useSignal } from '@preact/signals';
import { part, Refusal, saved, send } from '../api/http';
import { useAnswer } from '../api/load';
import type { Alert, Silence, Silences } from '../api/types';
import { classWords } from '../findings';
import { length, moment, name } from '../format';
import { useAct } from '../parts/act';
import { session } from '../session';
import { momentOf } from './alerts-list';

const DURATIONS = [1_800, 3_600, 4 * 3_600, 24 * 3_600, 7 * 24 * 3_600] as const;
const mayAct = () => !saved && session.value !== null && session.value.role !== 'viewer';
const REFUSED = { 403: 'That needs the role operator.', 404: 'This server cannot do that yet: it needs a newer version.' };

export function Acts({ alert }: { alert: Alert }) {
  const { run, busy, note } = useAct(REFUSED);
  const text = useSignal('');
  const seen = alert.acknowledged;
  if (!mayAct() && !seen && !alert.silenced) return <p class="dim">To acknowledge or silence it, the role operator is needed.</p>;
  return (
    <section class="card stack" aria-label="Acknowledge and silence">
      {seen && <p><strong>✓ Acknowledged</strong> by {name(seen.by)}, {moment(momentOf(seen.at))}{seen.note && <>: {name(seen.note, 500)}</>}</p>}
      {alert.silenced && <p>Notifiers are quiet about it: the silence is in the list of alerts.</p>}
      {note}
      {mayAct() && (
        <div class="row">
          {seen
            ? <button disabled={busy} onClick={() => void run(() => send('DELETE', 'alerts/acknowledge', {}, { host: alert.host, id: alert.id }))}>Take the acknowledgement back</button>
            : (
              <form class="row" onSubmit={(event) => { event.preventDefault(); void run(() => send('POST', 'alerts/acknowledge', { host: alert.host, id: alert.id, note: text.value })); }}>
                <label>Note <input value={text.value} maxLength={500} placeholder="who looks after it, what is known" size={28} onInput={(event) => { text.value = event.currentTarget.value; }} /></label>
                <button class="main" disabled={busy}>Acknowledge</button>
              </form>
            )}
          {!alert.silenced && <details class="menu"><summary>Silence …</summary><div class="card"><SilenceForm alert={alert} /></div></details>}
        </div>
      )}
    </section>
  );
}

function SilenceForm({ alert }: { alert: Alert }) {
  const { run, busy, note } = useAct(REFUSED);
  const comm = alert.finding.subject.comm;
  const choices = [
    { key: 'host', label: `on host ${name(alert.host, 60)}`, value: alert.host },
    { key: 'class', label: `of this kind: ${classWords(alert.finding.class)}`, value: alert.finding.class },
    ...(comm ? [{ key: 'comm', label: `of ${name(comm, 60)}`, value: comm }] : []),
  ];
  const picked = useSignal<readonly string[]>(choices.map(({ key }) => key));
  const seconds = useSignal(3_600);
  const text = useSignal('');
  const match = Object.fromEntries(choices.filter(({ key }) => picked.value.includes(key)).map(({ key, value }) => [key, value]));
  const wide = picked.value.length === 0;
  return (
    <form class="alert-form" onSubmit={(event) => { event.preventDefault(); void run(() => send('POST', 'silences', { match, duration_s: seconds.value, note: text.value })); }}>
      <p>No notification is sent for alerts that fit all of this:</p>
      <fieldset>
        <legend class="sr">Alerts</legend>
        {choices.map(({ key, label }) => (
          <label key={key}><input type="checkbox" checked={picked.value.includes(key)}
            onChange={(event) => { picked.value = event.currentTarget.checked ? [...picked.value, key] : picked.value.filter((each) => each !== key); }} /> {label}</label>
        ))}
      </fieldset>
      {wide && <p class="warn">Nothing is chosen: that would silence all alerts. Choose something.</p>}
      <label>For <select value={String(seconds.value)} onChange={(event) => { seconds.value = Number(event.currentTarget.value); }}>{DURATIONS.map((each) => <option key={each} value={String(each)}>{length(each * 1_000)}</option>)}</select></label>
      <label>Why <input value={text.value} required maxLength={500} onInput={(event) => { text.value = event.currentTarget.value; }} /></label>
      {note}
      <button class="main" disabled={busy || wide}>Silence</button>
    </form>
  );
}

const matchWords = ({ host, class: kind, comm }: Silence['match']) =>
  [comm && name(comm, 60), kind && `“${classWords(kind)}”`, host && `on ${name(host, 60)}`].filter(Boolean).join(' ') || 'all alerts';

/** Silences that are in force, with a way to end each. */
export function SilenceList({ always = false }: { always?: boolean }) {
  const answer = useAnswer<Silences>('silences', {}, { live: 30_000 });
  const { run, busy, note } = useAct(REFUSED);
  const rows = answer.data?.silences ?? [];
  const missing = answer.error instanceof Refusal && answer.error.status === 404;
  if (!always && rows.length === 0) return null;
  return (
    <section class="card stack">
      <h2>Silences</h2>
      {note}
      {missing ? <p class="dim">This server does not know of silences yet: it needs a newer version.</p>
        : answer.error ? <p class="note bad" role="alert">{answer.error.message}</p>
          : rows.length === 0 ? <p class="dim">{answer.data ? 'None: each alert is sent to the notifiers. An alert’s page has a form to silence its like.' : 'Loading …'}</p> : (
            <div class="table" tabIndex={0} role="region" aria-label="Silences">
              <table>
                <thead><tr><th>Alerts of</th><th>Until</th><th>By</th><th>Why</th><th><span class="sr">End it</span></th></tr></thead>
                <tbody>
                  {rows.map((each) => (
                    <tr key={each.id}>
                      <td>{matchWords(each.match)}</td><td>{moment(momentOf(each.until))}</td><td>{name(each.by, 60)}</td><td>{name(each.note, 300)}</td>
                      <td>{mayAct() && <button disabled={busy} onClick={() => void run(() => send('DELETE', `silences/${part(String(each.id))}`))}>End<span class="sr"> the silence of {matchWords(each.match)}</span></button>}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
    </section>
  );
}

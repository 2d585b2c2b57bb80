// Threads, open waits, files and peers of a process: the collector's memory knows them of the newest seconds alone, so one asks for them.
import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { Refusal, address, get, part, saved, send, shown } from '../api/http';
import type { Finding, Values } from '../api/types';
import { clock, count, name, ns, nsPerS, share } from '../format';
import { GroupBar, Legend } from '../parts/bar';
import { FindingCard } from '../parts/finding';
import { Empty } from '../parts/notes';
import { link } from '../route';
import { session } from '../session';
import { groupTimes, stateOf } from '../states';
import { goLive, host, isLive } from '../time';
import type { Of } from './process';

interface Thread { tid: number; comm: string; states: Values; lost_ns: number }
interface Wait { state: string; syscall?: string; target?: string; waker?: string; open?: boolean; waits: number; waited_ns: number; max_ns: number }
interface Live {
  report: { verdict: string; window_s: number; until_unix_ns: number; findings: Finding[]; unknown?: string[];
    process?: { threads: Thread[]; waits: Wait[]; ran_meanwhile: { pid: number; comm: string; waited_ns: number }[] } };
}

export function Threads({ of: { pid } }: { of: Of }) {
  const live = useSignal<Live | null>(null);
  const busy = useSignal('');
  const failed = useSignal('');
  const path = `hosts/${part(host.value)}/live/report`;
  // A saved page has the answer that was shown.
  const kept = address(path, { pid });
  useEffect(() => {
    if (saved) get<Live>(path, { pid }).then((data) => { live.value = data; }, (error: Error) => { failed.value = error.message; });
    return () => { shown.delete(kept); };
  }, [kept]);
  const ask = async (seconds: number, ahead: boolean) => {
    busy.value = ahead ? `Watching it for ${seconds} s …` : 'Asking the collector …';
    failed.value = '';
    try {
      const data = await send<Live>('POST', path, {}, { pid, seconds, ahead });
      live.value = data;
      shown.set(kept, data);
    } catch (error) {
      failed.value = error instanceof Refusal && error.status === 404 ? `${name(error.message)}. Only the host that the server runs beside can be asked, and only of processes that run.` : name((error as Error).message);
    }
    busy.value = '';
  };
  const role = session.value?.role ?? 'viewer';
  const data = live.value;
  return (
    <>
      <section class="card stack">
        <h2>What its threads do now</h2>
        {saved ? null : role === 'viewer'
          ? <p class="note">This asks the collector on the host, which needs the role operator; you are signed in as viewer. The other tabs need no such role.</p>
          : !isLive.value
            ? <p class="note">Single threads, files and peers are known of the newest seconds only; the chosen time is past. <button onClick={() => goLive()}>Go live</button></p>
            : (
              <div class="row">
                <button class="main" disabled={busy.value !== ''} onClick={() => void ask(10, false)}>Look at the last 10 s</button>
                <button disabled={busy.value !== ''} onClick={() => void ask(10, true)}>Watch the next 10 s</button>
                <span class="dim" role="status">{busy.value || (data ? '' : 'Threads, what they wait for, and which files and peers. The question stands in the audit log.')}</span>
              </div>
            )}
        {failed.value && <p class="note bad" role="alert">{failed.value}</p>}
      </section>
      {data && <Answer data={data} />}
    </>
  );
}

function Answer({ data: { report } }: { data: Live }) {
  const { process, window_s, until_unix_ns, findings, unknown = [] } = report;
  if (!process) return <Empty>The collector knows nothing of this process in these seconds: it has ended, or did nothing.</Empty>;
  const waits = [...process.waits].sort((a, b) => Number(b.open ?? false) - Number(a.open ?? false) || b.waited_ns - a.waited_ns);
  return (
    <>
      <p class="dim">{until_unix_ns > 0 && `Until ${clock(until_unix_ns / 1e6)}, `}{ns(window_s * 1e9)} long.</p>
      {findings.map((finding) => <FindingCard key={finding.class} finding={finding} />)}
      <section class="card">
        <h2>{count(process.threads.length)} {process.threads.length === 1 ? 'thread' : 'threads'}, those that lost most time first</h2>
        <div class="table tall" tabIndex={0} role="region" aria-label="Threads">
          <table>
            <thead><tr><th>Thread</th><th class="num">TID</th><th>Time</th><th class="num">CPU</th><th class="num">Lost</th></tr></thead>
            <tbody>
              {process.threads.map(({ tid, comm, states, lost_ns }, at) => (
                <tr key={at}>
                  <td>{tid ? name(comm, 60) : <span class="dim">all that never woke</span>}</td><td class="num">{tid || ''}</td>
                  <td class="bar-cell"><GroupBar times={groupTimes(states)} /></td>
                  <td class="num">{share(((states.oncpu_ns ?? 0) + (states.oncpu_user_ns ?? 0) + (states.oncpu_kernel_ns ?? 0)) / 1e9 / window_s)}</td>
                  <td class="num">{share(lost_ns / 1e9 / window_s)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
        <Legend />
      </section>
      <section class="card">
        <h2>What they wait for: files, peers, locks</h2>
        {waits.length ? (
          <div class="table tall" tabIndex={0} role="region" aria-label="What its threads wait for">
            <table>
              <thead><tr><th>Why</th><th>File, peer or lock</th><th>Ended by</th><th class="num">Time each second</th><th class="num wide">Waits</th><th class="num wide">Longest</th></tr></thead>
              <tbody>
                {waits.map(({ state, syscall, target, waker, open, waits: times, waited_ns, max_ns }, at) => (
                  <tr key={at}>
                    <td><i class={`swatch s-${stateOf(state).group}`} />{stateOf(state).label}{syscall && <span class="dim"> in {name(syscall, 40)}</span>}</td>
                    <td>{target ? name(target, 300) : '–'}</td>
                    <td>{open && <span class="badge warn">has not ended</span>} {waker ? <Waker text={waker} /> : open ? '' : '–'}</td>
                    <td class="num">{nsPerS(waited_ns / window_s)}</td><td class="num wide">{count(times)}</td><td class="num wide">{ns(max_ns)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        ) : <Empty>No wait of it was looked at in these seconds.</Empty>}
      </section>
      {process.ran_meanwhile.length > 0 && (
        <section class="card">
          <h2>Who ran while its threads waited for a CPU</h2>
          <ul class="meanwhile">
            {process.ran_meanwhile.map(({ pid, comm, waited_ns }) => <li key={pid}><a href={link('process', { pid, comm })}>{name(comm, 60)} ({pid})</a> {nsPerS(waited_ns / window_s)}</li>)}
          </ul>
        </section>
      )}
      {unknown.length > 0 && <details class="dim"><summary>What this cannot say</summary><ul>{unknown.map((text) => <li key={text}>{name(text, 400)}</li>)}</ul></details>}
    </>
  );
}

/** `pgbench (19104)`: the number may be a thread's, so it is looked for among the names. */
function Waker({ text }: { text: string }) {
  const comm = /^(.*) \(\d+\)$/.exec(text)?.[1];
  return comm ? <a href={link('processes', { q: comm })}>{name(text, 80)}</a> : <>{name(text, 80)}</>;
}

// What a process does: thread states over time, what reports and alerts say of it, and its main figures.
import { useAnswer } from '../api/load';
import { part } from '../api/http';
import { stepOf } from '../api/series';
import type { Now, ProcessActivity, States } from '../api/types';
import { length, moment, nsPerS } from '../format';
import { StateTable } from '../parts/bar';
import { Chart } from '../parts/chart';
import { FindingCard } from '../parts/finding';
import { Empty, Shown } from '../parts/notes';
import { link, params, set } from '../route';
import { absolute, host, range, view } from '../time';
import type { Of } from './process';
import { MainFigures } from './process-figures';
import { found, stateLines } from './process-facts';

export function Overview({ of, activity, now }: { of: Of; activity: ProcessActivity | null; now: Now | null }) {
  return (
    <>
      <StatesOverTime of={of} />
      <div class="halves">
        {activity && (
          <section class="card">
            <h2>Where its time goes</h2>
            <StateTable states={activity.process.states} per={activity.span_s} />
          </section>
        )}
        <Found of={of} now={now} />
      </div>
      <MainFigures of={of} />
    </>
  );
}

function StatesOverTime({ of: { pid, start } }: { of: Of }) {
  const idle = params.value.idle === '1';
  const shown = view.value;
  const span = shown.live ? shown.span : shown.to - shown.from;
  const step = stepOf(span);
  // Live ones are asked for by an address that stays the same.
  const time = shown.live ? { from: `-${span / 1_000}s` } : absolute(range.value);
  const answer = useAnswer<States>(host.value ? `hosts/${part(host.value)}/processes/${pid}/states` : null, { start_ms: start, ...time, step: `${step}s` }, { live: step * 1_000 });
  return (
    <section class="card">
      <header class="row">
        <h2>What its threads do over time</h2>
        <span class="grow" />
        <label><input type="checkbox" checked={idle} onChange={() => set({ idle: idle ? undefined : '1' })} /> with idle time</label>
      </header>
      <Shown answer={answer} what="Thread states over time">
        {(data) => {
          const lines = stateLines(data, idle);
          const first = Date.parse(data.from);
          const times = data.windows.map((_, at) => first + (at + 1) * data.step_s * 1_000);
          return lines.length
            ? <Chart title="Thread time each second" times={times} lines={lines} format={nsPerS} stacked height={170} />
            : <Empty>{data.windows.some(Boolean) ? 'It was idle all the time that is shown.' : `It was not seen in the ${length(span)} that are shown.`}</Empty>;
        }}
      </Shown>
    </section>
  );
}

function Found({ of: { pid }, now }: { of: Of; now: Now | null }) {
  const all = now && found(now, pid);
  return (
    <section class="card stack">
      <h2>What is found</h2>
      {!all ? <Empty>Not known yet.</Empty> : !all.alerts.length && !all.findings.length
        ? <Empty>No alert is open for this process, and the last report{now.report ? ` (${moment(Date.parse(now.report.at))})` : ''} says nothing of it.</Empty>
        : (
          <>
            {all.alerts.map((alert) => (
              <div key={alert.id} class="stack">
                <p><span class="badge bad">alert</span> open since {moment(alert.opened_unix_ns / 1e6)}. <a href={link('alerts', { id: alert.id })}>All about it</a></p>
                <FindingCard finding={alert.finding} />
              </div>
            ))}
            {all.findings.map((finding) => <FindingCard key={`${finding.class} ${finding.subject.pid}`} finding={finding} />)}
          </>
        )}
    </section>
  );
}

// What the words of the page mean, and which keys it has.
import { GROUPS, STATES } from '../states';

const WORDS: readonly (readonly [string, string])[] = [
  ['Lost time', 'Time in which a thread wanted to go on and was held up: it waited for a CPU, storage, memory, a lock, or to send. Added up over threads: 2 s/s are two threads that stand still.'],
  ['s/s, ms/s', 'Time in each second. 1 s/s is one thread all the time.'],
  ['On a CPU', 'A thread runs, in its own code or in the kernel for it.'],
  ['Run-queue latency', 'Time from “could run” to “runs”: the thread waits for a CPU that others use.'],
  ['State bar', 'The time of all threads of a process as 100 %, by what they did. A colour is a group of states.'],
  ['Pressure', 'Share of the time in which at least one task was held up for lack of CPU, memory or storage. The kernel measures it (PSI).'],
  ['Finding', 'What a rule of the diagnosis found: who waits for what, because of whom, with the numbers behind it (evidence).'],
  ['Alert', 'A finding with a beginning and an end.'],
  ['Waker', 'The thread that ended a wait.'],
  ['Flame graph', 'Stacks laid side by side. Width is time or samples, each row calls the next one.'],
  ['Window', 'One second of measurements: what the agent writes once a second.'],
];

export function Words() {
  return (
    <section class="card stack" aria-labelledby="words">
      <h2 id="words">What the words mean</h2>
      <dl class="about-words">{WORDS.map(([word, meaning]) => <div key={word}><dt>{word}</dt><dd>{meaning}</dd></div>)}</dl>
      <details>
        <summary>The {STATES.length} states of a thread</summary>
        <div class="table" tabIndex={0} role="region" aria-label="States of a thread">
          <table>
            <thead><tr><th>Group</th><th>State</th><th>Lost time?</th></tr></thead>
            <tbody>
              {STATES.map(({ key, label, group, lost }) => (
                <tr key={key}><td><i class={`swatch s-${group}`} />{GROUPS.find((each) => each.group === group)!.label}</td><td>{label}</td><td>{lost ? 'yes' : <span class="dim">no</span>}</td></tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </section>
  );
}

const KEYS: readonly (readonly [string, readonly string[], string])[] = [
  ['Everywhere', [',', '.'], 'one step back, one step ahead: a second, or the length of the selection'],
  ['Everywhere', ['l'], 'live: the newest time'],
  ['Everywhere', ['Esc'], 'select nothing'],
  ['Time line', ['←', '→'], 'move the selection'],
  ['Time line', ['Shift', '←', '→'], 'make it shorter or longer'],
  ['Time line', ['Home', 'End'], 'the oldest in sight, the newest time'],
  ['Tables', ['↑', '↓', 'PgUp', 'PgDn', 'Home', 'End'], 'move from row to row'],
  ['Tables', ['Enter'], 'open the row'],
  ['Tables', ['→', '←'], 'in a tree: open or close a row'],
  ['Flame graph', ['↑', '↓', '←', '→'], 'to the caller, the callee, the one beside'],
  ['Flame graph', ['Home'], 'to the root'],
  ['Flame graph', ['Enter', 'Esc'], 'zoom in, zoom out'],
  ['Flame graph', ['s'], 'callers and callees of the function'],
  ['Waits', ['↑', '↓', '←', '→'], 'from box to box, along an arrow; Enter chooses it'],
];

export function Keys() {
  return (
    <section class="card" aria-labelledby="keys">
      <h2 id="keys">Keys</h2>
      <div class="table" tabIndex={0} role="region" aria-label="Table of keys">
        <table>
          <thead><tr><th>Where</th><th>Keys</th><th>What they do</th></tr></thead>
          <tbody>
            {KEYS.map(([where, keys, what]) => (
              <tr key={where + keys.join()}><td>{where}</td><td>{keys.map((key) => <kbd key={key}>{key}</kbd>)}</td><td>{what}</td></tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="dim">Dragging over the time line or over any graph selects the time that all views show. A double click on the time line selects nothing.</p>
    </section>
  );
}

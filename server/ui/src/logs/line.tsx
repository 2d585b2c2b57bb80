// One line: a row, and all that is known of it below.
import type { ComponentChildren } from 'preact';
import { useMemo } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import { get } from '../api/http';
import { bytes, clock, count, day, moment, name } from '../format';
import { copy } from '../parts/copy';
import { at, go, link } from '../route';
import { select } from '../time';
import { idOf, msOf } from './model';
import { SHORT, groupOf } from './severity';
import { termOf } from './term';
import { clean, head, pieces, rest } from './text';
import type { Line, Lines } from './types';

/** What rows can ask of the view. */
export interface Acts {
  readonly add: (term: string, not: boolean) => void;
  readonly toggle: (id: string) => void;
  readonly around: (line: Line) => void;
  readonly say: (text: string) => void;
}

/** Text of strangers, with marks for what cannot be seen. */
export function Text({ text, found = null }: { text: string; found?: RegExp | null }) {
  return useMemo(() => (
    <>
      {pieces(text, found).map((piece, nth): ComponentChildren => (piece.kind === 'text' ? piece.text
        : piece.kind === 'found' ? <mark key={nth}>{piece.text}</mark> : <span key={nth} class="log-mark" title={piece.what}>{piece.text}</span>))}
    </>
  ), [text, found]);
}

/** Who wrote it, as short as can be, and the label that says so. */
export function from(labels: Line['labels']): { readonly label: string; readonly value: string; readonly short: string } {
  for (const label of ['container', 'unit', 'comm', 'file', 'source']) {
    const value = labels[label];
    if (!value) continue;
    return { label, value, short: label === 'unit' ? value.replace(/\.service$/, '') : label === 'file' ? value.slice(value.lastIndexOf('/') + 1) : value };
  }
  return { label: '', value: '', short: '' };
}
export const lineText = (line: Line) => `${new Date(msOf(line)).toISOString()} ${line.severity === 'unknown' ? '' : `${line.severity} `}${from(line.labels).short}${line.pid ? `[${line.pid}]` : ''}: ${line.message}`;

interface Props { readonly line: Line; readonly open: boolean; readonly picked: boolean; readonly target: boolean; readonly found: RegExp | null; readonly acts: Acts }

export function LineRow({ line, open, picked, target, found, acts }: Props) {
  return useMemo(() => {
    const id = idOf(line);
    const ms = msOf(line);
    const source = from(line.labels);
    const short = head(line.message, ms);
    const fields = rest(line.message, line.fields);
    const today = day(ms) === day(Date.now());
    const term = source.label ? termOf('label', source.label, source.value) : null;
    const click = (event: MouseEvent) => {
      if ((event.target as HTMLElement).closest('a, button') || getSelection()?.isCollapsed === false) return;
      acts.toggle(id);
    };
    return (
      <li class={`log-line sev-${groupOf(line.severity)} ${open ? 'open' : ''} ${target ? 'target' : ''}`} data-id={id} aria-current={picked ? 'true' : undefined}>
        <div class="log-row" onClick={click}>
          <button class="plain log-when" aria-expanded={open} title={`${moment(ms)} · open or close`} onClick={() => acts.toggle(id)}>{today ? '' : <span class="dim">{day(ms).slice(5)} </span>}{clock(ms, true)}</button>
          <span class="log-sev">{SHORT[line.severity]}</span>
          {term
            ? <button class="plain log-from cut" title={`Only ${source.label} ${name(source.value)}; with Shift: without it`} onClick={(event) => acts.add(term, event.shiftKey)}>{name(source.short, 60)}</button>
            : <span class="log-from cut dim">{name(source.short, 60)}</span>}
          <span class="log-text"><Text text={short.text} found={found} />{fields && !open && <span class="dim log-rest"> <Text text={fields} found={found} /></span>}{short.lines > 0 && <span class="badge log-fold">{open ? '' : '+'}{count(short.lines)} {short.lines === 1 ? 'line' : 'lines'}</span>}</span>
        </div>
        {open && <More line={line} found={found} acts={acts} whole={short.whole} />}
      </li>
    );
  }, [line, open, picked, target, found, acts]);
}

/** A message of which the server sent a part, in full length. */
function useWhole(line: Line) {
  const whole = useSignal<string | null>(null);
  const failed = useSignal('');
  const busy = useSignal(false);
  const load = async () => {
    busy.value = true;
    try {
      const ms = msOf(line);
      const query = line.labels.source ? termOf('label', 'source', line.labels.source) ?? '' : '';
      const { lines } = await get<Lines>('logs', { host: line.labels.host, query, from: new Date(ms).toISOString(), to: new Date(ms + 1).toISOString(), before_ns: String(BigInt(line.at_ns) + 1n), limit: 20, whole: true });
      whole.value = lines.find((each) => idOf(each) === idOf(line))?.message ?? null;
      if (whole.value === null) failed.value = 'The server does not find the line any more.';
    } catch (error) {
      failed.value = (error as Error).message;
    }
    busy.value = false;
  };
  return { whole, failed, busy, load };
}

function More({ line, found, acts, whole: inRow }: { line: Line; found: RegExp | null; acts: Acts; whole: boolean }) {
  const { whole, failed, busy, load } = useWhole(line);
  const ms = msOf(line);
  const second = { from: Math.floor(ms / 1_000) * 1_000, to: Math.floor(ms / 1_000) * 1_000 + 1_000 };
  const message = whole.value ?? line.message;
  const { host, ...labels } = line.labels;
  const start = line.start_ns ? Math.floor(Number(line.start_ns) / 1e6) : undefined;
  const copyText = async (text: string, what: string) => acts.say(await copy(text) ? `${what} is copied.` : 'The browser did not allow it.');
  return (
    <div class="log-more">
      {(!inRow || line.cut !== undefined) && <pre class="log-full" tabIndex={0} aria-label="Message"><Text text={message} found={found} /></pre>}
      {line.cut !== undefined && whole.value === null && (
        <p class="row"><span class="dim">{bytes(new TextEncoder().encode(line.message).length)} of {bytes(line.cut)} are shown.</span> <button disabled={busy.value} onClick={() => void load()}>Show all</button> {failed.value && <span class="bad">{name(failed.value)}</span>}</p>
      )}
      <div class="log-chips">
        {host && <Chip kind="label" label="host" value={host} acts={acts} />}
        {Object.entries(labels).map(([label, value]) => <Chip key={label} kind="label" label={label} value={value} acts={acts} />)}
        {line.pid !== undefined && <Chip kind="pid" label="pid" value={String(line.pid)} acts={acts} />}
      </div>
      {line.fields && line.fields.length > 0 && (
        <table class="log-fields">
          <tbody>{line.fields.map(([label, value], nth) => <tr key={nth}><th scope="row">{name(label, 120)}</th><td class="mono"><Text text={value.slice(0, 4_000)} found={found} /></td><td><Terms term={termOf('field', label, value)} acts={acts} of={label} /></td></tr>)}</tbody>
        </table>
      )}
      <div class="row log-acts">
        <button onClick={() => acts.around(line)}>Lines around it</button>
        {line.pid !== undefined && <a class="button" href={link('process', { ...at(second, { from: second.from - 150_000, to: second.to + 150_000 }), pid: line.pid, start, ...(host ? { host } : {}) })}>Process {line.pid} at that second</a>}
        <button onClick={() => select(second)}>Select this second</button>
        <button onClick={() => go('changes', { ...at({ from: second.from - 10_000, to: second.to }), ...(host ? { host } : {}) })}>Who changed before it</button>
        <button onClick={() => void copyText(lineText({ ...line, message }), 'The line')}>Copy</button>
        <span class="dim">{moment(ms)}, position {clean(line.position)}</span>
      </div>
    </div>
  );
}

/** A label that a click adds to the query, or excludes. */
function Chip({ kind, label, value, acts }: { kind: 'label' | 'pid'; label: string; value: string; acts: Acts }) {
  return <span class="log-chip"><span class="dim">{name(label, 60)}</span> <span class="mono">{name(value, 120)}</span><Terms term={termOf(kind, label, value)} acts={acts} of={label} /></span>;
}
function Terms({ term, acts, of }: { term: string | null; acts: Acts; of: string }) {
  if (!term) return null;
  return (
    <span class="log-terms">
      <button class="plain" title={`Only lines with ${name(term)}`} aria-label={`Only this ${name(of, 60)}`} onClick={() => acts.add(term, false)}>+</button>
      <button class="plain" title={`Without ${name(term)}`} aria-label={`Without this ${name(of, 60)}`} onClick={() => acts.add(term, true)}>−</button>
    </span>
  );
}

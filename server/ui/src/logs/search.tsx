// The field for a query of log lines: names and values that lines of the time have are offered.
import type { RefObject } from 'preact';
import { count, name } from '../format';
import { useMenu } from '../parts/menu';
import { QueryField, type Offered, type Option, type Taken } from '../parts/query-field';
import { tokens, typedAt } from './query';
import { SEVERITIES } from './severity';
import { LABELS, written } from './term';
import { clean } from './text';
import type { Streams } from './types';

const MOST_OPTIONS = 40;
/** Names that are no label. */
const WORDS: Readonly<Record<string, string>> = {
  'severity>=': 'at least so grave', 'severity=': 'this severity', 'pid=': 'lines of a process', AND: 'both match', OR: 'one of both matches', NOT: 'does not match',
};
const LABEL_WORDS: Readonly<Record<string, string>> = {
  source: 'journal, kmsg, file, container, stdio', file: 'path of a file', unit: 'unit of systemd', container: 'name of a container', pod: 'pod', namespace: 'namespace of a pod', comm: 'name of a program',
  stream: 'stdout or stderr', host: 'name of a host',
};

/** What may stand at this place. */
export function completions(text: string, at: number, streams: Streams['streams']): Offered<Option> {
  const typed = typedAt(text, at);
  if (!typed) return { from: at, options: [] };
  const begins = (each: string) => each.toLowerCase().includes(typed.typed.toLowerCase()) && each !== typed.typed;
  if (typed.kind === 'name') {
    if (typed.typed === '' && text.trim() !== '') return { from: at, options: [] };
    const labels = [...new Set([...LABELS, ...streams.flatMap(({ labels: each }) => Object.keys(each)).map((each) => (LABELS.includes(each) ? each : `label.${each}`))])];
    const options = [...labels.map((each) => ({ text: `${each}=`, help: LABEL_WORDS[each] ?? 'label' })), ...Object.entries(WORDS).map(([each, help]) => ({ text: each, help }))];
    return { from: typed.from, options: options.filter((each) => each.text.toLowerCase().startsWith(typed.typed.toLowerCase())) };
  }
  if (typed.name === 'severity') return { from: typed.from, options: SEVERITIES.filter(begins).map((each) => ({ text: each, help: '' })) };
  const label = typed.name.replace(/^label\./, '');
  const sums = new Map<string, number>();
  for (const { labels, lines } of streams) {
    const value = labels[label];
    if (value !== undefined) sums.set(value, (sums.get(value) ?? 0) + lines);
  }
  const options = [...sums].filter(([value]) => begins(value)).sort(([, a], [, b]) => b - a).slice(0, MOST_OPTIONS);
  return { from: typed.from, options: options.map(([value, lines]) => ({ text: written(value), help: `${count(lines)} lines` })) };
}

const COLOURS = { keyword: 'q-keyword', label: 'q-label', operator: 'q-operator', value: 'q-value', text: 'q-metric', regex: 'q-number' } as const;

interface Props {
  readonly text: string;
  readonly onText: (text: string) => void;
  readonly onRun: (text: string) => void;
  /** What lines have is needed from now on. */
  readonly onNeed: () => void;
  readonly streams: Streams['streams'];
  /** What the server says is wrong, and at which character. */
  readonly wrong: { readonly at: number; readonly what: string } | null;
  readonly field: RefObject<HTMLTextAreaElement | null>;
}

/** The option in place of what was typed. After `=` its values are offered. */
function taken(text: string, option: string, from: number, at: number): Taken {
  const before = text.slice(0, from) + option;
  const rest = text.slice(at);
  const goesOn = option.endsWith('=');
  return { text: `${before}${goesOn || rest.startsWith(' ') ? '' : ' '}${rest}`, at: before.length + (goesOn ? 0 : 1), open: goesOn };
}

export function Search({ text, onText, onRun, onNeed, streams, wrong, field }: Props) {
  return (
    <QueryField id="log-query" class="grow log-query" label="Which lines" text={text} placeholder="Words, “a phrase”, -not, unit=nginx.service, status~^5, severity>=error" leaves
      say="Enter searches, Control and space show what may come next." coloured={coloured(text, wrong?.at)} invalid={wrong !== null} field={field} onText={onText} onRun={() => onRun(text)} onFocus={onNeed}
      offer={(at) => completions(text, at, streams)} take={(option, from, at) => taken(text, option.text, from, at)}>
      {wrong && <p class="query-error" role="alert">{wrong.at < text.trim().length ? <>At <code>{name(text.trim().slice(wrong.at, wrong.at + 24))}</code>: </> : ''}{name(wrong.what, 400)}</p>}
    </QueryField>
  );
}

function coloured(text: string, wrong: number | undefined) {
  const parts: preact.ComponentChildren[] = [];
  const lead = text.length - text.trimStart().length;
  let done = 0;
  for (const { from, to, kind, not } of tokens(text)) {
    if (from > done) parts.push(clean(text.slice(done, from)));
    parts.push(<span key={from} class={`${COLOURS[kind]} ${not ? 'q-not' : ''} ${wrong !== undefined && from <= wrong + lead && wrong + lead < to ? 'q-error' : ''}`}>{clean(text.slice(from, to))}</span>);
    done = to;
  }
  parts.push(clean(text.slice(done)));
  return parts;
}

export function Help() {
  const menu = useMenu();
  const rows: readonly (readonly [string, string])[] = [
    ['timeout', 'has this word, in any case, in the message or in a field'], ['"connection refused"', 'has these words next to each other'], ['time*', 'has a word that begins so'],
    ['=Timeout', 'in this case alone'], ['~"took \\d{4,}ms"', 'the regular expression matches'], ['-healthz', 'does not match'], ['status=500, status!=500', 'a field, and its value'],
    ['path~^/api/', 'a field whose value the expression matches'], ['trace=*', 'has the field'], ['unit=nginx.service', `a label: ${LABELS.join(', ')}`], ['severity>=warning', 'this grave or graver'], ['pid=4711', 'of this process'],
    ['a b, a OR b, (a OR b) c', 'both; one of them; groups'],
  ];
  return (
    <details class="menu log-help" ref={menu}>
      <summary aria-label="How to write a query">?</summary>
      <div class="card stack">
        <table><tbody>{rows.map(([what, means]) => <tr key={what}><td class="mono">{what}</td><td>{means}</td></tr>)}</tbody></table>
        <p class="dim"><kbd>/</kbd> search · <kbd>j</kbd> <kbd>k</kbd> next, previous line · <kbd>Enter</kbd> open · <kbd>a</kbd> lines around it · <kbd>c</kbd> copy · <kbd>Esc</kbd> close</p>
      </div>
    </details>
  );
}

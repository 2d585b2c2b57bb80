// The field for a query: text over its coloured copy, with names and values that lines of the time have as completions.
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import { count, name } from '../format';
import { useMenu } from '../parts/menu';
import { LABELS, tokens, typedAt, written } from './query';
import { SEVERITIES } from './severity';
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

interface Option { readonly text: string; readonly help: string }
/** What may stand at this place: `from`…`at` is replaced. */
export function completions(text: string, at: number, streams: Streams['streams']): { readonly from: number; readonly options: readonly Option[] } {
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
  readonly field: { current: HTMLTextAreaElement | null };
}

export function Search({ text, onText, onRun, onNeed, streams, wrong, field }: Props) {
  const copy = useRef<HTMLPreElement>(null);
  const list = useRef<HTMLUListElement>(null);
  const at = useSignal(-1);
  const active = useSignal(-1);
  const jump = useRef(-1);
  const offered = at.value < 0 ? null : completions(text, at.value, streams);
  const options = offered?.options ?? [];
  const open = options.length > 0;
  const close = () => {
    at.value = -1;
    active.value = -1;
  };
  const take = (which: number) => {
    const option = options[which];
    if (!offered || !option) return;
    const before = text.slice(0, offered.from) + option.text;
    const goesOn = /=$/.test(option.text);
    const rest = text.slice(at.value);
    jump.current = before.length + (goesOn ? 0 : 1);
    onText(`${before}${goesOn || rest.startsWith(' ') ? '' : ' '}${rest}`);
    active.value = -1;
    at.value = goesOn ? before.length : -1;
  };
  useLayoutEffect(() => {
    const element = field.current!;
    element.style.height = 'auto';
    element.style.height = `${element.scrollHeight + 2}px`;
    if (jump.current < 0) return;
    element.setSelectionRange(jump.current, jump.current);
    jump.current = -1;
  }, [text]);
  useEffect(() => { list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: 'nearest' }); }, [active.value]);

  const press = (event: KeyboardEvent) => {
    if (event.key === ' ' && event.ctrlKey) at.value = field.current!.selectionStart;
    else if (open && (event.key === 'ArrowDown' || event.key === 'ArrowUp')) {
      const by = event.key === 'ArrowDown' ? 1 : -1;
      active.value = active.value < 0 ? (by > 0 ? 0 : options.length - 1) : (active.value + by + options.length) % options.length;
    } else if (open && event.key === 'Tab' && !event.shiftKey) take(Math.max(0, active.value));
    else if (open && event.key === 'Enter' && active.value >= 0) take(active.value);
    else if (open && event.key === 'Escape') close();
    else if (event.key === 'Escape') field.current!.blur();
    else if (event.key === 'Enter') {
      close();
      onRun(text);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div class="query grow log-query">
      <label class="sr" for="log-query">Which lines</label>
      <div class="query-field">
        <pre ref={copy} class="query-copy" aria-hidden="true">{coloured(text, wrong?.at)}{'\n'}</pre>
        <textarea ref={field} id="log-query" value={text} rows={1} spellcheck={false} autocomplete="off" autocapitalize="off" placeholder="Words, “a phrase”, -not, unit=nginx.service, status~^5, severity>=error"
          aria-autocomplete="list" aria-controls={open ? 'log-query-list' : undefined} aria-activedescendant={open && active.value >= 0 ? `log-query-${active.value}` : undefined} aria-describedby="log-query-say" aria-invalid={wrong !== null}
          onFocus={onNeed} onInput={(event) => {
            const typed = event.currentTarget.value.replaceAll('\n', ' ');
            at.value = event.currentTarget.selectionStart;
            active.value = -1;
            onText(typed);
          }}
          onKeyDown={press} onClick={close} onBlur={close} />
        {open && (
          <ul ref={list} id="log-query-list" class="query-list" role="listbox" aria-label="What may come next">
            {options.map((option, which) => (
              <li key={option.text} id={`log-query-${which}`} role="option" aria-selected={which === active.value}
                onPointerDown={(event) => { event.preventDefault(); take(which); field.current!.focus(); }}>
                <span class="mono">{name(option.text, 80)}</span> <span class="dim">{option.help}</span>
              </li>
            ))}
          </ul>
        )}
      </div>
      <span id="log-query-say" class="sr" role="status">{open ? `${options.length} completions; arrow keys choose, Tab takes one.` : 'Enter searches, Control and space show what may come next.'}</span>
      {wrong && <p class="query-error" role="alert">{wrong.at < text.trim().length ? <>At <code>{name(text.trim().slice(wrong.at, wrong.at + 24))}</code>: </> : ''}{name(wrong.what, 400)}</p>}
    </div>
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

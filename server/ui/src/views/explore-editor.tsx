// The field for a query: text over its coloured copy, and a list of what may come next.
import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import { name } from '../format';
import { catalogue, loadPromql, promql } from './explore-catalogue';
import { contextAt, inserted, type Completion, type Completions } from './promql-complete';

interface Props {
  /** Unique on the page. */
  readonly id: string;
  readonly label: string;
  readonly text: string;
  readonly onText: (text: string) => void;
  readonly onRun: () => void;
}
const KIND_WORDS: Readonly<Record<Completion['kind'], string>> = { function: 'function', metric: 'metric', label: 'label', value: 'value', keyword: 'word', duration: 'length of time' };

export function Editor({ id, label, text, onText, onRun }: Props) {
  const field = useRef<HTMLTextAreaElement>(null);
  const copy = useRef<HTMLPreElement>(null);
  const list = useRef<HTMLUListElement>(null);
  /** Place of the cursor for which completions are offered; -1: none are. */
  const at = useSignal(-1);
  const active = useSignal(-1);
  const jump = useRef(-1);
  useEffect(loadPromql, []);
  const known = promql.value;
  const analysis = useMemo(() => known?.analyse(text) ?? null, [known, text]);

  const context = at.value < 0 ? null : contextAt(text, at.value);
  const offered: Completions | null = known && context ? known.complete(text, at.value, catalogue(context.wanted)) : null;
  const options = offered?.options ?? [];
  const open = options.length > 0;
  const close = () => {
    at.value = -1;
    active.value = -1;
  };
  const take = (which: number) => {
    const option = options[which];
    if (!offered || !option) return;
    const next = inserted(text, offered, option);
    jump.current = next.at;
    close();
    onText(next.text);
  };
  useLayoutEffect(() => {
    const element = field.current!;
    element.style.height = 'auto';
    element.style.height = `${element.scrollHeight + 2}px`;
    if (jump.current < 0) return;
    element.setSelectionRange(jump.current, jump.current);
    jump.current = -1;
  }, [text]);
  useLayoutEffect(() => { list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: 'nearest' }); }, [active.value]);
  // Below the word that is completed, unless there is no room for it.
  useLayoutEffect(() => {
    if (!open || !offered) return;
    const before = text.slice(0, offered.from);
    const column = offered.from - (before.lastIndexOf('\n') + 1);
    list.current!.style.left = `min(${column}ch, 100% - min(26rem, 100%))`;
  }, [open, offered?.from]);

  const press = (event: KeyboardEvent) => {
    const element = field.current!;
    if (event.key === ' ' && event.ctrlKey) at.value = element.selectionStart;
    else if (open && (event.key === 'ArrowDown' || event.key === 'ArrowUp')) {
      const by = event.key === 'ArrowDown' ? 1 : -1;
      active.value = active.value < 0 ? (by > 0 ? 0 : options.length - 1) : (active.value + by + options.length) % options.length;
    } else if (open && event.key === 'Tab' && !event.shiftKey) take(Math.max(0, active.value));
    else if (open && event.key === 'Enter' && active.value >= 0) take(active.value);
    else if (open && event.key === 'Escape') close();
    else if (event.key === 'Enter' && !event.shiftKey) {
      close();
      onRun();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div class="query">
      <label class="sr" for={id}>{label}</label>
      <div class="query-field">
        <pre ref={copy} class="query-copy" aria-hidden="true">{analysis ? coloured(text, analysis.marks) : text}{'\n'}</pre>
        <textarea ref={field} id={id} value={text} rows={1} spellcheck={false} autocomplete="off" autocapitalize="off" placeholder="A metric, or a question such as: topk(5, sum by (comm) (rate(s7mpa_process_user_ns_total[1m])))"
          aria-autocomplete="list" aria-controls={open ? `${id}-list` : undefined} aria-activedescendant={open && active.value >= 0 ? `${id}-${active.value}` : undefined} aria-describedby={`${id}-say`}
          onInput={(event) => {
            at.value = event.currentTarget.selectionStart;
            active.value = -1;
            onText(event.currentTarget.value);
          }}
          onKeyDown={press} onClick={close} onBlur={close} onScroll={(event) => { copy.current!.scrollTop = event.currentTarget.scrollTop; }} />
        {open && (
          <ul ref={list} id={`${id}-list`} class="query-list" role="listbox" aria-label="What may come next">
            {options.map((option, which) => (
              <li key={`${option.kind} ${option.text}`} id={`${id}-${which}`} role="option" aria-selected={which === active.value}
                onPointerDown={(event) => { event.preventDefault(); take(which); field.current!.focus(); }}>
                <span class={`mono q-${option.kind}`}>{name(option.text, 80)}</span> <span class="dim">{option.help || KIND_WORDS[option.kind]}</span>
              </li>
            ))}
          </ul>
        )}
      </div>
      <span id={`${id}-say`} class="sr" role="status">{open ? `${options.length} completions; arrow keys choose, Tab takes one.` : 'Enter runs it, Shift and Enter make a new line, Control and space show what may come next.'}</span>
      {analysis && analysis.error !== null && text.trim() !== '' && <p class="query-error">{analysis.error >= text.trimEnd().length ? 'Something is missing at the end.' : `It cannot be read from here on: ${name(text.slice(analysis.error, analysis.error + 24))}`}</p>}
    </div>
  );
}

function coloured(text: string, marks: readonly { from: number; to: number; kind: string }[]) {
  const parts: preact.ComponentChildren[] = [];
  let done = 0;
  const error = marks.find((mark) => mark.kind === 'error');
  for (const { from, to, kind } of marks) {
    if (from < done || kind === 'error') continue;
    if (from > done) parts.push(text.slice(done, from));
    parts.push(<span key={from} class={`q-${kind} ${error && from < error.to && to > error.from ? 'q-error' : ''}`}>{text.slice(from, to)}</span>);
    done = to;
  }
  parts.push(text.slice(done));
  return parts;
}

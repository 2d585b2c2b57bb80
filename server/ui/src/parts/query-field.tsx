// A field for a query: text over its coloured copy, and a list of what may come next.
import type { ComponentChildren, RefObject } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import { name } from '../format';

/** `key`: where two may have the same text. */
export interface Option {
  readonly key?: string;
  readonly text: string;
  readonly help: string;
  readonly class?: string;
}
/** What may come next; the text from `from` to the cursor is replaced. */
export interface Offered<O extends Option> { readonly from: number; readonly options: readonly O[] }
/** The text with an option in it, and the cursor's place in it. `open`: options of that place are offered at once. */
export interface Taken { readonly text: string; readonly at: number; readonly open: boolean }

interface Props<O extends Option> {
  /** Unique on the page. */
  readonly id: string;
  readonly class?: string;
  readonly label: string;
  readonly text: string;
  readonly placeholder: string;
  /** What keys do while no list is open. */
  readonly say: string;
  /** The text as it is shown. */
  readonly coloured: ComponentChildren;
  readonly invalid?: boolean | undefined;
  /** Shift and Enter make a new line; else the text is one line. */
  readonly multiline?: boolean;
  /** Escape leaves the field when no list is open. */
  readonly leaves?: boolean;
  readonly field?: RefObject<HTMLTextAreaElement | null>;
  readonly onText: (text: string) => void;
  readonly onRun: () => void;
  readonly onFocus?: () => void;
  readonly offer: (at: number) => Offered<O> | null;
  readonly take: (option: O, from: number, at: number) => Taken;
  /** What stands below the field. */
  readonly children?: ComponentChildren;
}

export function QueryField<O extends Option>(props: Props<O>) {
  const { id, label, text, placeholder, say, coloured, invalid, multiline = false, leaves = false, field: given, onText, onRun, onFocus, offer, take, children } = props;
  const own = useRef<HTMLTextAreaElement>(null);
  const field = given ?? own;
  const copy = useRef<HTMLPreElement>(null);
  const list = useRef<HTMLUListElement>(null);
  /** Place of the cursor for which options are offered; -1: none are. */
  const at = useSignal(-1);
  const active = useSignal(-1);
  const jump = useRef(-1);
  const offered = at.value < 0 ? null : offer(at.value);
  const options = offered?.options ?? [];
  const open = options.length > 0;
  const close = () => {
    at.value = -1;
    active.value = -1;
  };
  const choose = (which: number) => {
    const option = options[which];
    if (!offered || !option) return;
    const next = take(option, offered.from, at.value);
    jump.current = next.at;
    at.value = next.open ? next.at : -1;
    active.value = -1;
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
    } else if (open && event.key === 'Tab' && !event.shiftKey) choose(Math.max(0, active.value));
    else if (open && event.key === 'Enter' && active.value >= 0) choose(active.value);
    else if (open && event.key === 'Escape') close();
    else if (leaves && event.key === 'Escape') element.blur();
    else if (event.key === 'Enter' && !(multiline && event.shiftKey)) {
      close();
      onRun();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div class={`query ${props.class ?? ''}`}>
      <label class="sr" for={id}>{label}</label>
      <div class="query-field">
        <pre ref={copy} class="query-copy" aria-hidden="true">{coloured}{'\n'}</pre>
        <textarea ref={field} id={id} value={text} rows={1} spellcheck={false} autocomplete="off" autocapitalize="off" placeholder={placeholder}
          aria-autocomplete="list" aria-controls={open ? `${id}-list` : undefined} aria-activedescendant={open && active.value >= 0 ? `${id}-${active.value}` : undefined} aria-describedby={`${id}-say`} aria-invalid={invalid}
          onFocus={onFocus} onInput={(event) => {
            at.value = event.currentTarget.selectionStart;
            active.value = -1;
            onText(multiline ? event.currentTarget.value : event.currentTarget.value.replaceAll('\n', ' '));
          }}
          onKeyDown={press} onClick={close} onBlur={close} onScroll={(event) => { copy.current!.scrollTop = event.currentTarget.scrollTop; }} />
        {open && (
          <ul ref={list} id={`${id}-list`} class="query-list" role="listbox" aria-label="What may come next">
            {options.map((option, which) => (
              <li key={option.key ?? option.text} id={`${id}-${which}`} role="option" aria-selected={which === active.value}
                onPointerDown={(event) => { event.preventDefault(); choose(which); field.current!.focus(); }}>
                <span class={`mono ${option.class ?? ''}`}>{name(option.text, 80)}</span> <span class="dim">{option.help}</span>
              </li>
            ))}
          </ul>
        )}
      </div>
      <span id={`${id}-say`} class="sr" role="status">{open ? `${options.length} completions; arrow keys choose, Tab takes one.` : say}</span>
      {children}
    </div>
  );
}

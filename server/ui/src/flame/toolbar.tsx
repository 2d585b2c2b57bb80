// The controls of a graph: what it is of, how it is drawn, what is looked for.
import { useEffect, useRef } from 'preact/hooks';
import type { FlameKind } from './flame';
import type { Colouring } from './paint';
import { BASES } from './question';
import type { State } from './state';

export const KINDS: readonly { readonly kind: FlameKind; readonly label: string; readonly help: string }[] = [
  { kind: 'on-cpu', label: 'On CPU', help: 'Where threads ran' },
  { kind: 'off-cpu', label: 'Off CPU', help: 'Where threads waited, and for what' },
  { kind: 'wall', label: 'Wall', help: 'Both: all time of the threads' },
  { kind: 'wakers', label: 'Wakers', help: 'Where threads waited, and who ended it' },
];
const COLOURINGS: readonly { readonly key: Colouring; readonly label: string }[] = [
  { key: 'kind', label: 'kind of code' }, { key: 'module', label: 'file (program, library)' }, { key: 'package', label: 'package' },
  { key: 'reason', label: 'what is waited for' }, { key: 'difference', label: 'difference' },
];

interface Props {
  readonly state: State;
  readonly kind: FlameKind;
  readonly kinds: readonly FlameKind[];
  readonly colouring: Colouring;
  readonly differs: boolean;
  readonly mayDiffer: boolean;
  /** It has a time of its own to compare with. */
  readonly hasOwnBase: boolean;
  readonly base: string;
  readonly ofAll: boolean;
  readonly isAlert: boolean;
}

export function Toolbar({ state, kind, kinds, colouring, differs, mayDiffer, hasOwnBase, base, ofAll, isAlert }: Props) {
  const { get, put } = state;
  return (
    <div class="row flame-tools">
      {kinds.length > 1 && (
        <div class="flame-kinds" role="group" aria-label="What it is of">
          {KINDS.filter((each) => kinds.includes(each.kind)).map((each) => (
            <button key={each.kind} title={each.help} aria-pressed={each.kind === kind} onClick={() => put({ kind: each.kind, fn: undefined })}>{each.label}</button>
          ))}
        </div>
      )}
      {kind !== 'on-cpu' && (
        <label title="Waits for work: poll, sleep, accept, condition variables"><input type="checkbox" checked={get('idle') === '1'} onChange={(event) => put({ idle: event.currentTarget.checked ? '1' : undefined })} /> with idle time</label>
      )}
      {mayDiffer && !isAlert && (
        <label>Compare with{' '}
          <select value={base} onChange={(event) => put({ base: event.currentTarget.value || (hasOwnBase ? 'none' : undefined), width: undefined, colour: undefined })}>
            <option value="">nothing</option>
            {hasOwnBase && <option value="own">the chosen time</option>}
            {Object.entries(BASES).map(([key, label]) => <option key={key} value={key}>{label}</option>)}
          </select>
        </label>
      )}
      {differs && (
        <label>Width{' '}
          <select value={get('width') || 'value'} onChange={(event) => put({ width: event.currentTarget.value === 'base' ? 'base' : undefined })}>
            <option value="value">of this time</option><option value="base">of the other time (shows what is gone)</option>
          </select>
        </label>
      )}
      <label>Colours{' '}
        <select value={colouring} onChange={(event) => put({ colour: event.currentTarget.value })}>
          {COLOURINGS.filter(({ key }) => key !== 'difference' || differs).map(({ key, label }) => <option key={key} value={key}>{label}</option>)}
        </select>
      </label>
      <details class="menu flame-more">
        <summary>More</summary>
        <div class="card stack">
          <label>Root{' '}
            <select value={get('turn')} onChange={(event) => put({ turn: event.currentTarget.value || undefined })}>
              <option value="">at the top (icicle)</option><option value="flame">at the bottom (flame)</option>
            </select>
          </label>
          <label>Frames{' '}
            <select value={get('parts')} onChange={(event) => put({ parts: event.currentTarget.value || undefined })}>
              <option value="">of programs and the kernel</option><option value="user">of programs</option><option value="kernel">of the kernel</option>
            </select>
          </label>
          {ofAll && (
            <label>Stacks stand on{' '}
              <select value={get('by')} onChange={(event) => put({ by: event.currentTarget.value || undefined })}>
                <option value="">the name of the process</option><option value="process">its name and PID</option><option value="place">its container or service</option><option value="none">nothing</option>
              </select>
            </label>
          )}
        </div>
      </details>
    </div>
  );
}

/** `result`: what is found, in words. `focus`: rises when the field is to have the focus. */
export function Search({ state, result, bad, focus, onStep }: { state: State; result: string; bad: string; focus: number; onStep: (by: number) => void }) {
  const { get, put } = state;
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => { if (focus > 0) field.current?.focus(); }, [focus]);
  const text = get('q');
  return (
    <div class="row flame-search" role="search">
      <input ref={field} type="search" placeholder="Find a function or file" aria-label="Find a function or file" value={text} aria-invalid={bad ? 'true' : undefined}
        onInput={(event) => put({ q: event.currentTarget.value || undefined })}
        onKeyDown={(event) => {
          if (event.key === 'Enter') onStep(event.shiftKey ? -1 : 1);
          else if (event.key === 'Escape' && text) put({ q: undefined });
          else return;
          event.preventDefault();
          event.stopPropagation();
        }} />
      <button title="The text is a regular expression" aria-label="Regular expression" aria-pressed={get('regex') === '1'} onClick={() => put({ regex: get('regex') === '1' ? undefined : '1' })}>.*</button>
      {text && !bad && <><button aria-label="Previous" title="Previous" onClick={() => onStep(-1)}>‹</button><button aria-label="Next" title="Next (Enter)" onClick={() => onStep(1)}>›</button></>}
      <span class={bad ? 'bad' : ''} role="status">{bad || result}</span>
    </div>
  );
}

// Log lines: a question, when they were, and the lines themselves, of the page's time, or as they come.
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import { Refusal } from '../api/http';
import { useAnswer } from '../api/load';
import { clock, count, length, moment, name, span } from '../format';
import { copy } from '../parts/copy';
import { Empty, Failed, Loading } from '../parts/notes';
import { at, go, link, params, set } from '../route';
import { hosts } from '../session';
import { SPANS, absolute, chosen, goLive, host, isLive, select, selection, view } from '../time';
import { Histogram } from './histogram';
import { lineText, type Acts } from './line';
import { useLines, type Found, type Question } from './lines';
import { LineList } from './list';
import { MOST, idOf, lineAt, lineOf, moved, msOf, msOfNs, newestOf } from './model';
import { added, combined, command, marked, mistake } from './query';
import { Help, Search } from './search';
import { LEAST } from './severity';
import { Sources } from './sources';
import type { Line, Streams } from './types';

/** Lines around one: so much before and after it, ms. With more lines than are asked for, less after it. */
const AROUND_MS = 30_000;
const AROUND_LINES = 2_000;
const AFTER_MS = [AROUND_MS, 3_000, 300, 1] as const;
const MOST_STREAMS = 1_000;

/** The question that the address and the page's time ask. */
function useQuestion() {
  const { q = '', least = '', around = '', all } = params.value;
  const live = isLive.value;
  // Lines may be newer than the newest window, with which `chosen` ends.
  const { from, to } = selection.value ?? chosen.value;
  const target = /^\d{16,19}$/.test(around) ? around : '';
  const ms = target ? msOfNs(target) : 0;
  const near = target !== '' && !live && from <= ms && ms <= to;
  const after = useSignal(0);
  useEffect(() => { after.value = 0; }, [target]);
  const shown = view.value;
  const { text, shift } = combined(near ? '' : q, near ? '' : least);
  const time = live && shown.live ? { from: `-${shown.span / 1_000}s` } : absolute({ from, to: near ? Math.min(to, ms + AFTER_MS[after.value]!) : to });
  const question: Question | null = host.value ? { host: all ? undefined : host.value, query: text, ...time, ...(near ? { limit: AROUND_LINES } : {}) } : null;
  return { question, shift, q, least, near: near ? target : '', after, live, time };
}

export function Logs() {
  const { question, shift, q, least, near, after, time } = useQuestion();
  const top = useSignal(true);
  const paused = useSignal(false);
  const picked = useSignal('');
  const opened = useSignal<ReadonlySet<string>>(new Set());
  const following = top.value && !paused.value && opened.value.size === 0;
  const lines = useLines(question, following);
  const { answer, list } = lines;
  const draft = useSignal(q);
  const needed = useSignal(false);
  const said = useSignal('');
  const field = useRef<HTMLTextAreaElement>(null);
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => { draft.value = q; }, [q]);
  const streams = useAnswer<Streams>(question && needed.value ? 'logs/streams' : null, { host: question?.host, ...time, limit: MOST_STREAMS }, { live: 30_000 });
  const found = useMemo(() => (near ? null : marked(q)), [q, near]);
  const wrong = answer.error instanceof Refusal && answer.error.status === 400 ? mistake(answer.error.message, q, shift) : null;
  const target = useMemo(() => (near && answer.data ? lineAt(answer.data.lines, near)?.at_ns ?? '' : ''), [near, answer.data]);
  const none = answer.error instanceof Refusal && answer.error.status === 404;

  const run = (text: string) => set({ q: text.trim() || undefined, around: undefined, was: undefined });
  const acts = useMemo((): Acts => ({
    add: (term, not) => set({ q: added(params.value.around ? '' : params.value.q ?? '', term, not), around: undefined, was: undefined }),
    toggle: (id) => {
      const next = new Set(opened.value);
      if (!next.delete(id)) next.add(id);
      opened.value = next;
      picked.value = id;
    },
    around: (line) => {
      const ms = msOf(line);
      const second = Math.floor(ms / 1_000) * 1_000;
      const was = params.value.was ?? location.hash;
      opened.value = new Set();
      go('logs', { ...at({ from: second - AROUND_MS, to: second + 1_000 + AROUND_MS }), around: line.at_ns, was, ...(line.labels.host ? { host: line.labels.host } : {}) });
    },
    say: (text) => { said.value = text; },
  }), []);
  useEffect(() => { opened.value = new Set(); picked.value = ''; if (place.current) place.current.scrollTop = 0; }, [question?.query, question?.host, question?.from, question?.to, near]);
  useEffect(() => {
    if (!said.value) return undefined;
    const timer = setTimeout(() => { said.value = ''; }, 4_000);
    return () => clearTimeout(timer);
  }, [said.value]);
  // The line that the others are around of is in sight; if there are too many after it, fewer of them are asked for.
  useEffect(() => {
    if (!near || !answer.data || answer.loading) return;
    const own = lineAt(answer.data.lines, near);
    if (!own && answer.data.more && after.value < AFTER_MS.length - 1) after.value++;
    else if (own) {
      picked.value = idOf(own);
      requestAnimationFrame(() => sight(place.current, idOf(own), 'center'));
    }
  }, [near, answer.data]);
  useKeys({ list: lines, picked, opened, field, place, acts });

  const copyCommand = async () => {
    const { from, to } = chosen.value;
    const shown = view.value;
    const text = command({ query: near ? '' : q, least: near ? '' : least, host: question?.host ?? '', from: isLive.value && shown.live ? to - shown.span : from, to: isLive.value ? undefined : to });
    acts.say(await copy(text) ? `Copied: ${text}` : text);
  };
  return (
    <div class="stack logs">
      <header class="row">
        <h1>Logs</h1>
        {near ? <Around near={near} /> : <span class="dim">{view.value.live && isLive.value ? `as they come, and those of the last ${length(view.value.span)}` : span(chosen.value.from, chosen.value.to)}</span>}
        <span class="grow" />
        {lines.live && <button aria-pressed={paused.value} onClick={() => { paused.value = !paused.value; }}>{paused.value ? 'Paused' : 'Pause'}</button>}
        {hosts.value.length > 1 && <label><input type="checkbox" checked={Boolean(params.value.all)} onChange={(event) => set({ all: event.currentTarget.checked ? '1' : undefined })} /> of all hosts</label>}
        <Sources answer={streams} acts={acts} onOpen={() => { needed.value = true; }} />
        <button title="The same question for a terminal" onClick={() => void copyCommand()}>Copy as command</button>
      </header>
      <div class="log-ask" role="search">
        <Search text={draft.value} onText={(text) => { draft.value = text; }} onRun={run} onNeed={() => { needed.value = true; }} streams={streams.data?.streams ?? []} wrong={wrong && draft.value === q ? wrong : null} field={field} />
        <label><span class="sr">Severity</span>
          <select value={least} onChange={(event) => set({ least: event.currentTarget.value, around: undefined, was: undefined })}>
            <option value="">all severities</option>
            {LEAST.map(({ value, label }) => <option key={value} value={value}>{label}</option>)}
          </select>
        </label>
        <button class="main" onClick={() => run(draft.value)}>Search</button>
        <Help />
      </div>
      <Histogram host={question?.host} query={question?.query ?? ''} asks={question !== null && !none && !wrong} least={least}
        onGroup={(group) => set({ least: least === group ? undefined : group, around: undefined, was: undefined })} />
      <p class="log-said" role="status">{said.value}</p>
      {none ? <Empty><strong>{name(answer.error!.message.replace(/^no log lines/, 'No log lines'), 400)}</strong></Empty>
        : answer.error && !wrong ? <Failed error={answer.error} what="Log lines" />
          : answer.data === null ? answer.loading && <Loading what="Lines" />
            : list.value.count === 0 && !lines.more.value && lines.stopped.value === null ? <Nothing filtered={q !== '' || least !== ''} loading={answer.loading} />
              : (
                <div class="log-place">
                  <LineList list={list.value} picked={picked} opened={opened} target={target} found={found} acts={acts} place={place}
                    onEnd={() => { if (lines.stopped.value === null && lines.failed.value === null) void lines.older(); }} onTop={(now) => { top.value = now; }}>
                    <End lines={lines} />
                  </LineList>
                  <Waiting lines={lines} following={following} onShow={() => {
                    opened.value = new Set();
                    paused.value = false;
                    if (place.current) place.current.scrollTop = 0;
                    lines.show();
                  }} />
                </div>
              )}
    </div>
  );
}

/** Brings a line into sight. */
function sight(place: HTMLDivElement | null, id: string, block: ScrollLogicalPosition) {
  for (const each of place?.querySelectorAll<HTMLElement>('.log-line') ?? []) if (each.dataset.id === id) each.scrollIntoView({ block });
}

/** Lines that came while one reads others. */
function Waiting({ lines: { waiting, cut }, following, onShow }: { lines: Found; following: boolean; onShow: () => void }) {
  const many = waiting.value.length;
  if (following && !cut.value) return null;
  if (many === 0 && !cut.value) return null;
  return <button class="main log-waiting" onClick={onShow}>{cut.value ? 'Back to the newest lines' : `${many >= 1_000 ? 'More than 1,000' : count(many)} new ${many === 1 ? 'line' : 'lines'}`} ↑</button>;
}

/** The next longer time that a live view has, ms; undefined: there is none, or a time is selected. */
function widerSpan(): number | undefined {
  const shown = view.value;
  return shown.live && selection.value === null ? SPANS.find((each) => each > shown.span) : undefined;
}

/** What stands below the last line. */
function End({ lines }: { lines: Found }) {
  const { list, more, stopped, busy, failed, older, onwards, answer } = lines;
  const damaged = answer.data?.damaged_blocks ?? 0;
  const wider = widerSpan();
  return (
    <div class="log-end">
      {failed.value && <p class="note bad" role="alert">Older lines cannot be shown: {name(failed.value.message, 300)} <button onClick={() => void older()}>Try again</button></p>}
      {busy.value ? <p class="dim">Older lines …</p>
        : stopped.value !== null ? (
          <p class="note warn">The search took longer than it may. Lines from before {moment(msOfNs(stopped.value))} were not looked at. <button onClick={() => void older()}>Go on from there</button></p>
        ) : list.value.count >= MOST && more.value ? <p>{count(list.value.count)} lines are shown. <button onClick={() => void onwards()}>Go on with older ones</button></p>
          : more.value ? null : <p class="dim">No older line of this time. {wider !== undefined && <button onClick={() => goLive(wider)}>Look at the last {length(wider)}</button>}</p>}
      {damaged > 0 && <p class="note warn">{count(damaged)} {damaged === 1 ? 'block is' : 'blocks are'} damaged: lines of it are missing.</p>}
    </div>
  );
}

function Nothing({ filtered, loading }: { filtered: boolean; loading: boolean }) {
  const shown = view.value;
  const wider = widerSpan();
  const { from, to } = chosen.value;
  if (loading) return <Loading what="Lines" />;
  return (
    <div class="empty stack">
      <p>{filtered ? 'No line matches' : 'No line was written'} {shown.live && selection.value === null ? `in the last ${length(shown.span)}` : `between ${moment(from)} and ${moment(to)}`}.</p>
      <p class="row log-ways">
        {filtered && <button onClick={() => set({ q: undefined, least: undefined })}>Show all lines</button>}
        {wider !== undefined && <button onClick={() => goLive(wider)}>Look at the last {length(wider)}</button>}
        {!isLive.value && <button onClick={() => select({ from: from - 2 * (to - from), to: to + 2 * (to - from) })}>Look at five times as long</button>}
      </p>
    </div>
  );
}

function Around({ near }: { near: string }) {
  const { was = '' } = params.value;
  const back = /^#\/(logs|ends|alerts)\b/.test(was) ? was : link('logs', { q: params.value.q });
  return <><span class="dim">all lines around {clock(msOfNs(near), true)} ± {length(AROUND_MS)}</span> <a class="button" href={back}>‹ Back</a></>;
}

interface Keys { readonly list: Found; readonly picked: { value: string }; readonly opened: { value: ReadonlySet<string> }; readonly field: { current: HTMLTextAreaElement | null }; readonly place: { current: HTMLDivElement | null }; readonly acts: Acts }
function useKeys({ list: { list }, picked, opened, field, place, acts }: Keys) {
  useEffect(() => {
    const move = (by: number) => {
      const line = moved(list.value, picked.value, by);
      if (!line) return;
      picked.value = idOf(line);
      requestAnimationFrame(() => sight(place.current, picked.value, 'nearest'));
    };
    const own = (): Line | undefined => (picked.value ? lineOf(list.value, picked.value) : undefined) ?? newestOf(list.value);
    const press = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const target = event.target as HTMLElement;
      if (target.closest('input, select, textarea, [role="application"]')) return;
      const button = target.closest('button, a, summary') !== null;
      if (event.key === 'j' || (event.key === 'ArrowDown' && target === place.current)) move(1);
      else if (event.key === 'k' || (event.key === 'ArrowUp' && target === place.current)) move(-1);
      else if (event.key === 'Enter' && picked.value && !button) acts.toggle(picked.value);
      else if (event.key === '/') field.current?.focus();
      else if (event.key === 'a' && picked.value) acts.around(own()!);
      else if (event.key === 'c' && picked.value) void copy(lineText(own()!)).then((done) => acts.say(done ? 'The line is copied.' : 'The browser did not allow it.'));
      else if (event.key === 'Escape' && opened.value.size > 0) opened.value = new Set();
      else if (event.key === 'Escape' && picked.value) picked.value = '';
      else return;
      event.preventDefault();
      event.stopPropagation();
    };
    // Before the keys of the time cursor.
    addEventListener('keydown', press, true);
    return () => removeEventListener('keydown', press, true);
  }, []);
}

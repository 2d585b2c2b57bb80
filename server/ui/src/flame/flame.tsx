// A flame graph that other views embed: `<Flame pid={42} start_ms={8520} prefix="f-" />`. See `FlameProps`.
import { useEffect, useMemo } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import { address, Refusal, saved, type Params } from '../api/http';
import { useAnswer } from '../api/load';
import { share, span } from '../format';
import { Empty, Failed, Loading } from '../parts/notes';
import { copy } from '../parts/copy';
import { chosen, host as chosenHost, isLive, type Interval } from '../time';
import { Canvas } from './canvas';
import { Actions, Downloads, LegendRow } from './foot';
import { matched, matches } from './functions';
import { childId, findId, findPath, frameKey, idOf, idText, ROOT_ID, type Graph } from './graph';
import { Heat } from './heat';
import { Honesty } from './honesty';
import { children, pathTo } from './layout';
import { None } from './none';
import { open } from './open';
import type { Opened } from './opened';
import { hiddenOf, stackText } from './details';
import { paint, type Colouring } from './paint';
import { baseParams, ofParams, timeParams } from './question';
import { SandwichView } from './sandwich-view';
import { stateOf } from './state';
import { FunctionTable } from './table';
import { Search, Toolbar } from './toolbar';

export { KINDS } from './toolbar';

/** What a flame graph is of: where threads ran (samples), where they waited and for what (ns), both (ns), or where they waited and who ended that (ns). */
export type FlameKind = 'on-cpu' | 'off-cpu' | 'wall' | 'wakers';
const ALL: readonly FlameKind[] = ['on-cpu', 'off-cpu', 'wall', 'wakers'];

/** All are optional: `<Flame />` is of the whole chosen host at the chosen time. */
export interface FlameProps {
  /** Of this host; the chosen one, if left out. */
  readonly host?: string | undefined;
  /** Of this process (or these). With `start_ms` (its start since boot) it is told from others that had its PID. */
  readonly pid?: number | readonly number[] | undefined;
  readonly start_ms?: number | undefined;
  /** Of processes of this name. */
  readonly comm?: string | undefined;
  /** Of processes of this container, cgroup or unit. */
  readonly place?: string | undefined;
  /** The time it is of, Unix ms; the chosen time of the page (live: the newest that is kept), if left out. */
  readonly time?: Interval | undefined;
  /** Shows from the start the difference to this time. Left out: the viewer may switch on the difference to the same length before. null: never. */
  readonly base?: Interval | null | undefined;
  /** The id of an alert: the stacks that went out with it, in place of a time. */
  readonly alert?: string | undefined;
  /** What it begins with; `on-cpu`, if left out. */
  readonly kind?: FlameKind | undefined;
  /** What one may switch between; all four, if left out. */
  readonly kinds?: readonly FlameKind[] | undefined;
  /** Put before its parameters in the address, so that two graphs of a view do not share them; `f-`, if left out. */
  readonly prefix?: string | undefined;
  /** Pixels of the graph; what the window has room for (360 at least), if left out. */
  readonly height?: number | undefined;
  /** With the table of functions beside it from the start. */
  readonly table?: boolean | undefined;
  /** With the strip of CPU and waiting over time that selects the time of the page. */
  readonly heat?: boolean | undefined;
  /** What it is called by screen readers; `Flame graph`, if left out. */
  readonly title?: string | undefined;
}

/** Opens the bytes of an answer; the last one stays until the next is open. */
function useOpened(bytes: ArrayBuffer | null, by: 'value' | 'base') {
  const found = useSignal<{ opened: Opened | null; bytes: ArrayBuffer | null; error: Error | null }>({ opened: null, bytes: null, error: null });
  useEffect(() => {
    if (!bytes) {
      found.value = { opened: null, bytes: null, error: null };
      return undefined;
    }
    let stale = false;
    open(bytes, by).then(
      (opened) => { if (!stale) found.value = { opened, bytes, error: null }; },
      (error: Error) => { if (!stale) found.value = { opened: null, bytes, error }; },
    );
    return () => { stale = true; };
  }, [bytes, by]);
  return found.value;
}

const keysOf = ({ graph, layout }: Opened, node: number) => pathTo(layout, node).map((at) => frameKey(graph.frames, graph.frame[at]!));
const idAt = ({ graph, layout }: Opened, node: number) => (node > 0 ? idOf(graph, pathTo(layout, node)) : '');
/** A share of a node that may be hidden before it is asked for. */
const HIDDEN = 0.001;
const frameId = ({ frames: { names, kinds, modules } }: Graph, frame: number) => idText(childId(ROOT_ID, names[frame]!, kinds[frame]!, modules[frame]!));

/** Where the view is: in the whole graph, or in the part of it that was asked for because the whole one hides it. */
function usePlace(full: Opened | null, params: Params, by: 'value' | 'base', id: string, live: number) {
  // The path that the viewer wants to see: kept when another time or kind has only a part of it.
  const wanted = useSignal<{ readonly id: string; readonly keys: readonly string[] } | null>(null);
  const path = wanted.value?.id === id ? wanted.value.keys : null;
  const node = useMemo(() => {
    if (!full || !id) return 0;
    return path ? findPath(full.graph, (at) => children(full.layout, at), path) : findId(full.graph, id);
  }, [full, id, path]);
  const isThere = full !== null && node >= 0 && (!path || full.graph.depth[node] === path.length - 1);
  const hides = useMemo(() => full !== null && id !== '' && full.graph.about.hidden > 0
    && (!isThere || hiddenOf(full, node) > HIDDEN * full.graph.value[node]!), [full, id, node]);
  const answer = useAnswer<ArrayBuffer>(hides ? 'flamegraph' : null, { ...params, under: id }, { binary: true, live });
  const { opened: part } = useOpened(answer.data, by);
  const partId = useMemo(() => (part ? idAt(part, part.graph.about.root) : ''), [part]);
  const inPart = part !== null && hides && partId === id;
  const opened = inPart ? part : full;
  const zoomed = inPart ? part.graph.about.root : Math.max(0, node);
  useEffect(() => {
    if (opened && id && !path && (isThere || inPart)) wanted.value = { id, keys: keysOf(opened, zoomed) };
  }, [opened, id, zoomed]);
  return { opened, zoomed, wanted, loadsPart: hides && answer.loading, isGone: id !== '' && !inPart && !isThere && (!hides || answer.error !== null) };
}

export function Flame(props: FlameProps) {
  const { prefix = 'f-', kinds = ALL, height, title = 'Flame graph', alert } = props;
  const state = useMemo(() => stateOf(prefix), [prefix]);
  const { get, put } = state;
  const kind = kinds.find((each) => each === get('kind')) ?? props.kind ?? kinds[0] ?? 'on-cpu';
  const live = !props.time && !alert && isLive.value;
  const time = live || alert ? null : props.time ?? chosen.value;
  const base = get('base') === 'none' || props.base === null || alert ? '' : get('base') || (props.base ? 'own' : '');
  const of = ofParams(props, props.host ?? chosenHost.value);
  const question: Params = {
    ...(alert ? { alert } : { ...of, ...timeParams(time), ...baseParams(time, base === 'own' ? props.base ?? undefined : base) }),
    ...(alert ? { pid: of.pid, comm: props.comm } : {}),
    start_ms: props.start_ms, kind, by: get('by'), parts: get('parts'), idle: get('idle') === '1' && kind !== 'on-cpu',
  };
  const asked: Params = { ...question, format: 'binary' };
  const by = get('width') === 'base' && base ? 'base' : 'value';
  const period = live ? 15_000 : 0;
  // Profiles of the last two minutes may still come.
  const mayCome = !saved && (live || (time !== null && time.to > Date.now() - 120_000));
  const answer = useAnswer<ArrayBuffer>(props.host ?? chosenHost.value ? 'flamegraph' : null, asked, { binary: true, live: period, again: mayCome ? 5_000 : 0 });
  const full = useOpened(answer.data, by);
  const { opened, zoomed, wanted, loadsPart, isGone } = usePlace(full.opened, asked, by, get('zoom'), period);
  const cursor = useSignal(-1);
  const focus = useSignal(0);
  const copied = useSignal('');

  const graph = opened?.graph ?? null;
  const differs = graph?.base != null;
  const colouring = ((): Colouring => {
    const wish = get('colour') as Colouring;
    if (wish && (wish !== 'difference' || differs)) return wish;
    return differs ? 'difference' : kind === 'off-cpu' || kind === 'wall' ? 'reason' : 'kind';
  })();
  const painted = useMemo(() => opened && paint(opened.graph, opened.layout, colouring), [opened, colouring]);
  const found = useMemo(() => graph && matches(graph.frames, get('q'), get('regex') === '1'), [graph?.frames, get('q'), get('regex')]);
  const looked = found && get('q') && !found.bad ? found.frames : null;
  const sum = useMemo(() => (opened && looked ? matched(opened.graph, opened.layout.end, looked) : null), [opened, looked]);
  const fn = useMemo(() => {
    const id = get('fn');
    return id && full.opened ? full.opened.graph.frames.names.findIndex((_, frame) => frameId(full.opened!.graph, frame) === id) : -1;
  }, [full.opened, get('fn')]);
  const at = opened && cursor.value < opened.graph.count ? cursor.value : -1;

  const zoom = (node: number) => {
    if (!opened) return;
    const id = idAt(opened, node);
    wanted.value = id ? { id, keys: keysOf(opened, node) } : null;
    put({ zoom: id || undefined });
  };
  const back = () => {
    if (opened && zoomed > 0) zoom(opened.layout.parent[zoomed]!);
    else if (get('q')) put({ q: undefined });
    else cursor.value = -1;
  };
  const toFunction = (frame: number) => { if (graph) put({ fn: frameId(graph, frame) }); };
  const copyStack = async () => {
    if (!opened || at < 0) return;
    copied.value = await copy(stackText(opened, at)) ? 'The stack is copied.' : 'The browser did not allow it.';
    setTimeout(() => { copied.value = ''; }, 3_000);
  };
  const stepMatch = (by_: number) => {
    if (!opened || !looked) return;
    const { count, frame } = opened.graph;
    const [begin, stop] = [zoomed, opened.layout.end[zoomed]!];
    for (let tried = 0, next = at < begin || at >= stop ? begin - (by_ > 0 ? 1 : 0) : at; tried < count; tried++) {
      next += by_;
      if (next >= stop) next = begin;
      else if (next < begin) next = stop - 1;
      if (looked[frame[next]!] && opened.layout.width[next]! > 0) {
        cursor.value = next;
        return;
      }
    }
  };
  const key = (pressed: string) => {
    const does: Record<string, () => unknown> = {
      c: copyStack, s: () => at > 0 && toFunction(opened!.graph.frame[at]!), '/': () => { focus.value++; }, n: () => stepMatch(1), N: () => stepMatch(-1),
    };
    return does[pressed] ? (does[pressed](), true) : false;
  };

  const table = (get('table') || (props.table ? '1' : '0')) === '1';
  const error = answer.error ?? full.error;
  const isNone = error instanceof Refusal && error.status === 404;
  const isEmpty = graph !== null && graph.count > 0 && graph.value[0] === 0 && !(graph.base && graph.base[0]! > 0);
  const ofAll = props.pid === undefined;
  return (
    <section class="stack flame" aria-label={title} aria-busy={answer.loading}>
      {props.heat && !alert && <Heat of={of} />}
      <Toolbar state={state} kind={kind} kinds={kinds} colouring={colouring} differs={differs} mayDiffer={props.base !== null} hasOwnBase={!!props.base} base={base} ofAll={ofAll} isAlert={!!alert} />
      {isNone || isEmpty ? <None detail={isNone ? error.message : ''} kind={kind} mayCome={mayCome} base={base} onAlone={() => put({ base: props.base ? 'none' : undefined })} />
        : error && !opened ? <Failed error={error} what={title} />
          : !opened || !painted ? (full.opened === null && answer.data === null && !answer.loading ? <Empty>Nothing is known of this time.</Empty> : <Loading what={title} />) : (
            <>
              {error && <Failed error={error} what="The newest flame graph" />}
              <div class="row">
                <Search state={state} bad={found?.bad ?? ''} focus={focus.value} onStep={stepMatch}
                  result={sum ? `${share(sum.value / (opened.graph.value[0] || 1))} of all, ${found!.count} ${found!.count === 1 ? 'function' : 'functions'}` : ''} />
                <span class="grow" />
                {loadsPart && <span class="dim" role="status">Loading what is too narrow …</span>}
                <span class="dim small" title="Profiles come once a minute, and are kept in columns of ten seconds or more">{live && 'newest kept: '}{span(Date.parse(opened.graph.about.from), Date.parse(opened.graph.about.to))}</span>
                {zoomed > 0 && fn < 0 && <button onClick={() => zoom(0)}>Whole graph</button>}
                <button aria-pressed={table} onClick={() => put({ table: table ? '0' : '1' })}>Table</button>
              </div>
              {isGone && <p class="note warn" role="status">The function that was zoomed to does not occur in this time.</p>}
              <div class={table ? 'flame-split' : 'flame-whole'}>
                {fn >= 0 && full.opened
                  ? <SandwichView opened={full.opened} frame={fn} by={by} colouring={colouring} matches={full.opened === opened ? looked : null} onClose={() => put({ fn: undefined })} onOpen={toFunction} />
                  : (
                    <div class="stack tight">
                      <Canvas drawn={opened} paint={painted} turned={get('turn') === 'flame'} zoomed={zoomed} matches={looked} label={title} height={height} differs={colouring === 'difference'}
                        cursor={at} onCursor={(node) => { cursor.value = node; }} onZoom={zoom} onBack={back} onKey={key} />
                      <Actions opened={opened} node={at} copied={copied.value} onZoom={() => zoom(at)} onCopy={copyStack} onFunction={() => toFunction(opened.graph.frame[at]!)}
                        onFind={() => put({ q: opened.graph.frames.names[opened.graph.frame[at]!]!, regex: undefined })} />
                    </div>
                  )}
                {table && full.opened && <FunctionTable opened={full.opened} matches={full.opened === opened ? looked : null} sort={get('sort') || (differs ? 'change' : 'own')} onSort={(sort) => put({ sort })} onOpen={toFunction} height={height ?? 560} />}
              </div>
              <LegendRow paint={painted} total={opened.graph.value[0]!} colouring={colouring} />
              {full.opened && <Honesty drawn={full.opened} />}
              {!saved && <Downloads of={(format) => address('flamegraph', { ...question, format })} />}
            </>
          )}
    </section>
  );
}

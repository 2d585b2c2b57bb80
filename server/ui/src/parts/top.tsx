// Navigation, host, and the controls of the time cursor.
import { useEffect, useRef } from 'preact/hooks';
import { newest } from '../api/live';
import { saved } from '../api/http';
import { length, name, span, zone } from '../format';
import { saveView } from '../export';
import { useMenu } from './menu';
import { link, page } from '../route';
import { hosts, session, signOut } from '../session';
import { choice, choose, type Choice } from '../theme';
import { SPANS, chosen, goLive, host, isLive, range, select, selection, step, view } from '../time';
import { VIEWS } from '../views';

export function Top() {
  const names = [...new Set([...hosts.value.map((each) => each.host), ...Object.keys(newest.value)])].sort();
  const views = useRef<HTMLElement>(null);
  const shown = page.value;
  // On a phone the present one may be out of sight.
  useEffect(() => { views.current?.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' }); }, [shown]);
  return (
    <div class="top-row">
      <a class="brand" href={link('now')}>s7mpa</a>
      {names.length > 1
        ? <label><span class="sr">Host</span><select class="host" value={host.value} onChange={(event) => { host.value = event.currentTarget.value; }}>{names.map((each) => <option key={each} value={each}>{name(each, 60)}</option>)}</select></label>
        : <strong class="host cut">{name(host.value, 60)}</strong>}
      <nav aria-label="Views" ref={views}>
        {Object.entries(VIEWS).map(([key, { label }]) => label && (
          <a key={key} href={link(key)} aria-current={page.value === key ? 'page' : undefined}>{label}</a>
        ))}
      </nav>
      <Cursor />
      <Menu />
    </div>
  );
}

function Cursor() {
  // Keys of the time cursor work everywhere but where one types or a canvas has them.
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      const target = event.target as HTMLElement;
      if (target.closest('input, select, textarea, [role="application"], [role="grid"]')) return;
      if (event.key === ',') step(-1);
      else if (event.key === '.') step(1);
      else if (event.key === 'l') goLive();
      else if (event.key === 'Escape' && selection.value) select(null);
      else return;
      event.preventDefault();
    };
    addEventListener('keydown', press);
    return () => removeEventListener('keydown', press);
  }, []);
  const { from, to } = chosen.value;
  const length_ms = range.value.to - range.value.from;
  return (
    <div class="row cursor" role="group" aria-label="Time">
      <button onClick={() => step(-1)} title="One step back (,)" aria-label="One step back">‹</button>
      <button onClick={() => step(1)} title="One step ahead (.)" aria-label="One step ahead" disabled={isLive.value}>›</button>
      {isLive.value
        ? <span class="badge"><i class="live-dot" /> live</span>
        : <button class="main" onClick={() => goLive()} title="Show the newest time (l)">Go live</button>}
      <span class="wide" title={`Times are in ${zone}`}>{isLive.value ? `last ${length(to - from)}` : span(from, to)}</span>
      <label>
        <span class="sr">Time that graphs show</span>
        <select value={view.value.live ? String(view.value.span) : ''} onChange={(event) => goLive(Number(event.currentTarget.value))}>
          {!view.value.live && <option value="">{length(length_ms)}</option>}
          {SPANS.map((each) => <option key={each} value={String(each)}>last {length(each)}</option>)}
        </select>
      </label>
    </div>
  );
}

function Menu() {
  const menu = useMenu();
  return (
    <details class="menu" ref={menu}>
      <summary aria-label="Menu">☰</summary>
      <div class="card stack">
        <label>Colours{' '}
          <select value={choice.value} onChange={(event) => choose(event.currentTarget.value as Choice)}>
            <option value="system">as the system</option><option value="light">light</option><option value="dark">dark</option>
          </select>
        </label>
        {!saved && <button onClick={() => void saveView()}>Save this view as HTML</button>}
        {session.value?.by === 'session' && !saved && <button onClick={() => void signOut()}>Sign out {session.value.name}</button>}
      </div>
    </details>
  );
}

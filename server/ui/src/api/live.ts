// News of the server as they come. One stream a browser: over HTTP/1.1 a seventh would wait for ever. The tab that holds the lock has it,
// and tells the others.
import { batch, signal } from '@preact/signals';
import { API, awaySince, get, saved, signedOut } from './http';

/** End of the newest window, Unix ms, by host. */
export const newest = signal<Readonly<Record<string, number>>>({});
/** Rises when news were missed: what is shown is asked for again. */
export const missed = signal(0);

/** Rises when new log lines of a host were stored, by host. */
export const logged = signal<Readonly<Record<string, number>>>({});

type News = { kind: 'window' | 'log' | 'reset' | 'away' | 'back'; data: string };

function take({ kind, data }: News) {
  if (kind === 'reset') missed.value++;
  else if (kind === 'away') awaySince.value ??= Date.now();
  else if (kind === 'back') {
    // What came meanwhile is asked for again.
    if (awaySince.value !== null) batch(() => { awaySince.value = null; missed.value++; });
  } else if (kind === 'log') {
    const { host } = JSON.parse(data) as { host: string };
    logged.value = { ...logged.value, [host]: (logged.value[host] ?? 0) + 1 };
  } else {
    const window = JSON.parse(data) as { host: string; at: string };
    newest.value = { ...newest.value, [window.host]: Date.parse(window.at) };
  }
}

/** After so long one asks for a stream again that was refused, ms. */
const AGAIN_MS = 10_000;

function listen(channel: BroadcastChannel | null): Promise<never> {
  const pass = (news: News) => {
    take(news);
    channel?.postMessage(news);
  };
  const connect = () => {
    const source = new EventSource(`${API}live`);
    for (const kind of ['window', 'log', 'reset'] as const) {
      source.addEventListener(kind, (event) => pass({ kind, data: (event as MessageEvent<string>).data }));
    }
    source.addEventListener('open', () => pass({ kind: 'back', data: '' }));
    // The browser tries again by itself; a stream that the server ended in order is one too. One that was refused it leaves.
    source.addEventListener('error', () => {
      if (source.readyState === EventSource.CLOSED) again();
      setTimeout(() => source.readyState !== EventSource.OPEN && !signedOut.value && pass({ kind: 'away', data: '' }), 5_000);
    });
  };
  // Whether the session has ended is asked first: a stream does not say why it is refused.
  const again = () => {
    setTimeout(() => {
      if (signedOut.value) again();
      else get('session').then(connect, again);
    }, AGAIN_MS);
  };
  connect();
  return new Promise(() => {});
}

export function startLive() {
  if (saved) return;
  if (!('locks' in navigator) || !('BroadcastChannel' in globalThis)) return void listen(null);
  // A reverse proxy may have several servers of one origin.
  const name = `s7mpa-live ${new URL(API, document.baseURI).pathname}`;
  const channel = new BroadcastChannel(name);
  channel.addEventListener('message', (event: MessageEvent<News>) => take(event.data));
  void navigator.locks.request(name, () => listen(channel));
}

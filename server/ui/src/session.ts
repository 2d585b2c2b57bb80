// Who looks: by a one-use link, by name and password, or already known by the cookie.
import { signal } from '@preact/signals';
import { get, saved, send, signedOut, Refusal } from './api/http';
import { newest, startLive } from './api/live';
import type { Hosts, Session } from './api/types';
import { startRoute } from './route';
import { host } from './time';

export const session = signal<Session | null>(null);
/** Why one is not signed in; '': it is not known yet. */
export const refused = signal('');
export const hosts = signal<Hosts['hosts']>([]);

export async function startSession() {
  if (saved) {
    newest.value = saved.newest;
    host.value = saved.host;
    startRoute(saved.route);
    session.value = { name: 'saved page', role: 'viewer', by: 'session', expires_at: null };
    return;
  }
  // The secret of a one-use link is in the fragment, which browsers send to nobody; it leaves the address bar at once.
  const secret = new URLSearchParams(location.hash.slice(1)).get('link');
  if (secret) history.replaceState(null, '', location.pathname);
  try {
    if (secret) await send('POST', 'login', { link: secret });
    await begin();
  } catch (error) {
    const known = error instanceof Refusal ? error : null;
    refused.value = known?.status === 401 && !secret ? 'Please sign in.' : (error as Error).message;
    signedOut.value = true;
    // Away, behind a proxy that lost it, or busy.
    if (known && (known.status === 0 || known.status >= 500)) setTimeout(startSession, 2_000);
  }
}

async function begin() {
  // Both at once: the first value is to be seen within a second.
  const [who, all] = await Promise.all([get<Session>('session'), get<Hosts>('hosts')]);
  hosts.value = all.hosts;
  // The time of the server, before the first news: the viewer's clock may be another.
  const known = all.hosts.flatMap(({ host: each, newest_at }) => (newest_at ? [[each, Date.parse(newest_at)] as const] : []));
  newest.value = { ...Object.fromEntries(known), ...newest.value };
  const first = session.value === null;
  if (first) startRoute();
  if (!host.value) host.value = (all.hosts.find((each) => !each.silent) ?? all.hosts[0])?.host ?? '';
  signedOut.value = false;
  refused.value = '';
  session.value = who;
  if (first) startLive();
}

export async function signIn(user: string, password: string) {
  try {
    await send('POST', 'login', { user, password });
    await begin();
  } catch (error) {
    refused.value = (error as Error).message;
  }
}

export async function signOut() {
  await send('POST', 'logout');
  location.reload();
}

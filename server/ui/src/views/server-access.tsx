// Users, tokens and sessions: who may use the server. For admins.
import { useSignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { Refusal, part, saved, send } from '../api/http';
import { useAnswer, type Answer } from '../api/load';
import { ago, moment, name } from '../format';
import { useAct } from '../parts/act';
import { Empty } from '../parts/notes';
import { session } from '../session';
import { momentOf } from './alerts-list';

type At = number | string | null | undefined;
interface User { readonly name: string; readonly role: string; readonly created_at?: At; readonly made_at?: At }
interface Token extends User { readonly expires_at?: At; readonly used_at?: At }
interface Held { readonly id: number | string; readonly account: string | null; readonly role: string; readonly made_at: At; readonly seen_at: At; readonly address: string }

const ROLES: Readonly<Record<string, string>> = { viewer: 'reads all that is measured', operator: 'also acknowledges and silences alerts', admin: 'also manages users, tokens and sessions' };
const TOKEN_ROLES = { ...ROLES, writer: 'a program that sends metrics, and sees nothing' };
/** As the server asks for. */
const PASSWORD = 10;
const when = (at: At) => (at === null || at === undefined ? '–' : moment(momentOf(at)));

const REFUSED = { 404: 'The server knows nothing of it: it may be gone already, or the server needs a newer version.' };

/** A button that asks once more before it acts. */
function Sure({ label, of, question, act }: { label: string; of: string; question: string; act: () => void }) {
  const asks = useSignal(false);
  if (!asks.value) return <button onClick={() => { asks.value = true; }}>{label}<span class="sr"> {of}</span></button>;
  return (
    <span class="row sure" role="group" aria-label={question}>
      <span>{question}</span>
      <button class="danger" onClick={() => { asks.value = false; act(); }}>{label}</button>
      <button onClick={() => { asks.value = false; }}>Keep</button>
    </span>
  );
}

export function Access() {
  const admin = session.value?.role === 'admin' && !saved;
  const users = useAnswer<{ users: readonly User[] }>(admin ? 'users' : null);
  const tokens = useAnswer<{ tokens: readonly Token[] }>(admin ? 'tokens' : null);
  const sessions = useAnswer<{ sessions: readonly Held[] }>(admin ? 'sessions' : null);
  if (!admin) return <Empty>Users, tokens and sessions are for the role admin.</Empty>;
  return (
    <>
      <Users answer={users} />
      <Tokens answer={tokens} />
      <Sessions answer={sessions} />
    </>
  );
}

function Part<T>({ title, answer, note, children }: { title: string; answer: Answer<T>; note: ComponentChildren; children: (data: T) => ComponentChildren }) {
  const missing = answer.error instanceof Refusal && answer.error.status === 404;
  return (
    <section class="card stack">
      <h2>{title}</h2>
      {note}
      {missing ? <p class="dim">This server cannot do that from the page yet: it needs a newer version. On its host, <code>agent user</code> and <code>agent token</code> can.</p>
        : answer.error ? <p class="note bad" role="alert">{answer.error.message}</p> : answer.data ? children(answer.data) : <p class="dim" role="status">Loading …</p>}
    </section>
  );
}

const RoleChoice = ({ roles, value, onChange, label }: { roles: Readonly<Record<string, string>>; value: string; onChange: (role: string) => void; label: string }) => (
  <label>{label} <select value={value} onChange={(event) => onChange(event.currentTarget.value)}>{Object.entries(roles).map(([role, words]) => <option key={role} value={role}>{role}: {words}</option>)}</select></label>
);

function Users({ answer }: { answer: Answer<{ users: readonly User[] }> }) {
  const { run, note } = useAct(REFUSED);
  const fresh = useSignal({ name: '', password: '', role: 'viewer' });
  const add = async (event: SubmitEvent) => {
    event.preventDefault();
    if (await run(() => send('POST', 'users', fresh.value))) fresh.value = { name: '', password: '', role: 'viewer' };
  };
  return (
    <Part title="Users" answer={answer} note={note}>
      {({ users }) => (
        <>
          {users.length === 0 ? <p class="dim">None: one signs in with the link of <code>agent open</code>, or with a token.</p> : (
            <div class="table" tabIndex={0} role="region" aria-label="Users">
              <table>
                <thead><tr><th>Name</th><th>Role</th><th class="wide">Made</th><th><span class="sr">Actions</span></th></tr></thead>
                <tbody>{users.map((user) => <UserRow key={user.name} user={user} run={run} />)}</tbody>
              </table>
            </div>
          )}
          <details>
            <summary>Add a user</summary>
            <form class="alert-form" onSubmit={(event) => void add(event)}>
              <label>Name <input required maxLength={64} autocomplete="off" value={fresh.value.name} onInput={(event) => { fresh.value = { ...fresh.value, name: event.currentTarget.value }; }} /></label>
              <label>Password, {PASSWORD} characters at least <input required type="password" minLength={PASSWORD} autocomplete="new-password" value={fresh.value.password} onInput={(event) => { fresh.value = { ...fresh.value, password: event.currentTarget.value }; }} /></label>
              <RoleChoice label="Role" roles={ROLES} value={fresh.value.role} onChange={(role) => { fresh.value = { ...fresh.value, role }; }} />
              <button class="main">Add the user</button>
            </form>
          </details>
        </>
      )}
    </Part>
  );
}

function UserRow({ user, run }: { user: User; run: (act: () => Promise<unknown>) => Promise<boolean> }) {
  const password = useSignal<string | null>(null);
  const path = `users/${part(user.name)}`;
  const label = name(user.name, 60);
  const own = session.value?.by === 'session' && session.value.name === user.name;
  const change = async (event: SubmitEvent) => {
    event.preventDefault();
    if (await run(() => send('PUT', path, { password: password.value }))) password.value = null;
  };
  return (
    <tr>
      <td>{label}{own && <span class="dim"> (you)</span>}</td>
      <td><select aria-label={`Role of ${label}`} value={user.role} disabled={own} onChange={(event) => void run(() => send('PUT', path, { role: event.currentTarget.value }))}>{Object.keys(ROLES).map((role) => <option key={role}>{role}</option>)}</select></td>
      <td class="wide">{when(user.created_at ?? user.made_at)}</td>
      <td>
        <div class="row">
          {password.value === null ? <button onClick={() => { password.value = ''; }}>New password<span class="sr"> of {label}</span></button> : (
            <form class="row" onSubmit={(event) => void change(event)}>
              <input type="password" required minLength={PASSWORD} autocomplete="new-password" aria-label={`New password of ${label}`} value={password.value} onInput={(event) => { password.value = event.currentTarget.value; }} />
              <button class="main">Set</button><button type="button" onClick={() => { password.value = null; }}>Keep the old one</button>
              <span class="dim">It ends the sessions of {label}.</span>
            </form>
          )}
          {!own && <Sure label="Remove" of={label} question={`Remove ${label} and end their sessions?`} act={() => void run(() => send('DELETE', path))} />}
        </div>
      </td>
    </tr>
  );
}

function Tokens({ answer }: { answer: Answer<{ tokens: readonly Token[] }> }) {
  const { run, note } = useAct(REFUSED);
  const fresh = useSignal({ name: '', role: 'viewer', days: '' });
  const made = useSignal<{ name: string; token: string } | null>(null);
  const add = async (event: SubmitEvent) => {
    event.preventDefault();
    const { name: called, role, days } = fresh.value;
    const ends = days ? { expires_at: Math.round(Date.now() / 1_000) + Number(days) * 86_400 } : {};
    await run(async () => { made.value = { name: called, ...await send<{ token: string }>('POST', 'tokens', { name: called, role, ...ends }) }; fresh.value = { name: '', role: 'viewer', days: '' }; });
  };
  return (
    <Part title="Tokens" answer={answer} note={note}>
      {({ tokens }) => (
        <>
          <p class="dim">Programs use them: <code>Authorization: Bearer …</code>, or <code>Token …</code> where metrics are sent.</p>
          {made.value && (
            <div class="note stack" role="status">
              <p><strong>The token {name(made.value.name, 60)}</strong>. Nobody can read it again: copy it now.</p>
              <div class="row"><input readOnly class="mono grow" aria-label="The new token" value={made.value.token} onFocus={(event) => event.currentTarget.select()} />
                <button onClick={() => void navigator.clipboard?.writeText(made.value!.token)}>Copy</button><button onClick={() => { made.value = null; }}>Hide</button></div>
            </div>
          )}
          {tokens.length === 0 ? <p class="dim">None.</p> : (
            <div class="table" tabIndex={0} role="region" aria-label="Tokens">
              <table>
                <thead><tr><th>Name</th><th>Role</th><th>Last used</th><th class="wide">Made</th><th class="wide">Ends</th><th><span class="sr">Actions</span></th></tr></thead>
                <tbody>
                  {tokens.map((token) => (
                    <tr key={token.name}>
                      <td>{name(token.name, 60)}</td><td>{name(token.role, 20)}</td><td>{token.used_at ? ago(momentOf(token.used_at)) : 'never'}</td>
                      <td class="wide">{when(token.created_at ?? token.made_at)}</td><td class="wide">{token.expires_at ? when(token.expires_at) : 'never'}</td>
                      <td><Sure label="Revoke" of={name(token.name, 60)} question={`Revoke ${name(token.name, 60)}? What uses it stops working.`} act={() => void run(() => send('DELETE', `tokens/${part(token.name)}`))} /></td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
          <details>
            <summary>Make a token</summary>
            <form class="alert-form" onSubmit={(event) => void add(event)}>
              <label>Name <input required maxLength={64} autocomplete="off" value={fresh.value.name} onInput={(event) => { fresh.value = { ...fresh.value, name: event.currentTarget.value }; }} /></label>
              <RoleChoice label="Role" roles={TOKEN_ROLES} value={fresh.value.role} onChange={(role) => { fresh.value = { ...fresh.value, role }; }} />
              <label>Ends <select value={fresh.value.days} onChange={(event) => { fresh.value = { ...fresh.value, days: event.currentTarget.value }; }}><option value="">never</option>{[1, 7, 30, 90, 365].map((days) => <option key={days} value={String(days)}>in {days} {days === 1 ? 'day' : 'days'}</option>)}</select></label>
              <button class="main">Make the token</button>
            </form>
          </details>
        </>
      )}
    </Part>
  );
}

function Sessions({ answer }: { answer: Answer<{ sessions: readonly Held[] }> }) {
  const { run, note } = useAct(REFUSED);
  return (
    <Part title="Sessions" answer={answer} note={note}>
      {({ sessions }) => (sessions.length === 0 ? <p class="dim">Nobody is signed in by a browser.</p> : (
        <div class="table" tabIndex={0} role="region" aria-label="Sessions">
          <table>
            <thead><tr><th>Who</th><th>Role</th><th>Last seen</th><th class="wide">Since</th><th>From</th><th><span class="sr">Actions</span></th></tr></thead>
            <tbody>
              {sessions.map((each) => {
                const who = each.account === null ? 'by a link of agent open' : name(each.account, 60);
                return (
                  <tr key={each.id}>
                    <td>{who}</td><td>{name(each.role, 20)}</td><td>{each.seen_at ? ago(momentOf(each.seen_at)) : '–'}</td><td class="wide">{when(each.made_at)}</td><td>{name(each.address, 60)}</td>
                    <td><Sure label="End" of={`the session of ${who}`} question="End this session?" act={() => void run(() => send('DELETE', `sessions/${part(String(each.id))}`))} /></td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      ))}
    </Part>
  );
}

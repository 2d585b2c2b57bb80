// Name and password.
import { refused, session, signIn } from '../session';

export function SignIn() {
  const why = refused.value || (session.value ? 'The session has ended. Please sign in again.' : '');
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const entered = (name: string) => (form.elements.namedItem(name) as HTMLInputElement).value;
    void signIn(entered('user'), entered('password'));
  };
  return (
    <main class="sign-in">
      <div class="card stack">
        <h1>s7mpa</h1>
        <p role="status">{why || 'One moment …'}</p>
        {why && (
          <form class="stack" onSubmit={submit}>
            <label>Account <input name="user" autocomplete="username" required /></label>
            <label>Password <input name="password" type="password" autocomplete="current-password" required /></label>
            <button class="main">Sign in</button>
            <p class="dim">On this host without an account: <code>sudo agent open</code> prints a link that signs you in.</p>
          </form>
        )}
      </div>
    </main>
  );
}

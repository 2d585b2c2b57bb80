// The frame of all views: where one is, of which host and time, and what the page covers.
import type { FunctionComponent } from 'preact';
import { useErrorBoundary } from 'preact/hooks';
import { session } from './session';
import { awaySince, saved, signedOut } from './api/http';
import { clock, moment } from './format';
import { link, page } from './route';
import { Foot } from './parts/foot';
import { Timeline } from './timeline';
import { Failed } from './parts/notes';
import { Top } from './parts/top';
import { SignIn } from './views/sign-in';
import { VIEWS } from './views';

export function App() {
  if (signedOut.value || !session.value) return <SignIn />;
  const shown = Object.hasOwn(VIEWS, page.value) ? VIEWS[page.value] : undefined;
  return (
    <div class="shell">
      <a class="sr" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById('main')?.focus(); }}>Skip to the content</a>
      <header class="top">
        <Top />
        {shown?.timeless || <Timeline />}
      </header>
      {awaySince.value !== null && (
        <p class="note warn" role="alert">The server has not answered since {clock(awaySince.value)}. What is shown is from before; what is missing is loaded when it is back.</p>
      )}
      {saved && <p class="note" role="status">Saved {moment(saved.at_ms)}: this page shows what was known then, and asks no server.</p>}
      <main id="main" tabIndex={-1}>
        {shown ? <Body key={page.value} view={shown.view} /> : <p class="empty">There is no view “{page.value}”. <a href={link('now')}>Now</a></p>}
      </main>
      <Foot />
    </div>
  );
}

/** A view that fails leaves the rest of the page as it is. */
function Body({ view: View }: { view: FunctionComponent }) {
  const [error, again] = useErrorBoundary();
  return error ? <><Failed error={error} what="This view" /> <p><button onClick={again}>Try again</button></p></> : <View />;
}

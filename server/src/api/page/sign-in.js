'use strict';
// Paths are relative: a reverse proxy may put a prefix before them.
const API = 'api/s7mpa/v1/';
const at = (id) => document.getElementById(id);

async function ask(path, body) {
  const options = body && {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  };
  const response = await fetch(API + path, options);
  const answer = response.status === 204 ? {} : await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.detail || response.statusText), { status: response.status });
  return answer;
}

function show(text, known) {
  at('state').textContent = text;
  at('sign-in').hidden = known;
  at('sign-out').hidden = !known;
}

const welcome = (who) => show(`Signed in as ${who.name} (${who.role}).`, true);

async function start() {
  // The secret of a one-use link is in the fragment, which browsers send to nobody; it leaves the address bar at once.
  const link = new URLSearchParams(location.hash.slice(1)).get('link');
  if (link) history.replaceState(null, '', location.pathname);
  try {
    if (link) await ask('login', { link });
    welcome(await ask('session'));
  } catch (error) {
    show(error.status === 401 && !link ? 'Please sign in.' : error.message, false);
  }
}

at('sign-in').addEventListener('submit', async (event) => {
  event.preventDefault();
  try {
    welcome(await ask('login', { user: at('user').value, password: at('password').value }));
  } catch (error) {
    show(error.message, false);
  }
  at('password').value = '';
});

at('sign-out').addEventListener('click', async () => {
  try {
    await ask('logout', {});
    show('Signed out.', false);
  } catch (error) {
    show(error.message, false);
  }
});

start();

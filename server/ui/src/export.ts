// One self-contained HTML file of the present view: the page itself with the answers that the view shows.
import { shown } from './api/http';
import { newest } from './api/live';
import { parts } from './later';
import { laterAddress } from './trusted';
import { chosen, host, range, selection } from './time';
import { page } from './route';

const text = async (selector: string, attribute: 'src' | 'href') => {
  const from = document.querySelector(selector)?.getAttribute(attribute);
  return from ? (await fetch(from)).text() : '';
};
const base64 = (bytes: Uint8Array) => {
  let out = '';
  for (let at = 0; at < bytes.length; at += 0x8000) out += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(out);
};

/** The newest window is the last one that was chosen if more was: answers are of as much. */
const ends = () => {
  const { to } = chosen.value;
  return to < (selection.value ?? range.value).to ? { ...newest.value, [host.value]: to } : newest.value;
};

export async function saveView() {
  const answers: Record<string, { json?: unknown; base64?: string }> = {};
  for (const [url, answer] of shown) {
    answers[url] = answer instanceof ArrayBuffer ? { base64: base64(new Uint8Array(answer)) } : { json: answer };
  }
  const [script, style] = await Promise.all([text('script[src]', 'src'), text('link[rel=stylesheet]', 'href')]);
  // Views that were loaded later are in a script of their own.
  const more = Object.keys(parts.value).length ? await (await fetch(laterAddress())).text() : '';
  const saved = JSON.stringify({ at_ms: Date.now(), host: host.value, newest: ends(), route: location.hash, answers });
  // Nothing in a script or style element may look like its end.
  const safe = (code: string) => code.replaceAll('</', '<\\/').replaceAll('<!--', '<\\!--');
  const html = `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; worker-src blob:; base-uri 'none'">
<title>s7mpa ${host.value.replace(/[^\w.-]/g, '_')} ${page.value.replace(/[^\w-]/g, '_')}</title>
<style>${safe(style)}</style><body></body>
<script>globalThis.S7MPA_SAVED=${safe(saved)};</script><script type="module">${safe(script)}</script>${more && `<script type="module">${safe(more)}</script>`}</html>`;
  const a = document.createElement('a');
  a.href = URL.createObjectURL(new Blob([html], { type: 'text/html' }));
  a.download = `s7mpa-${host.value.replace(/[^\w.-]/g, '_')}-${page.value}-${new Date().toISOString().slice(0, 19).replaceAll(':', '')}.html`;
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 60_000);
}

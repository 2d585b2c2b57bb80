// Names that want to be more than text: of a process, and of a series that somebody pushed.
//   node names.mjs LINK PID COMM METRIC
import { settled, show, start } from './browser.mjs';

const [link, pid, comm, metric] = process.argv.slice(2);
const browser = await start(link);
const { page, faults } = await browser.page();
const found = [];
const look = async (where, text) => {
  const seen = await page.evaluate(() => ({
    text: document.querySelector('main#main').textContent,
    made: document.querySelectorAll('main img, main script, main iframe, main b[onmouseover], main svg[onload]').length,
    hit: globalThis.hit ?? null,
  }));
  if (text && !seen.text.includes(text)) found.push(`${where}: the name is not there as text`);
  if (seen.made || seen.hit) found.push(`${where}: the name became markup`);
  if (/[\u202a-\u202e\u2066-\u2069]/.test(seen.text)) found.push(`${where}: a mark that turns text around was let through`);
};
await show(page, browser.base, `#/processes?filter=${encodeURIComponent(comm.slice(0, 8))}`);
await page.waitForFunction((text) => document.querySelector('main#main').textContent.includes(text), comm, { timeout: 60_000 }).catch(() => {});
await look('processes', comm);
await show(page, browser.base, `#/process?pid=${pid}&comm=${encodeURIComponent(comm)}`);
await look('process', comm);
await show(page, browser.base, `#/flamegraph?comm=${encodeURIComponent(comm)}`);
await look('flame graph');
await show(page, browser.base, '#/now');
await look('now');
await show(page, browser.base, '#/changes');
await look('changes');
await show(page, browser.base, `#/explore?q1=${encodeURIComponent(metric)}&t1=table`);
await settled(page);
await page.waitForFunction(() => document.querySelector('main#main').textContent.includes('onerror=hit=1'), undefined, { timeout: 20_000 }).catch(() => {});
await look('explore', 'onerror=hit=1');
// An alert's text, and an answer that is not ours at all.
await page.route('**/api/s7mpa/v1/alerts*', async (route) => {
  const text = '<img src=x onerror="hit=1">\u202egnp.exe';
  const finding = {
    rule: text, class: text, subject: { kind: text, comm: text }, culprit: { kind: text, comm: text }, lost_ns_per_s: 1e9, share_pct: 50, confidence: 1, evidence: [{ what: text, value: 1, unit: text }],
    stacks: [text], alternatives: [{ class: text, why_not: text }], caused: [text], advice: text.repeat(1_000), headline: text,
  };
  const now = Date.now() * 1e6;
  await route.fulfill({ json: { total: 1, cut: false, alerts: [{ id: text, host: text, state: 'open', opened_unix_ns: now - 9e9, at_unix_ns: now, finding, acknowledged: { by: text, at: 1, note: text }, silenced: null }] } });
});
await show(page, browser.base, '#/alerts');
await look('alerts');
await show(page, browser.base, `#/alerts?id=${encodeURIComponent('<img src=x onerror="hit=1">\u202egnp.exe')}`);
await look('an alert');
// Log lines, ends and events: anybody's text.
const evil = '<img src=x onerror="hit=1">\u202egnp.exe \u001b[31m\u0007';
const at_ns = String(BigInt(Date.now() - 9_000) * 1_000_000n);
await page.route('**/api/s7mpa/v1/logs?*', (route) => route.fulfill({ json: {
  from: '', to: '', more: false, complete: true, searched_to_ns: '0', damaged_blocks: 0,
  lines: [{ at: '', at_ns, severity: 'error', message: `${evil}\n${evil}`.repeat(200), labels: { host: evil, source: evil, unit: evil, [evil]: evil }, position: evil, pid: 7, fields: [[evil, evil]], cut: 1 << 20 }],
} }));
await page.route('**/api/s7mpa/v1/logs/streams?*', (route) => route.fulfill({ json: { from: '', to: '', total: 1, streams: [{ labels: { host: evil, source: evil, unit: evil }, lines: 7 }] } }));
await show(page, browser.base, `#/logs?q=${encodeURIComponent(evil)}&was=${encodeURIComponent('javascript:hit=1')}`);
await page.click('.log-when');
await page.click('.log-sources summary');
await page.waitForSelector('.log-sources table');
await look('log lines', '<img src=x onerror="hit=1">');
await page.click('.log-sources summary');
await page.fill('#log-query', 'unit=');
await page.waitForSelector('#log-query-list');
await look('completion');
await page.route('**/api/s7mpa/v1/postmortems?*', (route) => route.fulfill({ json: { from: '', to: '', more: false, postmortems: [{
  host: evil, at: new Date().toISOString(), id: evil, process: { pid: 7, start_ns: 1, comm: evil, exe: evil, cmdline: evil, unit: evil, container: evil },
  ended: { at_ns, kind: 'signal', code: null, signal: 11, core: true, by: { pid: 8, comm: evil, uid: 0 } }, cause: { class: evil, subject: { kind: evil, pid: 9, comm: evil, path: evil, peer: evil }, text: evil, confidence: 1 },
  evidence: ['kernel', 'abort', 'stack', 'syscall', 'log', 'limit', 'change', evil].map((kind) => ({ kind, text: `${evil} < ${evil}`, at_ns, ref: evil })), ruled_out: [{ class: evil, why_not: evil }], loop: { count: 3, span_s: 9 },
}] } }));
await page.route('**/api/s7mpa/v1/events?*', (route) => route.fulfill({ json: { from: '', to: '', more: false, events: [{ host: evil, at: new Date().toISOString(), class: evil, severity: evil, subject: { kind: evil, name: evil, pid: 1 }, text: evil, count: 2, explains: [evil] }] } }));
await show(page, browser.base, '#/ends');
await look('ends', '<img src=x onerror="hit=1">');
await page.click('.ends .virtual tbody tr:not([aria-hidden])');
await look('an event', '<img src=x onerror="hit=1">');
await show(page, browser.base, `#/ends?id=${encodeURIComponent(evil)}`);
await look('an end', '<img src=x onerror="hit=1">');
await show(page, browser.base, '#/now');
await look('now with ends');
for (const fault of faults) found.push(fault);
await browser.finish(found, 'all names are text');

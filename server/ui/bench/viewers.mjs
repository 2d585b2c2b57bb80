// What viewers cost the server: CPU of its process without any, with one page that stands open, and with as many more that ask the same.
//   node bench/viewers.mjs LINK PID [VIEWERS] [SECONDS]     PID: of `agent relay`; exit 1: over a bar
import { readFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { start } from '../browser/browser.mjs';

const [link, pid, viewers = '50', seconds = '30'] = process.argv.slice(2);
/** Share of a core for one, and for fifty. */
const ONE = 0.005;
const ALL = 0.05;

const ticks = () => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ').slice(11, 13).reduce((sum, each) => sum + Number(each), 0);
const wait = (s) => new Promise((done) => setTimeout(done, s * 1_000));
async function share() {
  const before = ticks();
  await wait(Number(seconds));
  return (ticks() - before) / 100 / Number(seconds);
}
const browser = await start(link);
const none = await share();
const { page, context } = await browser.page();
const asked = [];
page.on('request', (request) => { if (request.url().includes('/api/') && !request.url().includes('/live')) asked.push([Date.now(), request.url()]); });
await page.goto(`${browser.base}#/now`);
await wait(5);
const since = Date.now();
const one = await share();
const urls = asked.filter(([at]) => at >= since).map(([, url]) => url);
// Addresses that name a moment differ each time: how often each path is asked, and the last address of it.
const paths = new Map();
for (const url of urls) {
  const path = new URL(url).pathname;
  paths.set(path, { url, count: (paths.get(path)?.count ?? 0) + 1 });
}
const cookie = (await context.cookies()).map(({ name, value }) => `${name}=${value}`).join('; ');
const headers = { cookie, 'accept-encoding': 'gzip' };
await page.close();
let answers = 0;
let failed = 0;
const clients = Array.from({ length: Number(viewers) }, () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 6 });
  const stream = get(`${browser.base.replace(/\/$/, '')}/api/s7mpa/v1/live`, { headers, agent: new Agent() }, (answer) => answer.resume());
  stream.on('error', () => { failed++; });
  const timers = [...paths.values()].map(({ url, count }) => {
    const every = (Number(seconds) * 1_000) / count;
    const ask = () => get(url, { headers, agent }, (answer) => { answer.statusCode < 400 ? answers++ : failed++; answer.resume(); }).on('error', () => { failed++; });
    return setTimeout(() => { ask(); timers.push(setInterval(ask, every)); }, Math.random() * every);
  });
  return { stream, timers, agent };
});
await wait(5);
const all = await share();
for (const { stream, timers } of clients) { stream.destroy(); timers.forEach(clearInterval); }
await browser.close();
const percent = (part) => `${(100 * part).toFixed(2)} %`;
console.log([...paths].map(([path, { count }]) => `${(count / Number(seconds)).toFixed(2)}/s ${path}`).join('\n'));
console.log(`of a core: ${percent(none)} without a viewer, ${percent(one - none)} more for one page, ${percent(all - none)} more for ${viewers} (${answers} answers, ${failed} failures)`);
process.exit(one - none > ONE || all - none > ALL ? 1 : 0);

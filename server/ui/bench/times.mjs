// When the page shows something: first paint, first value of the newest window, and how late each new second is.
//   node bench/times.mjs LINK [SECONDS]     LINK: of `agent open`, or of a development server
import { start } from '../browser/browser.mjs';

const [link, seconds = '120'] = process.argv.slice(2);
const browser = await start(link);
const middle = (all) => [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)];
const p99 = (all) => [...all].sort((a, b) => a - b)[Math.min(all.length - 1, Math.floor(all.length * 0.99))];

// Notes when the answer about now is in the document: what it changes is drawn in the same task.
const watch = () => {
  globalThis.seen = [];
  const real = globalThis.fetch;
  globalThis.fetch = async (...asked) => {
    const answer = await real(...asked);
    if (String(asked[0]?.url ?? asked[0]).includes('/now')) {
      const json = answer.json.bind(answer);
      answer.json = async () => {
        const body = await json();
        requestAnimationFrame(() => setTimeout(() => globalThis.seen.push({ at: Date.now(), since: performance.now(), to: Date.parse(body.at ?? body.to) })));
        return body;
      };
    }
    return answer;
  };
};
async function first(rate) {
  const { page, context } = await browser.page();
  const session = await context.newCDPSession(page);
  if (rate > 1) await session.send('Emulation.setCPUThrottlingRate', { rate });
  await page.addInitScript(watch);
  await page.goto(`${browser.base}#/now`);
  await page.waitForFunction(() => globalThis.seen.length > 0, null, { timeout: 30_000 });
  const found = await page.evaluate(() => ({
    paint: performance.getEntriesByType('paint').find(({ name }) => name === 'first-contentful-paint')?.startTime,
    value: globalThis.seen[0].since,
    requests: performance.getEntriesByType('resource').filter(({ name }) => !name.includes('/api/')).length + 1,
  }));
  await context.close();
  return found;
}
for (const rate of [1, 4]) {
  const all = [];
  for (let nth = 0; nth < 7; nth++) all.push(await first(rate));
  console.log(`CPU / ${rate}: first paint ${middle(all.map(({ paint }) => paint)).toFixed(0)} ms, first value ${middle(all.map(({ value }) => value)).toFixed(0)} ms, ${all[0].requests} files (medians of 7)`);
}
const { page } = await browser.page();
await page.addInitScript(watch);
await page.goto(`${browser.base}#/now`);
await page.waitForTimeout(Number(seconds) * 1_000);
const late = new Map();
for (const { at, to } of await page.evaluate(() => globalThis.seen)) if (!late.has(to)) late.set(to, at - to);
const all = [...late.values()].slice(2);
console.log(`${all.length} new seconds in ${seconds} s: visible ${middle(all)} ms after their end (median), ${p99(all)} ms (p99), ${Math.max(...all)} ms at most`);
await browser.close();

// Who did it: spikes that were made on this host, found from Now in at most three clicks.
//   node spikes.mjs LINK SPIKES.json
// SPIKES.json: [{ name, from, to, comm, frame, kind }], times in Unix ms. `comm`: the process that did it. `frame`: a function of its graph that takes much
// of it (a regular expression); `other`: in the second graph that the row offers.
import { readFileSync } from 'node:fs';
import { settled, show, start } from './browser.mjs';

const [link, file] = process.argv.slice(2);
const spikes = JSON.parse(readFileSync(file, 'utf8'));
const browser = await start(link);
const results = [];
for (const spike of spikes) {
  const { page, faults, context } = await browser.page();
  const result = { name: spike.name, clicks: 0, process: false, frame: false, faults };
  results.push(result);
  try {
    // One looks at the quarter of an hour around it; that is not a click.
    const [first, last] = [spike.from - 300_000, Math.min(spike.to + 300_000, Date.now() - 5_000)];
    const around = `${first / 1_000}~${last / 1_000}`;
    await show(page, browser.base, `#/now?view=${around}`);
    // 1. Drags over the spike.
    const canvas = page.locator('.timeline canvas');
    const box = await canvas.boundingBox();
    const x = (ms) => box.x + box.width * (ms - first) / (last - first);
    await page.mouse.move(x(spike.from), box.y + box.height / 2);
    await page.mouse.down();
    await page.mouse.move(x(spike.to), box.y + box.height / 2, { steps: 8 });
    await page.mouse.up();
    result.clicks++;
    await page.waitForSelector('li.change', { timeout: 20_000 });
    await settled(page);
    const names = page.locator('li.change .change-who a strong');
    result.changed = (await names.allTextContents()).slice(0, 5);
    const at = result.changed.findIndex((text) => text.replace(/ ×\d+$/, '') === spike.comm);
    result.rank = at + 1;
    result.process = at >= 0 && at < 3;
    // 2. Its flame graph: the one that the page thinks shows it, or the other one beside it.
    await page.locator('li.change').nth(Math.max(at, 0)).locator('.change-links a').nth(spike.other ? 2 : 0).click({ timeout: 5_000 });
    result.clicks++;
    await page.waitForSelector('.flame table tbody td', { timeout: 20_000 });
    await settled(page);
    // The table beside it has the functions that take most.
    result.functions = (await page.locator('.flame table tbody td:first-child').allTextContents()).slice(0, 25);
    result.frame = result.functions.some((name) => new RegExp(spike.frame).test(name));
  } catch (error) {
    result.error = error.message.split('\n')[0];
  }
  await context.close();
}
await browser.close();
const good = results.filter((each) => each.process && each.frame && each.clicks <= 3 && !each.faults.length);
for (const each of results) console.log(JSON.stringify(each));
console.log(`${good.length} of ${results.length} found`);
process.exit(good.length === results.length ? 0 : 1);

// Each view in each theme and size: no complaint of the browser, no sideways scrolling, nothing that axe finds.
//   node views.mjs LINK [VIEW …]
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { VIEWS, show, sideways, start } from './browser.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const [link, ...only] = process.argv.slice(2);
const browser = await start(link);
const found = [];
for (const dark of [false, true]) {
  for (const size of ['desk', 'phone']) {
    const { page, faults, context } = await browser.page({ dark, size });
    for (const view of only.length ? only : VIEWS) {
      const where = `${view} ${dark ? 'dark' : 'light'} ${size}`;
      const say = (what) => found.push(`${where}: ${what}`);
      try {
        await show(page, browser.base, `#/${view}`);
        if (await sideways(page) > 0) say(`scrolls sideways by ${await sideways(page)} px`);
        if (await page.evaluate(() => document.querySelectorAll('h1').length) !== 1) say('has not exactly one h1');
        const { violations } = await page.evaluate(`${axe}; axe.run({ resultTypes: ['violations'] })`);
        for (const { id, help, nodes } of violations) say(`axe: ${id}: ${help}: ${nodes.slice(0, 3).map((node) => node.target.join(' ')).join(', ')}`);
      } catch (error) {
        say(error.message.split('\n')[0]);
      }
      for (const fault of faults.splice(0)) say(fault);
    }
    await context.close();
  }
}
await browser.finish(found, 'all views are in order');

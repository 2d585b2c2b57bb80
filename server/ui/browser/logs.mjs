// Log lines of a file that the agent follows, as they are written: shown at once, as text, foldable, added to the query, with what is around them.
//   node logs.mjs LINK FILE
import { appendFileSync } from 'node:fs';
import { show, start } from './browser.mjs';

const [link, file] = process.argv.slice(2);
/** Until a line is shown: it is read, stored, announced at most twice a second, and asked for. */
const MOST_MS = 5_000;
/** Lines of this run: the file may have others. */
const run = Date.now().toString(36);
const browser = await start(link);
const { page, faults } = await browser.page();
const found = [];
const check = (good, what) => { if (!good) found.push(what); };
const write = (...lines) => appendFileSync(file, lines.map((line) => `${new Date().toISOString()} ${line}\n`).join(''));
const seen = (text, most = MOST_MS) => page.waitForFunction((wanted) => [...document.querySelectorAll('.log-line')].some((each) => each.textContent.includes(wanted)), text, { timeout: most }).catch(() => found.push(`“${text}” is not shown within ${most} ms`));
const rows = page.locator('.log-line');
const hash = () => page.evaluate(() => decodeURIComponent(location.hash.replaceAll('+', ' ')));

write(`INFO the first one ${run}`);
await show(page, browser.base, `#/logs?q=${encodeURIComponent(`file=${file}`)}`);
// A new file is found first.
await seen(`the first one ${run}`, 20_000);
const began = Date.now();
write(`ERROR it breaks ${run}`);
await seen(`it breaks ${run}`);
console.log(`a line is shown ${Date.now() - began} ms after it is written`);
check((await rows.first().getAttribute('class')).includes('sev-error'), 'an error has not the colour of one');

// A trace is one line that opens.
write(`ERROR unhandled ${run}\nTraceback (most recent call last):\n  File "a.py", line 1, in <module>\n    f()\nValueError: no order 7`);
await seen(`unhandled ${run}`);
await rows.filter({ hasText: `unhandled ${run}` }).first().locator('.log-when').click();
await page.waitForFunction(() => document.querySelector('.log-full')?.textContent.includes('ValueError: no order 7'), undefined, { timeout: MOST_MS }).catch(() => found.push('an opened trace is not all of it'));

// While one reads, what comes waits.
write(...Array.from({ length: 7 }, (_, at) => `INFO waits ${run} ${at}`));
await page.waitForFunction(() => /^7 new lines/.test(document.querySelector('.log-waiting')?.textContent ?? ''), undefined, { timeout: MOST_MS }).catch(() => found.push('new lines do not wait, or are not counted'));
check(await rows.filter({ hasText: `waits ${run} 6` }).count() === 0, 'new lines push away what one reads');
await page.locator('.log-waiting').click({ timeout: MOST_MS }).catch(() => found.push('nothing leads to the new lines'));
await seen(`waits ${run} 6`);

// Text is text.
write(`WARN ${run} <img src=x onerror="hit=1"> \u001b[31mred \u202egnp.exe`);
await seen(`${run} <img src=x onerror="hit=1">`);
const evil = await page.evaluate(() => ({ text: document.querySelector('main#main').textContent, made: document.querySelectorAll('main img, main script').length, hit: globalThis.hit ?? null, marks: document.querySelectorAll('.log-mark').length }));
check(!evil.made && !evil.hit && evil.marks >= 2, `a line became markup, or its marks are not shown: ${JSON.stringify({ ...evil, text: undefined })}`);
check(!/[\u001b\u202e]/.test(evil.text), 'a mark that steers a terminal or turns text around was let through');

// A label goes into the query, and out of it.
await rows.first().locator('.log-when').click();
await page.locator('.log-chip').filter({ hasText: 'source' }).getByRole('button', { name: 'Only this source' }).click();
check((await hash()).includes('source=file'), `a label is not added to the query: ${await hash()}`);
await seen(`it breaks ${run}`);

// What is around a line, and back.
const before = await hash();
await page.evaluate(() => document.activeElement?.blur());
await page.waitForFunction(() => !document.querySelector('.log-line.open'));
await page.keyboard.press('j');
await page.waitForSelector('.log-line[aria-current]');
await page.keyboard.press('a');
await page.waitForSelector('.log-line.target', { timeout: MOST_MS }).catch(() => found.push('the line that others are around of is not marked'));
check((await hash()).includes('time='), 'the time around a line is not selected');
await page.click('text=‹ Back');
await page.waitForFunction(() => !location.hash.includes('around='));
check(await hash() === before, `back is not where one was: ${await hash()}`);

// The histogram selects the time of the page.
const box = await page.locator('.log-histogram canvas').boundingBox();
await page.mouse.move(box.x + box.width * 0.5, box.y + 20);
await page.mouse.down();
await page.mouse.move(box.x + box.width * 0.9, box.y + 20, { steps: 4 });
await page.mouse.up();
await page.waitForFunction(() => location.hash.includes('time='), undefined, { timeout: MOST_MS }).catch(() => found.push('dragging over the histogram selects nothing'));

// What the server says is wrong is shown where it is.
await page.fill('#log-query', 'a OR');
await page.keyboard.press('Enter');
await page.waitForSelector('.query-error', { timeout: MOST_MS }).catch(() => found.push('a mistake in a query is not shown'));
for (const fault of faults) if (!fault.includes('status of 400')) found.push(fault);
await browser.finish(found, 'log lines are in order');

// What the page does as it stands open: the first load, a new second, several tabs, a server that goes and comes, sign in and out.
//   node live.mjs LINK PASSWORD [away COMMAND_TO_STOP COMMAND_TO_START]
import { show, settled, start } from './browser.mjs';

const [link, password] = process.argv.slice(2);
const browser = await start(link);
const found = [];

// The first load: few requests, small, nothing from elsewhere.
const { page, faults, context } = await browser.page();
const loaded = [];
page.on('response', async (response) => {
  const { encodedDataLength } = await response.request().sizes().then((sizes) => ({ encodedDataLength: sizes.responseBodySize })).catch(() => ({ encodedDataLength: 0 }));
  loaded.push({ url: response.url(), bytes: encodedDataLength });
});
await show(page, browser.base, '#/now');
const files = loaded.filter(({ url }) => !url.includes('/api/'));
if (files.length > 6) found.push(`${files.length} files are loaded at first: ${files.map(({ url }) => url)}`);
const bytes = files.reduce((sum, each) => sum + each.bytes, 0);
if (bytes > 130 * 1024) found.push(`${bytes} bytes are loaded at first`);
const elsewhere = loaded.filter(({ url }) => !url.startsWith(browser.base));
if (elsewhere.length) found.push(`asks others: ${elsewhere.map(({ url }) => url)}`);

// A new second is shown as it comes.
const newest = () => page.evaluate(() => document.querySelector('.timeline canvas')?.getAttribute('aria-label') ?? '');
if (!(await newest()).includes('Live')) found.push(`is not live: ${await newest()}`);
const asked = () => page.waitForRequest((request) => request.url().includes('/now'), { timeout: 15_000 });
await asked();
await asked();

// Selecting a time, and going back to it by its address.
await page.keyboard.press(',');
await page.waitForFunction(() => location.hash.includes('time='));
const address = await page.evaluate(() => location.hash);
await page.keyboard.press('.');
await page.keyboard.press('l');
await page.waitForFunction(() => !location.hash.includes('time='));
await show(page, browser.base, address);
if (!(await page.evaluate(() => location.hash)).includes('time=')) found.push('a link does not restore its time');

// A saved view shows the same from a file, and asks nobody.
await show(page, browser.base, '#/processes');
const rows = () => page.locator('main tbody tr:not([aria-hidden])').count();
await page.waitForFunction(() => document.querySelectorAll('main tbody tr:not([aria-hidden])').length > 3);
await page.click('details.menu summary');
const [download] = await Promise.all([page.waitForEvent('download'), page.click('text=Save this view as HTML')]);
const path = `${await download.path()}.html`;
await download.saveAs(path);
const copy = await context.newPage();
const asks = [];
copy.on('request', (request) => { if (!request.url().startsWith('file:') && !request.url().startsWith('data:')) asks.push(request.url()); });
copy.on('pageerror', (error) => found.push(`saved page: ${error.message}`));
await copy.goto(`file://${path}`);
await copy.waitForSelector('main tbody tr:not([aria-hidden])', { timeout: 10_000 }).catch(() => found.push('a saved page shows nothing'));
const same = await copy.locator('main tbody tr:not([aria-hidden])').count();
if (same < (await rows()) / 2) found.push(`a saved page has ${same} rows of ${await rows()}`);
if (asks.length) found.push(`a saved page asks: ${asks}`);
await copy.close();

// Nine tabs have one stream: the others are told by it, and nothing hangs.
const tabs = [];
for (let nth = 0; nth < 8; nth++) {
  const tab = await context.newPage();
  tabs.push(tab);
  await tab.goto(`${browser.base}#/processes`);
}
await settled(tabs[7]);
const shown = await tabs[7].evaluate(() => document.querySelector('main').textContent.length);
if (shown < 200) found.push('the ninth tab shows nothing');
for (const tab of tabs) await tab.close();
for (const fault of faults) found.push(fault);
await context.close();

// By name and password.
const stranger = await browser.browser.newContext();
const door = await stranger.newPage();
await door.goto(browser.base);
await door.waitForSelector('input[name=user]');
const enter = async (text) => {
  await door.fill('input[name=user]', 'alice');
  await door.fill('input[name=password]', text);
  await door.click('form button');
};
await enter('not her password');
await door.waitForFunction(() => document.querySelector('[role=status]').textContent.includes('no such account'));
await enter(password);
await door.waitForSelector('main#main');
await door.click('details.menu summary');
await door.click('text=Sign out alice');
await door.waitForSelector('input[name=user]');
await browser.finish(found, 'the page lives');

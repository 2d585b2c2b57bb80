// A real Chromium for the tests and measurements here. Whatever the page's console, its policy or its scripts complain of is a fault.
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const PROGRAM = process.env.CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);

export const SIZES = { desk: { width: 1440, height: 900 }, phone: { width: 360, height: 780 } };
export const VIEWS = ['now', 'changes', 'processes', 'flamegraph', 'waits', 'alerts', 'logs', 'ends', 'hosts', 'explore', 'server', 'about'];

export const launch = (...more) => chromium.launch({ executablePath: PROGRAM, args: ['--no-sandbox', ...more] });

/** A browser that is signed in by a one-use link (or by whoever passes requests on, if it has none). */
export async function start(link) {
  const browser = await launch('--disable-dev-shm-usage');
  const base = link.split('#')[0];
  let state;
  if (link.includes('#link=')) {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(link);
    await page.waitForSelector('main#main');
    state = await context.storageState();
    await context.close();
  }
  return {
    base,
    browser,
    /** A page of this colour scheme and size, with what went wrong in it. */
    async page({ dark = false, size = 'desk', ...more } = {}) {
      const context = await browser.newContext({ viewport: SIZES[size], colorScheme: dark ? 'dark' : 'light', ...(state ? { storageState: state } : {}), ...more });
      const page = await context.newPage();
      const faults = [];
      page.on('console', (message) => {
        // That there are no profiles of a time is an answer; the browser complains of its status.
        const isAnswer = message.text().includes('status of 404') && /\/api\/s7mpa\/v1\/(flamegraph|waits|logs|postmortems|events|hosts\/[^/]+\/processes\/)/.test(message.location().url);
        if (message.type() === 'error' && !isAnswer) faults.push(`console: ${message.text()} ${message.location().url}`);
      });
      page.on('pageerror', (error) => faults.push(`script: ${error.message}`));
      await page.addInitScript(() => {
        document.addEventListener('securitypolicyviolation', (event) => console.error(`policy: ${event.violatedDirective} ${event.sourceFile}:${event.lineNumber} ${event.sample}`));
      });
      return { page, faults, context };
    },
    close: () => browser.close(),
    /** Says what was found, or that all is good, and ends the program. */
    async finish(found, good) {
      await browser.close();
      console.log(found.length ? found.join('\n') : good);
      process.exit(found.length ? 1 : 0);
    },
  };
}

/** Goes to a view, and waits until it shows something or says why not. */
export async function show(page, base, hash) {
  await page.goto('about:blank');
  await page.goto(`${base}${hash}`);
  await settled(page);
}

/** Nothing in the main part is on its way any more. */
export async function settled(page, most = 20_000) {
  await page.waitForFunction(() => {
    const main = document.querySelector('main#main');
    return main && main.children.length > 0 && ![...main.querySelectorAll('[role=status].empty')].some((each) => each.textContent.endsWith('…'));
  }, undefined, { timeout: most });
}

export const sideways = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

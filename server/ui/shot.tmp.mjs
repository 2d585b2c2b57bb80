import { start, show, sideways, settled } from './browser/browser.mjs';
const [what, hash, ...more] = process.argv.slice(2);
const b = await start(process.env.BASE ?? 'http://127.0.0.1:5174/');
for (const [dark, size] of (process.env.MODES ?? 'ld').split('').map((m) => m === 'l' ? [false,'desk'] : m === 'd' ? [true,'desk'] : m === 'p' ? [false,'phone'] : [true,'phone'])) {
  const { page, faults, context } = await b.page({ dark, size });
  if (process.env.ROUTES) { const { default: routes } = await import(process.env.ROUTES); await routes(page); }
  await show(page, b.base, hash);
  await page.waitForTimeout(1500);
  for (const step of more) { await (0, eval)(`(async (page) => { ${step} })`)(page); await page.waitForTimeout(600); }
  await page.screenshot({ path: `/tmp/shots/${what}-${dark ? 'dark' : 'light'}-${size}.png` });
  console.log(what, dark, size, 'sideways', await sideways(page), faults);
  await context.close();
}
await b.close();

// What drawing large flame graphs costs in a real browser: opening, zooming, searching, and 5,000 rows of depth.
//   node bench/flame.mjs [RUNS] [10k,100k,300k]     exit 1: over a bar in each of the runs (the best of them counts: others may use the machine)
// Graphs are made up, written in the bytes that the server sends, and go through the decoder, the worker and the renderer of the page.
import { loadavg } from 'node:os';
import { build } from 'esbuild';
import { launch } from '../browser/browser.mjs';
import { common, plainNames as define, root } from '../bundle.mjs';

const runs = Number(process.argv[2] ?? 5);
const built = async (entry, format) => (await build({ ...common, entryPoints: [entry], minify: true, format, write: false, target: 'chrome115', define })).outputFiles[0].text;
const files = {
  '/': ['text/html', '<!doctype html><link rel="stylesheet" href="style.css"><canvas id="c"></canvas><script type="module" src="bench.js"></script>'],
  '/style.css': ['text/css', `${(await build({ absWorkingDir: root, entryPoints: ['src/views/flame.css'], write: false })).outputFiles[0].text}:root{--card:#fff;--text:#111;--focus:#00f}body{margin:0}canvas{width:1600px;height:900px}`],
  '/bench.js': ['text/javascript', await built('bench/flame-page.ts', 'esm')],
  '/flame.js': ['text/javascript', await built('src/flame/worker.ts', 'iife')],
};
const browser = await launch();
const page = await browser.newPage({ viewport: { width: 1600, height: 900 } });
page.on('pageerror', (error) => console.log('error', error.message));
await page.route('http://bench.invalid/**', (route) => {
  const file = files[new URL(route.request().url()).pathname];
  return file ? route.fulfill({ contentType: file[0], body: file[1] }) : route.fulfill({ status: 404, body: '' });
});
await page.goto('http://bench.invalid/');
await page.waitForFunction(() => globalThis.bench);

// Time that the main thread itself took, ms: other programs of the machine do not lengthen it.
const session = await page.context().newCDPSession(page);
await session.send('Performance.enable', { timeDomain: 'threadTicks' });
const tasks = async () => 1_000 * (await session.send('Performance.getMetrics')).metrics.find(({ name }) => name === 'TaskDuration').value;

// Name, bar, whether more is better.
const BARS = {
  '100k': { open_ms: [700], frames_per_s: [55, true], draw_p95_ms: [16], search_ms: [50] },
  '300k': { open_ms: [Infinity], frames_per_s: [30, true], draw_p95_ms: [33], search_ms: [Infinity] },
};
let over = 0;
for (const [name, stacks] of (process.argv[3] ?? '10k,100k,300k').split(',').map((name) => [name, parseInt(name, 10) * 1_000])) {
  const all = [];
  for (let run = 0; run < runs; run++) {
    const opened = await page.evaluate((count) => globalThis.bench.prepare(count), stacks);
    const before = await tasks();
    const zoomed = await page.evaluate(() => globalThis.bench.zoom());
    all.push({ ...opened, ...zoomed, cpu_a_frame_ms: ((await tasks()) - before) / 121 });
  }
  const best = (key, most) => all.map((each) => each[key]).sort((a, b) => (most ? b - a : a - b))[0];
  const row = { ...all[0], load: loadavg()[0].toFixed(1) };
  for (const key of Object.keys(all[0])) if (/_ms$|_per_s$/.test(key)) row[key] = Number(best(key, key.endsWith('_per_s')).toFixed(1));
  console.log(name, JSON.stringify(row));
  for (const [key, [bar, most]] of Object.entries(BARS[name] ?? {})) {
    if (most ? row[key] < bar : row[key] > bar) {
      console.log(`  over the bar: ${key} ${row[key]}, bar ${bar}`);
      over++;
    }
  }
}
const deep = await page.evaluate(() => globalThis.bench.deep(5_000));
console.log('deep', JSON.stringify(deep));
if (!deep.works) over++;
await browser.close();
process.exit(over ? 1 : 0);

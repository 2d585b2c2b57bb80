// Makes `dist/`: scripts, style and icon, compressed, with a part of their digest in their names, the page that loads them, and the list
// of them for the server. The same sources make the same files. `--check`: says whether `dist/` is what they make.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { common as shared, later, root } from './bundle.mjs';

const out = join(root, 'dist');
const KINDS = { js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml', html: 'text/html' };
const named = (name, bytes) => name.replace(/\.(\w+)$/, `-${createHash('sha256').update(bytes).digest('hex').slice(0, 10)}.$1`);

const common = {
  ...shared,
  charset: 'utf8',
  format: 'esm',
  legalComments: 'none',
  minify: true,
  target: ['chrome115', 'firefox115', 'safari16.4'],
  write: false,
};

const files = new Map();
const add = (name, bytes) => {
  const full = named(name, bytes);
  files.set(full, Buffer.from(bytes));
  return full;
};

// The worker, Explore and some views are loaded when they are needed.
const worker = await build({ ...common, entryPoints: ['src/flame/worker.ts'], format: 'iife' });
const workerName = add('flame.js', worker.outputFiles[0].contents);
const explore = await build({ ...common, entryPoints: ['src/views/promql.ts'] });
const exploreName = add('promql.js', explore.outputFiles[0].contents);
const views = await build({ ...common, entryPoints: ['src/views-later.ts'], plugins: [later] });
const viewsName = add('views.js', views.outputFiles[0].contents);
const define = { WORKER: JSON.stringify(workerName), PROMQL: JSON.stringify(exploreName), LATER: JSON.stringify(viewsName) };
const main = await build({ ...common, entryPoints: ['src/main.tsx'], define });
const style = await build({ ...common, entryPoints: ['src/style.css'] });
const script = add('app.js', main.outputFiles[0].contents);
const sheet = add('app.css', style.outputFiles[0].contents);
const icon = add('icon.svg', readFileSync(join(root, 'src/icon.svg')));
const page = readFileSync(join(root, 'src/index.html'), 'utf8')
  .replace('app.js', script).replace('app.css', sheet).replace('icon.svg', icon);
files.set('index.html', Buffer.from(page));

const sorted = [...files].sort(([a], [b]) => (a < b ? -1 : 1));
const kind = (name) => KINDS[name.split('.').pop()];
const list = `[\n${sorted.map(([name]) => `    ("${name}", "${kind(name)}", include_bytes!("${name}.gz")),\n`).join('')}]\n`;

if (process.argv.includes('--check')) {
  // Two versions of Node may compress differently: what is in the files counts.
  const same = (name, bytes) => {
    try { return gunzipSync(readFileSync(join(out, `${name}.gz`))).equals(bytes); } catch { return false; }
  };
  const differ = sorted.filter(([name, bytes]) => !same(name, bytes)).map(([name]) => name);
  if (readFileSync(join(out, 'files.rs'), 'utf8') !== list) differ.push('files.rs');
  if (differ.length) console.error(`dist/ is not what the sources make: ${differ.join(', ')}`);
  process.exit(differ.length ? 1 : 0);
}

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
let all = 0;
for (const [name, bytes] of sorted) {
  const packed = gzipSync(bytes, { level: 9 });
  // The byte that names the operating system.
  packed[9] = 255;
  writeFileSync(join(out, `${name}.gz`), packed);
  all += packed.length;
  console.log(`${String(bytes.length).padStart(8)} ${String(packed.length).padStart(7)}  ${name}`);
}
writeFileSync(join(out, 'files.rs'), list);
console.log(`${String(all).padStart(16)}  in all, compressed`);

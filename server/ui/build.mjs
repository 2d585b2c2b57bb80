// Makes `dist/`: scripts, style and icon, compressed, with a part of their digest in their names, the page that loads them, and the list
// of them for the server. The same sources make the same files.
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('.', import.meta.url));
const out = join(root, process.argv[2] ?? 'dist');
const KINDS = { js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml', html: 'text/html' };
const named = (name, bytes) => name.replace(/\.(\w+)$/, `-${createHash('sha256').update(bytes).digest('hex').slice(0, 10)}.$1`);

const common = {
  absWorkingDir: root,
  bundle: true,
  charset: 'utf8',
  format: 'esm',
  jsx: 'automatic',
  jsxImportSource: 'preact',
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

// The worker and Explore are loaded when they are needed.
const worker = await build({ ...common, entryPoints: ['src/flame/worker.ts'], format: 'iife' });
const workerName = add('flame.js', worker.outputFiles[0].contents);
const explore = await build({ ...common, entryPoints: ['src/views/promql.ts'] });
const exploreName = add('promql.js', explore.outputFiles[0].contents);
const define = { WORKER: JSON.stringify(workerName), PROMQL: JSON.stringify(exploreName) };
const main = await build({ ...common, entryPoints: ['src/main.tsx'], define });
const style = await build({ ...common, entryPoints: ['src/style.css'] });
const script = add('app.js', main.outputFiles[0].contents);
const sheet = add('app.css', style.outputFiles[0].contents);
const icon = add('icon.svg', readFileSync(join(root, 'src/icon.svg')));
const page = readFileSync(join(root, 'src/index.html'), 'utf8')
  .replace('app.js', script).replace('app.css', sheet).replace('icon.svg', icon);
files.set('index.html', Buffer.from(page));

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
let all = 0;
const list = [];
for (const [name, bytes] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
  const packed = gzipSync(bytes, { level: 9 });
  // The byte that names the operating system.
  packed[9] = 255;
  writeFileSync(join(out, `${name}.gz`), packed);
  const kind = KINDS[name.split('.').pop()];
  list.push(`    ("${name}", "${kind}", include_bytes!("${name}.gz")),\n`);
  all += packed.length;
  console.log(`${String(bytes.length).padStart(8)} ${String(packed.length).padStart(7)}  ${name}`);
}
writeFileSync(join(out, 'files.rs'), `[\n${list.join('')}]\n`);
console.log(`${String(all).padStart(16)}  in all, compressed; ${readdirSync(out).length - 1} files`);

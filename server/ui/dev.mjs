// For who changes the page: builds it at each change, serves it, and passes all else to a running agent.
//   S7MPA_TOKEN=… node dev.mjs [PORT] [http://127.0.0.1:7676]
import { createServer, request } from 'node:http';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { context } from 'esbuild';
import { common as shared, later, plainNames as define, root } from './bundle.mjs';

const port = Number(process.argv[2] ?? 5173);
const agent = new URL(process.argv[3] ?? 'http://127.0.0.1:7676');
const token = process.env.S7MPA_TOKEN;
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; worker-src 'self'; "
  + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types s7mpa";
const outdir = join(root, 'dev');
const common = { ...shared, sourcemap: 'linked', outdir, logLevel: 'info' };
const builds = [
  { ...common, format: 'esm', entryPoints: { app: 'src/main.tsx', promql: 'src/views/promql.ts' }, define },
  { ...common, format: 'esm', entryPoints: { views: 'src/views-later.ts' }, plugins: [later] },
  { ...common, format: 'iife', entryPoints: { flame: 'src/flame/worker.ts' } },
  { ...common, entryPoints: { app: 'src/style.css' } },
];
for (const each of builds) await (await context(each)).watch();

const KINDS = { js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml', html: 'text/html', map: 'application/json' };
createServer((asked, answer) => {
  const path = asked.url.split('?')[0];
  const name = path === '/' ? 'index.html' : path.slice(1);
  if (/^[\w.-]+$/.test(name) && KINDS[name.split('.').pop()]) {
    try {
      const bytes = readFileSync(join(root, name === 'index.html' || name === 'icon.svg' ? 'src' : 'dev', name));
      answer.writeHead(200, { 'Content-Type': KINDS[name.split('.').pop()], 'Content-Security-Policy': POLICY, 'Cache-Control': 'no-store' });
      return answer.end(bytes);
    } catch { /* the agent says that there is none */ }
  }
  const headers = { ...asked.headers, host: agent.host };
  if (headers.origin) headers.origin = agent.origin;
  if (token) headers.authorization = `Bearer ${token}`;
  const passed = request(agent, { path: asked.url, method: asked.method, headers }, (from) => {
    answer.writeHead(from.statusCode, from.headers);
    from.pipe(answer);
  });
  passed.on('error', () => { answer.writeHead(502, { 'Content-Type': 'application/problem+json' }); answer.end('{"title":"Bad Gateway","status":502,"detail":"no agent answers"}'); });
  answer.on('close', () => passed.destroy());
  asked.pipe(passed);
}).listen(port, '127.0.0.1', () => console.log(`http://127.0.0.1:${port}/ → ${agent.href}`));

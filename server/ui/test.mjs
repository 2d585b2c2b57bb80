// Runs the unit tests (`src/**/*.test.ts`) in Node.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { build } from 'esbuild';
import { common, root } from './bundle.mjs';

const entryPoints = readdirSync(join(root, 'src'), { recursive: true }).filter((name) => /\.test\.tsx?$/.test(name)).map((name) => join(root, 'src', name));
const outdir = mkdtempSync(join(tmpdir(), 's7mpa-page-'));
await build({ ...common, entryPoints, outdir, outExtension: { '.js': '.mjs' }, format: 'esm', platform: 'node', logLevel: 'warning' });
const files = readdirSync(outdir, { recursive: true }).filter((name) => name.endsWith('.mjs')).map((name) => join(outdir, name));
const { status } = spawnSync(process.execPath, ['--test', ...files], { stdio: 'inherit' });
rmSync(outdir, { recursive: true });
process.exit(status ?? 1);

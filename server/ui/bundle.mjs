// How the sources become the files of the page: what builds, tests and measures them has it in common.
import { readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('.', import.meta.url));
const source = join(root, 'src');
/** What is loaded when a view of it is opened: paths begin so. */
const LATER = ['logs/', 'ends/', 'views/about', 'views/server', 'coverage'];

export const common = { absWorkingDir: root, bundle: true, jsx: 'automatic', jsxImportSource: 'preact' };
/** Names of the files that the page loads by itself, without digests. */
export const plainNames = { WORKER: '"flame.js"', PROMQL: '"promql.js"', LATER: '"views.js"' };

/** What is loaded later takes the modules of `shared.ts` from the page: two copies would be two time cursors. */
export const later = {
  name: 'later',
  setup(build) {
    const keys = new Set([...readFileSync(join(source, 'shared.ts'), 'utf8').matchAll(/^import \* as \w+ from '(?:\.\/)?([^']+)'/gm)].map(([, key]) => key));
    build.onResolve({ filter: /.*/ }, ({ path, kind, resolveDir }) => {
      if (kind === 'entry-point') return undefined;
      const key = path.startsWith('.') ? relative(source, resolve(resolveDir, path)) : path;
      if (keys.has(key)) return { path: key, namespace: 'shared' };
      if (LATER.some((each) => key.startsWith(each))) return undefined;
      return { errors: [{ text: `${key} is not in shared.ts: it would be in the page twice` }] };
    });
    build.onLoad({ filter: /.*/, namespace: 'shared' }, ({ path }) => ({ contents: `module.exports = globalThis.S7MPA_SHARED[${JSON.stringify(path)}];`, loader: 'js' }));
  },
};

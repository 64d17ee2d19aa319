// Builds the pages: `node build.mjs OUT`, with the packages of the lock file found by NODE_PATH.

import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const modules = process.env.NODE_PATH;
const out = process.argv[2];
if (!modules || !out) {
  console.error('usage: NODE_PATH=FOLDER node build.mjs OUT');
  process.exit(2);
}
const { build } = createRequire(join(resolve(modules), 'none.js'))('esbuild');
const here = dirname(fileURLToPath(import.meta.url));

await build({
  absWorkingDir: here,
  entryPoints: { app: 'src/main.tsx' },
  outdir: resolve(out),
  nodePaths: [resolve(modules)],
  bundle: true,
  format: 'esm',
  target: ['chrome120', 'firefox121', 'safari17'],
  minify: true,
  legalComments: 'none',
  charset: 'utf8',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  logLevel: 'warning',
});
await build({
  absWorkingDir: here,
  entryPoints: ['src/app.css'],
  outdir: resolve(out),
  target: ['chrome120', 'firefox121', 'safari17'],
  minify: true,
  charset: 'utf8',
  logLevel: 'warning',
});

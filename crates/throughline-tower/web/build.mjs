// Builds the script, as it is and compressed: `node build.mjs OUT`, with the packages of the lock file found by NODE_PATH.

import { readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, gzipSync } from 'node:zlib';

const modules = process.env.NODE_PATH;
const out = process.argv[2];
if (!modules || !out) {
  console.error('usage: NODE_PATH=FOLDER node build.mjs OUT');
  process.exit(2);
}
const { build } = createRequire(join(resolve(modules), 'none.js'))('esbuild');
const file = join(resolve(out), 'script.js');
const folder = dirname(fileURLToPath(import.meta.url));

/** Takes some of the library from `src/library.ts`, which says why. */
const library = {
  name: 'library',
  setup: (esbuild) => esbuild.onResolve({ filter: /\/(bindReporter|initMetric|whenIdleOrHidden)\.js$/ }, () => ({
    path: join(folder, 'src/library.ts'),
  })),
};

await build({
  absWorkingDir: folder,
  entryPoints: ['src/script.ts'],
  outfile: file,
  nodePaths: [resolve(modules)],
  bundle: true,
  format: 'iife',
  target: ['chrome120', 'firefox121', 'safari17'],
  minify: true,
  // The library begins private names like that.
  mangleProps: /^_/,
  plugins: [library],
  legalComments: 'none',
  charset: 'utf8',
  logLevel: 'warning',
});
const script = await readFile(file);
await writeFile(`${file}.br`, brotliCompressSync(script));
await writeFile(`${file}.gz`, gzipSync(script, { level: 9 }));

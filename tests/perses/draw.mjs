// Draws dashboards with the components of Perses, and keeps pictures of them. Its argument, as JSON, says which `dashboards`, as files, where
// `prometheus` and the `browser` are, from which time `start` to which `end`, and into which folder the `pictures` go. Prints as JSON what
// each panel shows, and what the page complains about.
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { delimiter } from 'node:path';

import { translated } from './translate.mjs';

// The packages are elsewhere: where NODE_PATH says.
const require = createRequire(import.meta.url);
const { build } = require('esbuild');
const { chromium } = require('playwright-core');

/** A row of the grid of Grafana, and what is above the first one, in pixels. */
const [ROW, HEAD] = [40, 80];

const { dashboards, prometheus, browser: executablePath, start, end, pictures } = JSON.parse(process.argv[2]);

async function bundled() {
  const { outputFiles } = await build({
    entryPoints: [new URL('page.jsx', import.meta.url).pathname],
    bundle: true,
    nodePaths: process.env.NODE_PATH.split(delimiter),
    write: false,
    outdir: 'out',
    jsx: 'automatic',
    // Of some packages there would be two copies otherwise, one of which knows nothing of the providers of the other.
    mainFields: ['module', 'browser', 'main'],
    define: { 'process.env.NODE_ENV': '"production"', global: 'globalThis' },
    loader: { '.woff': 'dataurl', '.woff2': 'dataurl' },
  });
  const of = (ending) => outputFiles.find(({ path }) => path.endsWith(ending)).contents;
  return {
    '/': ['text/html', '<!doctype html><link rel=stylesheet href=page.css><body></body><script src=page.js></script>'],
    '/page.css': ['text/css', of('.css')],
    '/page.js': ['text/javascript', of('.js')],
  };
}

/** A picture of the page once it does not change any more. */
async function settled(page) {
  const devtools = await page.context().newCDPSession(page);
  const picture = async () => (await devtools.send('Page.captureScreenshot', { format: 'webp', quality: 80 })).data;
  let [before, now] = [undefined, await picture()];
  while (before !== now) {
    await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
    [before, now] = [now, await picture()];
  }
  return Buffer.from(now, 'base64');
}

async function drawn(context, address, file, said) {
  const dashboard = JSON.parse(await readFile(file, 'utf8'));
  const rows = Math.max(...dashboard.panels.map(({ gridPos: { y, h } }) => y + h));
  const page = await context.newPage();
  // A panel asks for its data once it is seen.
  await page.setViewportSize({ width: 1280, height: HEAD + ROW * rows });
  page.on('console', (message) => message.type() === 'error' && said.complaints.push(message.text()));
  page.on('pageerror', (error) => said.complaints.push(String(error)));
  await page.goto(address);
  const perses = translated(dashboard, prometheus, '1m');
  await page.evaluate(([perses, start, end]) => window.draw(perses, start, end), [perses, start, end]);
  await page.waitForFunction((expected) => {
    const panels = [...document.querySelectorAll('[data-testid=panel]')];
    const isDone = (panel) => panel.querySelector('canvas, table, [role=alert]') || panel.innerText.includes('No data');
    return panels.length === expected && panels.every(isDone);
  }, dashboard.panels.length);
  await page.waitForLoadState('networkidle');
  await writeFile(`${pictures}/${dashboard.uid.replace('throughline-', 'dashboard-')}.webp`, await settled(page));
  said.panels.push(...await page.locator('[data-testid=panel]').allInnerTexts());
  await page.close();
}

const files = await bundled();
const server = createServer((request, answer) => {
  const [type, content] = files[request.url] ?? ['text/plain', ''];
  answer.writeHead(200, { 'content-type': `${type}; charset=utf-8` }).end(content);
});
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
const context = await browser.newContext({ timezoneId: 'UTC', locale: 'en-GB' });
const said = { panels: [], complaints: [] };
for (const file of dashboards) {
  await drawn(context, `http://127.0.0.1:${server.address().port}/`, file, said);
}
await browser.close();
server.close();
console.log(JSON.stringify(said));

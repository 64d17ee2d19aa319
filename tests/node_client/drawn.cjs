// Gives exports to the tools that they are for, in a browser without a network. Its argument, as JSON, says where the `browser` is,
// and either the `chart` that Mermaid draws or the `trace` that speedscope opens, a file each. Prints what can be seen.
const fs = require('node:fs');
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const { chromium } = require('playwright-core');

/** What a flowchart shows: its nodes by their ids, its edges, and which nodes are drawn as the cause. */
async function mermaid(page, chart) {
  await page.setContent('<!doctype html><title>chart</title>');
  await page.addScriptTag({ path: require.resolve('@mermaid-js/tiny') });
  return page.evaluate(async (text) => {
    globalThis.mermaid.initialize({ startOnLoad: false });
    const { diagramType } = await globalThis.mermaid.parse(text);
    const { svg } = await globalThis.mermaid.render('chart', text);
    document.body.innerHTML = svg;
    const texts = (selector) => [...document.querySelectorAll(selector)].map((node) => node.textContent.trim());
    return {
      diagramType,
      nodes: texts('.node'),
      cause: texts('.node.cause'),
      edges: document.querySelectorAll('.edgePaths path, path.flowchart-link').length,
      words: texts('.edgeLabel').filter((word) => word !== ''),
      elements: [...new Set([...document.querySelectorAll('svg *')].map((one) => one.localName))].sort(),
    };
  }, chart);
}

/** What a trace shows: its processes and threads, if there are several, and of the first one each name with its time. */
async function speedscope(page, trace) {
  // A page from a disk may read no file, but run a script.
  const script = `${trace}.js`;
  const data = fs.readFileSync(trace).toString('base64');
  fs.writeFileSync(script, `speedscope.loadFileFromBase64(${JSON.stringify(path.basename(trace))}, '${data}')`);
  const index = path.join(path.dirname(require.resolve('speedscope/package.json')), 'dist/release/index.html');
  await page.goto(`${pathToFileURL(index).href}#localProfilePath=${script}`);
  await page.getByText('Sandwich').click();
  // The list of threads is there, and not shown until somebody asks for it.
  const spans = page.locator('tr:visible').filter({ hasNotText: 'Symbol Name' });
  await spans.first().waitFor();
  const threads = page.locator('table', { hasText: 'Total Weight' }).locator('tr');
  return { threads: (await threads.allInnerTexts()).slice(1), spans: await spans.allInnerTexts() };
}

async function main() {
  const { browser: executablePath, chart, trace } = JSON.parse(process.argv[2]);
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  const context = await browser.newContext({ offline: true });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('dialog', (dialog) => { complaints.push(dialog.message()); return dialog.dismiss(); });
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  const seen = chart ? await mermaid(page, fs.readFileSync(chart, 'utf8')) : await speedscope(page, trace);
  console.log(JSON.stringify({ ...seen, complaints }));
  await browser.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

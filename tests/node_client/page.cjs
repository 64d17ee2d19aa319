// Opens a page from a disk in a browser without a network, as somebody does who was sent it. Its argument, as JSON, says which
// `page`, where the `browser` is, what to `search` for or to `find`, which `hash` the address has, and where to put `screenshots`. Prints what was seen, and what the
// page asked for or complained about.
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const { chromium } = require('playwright-core');

async function main() {
  const { page: file, browser: executablePath, search, find, hash, screenshots } = JSON.parse(process.argv[2]);
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  const context = await browser.newContext({ offline: true, viewport: { width: 1600, height: 1000 } });
  const page = await context.newPage();
  const url = pathToFileURL(file).href;
  const said = { complaints: [], requests: [], dialogs: 0 };
  page.on('console', (message) => said.complaints.push(message.text()));
  page.on('pageerror', (error) => said.complaints.push(String(error)));
  page.on('dialog', (dialog) => { said.dialogs += 1; return dialog.dismiss(); });
  page.on('request', (request) => request.url().split('#', 1)[0] === url || said.requests.push(request.url()));
  await page.goto(hash ? `${url}#${hash}` : url);
  said.title = await page.title();
  said.text = await page.innerText('body');
  said.rows = await page.locator('.row').count();
  said.elements = await page.evaluate(() => [...new Set([...document.querySelectorAll('*')].map((one) => one.localName))].sort());
  if (hash) {
    const opened = page.locator('.row[aria-expanded=true] .name');
    said.linked = (await opened.count()) > 0 ? await opened.first().innerText() : null;
  }
  if (find) {
    await page.fill('input[type=search]', find);
    said.hits = await page.locator('.row').count();
    await page.fill('input[type=search]', '');
  }
  if (search) {
    await page.fill('input[type=search]', search);
    said.found = await page.locator('.row .name').allInnerTexts();
    await page.locator('.row').first().click();
    said.detail = await page.innerText('.detail');
    await page.locator('.row').first().click();
    await page.fill('input[type=search]', '');
  }
  // A link of a sentence leads to the row of its span.
  const link = page.locator('li a').first();
  if (await link.count()) {
    await link.click();
    await page.locator('.row[aria-expanded=true]').first().waitFor();
    said.opened = await page.locator('.row[aria-expanded=true]').count();
  }
  if (screenshots) {
    for (const [name, options] of [['wide', {}], ['dark', { colorScheme: 'dark' }], ['print', { media: 'print' }]]) {
      await page.emulateMedia({ colorScheme: 'light', media: 'screen', ...options });
      await page.screenshot({ path: path.join(screenshots, `${name}.png`), fullPage: true });
    }
    await page.emulateMedia({ media: 'screen' });
    await page.setViewportSize({ width: 360, height: 800 });
    await page.screenshot({ path: path.join(screenshots, 'narrow.png'), fullPage: true });
  }
  await page.emulateMedia({ media: 'print' });
  const pdf = await page.pdf({ format: 'A4', ...(screenshots ? { path: path.join(screenshots, 'print.pdf') } : {}) });
  said.printed = {
    pages: pdf.toString('latin1').match(/\/Type\s*\/Page\b/g).length,
    rows: await page.locator('.row:visible').count(),
    controls: await page.locator('.controls:visible, .more:visible').count(),
    // What is wider than the paper is cut off.
    cut: await page.evaluate(() => [...document.querySelectorAll('main *')].filter((one) => one.getBoundingClientRect().right > innerWidth + 1).length),
  };
  await page.emulateMedia({ media: 'screen' });
  said.overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  await browser.close();
  console.log(JSON.stringify(said));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

// Leaves the list of runs open in a browser, as somebody does. Its argument, as JSON, says at which `url` the viewer is, which
// `run` is there already, and where the `browser` is. Says `open` once the page is told of what is new; when it has announced a run,
// shows it and prints the page.
const { chromium } = require('playwright-core');

async function main() {
  const { url, run, browser: executablePath } = JSON.parse(process.argv[2]);
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  const page = await browser.newPage();
  page.setDefaultTimeout(60_000);
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
  const told = page.waitForResponse((response) => new URL(response.url()).pathname.endsWith('/api/live'));
  await page.goto(url);
  await told;
  await page.getByRole('link', { name: run, exact: true }).waitFor();
  console.log('open');
  await page.getByRole('button', { name: '1 new – show' }).click();
  await page.getByRole('button', { name: 'new – show' }).waitFor({ state: 'detached' });
  console.log(JSON.stringify({ text: await page.innerText('body'), complaints }));
  await browser.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

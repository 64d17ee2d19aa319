// What readers do with one run, a scene for each test.

import assert from 'node:assert/strict';
import { at, SIZES } from './stage.mjs';

/** The best-known questions about a loan, each answered without scrolling. */
export async function loan(stage) {
  const { page } = stage;
  await stage.open();
  assert.ok(stage.requests() <= 10, `${stage.requests()} requests for the first page`);
  await page.getByRole('link', { name: 'loan-1036', exact: true }).click();
  const verdict = page.getByRole('heading', { level: 2 }).first();
  await verdict.waitFor();
  for (const [what, locator] of [
    ['the symptom', verdict],
    ['the innermost cause', page.getByText('because: no register is kept for a boat').first()],
    ['where it happened', page.locator('.origin').getByRole('link', { name: 'stage:register-collateral', exact: true })],
    ['the verdict on the compensation', page.getByText('1 of 2 steps undone')],
    ['why it failed', page.getByText('the treasury has frozen the reservation').first()],
    ['what is orphaned', page.getByText('Orphaned: reservation r-loan-1036')],
    ['the decision that led there', page.locator('.decision', { hasText: 'chose secured' }).getByText('led to the cause')],
    ['the waterfall', page.getByRole('treeitem').first()],
  ]) {
    assert.ok(await stage.isInSight(locator), `${what} is in sight`);
  }
  await stage.shot('loan-1600');
  // What the headline says is not said again below it.
  const sentence = 'failed with LoanError::CollateralRefused: the registry refuses the collateral';
  assert.equal((await page.locator('.verdict .card').first().textContent()).split(sentence).length - 1, 1);
  // All evidence is there, also that of the good runs that it was compared with.
  const address = page.url();
  const evidence = await page.locator('.statements a, .origin a').evaluateAll((links) => links.map((link) => link.getAttribute('href')));
  assert.ok(evidence.some((link) => !link.startsWith(new URL(address).hash)), 'some of it is in another run');
  const more = page.getByRole('button', { name: /more pieces of evidence/ });
  const hidden = (await more.allTextContents()).reduce((sum, text) => sum + Number(text.slice(1)), 0);
  while ((await more.count()) > 0) await more.first().click();
  assert.equal(await page.locator('.statements a, .origin a').count(), evidence.length + hidden);
  for (const link of evidence) {
    await stage.open(link);
    await page.locator('.details h2').waitFor();
  }
  await page.goto(address);
  await stage.settled();
  await page.getByRole('button', { name: 'From the last good run' }).click();
  const difference = page.getByRole('region', { name: 'Difference' });
  await difference.getByRole('link', { name: 'loan-59' }).waitFor();
  await stage.shot('difference-1600');
  await difference.getByText(/failed, .*CollateralRefused, with \d+ spans inside/).waitFor();
  await stage.shot('difference-1600');
  await page.getByRole('link', { name: 'Patterns' }).click();
  const bar = page.getByRole('region', { name: 'Where runs fail, by cause' }).getByRole('link');
  await bar.waitFor();
  assert.equal(await bar.textContent(), 'stage:register-collateral');
  assert.ok(await stage.isInSight(bar));
  await bar.click();
  await page.getByRole('link', { name: 'loan-1036', exact: true }).waitFor();
  assert.equal(await page.locator('tbody tr').count(), 1, 'the bar leads to its runs');
}

/** A run that is at work. */
export async function live(stage) {
  const { page, given } = stage;
  await stage.open(`#/run/${given.open}`);
  await page.locator('.bar.open').first().waitFor();
  await page.locator('.head .state.running').waitFor();
  await at('at work');
  await page.locator('.head .state.cancelled').waitFor();
  assert.equal(await page.locator('.at-work').count(), 0);
}

/** A run in which nothing happens, and of which nobody tells. */
export async function grows(stage) {
  const { page, given } = stage;
  await stage.open(`#/run/${given.open}`);
  assert.match(await page.locator('.rows .bar.open').first().evaluate((bar) => getComputedStyle(bar).backgroundImage), /repeating-linear-gradient/);
  // It grows although nothing happens in it, and nobody is asked.
  let asked = 0;
  page.on('request', (request) => {
    if (request.url().includes('/api/runs/')) asked += 1;
  });
  const growing = ['.rows .took', '.ticks', '.headline', '.statements .at-work'];
  const shown = () => Promise.all(growing.map((part) => page.locator(part).first().textContent()));
  const before = await shown();
  assert.match(before[0], /…$/);
  assert.match(before[2], /it has been running for \d/);
  assert.match(before[3], /stage:manual-review has been at work for \d/);
  for (const [at, part] of growing.entries()) {
    await page.waitForFunction(([part, before]) => document.querySelector(part).textContent !== before, [part, before[at]]);
  }
  assert.equal(asked, 0);
}

/** A run that began another. */
export async function family(stage) {
  const { page, given } = stage;
  await stage.open(`#/run/${given.order}`);
  await page.getByRole('region', { name: 'Input' }).getByText('{"items":3}').waitFor();
  const began = page.getByRole('treeitem', { name: /child:began.*bill-7.*failed/ });
  const charge = page.getByRole('treeitem', { name: /^stage:charge/ });
  const details = page.getByRole('complementary');
  assert.equal(await began.getAttribute('aria-expanded'), 'false');
  await began.locator('.fold').click();
  await charge.waitFor();
  // What the bill did lies within the step of the order that began it, also in time.
  const box = async (name) => page.getByRole('treeitem', { name }).locator('.bar').boundingBox();
  const [outer, inner] = [await box(/stage:bill/), await box(/stage:charge/)];
  assert.ok(inner.x >= outer.x - 3 && inner.x + inner.width <= outer.x + outer.width + 3, `${JSON.stringify({ outer, inner })}`);
  await charge.click();
  await details.locator('.failure', { hasText: 'the card was declined' }).waitFor();
  await page.reload();
  await stage.settled();
  await details.locator('.failure', { hasText: 'the card was declined' }).waitFor();
  assert.match(page.url(), new RegExp(`open=${given.bill}`), 'it is in the address');
  // Other views show the same, and the search looks there, too.
  await page.getByRole('link', { name: 'Timeline' }).click();
  await page.getByRole('button', { name: 'stage:charge' }).first().waitFor();
  await page.getByRole('link', { name: 'Graph', exact: true }).click();
  await page.getByRole('button', { name: /^stage:charge/ }).waitFor();
  await page.getByRole('link', { name: 'Waterfall' }).click();
  await page.getByLabel('Search in the run').fill('declined');
  await page.getByRole('status').getByText(/\d+ hits/).waitFor();
  await page.getByLabel('Search in the run').fill('');
  await page.getByLabel(/child runs/).uncheck();
  await charge.waitFor({ state: 'detached' });
  // The same by keys.
  await began.click();
  await page.keyboard.press('l');
  await charge.waitFor();

  // From the bill to its order, in which it is shown in place.
  await stage.open(`#/run/${given.bill}`);
  await page.getByRole('heading', { level: 1, name: 'bill-7' }).waitFor();
  await page.getByRole('link', { name: /order-7.*began this run/ }).click();
  await page.getByRole('heading', { level: 1, name: 'order-7' }).waitFor();
  await charge.waitFor();
  for (const theme of ['light', 'dark']) {
    await stage.theme(theme);
    assert.deepEqual(await stage.violations(), []);
    await stage.picture(`family-${theme}-1600`);
  }
}

/** What was logged in a run. */
export async function logs(stage) {
  const { page, given } = stage;
  await stage.open(`#/run/${given.failed}`);
  await page.getByRole('link', { name: 'Logs' }).click();
  const logs = page.getByRole('region', { name: 'Logs' });
  const lines = logs.locator('tbody tr');
  await page.waitForFunction(() => document.querySelectorAll('.log tbody tr').length === 3);
  const all = await logs.textContent();
  assert.ok(all.includes('Refused mail from [redacted:email]') && !all.includes('ada@'), 'secrets are replaced');
  assert.ok(all.includes(given.text), 'the hostile text is shown as text');
  assert.ok(!all.includes('of another run'));
  await stage.shot('logs-1600');
  await logs.getByLabel('at least').selectOption('error');
  assert.equal(await lines.count(), 1);
  await logs.getByText('2 other lines are hidden.').waitFor();
  await logs.getByLabel('at least').selectOption('trace');
  await logs.getByLabel('Search in the log').fill('FILE is');
  assert.match(await lines.allTextContents().then((found) => found.join('\n')), /^.*the file is open.*$/);
  await logs.getByLabel('Search in the log').fill('');
  // A line leads to its span, and the span has its line.
  await logs.getByRole('button', { name: 'stage:register-collateral' }).click();
  const details = page.getByRole('complementary');
  await details.getByText('Logged in it (1)').waitFor();
  await details.getByText('the registry answered').waitFor();
  assert.match(await logs.locator('tr.selected').textContent(), /the registry answered/);
  for (const theme of ['light', 'dark']) {
    await stage.theme(theme);
    assert.deepEqual(await stage.violations(), []);
  }
  assert.equal(await page.evaluate(() => globalThis.hit), undefined);
  // A run of which nothing was logged says where lines come from.
  await stage.open(`#/run/${given.quiet}?view=logs`);
  await page.getByText('Nothing was logged in this run').waitFor();
  await page.getByText(/1 log file of its time was searched for its id|0 log files of its time were searched/).waitFor();
}

/** What a reader takes along. */
export async function copies(stage) {
  const { page, given } = stage;
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  const copied = async (button) => {
    await page.evaluate(() => navigator.clipboard.writeText(''));
    await button.click();
    await page.waitForFunction(async () => (await navigator.clipboard.readText()) !== '');
    await page.getByRole('button', { name: 'Copied' }).first().waitFor();
    return page.evaluate(() => navigator.clipboard.readText());
  };
  await stage.open(`#/run/${given.failed}`);
  const head = page.locator('.head');
  assert.equal(await copied(head.getByRole('button', { name: 'Copy id' })), given.failed);
  assert.equal(await copied(head.getByRole('button', { name: 'Copy command' })), `throughline why ${given.failed}`);
  const line = await copied(head.getByRole('button', { name: 'Copy as one line' }));
  assert.equal(line, await page.locator('.headline').textContent());
  assert.ok(!line.includes('\n'));
  // Everything of a span, in place and to take along.
  await page.locator('.row.is-cause').click();
  const details = page.getByRole('complementary');
  await details.getByRole('heading', { name: 'Input' }).waitFor();
  await details.getByText('because: no register is kept for a boat').waitFor();
  await details.getByText('decided by').waitFor();
  await details.locator('summary').click();
  await details.getByText('"event_type": "stage:register-collateral"').first().waitFor();
  await head.getByRole('button', { name: 'Copy as one line' }).waitFor();
  assert.match(await copied(details.getByRole('button', { name: 'Copy as one line' })), /^stage:register-collateral: failed with LoanError::CollateralRefused: [^\n]+$/);
  const events = JSON.parse(await copied(details.getByRole('button', { name: 'Copy JSON' })));
  assert.equal(events[0].event_type, 'stage:register-collateral');
  const link = await copied(details.getByRole('button', { name: 'Copy link' }));
  await page.goto('about:blank');
  await page.goto(link);
  await page.locator('.row.selected.is-cause').waitFor();
  assert.equal(await page.getByText('by 0.19 over unsecured').count(), 1, 'the margin of the decision');
  // A link to another span leads there.
  await details.getByRole('link', { name: 'ai:collateral' }).click();
  await details.getByRole('heading', { name: 'ai:collateral' }).waitFor();
  // The difference from another run under its key, or from any other.
  const difference = page.getByRole('region', { name: 'Difference' });
  await difference.getByRole('button', { name: /^From the run of 20/ }).click();
  await difference.getByRole('link', { name: 'loan-1036' }).waitFor();
  const other = difference.getByLabel('Run to compare with, by its key or id');
  const compare = async (run) => {
    await other.fill(run);
    await other.press('Enter');
  };
  await compare(given.other.slice(0, 20));
  await difference.getByRole('link', { name: 'loan-1037' }).waitFor();
  stage.expects(/404/);
  await compare('nobody');
  await difference.getByRole('alert').getByText('no other run has this key').waitFor();
  await compare('loan-1037');
  await difference.getByRole('link', { name: 'loan-1037' }).waitFor();
}

/** A run that is taken along, and read where there is neither the service nor a network. */
export async function saved(stage) {
  const { page, given } = stage;
  await stage.open(`#/run/${given.failed}`);
  const download = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Save as one file' }).click();
  const file = await download;
  assert.equal(file.suggestedFilename(), 'loan-1036.html');
  await file.saveAs(given.file);
  await page.context().setOffline(true);
  const alone = await page.context().newPage();
  const wrong = [];
  alone.on('request', (request) => {
    if (!request.url().startsWith('file:')) wrong.push(request.url());
  });
  alone.on('console', (message) => wrong.push(message.text()));
  await alone.goto(`file://${given.file}`);
  await alone.getByText('the registry refuses the collateral').first().waitFor();
  assert.equal(await alone.title(), 'loan-approval loan-1036');
  assert.deepEqual(wrong, []);
  await page.context().setOffline(false);
}

/** A compensation whose end nobody knows. */
export async function doubt(stage) {
  const { page, given } = stage;
  await stage.open(`#/run/${given.run}`);
  const ledger = page.getByRole('region', { name: 'Compensation' });
  await ledger.getByText(/1 of 1 steps undone.*; 1 in doubt/).waitFor();
  assert.match(await ledger.locator('tr', { hasText: 'stage:reserve-funds' }).textContent(), /in doubt.*reservation of the loan/);
  await ledger.getByRole('link', { name: 'stage:reserve-funds' }).first().click();
  await page.getByRole('complementary').getByRole('heading', { name: 'stage:reserve-funds' }).waitFor();
}

/** What each saga of a run undid, and in which order. */
export async function sagas(stage) {
  const { page, given } = stage;
  await stage.open(`#/run/${given.run}`);
  const ledger = page.getByRole('region', { name: 'Compensation' });
  await ledger.waitFor();
  assert.deepEqual(await ledger.locator('p').allTextContents(), [
    'saga:stock: 1 of 1 steps undone, in 4 ms',
    'saga:payment: 2 of 2 steps undone, in 8 ms',
    'saga:shipping: 1 of 2 steps undone, in 4 ms',
    'Orphaned: courier k-1 of stage:call-courier',
    'Of a step that is not known: compensate:unknown ✓ succeeded',
  ]);
  const states = await ledger.locator('tbody tr').evaluateAll((rows) => rows.map((row) => [row.querySelector('.state').textContent.trim(), row.querySelector('a').textContent]));
  assert.deepEqual(states, [
    ['✓ compensated', 'stage:reserve-shelf'],
    ['✓ compensated', 'stage:charge-card'],
    ['⇅ out of order', 'stage:hold-amount'],
    ['✗ missing', 'stage:call-courier'],
    ['✓ compensated', 'stage:print-label'],
  ]);
  const wrong = ledger.locator('tr', { hasText: 'stage:hold-amount' });
  assert.match(await wrong.textContent(), /undone before stage:charge-card, which ran after it/);
  // A step leads to what undid it, and from there to the step; what should have come first leads to itself.
  const details = page.getByRole('complementary');
  await wrong.getByRole('link', { name: 'stage:hold-amount' }).click();
  await details.getByRole('heading', { name: 'compensate:hold-amount' }).waitFor();
  await details.getByRole('link', { name: 'stage:hold-amount' }).click();
  await details.getByRole('heading', { name: 'stage:hold-amount' }).waitFor();
  await wrong.getByRole('link', { name: 'stage:charge-card' }).click();
  await details.getByRole('heading', { name: 'stage:charge-card' }).waitFor();
  assert.deepEqual(await stage.violations(), []);
  for (const [width, height] of SIZES) {
    await page.setViewportSize({ width, height });
    assert.equal(await stage.spilt(), 0, `at ${width} px`);
    await stage.picture(`sagas-light-${width}`);
  }
}

// What readers do, a scene for each test.

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
    ['where it happened', page.locator('.origin').getByRole('link', { name: 'stage:register-collateral' })],
    ['the verdict on the compensation', page.getByText('1 of 2 steps undone')],
    ['why it failed', page.getByText('the treasury has frozen the reservation').first()],
    ['what is orphaned', page.getByText('Orphaned: reservation r-loan-1036')],
    ['the decision that led there', page.locator('.decision', { hasText: 'chose secured' }).getByText('led to the cause')],
    ['the waterfall', page.getByRole('treeitem').first()],
  ]) {
    assert.ok(await stage.isInSight(locator), `${what} is in sight`);
  }
  await stage.shot('loan-1600');
  // All evidence is there, also that of the good runs that it was compared with.
  const address = page.url();
  const evidence = await page.locator('.statements a').evaluateAll((links) => links.map((link) => link.getAttribute('href')));
  assert.ok(evidence.some((link) => !link.startsWith(new URL(address).hash)), 'some of it is in another run');
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

/** Every page, in every width and both themes. */
export async function pages(stage) {
  const { page, given } = stage;
  const wrong = [];
  const addresses = {
    runs: '#/runs',
    failed: `#/run/${given.failed}`,
    open: `#/run/${given.open}`,
    running: '#/running',
    patterns: '#/patterns?since=all',
    library: '#/library',
    timeline: `#/run/${given.failed}?view=timeline`,
    graph: `#/run/${given.failed}?view=graph`,
    heatmap: '#/patterns?since=all&stage=stage:credit-score',
    nothing: '#/runs?workflow=none',
    nowhere: '#/nowhere',
  };
  for (const [name, address] of Object.entries(addresses)) {
    await page.setViewportSize({ width: 1600, height: 1000 });
    await stage.open(address);
    if (name === 'failed') {
      await page.locator('.origin a').click();
      await page.locator('.details h2').waitFor();
      await page.locator('.details summary').click();
    }
    for (const theme of ['light', 'dark']) {
      await stage.theme(theme);
      for (const [width, height] of SIZES) {
        await page.setViewportSize({ width, height });
        const spills = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (name === 'runs') {
          for (const column of ['Run', 'Cause, or current step', 'Took']) {
            if (!(await page.getByRole('columnheader', { name: column }).isVisible())) wrong.push(`${column} is not shown at ${width} px`);
          }
        }
        if (spills > 0) wrong.push(`${name} spills over ${width} px by ${spills}`);
        if (width <= 1600) await stage.shot(`${name}-${theme}-${width}`);
        if (width !== 1000) wrong.push(...(await stage.violations()).map((found) => `${name} ${theme} ${width}: ${found}`));
      }
    }
    await stage.theme('auto');
  }
  await page.setViewportSize({ width: 1600, height: 1000 });
  await stage.open('#/runs');
  await page.keyboard.press('?');
  await page.getByRole('dialog').getByText('open the run').waitFor();
  wrong.push(...(await stage.violations()).map((found) => `help: ${found}`));
  await stage.shot('help');
  await page.keyboard.press('Escape');
  assert.deepEqual(wrong, []);
}

/** The list. */
export async function list(stage) {
  const { page } = stage;
  await stage.open();
  const rows = page.locator('tbody tr');
  const names = page.locator('tbody th');
  assert.equal(await rows.count(), 50);
  await page.getByRole('link', { name: 'Older' }).click();
  await page.getByText('which is all').waitFor();
  assert.equal(await rows.count(), 12, 'the page after the first has the rest');
  await page.goBack();
  await page.getByRole('link', { name: 'Older' }).waitFor();

  await page.getByRole('link', { name: /^Failed/ }).click();
  await page.waitForURL(/state=failed/);
  await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 1);
  assert.match(await rows.first().textContent(), /loan-1036.*CollateralRefused/);
  await page.reload();
  await stage.settled();
  assert.equal(await rows.count(), 1, 'all of it is in the address');

  // Every view and every time is a click away.
  for (const [name, found] of [['Running', 1], ['Orphaned resources', 1], ['Stuck', 0], ['Interrupted', 0]]) {
    await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: new RegExp(`^${name}`) }).click();
    await page.waitForFunction((found) => document.querySelectorAll('tbody tr').length === found, found);
    await stage.settled();
  }
  await page.getByRole('link', { name: /^All/ }).click();
  for (const time of ['1h', 'today', '24h', '']) {
    await page.locator('form.search select').first().selectOption(time);
    await page.waitForFunction((time) => (new URLSearchParams(location.hash.split('?')[1]).get('since') ?? '') === time, time);
    await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 50);
  }
  await page.keyboard.press('/');
  await page.keyboard.type('REFUSES the coll');
  await page.waitForURL(/q=REFUSES/);
  await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 1);
  await page.getByRole('searchbox').fill('no such thing');
  await page.getByRole('heading', { name: 'No run matches' }).waitFor();
  await page.getByRole('link', { name: 'Show all runs' }).click();
  await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 50);

  await page.getByText('Filter', { exact: true }).click();
  await page.getByLabel('What to filter by').selectOption('key');
  await page.getByLabel('Value of the filter').fill('loan-7');
  await page.getByRole('button', { name: 'Add' }).click();
  await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 1);
  await page.getByRole('link', { name: 'Remove the filter key loan-7' }).click();
  await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 50);

  // News are announced, and what is under the cursor stays.
  const before = await names.allTextContents();
  await at('watching');
  await page.getByRole('button', { name: '3 new – show' }).waitFor();
  assert.deepEqual(await names.allTextContents(), before);
  await page.getByRole('button', { name: '3 new – show' }).click();
  await page.waitForFunction(() => document.querySelector('tbody th')?.textContent === 'new-2');
  assert.equal(await page.getByRole('button', { name: 'new – show' }).count(), 0);

  await page.keyboard.press('j');
  await page.keyboard.press('j');
  await page.keyboard.press('k');
  assert.match(await page.locator('tr.selected').textContent(), /new-1/);
  await page.keyboard.press('l');
  await page.getByRole('heading', { name: 'new-1' }).waitFor();
  await page.keyboard.press('h');
  await page.getByRole('link', { name: 'Older' }).waitFor();
  await page.keyboard.press('f');
  await page.waitForURL(/state=failed/);

  await page.getByLabel('Times').selectOption('relative');
  await page.locator('time', { hasText: /ago|now/ }).first().waitFor();
}

/** A page that is not connected while something happens. */
export async function gap(stage) {
  const { page } = stage;
  let isCut = true;
  await page.route('**/api/live*', (route) => (isCut ? route.abort() : route.continue()));
  stage.expects(/ERR_FAILED/);
  await stage.open();
  const rows = page.locator('tbody tr');
  const names = page.locator('tbody th');
  const before = await names.allTextContents();
  await at('before-the-first');
  isCut = false;
  await page.getByRole('button', { name: '1 new – show' }).waitFor();
  assert.deepEqual(await names.allTextContents(), before);
  await page.getByRole('button', { name: '1 new – show' }).click();
  await page.waitForFunction(() => document.querySelector('tbody th')?.textContent === 'before-the-first');
}

/** The waterfall of a run. */
export async function waterfall(stage) {
  const { page, given } = stage;
  await stage.open(`#/run/${given.failed}`);
  const items = page.getByRole('treeitem');
  const all = await items.count();
  assert.ok(all >= 7, `${all} spans`);
  assert.match(await page.locator('.row.is-cause').textContent(), /cause.*stage:register-collateral/);

  // The cause, with everything that was recorded of it, under an address that leads there again.
  await page.keyboard.press('f');
  await page.waitForURL(/span=/);
  const details = page.getByRole('complementary');
  await details.getByText('LoanError::CollateralRefused', { exact: true }).waitFor();
  await details.getByText('"collateral": "boat"').first().waitFor();
  await page.reload();
  await stage.settled();
  await details.getByText('because: no register is kept for a boat').waitFor();
  assert.equal(await page.locator('.row.selected.is-cause').count(), 1);
  await page.keyboard.press('Escape');
  await details.waitFor({ state: 'detached' });

  await page.keyboard.press('/');
  await page.keyboard.type('needle');
  await page.getByText('1 hit').waitFor();
  await page.keyboard.press('Enter');
  await page.waitForURL(/span=/);
  assert.match(await page.locator('.row.selected.hit').textContent(), /stage:open-file/);
  await page.keyboard.press('Escape');
  await page.getByLabel('Search in the run').fill('');

  await page.getByLabel('hide successes').check();
  assert.ok((await items.count()) < all, 'successes are hidden');
  await page.getByLabel('hide successes').uncheck();

  await items.first().click();
  await page.keyboard.press('h');
  await page.waitForFunction(() => document.querySelectorAll('[role=treeitem]').length === 1);
  await page.keyboard.press('l');
  await page.waitForFunction((all) => document.querySelectorAll('[role=treeitem]').length === all, all);

  const width = async () => (await page.locator('.row').first().locator('.bar').first().boundingBox())?.width ?? 0;
  const whole = await page.locator('.ticks').textContent();
  await page.keyboard.press('+');
  await page.keyboard.press('+');
  assert.notEqual(await page.locator('.ticks').textContent(), whole, 'the scale is that of a part');
  await page.keyboard.press(']');
  await page.keyboard.press('0');
  assert.equal(await page.locator('.ticks').textContent(), whole);
  const scale = await page.locator('.ticks').boundingBox();
  await page.mouse.move(scale.x + scale.width * 0.2, scale.y + 5);
  await page.mouse.down();
  await page.mouse.move(scale.x + scale.width * 0.4, scale.y + 5, { steps: 4 });
  await page.mouse.up();
  assert.notEqual(await page.locator('.ticks').textContent(), whole, 'what was brushed over is shown');
  assert.ok((await width()) > 0);
  await page.getByRole('button', { name: 'All', exact: true }).click();
  await page.mouse.move(scale.x + scale.width * 0.5, scale.y + 60);
  await page.keyboard.down('Control');
  await page.mouse.wheel(0, -300);
  await page.keyboard.up('Control');
  await page.waitForFunction((whole) => document.querySelector('.ticks').textContent !== whole, whole);

  // Evidence leads to its span.
  await page.locator('.statements a').first().click();
  await details.waitFor();

  // Attempts share a row, and each has its number.
  await stage.open(`#/run/${given.retried}`);
  const tries = page.getByRole('treeitem', { name: /×2 attempts/ });
  await tries.waitFor();
  assert.equal(await tries.locator('.bar').count(), 2);

  // Steps of a second, with an hour between them, are seen for what they are once the hours are folded away.
  await stage.open(`#/run/${given.patient}`);
  const step = page.getByRole('treeitem', { name: /stage:remind/ }).locator('.bar');
  const folded = (await step.boundingBox()).width;
  assert.equal(await page.locator('.row').first().locator('.idle').count(), 2);
  await page.keyboard.press('i');
  await page.locator('.idle').first().waitFor({ state: 'detached' });
  const unfolded = (await step.boundingBox()).width;
  assert.ok(folded > 20 * unfolded, `${folded} px folded, ${unfolded} px unfolded`);
}

/** The same spans in the order of time, and as the graph that happened. */
export async function views(stage) {
  const { page, given } = stage;
  await stage.open(`#/run/${given.failed}`);
  await page.getByRole('region', { name: 'Waterfall' }).waitFor();
  await page.getByRole('link', { name: 'Timeline' }).click();
  const timeline = page.getByRole('region', { name: 'Timeline' });
  const moments = await timeline.locator('tbody tr').allTextContents();
  const place = (text) => moments.findIndex((moment) => text.test(moment));
  const [reserved, refused, undone] = [/began.*stage:reserve-funds/, /failed.*stage:register-collateral/, /failed.*compensate:reserve-funds/].map(place);
  assert.ok(reserved >= 0 && reserved < refused && refused < undone, moments.join('\n'));
  await timeline.getByRole('button', { name: 'stage:register-collateral' }).first().click();
  const details = page.getByRole('complementary');
  await details.getByText('because: no register is kept for a boat').waitFor();
  await stage.shot('timeline');
  await page.keyboard.press('j');
  await page.waitForFunction(() => !document.querySelector('.details h2')?.textContent.includes('register-collateral'));
  await page.keyboard.press('f');

  // The selection stays what it is in another view.
  await page.getByRole('link', { name: 'Graph' }).click();
  const graph = page.getByRole('region', { name: 'Graph', exact: true });
  const cause = graph.getByRole('button', { name: /stage:register-collateral.*cause/ });
  assert.equal(await cause.getAttribute('aria-pressed'), 'true');
  await details.getByText('because: no register is kept for a boat').waitFor();
  assert.ok((await graph.locator('path.led').count()) > 0, 'the decision is joined with what followed');
  await graph.getByRole('button', { name: /^stage:reserve-funds/ }).click();
  await details.getByRole('heading', { name: 'stage:reserve-funds' }).waitFor();
  await page.reload();
  await stage.settled();
  await details.getByRole('heading', { name: 'stage:reserve-funds' }).waitFor();
  assert.match(page.url(), /view=graph/);
  await stage.shot('graph');
  // Evidence leads to its span in the view that is shown.
  await page.locator('.origin a').click();
  await page.waitForFunction(() => document.querySelector('.graph .is-cause')?.getAttribute('aria-pressed') === 'true');
  await page.getByRole('link', { name: 'Waterfall' }).click();
  await page.locator('.row.selected.is-cause').waitFor();

  // Spans of one name are one box, however many there are.
  await stage.open(`#/run/${given.large}?view=graph`);
  await graph.getByRole('button', { name: /stage:page.*×2,999, 1 failed/ }).waitFor();
  await stage.open(`#/run/${given.large}?view=timeline`);
  await page.getByText('1 to 300 of 6,000 moments').waitFor();
  await page.getByRole('button', { name: 'Later' }).click();
  await page.getByText('301 to 600 of 6,000 moments').waitFor();
}

/** Which spans of a stage are slow, and what is different about them. */
export async function heatmap(stage) {
  const { page } = stage;
  await stage.open('#/patterns?since=all');
  await page.getByRole('link', { name: 'heatmap of stage:ship' }).click();
  const chart = page.locator('.heatmap .cells');
  await chart.waitFor();
  assert.ok((await page.locator('.heatmap .cell').count()) > 2);
  const area = await chart.boundingBox();
  // The upper half: those that took long.
  await page.mouse.move(area.x + 2, area.y + 2);
  await page.mouse.down();
  await page.mouse.move(area.x + area.width - 2, area.y + area.height / 2, { steps: 5 });
  await page.mouse.up();
  const found = page.getByRole('region', { name: 'What is different in the region' });
  const first = found.locator('tbody tr').first();
  await first.waitFor();
  assert.match(await first.textContent(), /carrier.*post.*100 % \(10\).*0 % \(0\)/);
  await stage.shot('heatmap');
  assert.deepEqual(await stage.violations(), []);
  // The same by keys: a row of the table behind the chart.
  await page.getByText('The same as a table').click();
  await page.getByRole('button', { name: / to / }).last().press('Enter');
  await page.waitForFunction(() => document.querySelector('[aria-label="What is different in the region"]')?.textContent.includes('air'));
  await found.getByRole('link').first().click();
  await page.getByRole('complementary').getByRole('heading', { name: 'stage:ship' }).waitFor();
}

/** A run that is at work. */
export async function live(stage) {
  const { page, given } = stage;
  await stage.open(`#/run/${given.open}`);
  await page.locator('.bar.open').first().waitFor();
  await page.locator('.head .state.running').waitFor();
  await at('at work');
  await page.locator('.head .state.cancelled').waitFor();
}

/** What runs now. */
export async function running(stage) {
  const { page, given } = stage;
  await stage.open('#/running');
  await page.getByText('Not safe to deploy: 3 running, 0 stuck, 0 interrupted.').waitFor();
  await page.getByText('A deployment would cut short 3 runs, of which 2 can be resumed.').waitFor();
  const row = (name) => page.locator('.open-runs tbody tr', { hasText: name });
  const waiting = await row('loan-1040').textContent();
  assert.match(waiting, /stage:manual-review/);
  assert.match(waiting, /for \d.* usually .*, p95 .* longer than usual/, 'the step has reviews to be compared with');
  assert.match(waiting, /cuts it short; can be resumed/);
  assert.match(await row('loan-1041').textContent(), /stage:credit-score attempt 2.*next retry in \d/);
  assert.match(await row('http:request').textContent(), /cuts it short for good/);
  const processes = page.getByRole('region', { name: 'Processes and their leases' });
  assert.match(await processes.locator('tbody tr').textContent(), new RegExp(`pid ${given.pid}.*held.*last sign of life.*loan-service.*3$`));
  await stage.shot('running-1600');
  // Each run leads to the step that it is in.
  await page.getByRole('link', { name: 'loan-1040' }).click();
  await page.getByRole('complementary').getByRole('heading', { name: 'stage:manual-review' }).waitFor();
  // The list says it, too.
  await stage.open();
  await page.locator('tbody tr', { hasText: 'loan-1041' }).getByText('attempt 2').waitFor();
  assert.match(await page.locator('tbody tr', { hasText: 'loan-1040' }).textContent(), /stage:manual-review.*…$/);
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
  await stage.shot('family-1600');
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
  assert.deepEqual(await stage.violations(), []);
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
}

/** What a reader takes along. */
export async function copies(stage) {
  const { page, given } = stage;
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  const copied = async (button) => {
    await button.click();
    await page.getByRole('button', { name: 'Copied' }).waitFor();
    const text = await page.evaluate(() => navigator.clipboard.readText());
    await page.getByRole('button', { name: 'Copied' }).waitFor({ state: 'detached' });
    return text;
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
  assert.match(await copied(details.getByRole('button', { name: 'Copy as one line' })), /^stage:register-collateral: failed with LoanError::CollateralRefused: [^\n]+$/);
  const events = JSON.parse(await copied(details.getByRole('button', { name: 'Copy JSON' })));
  assert.equal(events[0].event_type, 'stage:register-collateral');
  const link = await copied(details.getByRole('button', { name: 'Copy link' }));
  await page.goto('about:blank');
  await page.goto(link);
  await page.locator('.row.selected.is-cause').waitFor();
  assert.equal(await page.getByText('by 0.19 over unsecured').count(), 1, 'the margin of the decision');
  assert.ok((await page.locator('.bar.critical').count()) > 0, 'the critical path is marked');
  // What is short, and any other run.
  const rows = await page.getByRole('treeitem').count();
  await page.getByLabel('hide short').check();
  assert.ok((await page.getByRole('treeitem').count()) <= rows);
  const difference = page.getByRole('region', { name: 'Difference' });
  await difference.getByLabel('Id of the run to compare with').fill(given.other);
  await page.keyboard.press('Enter');
  await difference.getByRole('link', { name: 'loan-1037' }).waitFor();
}

/** What runs have in common, and how the library does. */
export async function patterns(stage) {
  const { page } = stage;
  const runs = async (expected, what) => {
    await page.waitForURL(/#\/runs/);
    await page.waitForFunction((expected) => document.querySelectorAll('tbody tr').length === expected, expected);
    assert.match(await page.locator('tbody').textContent(), /loan-/, what);
    await page.goBack();
    await page.getByRole('heading', { level: 1, name: 'Patterns' }).waitFor();
    await stage.settled();
  };
  await stage.open('#/patterns');
  await page.getByRole('link', { name: '1 of 61 finished runs failed' }).click();
  await runs(1, 'the rate');
  await page.getByRole('link', { name: /runs began to compensate/ }).click();
  await runs(1, 'the rate of compensation');
  await page.getByRole('region', { name: 'Failures over time' }).getByRole('link', { name: /: 1 of \d+ failed/ }).click();
  await runs(1, 'a bar');
  await page.getByRole('region', { name: 'Slow stages' }).getByRole('link', { name: 'stage:credit-score', exact: true }).click();
  await runs(50, 'a stage');
  const outcomes = page.getByRole('region', { name: 'How decisions turned out' });
  await outcomes.getByText(/100 % \(95 % interval \d+ % to 100 %\)/).waitFor();
  await outcomes.getByRole('link', { name: 'ai:collateral' }).click();
  await runs(1, 'a decision');
  await page.getByRole('link', { name: 'last hour' }).click();
  await page.waitForURL(/since=1h/);

  await page.getByRole('link', { name: 'Library' }).click();
  await page.getByText(/The store answers in/).waitFor();
  await page.getByText('Pages are kept up to date as events arrive.').waitFor();
  const events = page.getByRole('region', { name: 'What became of the events' });
  const store = await events.locator('tbody tr').first().locator('td').allTextContents();
  assert.ok(Number(store[0].replaceAll(',', '')) > 300, `accepted ${store[0]}`);
  assert.deepEqual([store[1], store[2], store[3], store[4]], [store[0], '0', '0', 'works'], 'the ledger balances');
}

/** A run whose every field is an injection. */
export async function hostile(stage) {
  const { page, given } = stage;
  for (const address of ['', `#/run/${given.run}`, '#/patterns?since=all', '#/running', '#/library']) {
    await stage.open(address);
    for (const link of await page.locator('.decision a, .origin a').all()) await link.click();
    for (const summary of await page.locator('.details summary').all()) await summary.click();
    const found = await page.evaluate(() => ({
      hit: globalThis.hit,
      elements: document.querySelectorAll('img, main svg, main script, iframe, object').length,
      addresses: [...document.querySelectorAll('a')].map((link) => link.protocol).filter((protocol) => protocol !== 'http:'),
    }));
    assert.deepEqual(found, { hit: undefined, elements: 0, addresses: [] }, address);
  }
  await stage.open();
  assert.ok((await page.locator('tbody').textContent()).includes(given.text), 'the text is shown as text');
  // Back from a pattern to its runs, with a hostile name in the address.
  await stage.open('#/patterns?since=all');
  await page.locator('tbody a').first().click();
  await page.locator('tbody tr').first().waitFor();
  assert.equal(await page.evaluate(() => globalThis.hit), undefined);
}

/** Who has to say who they are. */
export async function token(stage) {
  const { page, given } = stage;
  await stage.open();
  await page.getByLabel('Token').fill('a wrong token of some length');
  await page.getByRole('button', { name: 'Open' }).click();
  await page.getByLabel('Token').fill(given.token);
  await page.getByRole('button', { name: 'Open' }).click();
  await page.getByRole('link', { name: 'loan-1', exact: true }).click();
  await page.getByRole('treeitem').first().waitFor();
  assert.ok(!page.url().includes('token'), page.url());
}

/** What somebody sees who may not see payloads. */
export async function restricted(stage) {
  const { page, given } = stage;
  for (const [address, shown] of [
    ['', 'LoanError::CollateralRefused'],
    [`#/run/${given.failed}`, 'stage:register-collateral'],
    ['#/running', 'Nothing is running'],
    ['#/patterns?since=all', 'Choices are not shown to you.'],
    ['#/library', 'memory'],
  ]) {
    await stage.open(address);
    await page.getByText('are not shown to you').first().waitFor();
    for (const item of await page.getByRole('treeitem').all()) {
      await item.click();
      await page.locator('.details h2').waitFor();
      await page.locator('.details summary').click();
    }
    const text = await page.locator('body').textContent();
    assert.ok(text.includes(shown), `${address} shows ${shown}`);
    for (const hidden of given.hidden) assert.ok(!text.includes(hidden), `${address} shows ${hidden}`);
  }
}

/** A large run: opened, searched, zoomed and panned. */
export async function large(stage) {
  const { page, given } = stage;
  page.setDefaultTimeout(180_000);
  await stage.open();
  const began = Date.now();
  await page.goto(`${given.url}#/run/${given.run}`);
  await page.getByRole('treeitem').first().waitFor();
  const opened = Date.now() - began;
  assert.ok((await page.getByRole('treeitem').count()) < 100, 'what is out of sight is not drawn');
  await page.keyboard.press('f');
  await page.locator('.row.selected.is-cause').waitFor();
  await page.keyboard.press('G');
  await page.locator('.row', { hasText: `stage:item-${given.spans - 2}` }).waitFor();
  const sought = `item-${Math.floor(given.spans / 3)}`;
  await page.getByLabel('Search in the run').fill(sought);
  await page.getByText(/^\d+ hits? /).waitFor();
  await page.getByLabel('Search in the run').press('Enter');
  await page.locator('.row.selected.hit', { hasText: sought }).waitFor();
  await page.getByLabel('Search in the run').fill('');
  await page.locator('.rows').focus();
  // Zoomed in and panned at each frame, as the browser itself traces it.
  for (let at = 0; at < 3; at += 1) await page.keyboard.press('+');
  const whole = await page.locator('.ticks').textContent();
  const frames = await stage.traced(() =>
    page.evaluate(
      () =>
        new Promise((done) => {
          const rows = document.querySelector('.rows');
          let left = 120;
          const step = () => {
            rows.scrollTop -= 240;
            rows.dispatchEvent(new WheelEvent('wheel', { deltaY: 12, shiftKey: true, cancelable: true }));
            left -= 1;
            if (left > 0) requestAnimationFrame(step);
            else done();
          };
          requestAnimationFrame(step);
        }),
    ),
  );
  assert.notEqual(await page.locator('.ticks').textContent(), whole, 'it was panned');
  assert.ok(frames.length > 10, 'the browser traced its frames');
  const sorted = frames.toSorted((a, b) => a - b);
  const of = (share) => sorted[Math.floor(sorted.length * share)].toFixed(1);
  const heap = Math.round((await stage.heap()) / (1 << 20));
  console.log(
    `a run of ${given.spans} spans is open after ${opened} ms with ${heap} MB in the page; panning draws ` +
      `${((1000 * frames.length) / frames.reduce((sum, one) => sum + one, 0)).toFixed(0)} frames a second, p50 ${of(0.5)} ms, p95 ${of(0.95)} ms`,
  );
  assert.ok(heap < given.megabytes, `${heap} MB`);
}

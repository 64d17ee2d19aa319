// What readers do with other pages, and with all of them, a scene for each test.

import assert from 'node:assert/strict';
import { at, LARGE, SIZES } from './stage.mjs';

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
    tree: `#/run/${given.failed}?view=tree`,
    timeline: `#/run/${given.failed}?view=timeline`,
    graph: `#/run/${given.failed}?view=graph`,
    heatmap: '#/patterns?since=all&stage=stage:credit-score',
    logs: `#/run/${given.failed}?view=logs`,
    difference: `#/run/${given.failed}`,
    nothing: '#/runs?workflow=none',
    nowhere: '#/nowhere',
  };
  for (const [name, address] of Object.entries(addresses)) {
    await page.setViewportSize({ width: 1600, height: 1000 });
    await stage.open(address);
    if (name === 'failed') {
      await page.locator('.origin > a').click();
      await page.locator('.details h2').waitFor();
      await page.locator('.details summary').last().click();
    }
    if (name === 'difference') {
      await page.getByRole('button', { name: 'From the last good run' }).click();
      await page.getByRole('region', { name: 'Difference' }).getByRole('table').waitFor();
    }
    if (name === 'heatmap') {
      await page.getByText('The same as a table').click();
      await page.getByRole('button', { name: / to / }).last().click();
      await page.getByRole('region', { name: 'What is different in the region' }).waitFor();
    }
    const spills = async (width) => {
      const spilt = await stage.spilt();
      if (spilt > 0) wrong.push(`${name} spills over ${width} px by ${spilt}`);
    };
    await page.setViewportSize({ width: LARGE[0], height: LARGE[1] });
    await spills(LARGE[0]);
    for (const theme of ['light', 'dark']) {
      await stage.theme(theme);
      for (const [width, height] of SIZES) {
        await page.setViewportSize({ width, height });
        await spills(width);
        if (name === 'runs') {
          for (const column of ['Run', 'Cause, or current step', 'Took']) {
            if (!(await page.getByRole('columnheader', { name: column }).isVisible())) wrong.push(`${column} is not shown at ${width} px`);
          }
        }
        await stage.picture(`${name}-${theme}-${width}`);
        // Colours are the same at any width, and what is where is the same in any colours.
        if (width === 1600 || (width === 360 && theme === 'light')) wrong.push(...(await stage.violations()).map((found) => `${name} ${theme} ${width}: ${found}`));
      }
    }
    await stage.theme('auto');
  }
  // Nothing moves by itself, whatever the reader has set.
  const moving = await page.evaluate(() => [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]).map((rule) => rule.cssText).filter((text) => /transition|animation|@keyframes/.test(text)));
  assert.deepEqual(moving, []);
  await page.setViewportSize({ width: 1600, height: 1000 });
  await stage.open('#/runs');
  await page.keyboard.press('?');
  await page.getByRole('dialog').getByText('open the run').waitFor();
  wrong.push(...(await stage.violations()).map((found) => `help: ${found}`));
  await stage.shot('help');
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'hidden' });
  // Where Escape has a meaning of its own, it is that of what is on top.
  await stage.open(`#/run/${given.failed}`);
  await page.keyboard.press('f');
  await page.locator('.details h2').waitFor();
  await page.keyboard.press('?');
  await page.getByRole('dialog').getByText('close the details').waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'hidden' });
  assert.equal(await page.locator('.details h2').count(), 1, 'what lies below is as it was');
  await page.keyboard.press('Escape');
  await page.locator('.details').waitFor({ state: 'detached' });
  assert.deepEqual(wrong, []);
}

/** Names without room are broken between their parts, and nothing is wider than the page. */
export async function narrow(stage) {
  const { page, given } = stage;
  const run = `#/run/${given.run}`;
  const wrong = [];
  const addresses = {
    runs: '#/runs',
    run,
    tree: `${run}?view=tree`,
    timeline: `${run}?view=timeline`,
    graph: `${run}?view=graph`,
    patterns: '#/patterns?since=all',
    heatmap: `#/patterns?since=all&stage=${encodeURIComponent(given.stage)}`,
    filtered: `#/runs?type=${encodeURIComponent(given.stage)}&key=${given.key}`,
    running: '#/running',
    library: '#/library',
  };
  for (const [width, height] of [[360, 740], [320, 640]]) {
    await page.setViewportSize({ width, height });
    for (const [name, address] of Object.entries(addresses)) {
      await stage.open(address);
      if (name === 'run') {
        await page.locator('.origin > a').click();
        await page.locator('.details h2').waitFor();
        const other = page.getByLabel('Run to compare with, by its key or id');
        await other.fill(given.other);
        await other.press('Enter');
        await page.locator('.compared').waitFor();
      }
      if (name === 'heatmap') {
        await page.getByText('The same as a table').click();
        await page.getByRole('button', { name: / to / }).first().click();
        await page.getByRole('region', { name: 'What is different in the region' }).waitFor();
      }
      const spilt = await stage.spilt();
      if (spilt > 0) wrong.push(`${name} spills over ${width} px by ${spilt}`);
      if (width === 320) continue;
      wrong.push(...(await stage.broken()).map((part) => `${name}: ${part}`));
      await stage.picture(`narrow-${name}`);
    }
  }
  assert.deepEqual(wrong, []);
}

/** Addresses that nobody would write, and times that no clock shows. */
export async function bounds(stage) {
  const { page, given } = stage;
  stage.expects(/40[04]/);
  await page.setViewportSize({ width: 360, height: 740 });
  for (const [address, text] of [
    ['#/runs?since=9999999999d', 'endless-1'],
    ['#/runs?since=banana', '`since` is a time'],
    ['#/runs?after=banana', 'is not a cursor for runs'],
    ['#/patterns?since=9999999999d', 'How runs end'],
    ['#/patterns?since=all&stage=stage:endless', 'ended'],
    ['#/running?after=banana', 'is not a cursor'],
    ['#/run', 'There is no such page'],
    ['#/run/', 'There is no such page'],
    ['#/run/..', 'This run can’t be shown'],
    ['#/run/%', 'This run can’t be shown'],
    [`#/run/${given.run.toUpperCase()}`, 'endless-1'],
    [`#/run/${given.run}?span=none`, 'a span is named by'],
    [`#/run/${given.run}?view=none&open=none`, 'stage:endless'],
    [`#/run/${given.run}?view=tree&open=${given.run}`, 'stage:endless'],
    [`#/run/${given.run}?view=timeline`, 'stage:endless'],
    [`#/run/${given.run}?view=graph`, 'stage:endless'],
  ]) {
    await stage.open(address);
    assert.ok((await page.locator('main').textContent()).includes(text), `${address} shows ${text}`);
    assert.equal(await stage.spilt(), 0, `${address} is as wide as the page`);
  }
}

/** Which spans of a stage are slow, and what is different about them. */
export async function heatmap(stage) {
  const { page } = stage;
  await stage.open('#/patterns?since=all&stage=stage:none');
  await page.getByText('No span of this stage ended in this time: choose a longer time above.').waitFor();
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
  // Between those that took long and those that did not there are none.
  await page.mouse.move(area.x + 2, area.y + area.height / 2);
  await page.mouse.down();
  await page.mouse.move(area.x + area.width / 2, area.y + area.height / 2);
  await page.mouse.up();
  await found.getByText('There are no spans in this region: drag over coloured cells.').waitFor();
  // The same by keys: a row of the table behind the chart.
  await page.getByText('The same as a table').click();
  await page.getByRole('button', { name: / to / }).last().press('Enter');
  await page.waitForFunction(() => document.querySelector('[aria-label="What is different in the region"]')?.textContent.includes('air'));
  await found.getByRole('link').first().click();
  await page.getByRole('complementary').getByRole('heading', { name: 'stage:ship' }).waitFor();
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
  await outcomes.getByRole('link', { name: 'secured', exact: true }).click();
  await page.waitForURL(/type=ai%3Acollateral&choice=secured/);
  await runs(1, 'a choice');
  assert.equal(await outcomes.locator('tbody tr td').nth(1).textContent(), '1 of 1 that chose secured failed');
  await outcomes.getByRole('link', { name: '1 of 1 that chose secured failed' }).click();
  await page.waitForURL(/choice=secured&state=failed|state=failed.*choice=secured/);
  await runs(1, 'the failed of a choice');
  // From figure to figure by keys.
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  await page.keyboard.press('k');
  assert.match(await page.evaluate(() => document.activeElement.textContent), /^1 of 61 finished runs failed/);
  await page.keyboard.press('l');
  await runs(1, 'the rate, by keys');
  await page.getByRole('link', { name: 'last hour' }).click();
  await page.waitForURL(/since=1h/);

  await page.getByRole('link', { name: 'Library' }).click();
  await page.getByText(/The store answers in/).waitFor();
  await page.getByText(/The feed answers in/).waitFor();
  await page.getByText('No outbox is known here').waitFor();
  await page.getByText('Pages are kept up to date as events arrive.').waitFor();
  const events = page.getByRole('region', { name: 'What became of the events' });
  const store = await events.locator('tbody tr').first().locator('td').allTextContents();
  assert.ok(Number(store[0].replaceAll(',', '')) > 300, `accepted ${store[0]}`);
  assert.deepEqual([store[1], store[2], store[4], store[5]], [store[0], '0', '0', 'works'], 'the ledger balances');
  assert.match(store[3], /^0 of [\d,]+$/, 'the queue and its room');
  // What is accepted meanwhile is told without being asked for.
  await at('more');
  await page.waitForFunction((before) => document.querySelector('[aria-labelledby=delivery] tbody td').textContent !== before, store[0]);
}

/** An outbox in which events wait, and have been set aside. */
export async function outbox(stage) {
  const { page } = stage;
  await stage.open('#/library');
  const box = page.getByRole('region', { name: 'Outbox' });
  await box.getByText(/^\d+ events wait for the store$/).waitFor();
  assert.match(await box.textContent(), /the oldest since 20.*: [\d.]+ [KM]iB of 1 MiB are taken/);
  const waiting = Number((await box.locator('b').first().textContent()).split(' ')[0]);
  assert.match(await page.locator('[aria-labelledby=delivery] tbody tr').first().textContent(), new RegExp(`${waiting}${waiting} in the outbox0 of [\\d,]+.*took nothing last 20.*: the disk is gone`));
  assert.deepEqual(await stage.violations(), []);
  await stage.theme('light');
  await stage.picture('outbox-light-1600');
  // What waits is not counted, and the page on which that matters says so.
  await stage.open('#/patterns');
  const notice = page.getByRole('status').filter({ hasText: 'in the outbox' });
  await notice.getByText(`${waiting} events wait in the outbox for the store and are not counted here.`).waitFor();
  assert.deepEqual(await stage.violations(), []);
  await notice.getByRole('link').click();
  await box.waitFor();
  // The store is back, which the page says without being asked.
  await at('the store is back');
  await box.getByText(/^Nothing waits for the store: 0 B of 1 MiB are taken.$/).waitFor();
  await stage.open('#/patterns');
  await page.getByRole('heading', { name: 'How runs end' }).waitFor();
  assert.equal(await notice.count(), 0);
  await page.keyboard.press('h');
  await page.getByRole('link', { name: 'loan-1', exact: true }).waitFor();
}

/** Where neither store nor feed nor outbox answers, the page says so, and what else there is. */
export async function away(stage) {
  const { page } = stage;
  await stage.open('#/library');
  for (const [region, text] of [
    ['Store and feed', 'The store does not answer: the disk is gone.'],
    ['Store and feed', 'The feed does not answer: the disk is gone.'],
    ['Store and feed', 'pages show what is new when they are read again'],
    ['Outbox', 'The outbox does not answer: the disk is gone.'],
    ['This viewer', 'Requests at once'],
  ]) {
    await page.getByRole('region', { name: region }).getByText(text).waitFor();
  }
  assert.deepEqual(await stage.violations(), []);
}

/** A run whose every field is blank. */
export async function blank(stage) {
  const { page, given } = stage;
  const run = `#/run/${given.run}`;
  for (const address of ['#/runs', run, `${run}?view=tree`, `${run}?view=timeline`, '#/patterns?since=all', '#/running']) {
    await stage.open(address);
    for (const link of await page.locator('.decision a, .origin > a').all()) await link.click();
    if (address === run) await page.getByText('(no name)').first().waitFor();
    assert.deepEqual(await stage.violations(), [], address);
    const unreadable = page.locator('main a, main button').filter({ hasNotText: /\S/ });
    assert.equal(await unreadable.and(page.locator(':not([aria-label])')).count(), 0, address);
  }
}

/** A run whose every field is an injection. */
export async function hostile(stage) {
  const { page, given } = stage;
  const run = `#/run/${given.run}`;
  const stageOf = `#/patterns?since=all&stage=${encodeURIComponent(given.text)}`;
  for (const address of ['', run, `${run}?view=timeline`, `${run}?view=graph`, '#/patterns?since=all', stageOf, '#/running', '#/library']) {
    await stage.open(address);
    for (const link of await page.locator('.decision a, .origin > a').all()) await link.click();
    for (const summary of await page.locator('.details summary').all()) await summary.click();
    if (address === run) {
      const other = page.getByLabel('Run to compare with, by its key or id');
      await other.fill(given.run);
      await other.press('Enter');
      await page.getByText('It went the same way as').waitFor();
      assert.ok((await page.title()).includes(given.text), 'the title is the text');
      for (const copy of await page.getByRole('button', { name: /^Copy/ }).all()) await copy.click();
    }
    if (address === stageOf) {
      await page.getByText('The same as a table').click();
      await page.getByRole('button', { name: / to / }).first().click();
      await page.getByRole('region', { name: 'What is different in the region' }).waitFor();
    }
    await page.keyboard.press('?');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    const found = await page.evaluate(() => ({
      hit: globalThis.hit,
      elements: document.querySelectorAll('img, main svg:not(.graph svg), main script, iframe, object').length,
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
  for (const theme of ['light', 'dark']) {
    await stage.theme(theme);
    assert.deepEqual(await stage.violations(), []);
    await stage.picture(`token-${theme}-1600`);
  }
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
    for (const theme of ['light', 'dark']) {
      await stage.theme(theme);
      assert.deepEqual(await stage.violations(), []);
    }
    assert.equal(await page.getByRole('button', { name: 'Save as one file' }).count(), 0);
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

/** A store in which nothing has happened yet, beside the service: each page says what can be done. */
export async function empty(stage) {
  const { page, given } = stage;
  stage.expects(/40[04]/);
  for (const [address, title, help] of [
    ['', 'There are no runs yet', 'throughline import FILE'],
    ['#/runs?q=nobody', 'No run matches', 'Show all runs'],
    ['#/running', 'Nothing is running', 'All runs'],
    ['#/patterns', 'No run finished in this time', 'Choose a longer time above'],
    ['#/library', 'What became of the events', 'nest the viewer in the service'],
    ['#/nowhere', 'The address leads nowhere', 'All runs'],
    [`#/run/${given.unknown}`, 'there is no such run', 'All runs'],
    ['#/run/loan-1', 'a run is named by its id', 'All runs'],
  ]) {
    await stage.open(address);
    await page.getByText(title).first().waitFor();
    await page.locator('main').getByText(help).first().waitFor();
    assert.deepEqual(await stage.violations(), [], address);
  }
}

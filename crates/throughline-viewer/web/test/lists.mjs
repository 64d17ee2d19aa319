// What readers do with lists of runs, a scene for each test.

import assert from 'node:assert/strict';
import { at } from './stage.mjs';

/** The list. */
export async function list(stage) {
  const { page } = stage;
  await stage.open();
  const rows = page.locator('tbody tr');
  const names = page.locator('tbody th a');
  assert.equal(await rows.count(), 50);
  await page.getByRole('link', { name: 'Older' }).click();
  await page.getByText('which is all').waitFor();
  assert.equal(await rows.count(), 12, 'the page after the first has the rest');
  await page.goBack();
  await page.getByRole('link', { name: 'Older' }).waitFor();

  await page.getByRole('link', { name: /^Failed/ }).click();
  await page.waitForURL(/state=failed/);
  await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 1);
  assert.match(await rows.first().textContent(), /loan-1036.*stage:register-collateral step 3 of 4.*CollateralRefused/);
  await page.reload();
  await stage.settled();
  assert.equal(await rows.count(), 1, 'all of it is in the address');

  // Every view and every time is a click away.
  const views = page.getByRole('navigation', { name: 'Views' });
  const chips = await views.getByRole('link').allTextContents();
  assert.deepEqual(chips.slice(0, 8).map((chip) => chip.trim()), [
    'All 62', 'Failed 1', 'Running 1', 'Stuck 0', 'Interrupted 0', 'Succeeded 60', 'Cancelled 0', 'Unfinished 0',
  ]);
  for (const [name, found] of [['Running', 1], ['Orphaned resources', 1], ['Stuck', 0], ['Interrupted', 0], ['Cancelled', 0], ['Unfinished', 0], ['Succeeded', 50]]) {
    await views.getByRole('link', { name: new RegExp(`^${name}`) }).click();
    await page.waitForFunction((found) => document.querySelectorAll('tbody tr').length === found, found);
    await stage.settled();
  }
  await page.getByRole('link', { name: /^All/ }).click();
  for (const [name, since] of [['Last hour', '1h'], ['Today', 'today']]) {
    const chip = views.getByRole('link', { name });
    await chip.click();
    await page.waitForURL(new RegExp(`since=${since}$`));
    assert.equal(await chip.getAttribute('aria-current'), 'true');
    // Once more takes it back.
    await chip.click();
    await page.waitForURL((url) => !url.href.includes('since='));
  }
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
  await page.waitForFunction(() => document.querySelector('tbody th a')?.textContent === 'new-2');
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
  await page.locator('td time', { hasText: /ago|now/ }).first().waitFor();
}

/** A page that is not connected while something happens. */
export async function gap(stage) {
  const { page } = stage;
  let isCut = true;
  await page.route('**/api/live*', (route) => (isCut ? route.abort() : route.continue()));
  stage.expects(/ERR_FAILED/);
  await stage.open();
  const rows = page.locator('tbody tr');
  const names = page.locator('tbody th a');
  const before = await names.allTextContents();
  await at('before-the-first');
  isCut = false;
  await page.getByRole('button', { name: '1 new – show' }).waitFor();
  assert.deepEqual(await names.allTextContents(), before);
  await page.getByRole('button', { name: '1 new – show' }).click();
  await page.waitForFunction(() => document.querySelector('tbody th a')?.textContent === 'before-the-first');
}

/** What runs now. */
export async function running(stage) {
  const { page, given } = stage;
  await stage.open('#/running');
  await page.getByText('Not safe to deploy: 3 running, 0 stuck, 0 interrupted.').waitFor();
  await page.getByText('A deployment would cut short 3 runs, of which 2 can be resumed.').waitFor();
  const row = (name) => page.locator('.open-runs tbody tr', { hasText: name });
  const waiting = await row('loan-1040').textContent();
  assert.match(waiting, /stage:manual-review step 1 of 4/);
  assert.match(waiting, /for \d.* usually .*, p95 .* longer than usual/, 'the step has reviews to be compared with');
  assert.match(waiting, /cuts it short; can be resumed/);
  assert.match(await row('loan-1041').textContent(), /stage:credit-score attempt 2.*next retry in \d/);
  assert.match(await row('http:request').textContent(), /cuts it short for good/);
  const processes = page.getByRole('region', { name: 'Processes and their leases' });
  assert.match(await processes.locator('tbody tr').textContent(), new RegExp(`pid ${given.pid}.*held.*last sign of life.*loan-service.*3$`));
  await stage.shot('running-1600');
  // From run to run by keys.
  const names = await page.locator('.open-runs tbody th a').allTextContents();
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  await page.keyboard.press('k');
  assert.ok((await page.locator('.open-runs tr.selected').textContent()).startsWith(names[1]), 'the second is chosen');
  await page.keyboard.press('l');
  await page.getByRole('heading', { level: 1, name: names[1] }).waitFor();
  await page.goBack();
  // Each run leads to the step that it is in.
  await page.getByRole('link', { name: 'loan-1040' }).click();
  await page.getByRole('complementary').getByRole('heading', { name: 'stage:manual-review' }).waitFor();
  // The list says it, too.
  await stage.open();
  await page.locator('tbody tr', { hasText: 'loan-1041' }).getByText('attempt 2').waitFor();
  assert.match(await page.locator('tbody tr', { hasText: 'loan-1040' }).textContent(), /stage:manual-review step 1 of 4.*…$/);
}

/** All that a list is asked is in its address, and comes back with it. */
export async function address(stage) {
  const { page } = stage;
  await stage.open();
  const rows = page.locator('tbody tr');
  const add = async (name, value) => {
    await page.getByLabel('What to filter by').selectOption(name);
    await page.getByLabel('Value of the filter').fill(value);
    await page.getByLabel('Value of the filter').press('Enter');
    await page.getByRole('link', { name: `Remove the filter ${name} ${value}` }).waitFor();
  };
  await page.getByText('Filter', { exact: true }).click();
  await add('workflow', 'loan-approval');
  await add('service', 'loan-service');
  await page.getByRole('link', { name: 'Last hour' }).click();
  await page.getByRole('link', { name: /^Succeeded/ }).click();
  await page.getByRole('searchbox').fill('loan-');
  await page.waitForURL(/q=loan-/);
  await page.getByRole('link', { name: 'Look further back' }).or(page.getByRole('link', { name: 'Older' })).click();
  await page.waitForURL(/after=/);
  await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 10);
  const whole = page.url();
  const parameters = [...new URLSearchParams(new URL(whole).hash.split('?')[1]).keys()].sort();
  assert.deepEqual(parameters, ['after', 'q', 'service', 'since', 'state', 'workflow']);
  const shown = async () => ({
    names: await page.locator('tbody th a').allTextContents(),
    pills: await page.locator('.pill').allTextContents(),
    text: await page.getByRole('searchbox').inputValue(),
    chosen: await page.locator('.chip[aria-current]').allTextContents(),
  });
  const before = await shown();
  assert.equal(before.pills.length, 2);
  await page.reload();
  await stage.settled();
  assert.deepEqual(await shown(), before);
  await page.locator('tbody th a').first().click();
  await page.getByRole('treeitem').first().waitFor();
  await page.goBack();
  await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 10);
  assert.equal(page.url(), whole);
  assert.deepEqual(await shown(), before);
  assert.equal(await rows.count(), 10);
  // Tags and attributes may be asked for several times, each of which is a pill of its own.
  await stage.open();
  const become = (count) => page.waitForFunction((count) => document.querySelectorAll('tbody tr').length === count, count);
  await page.getByText('Filter', { exact: true }).click();
  await add('tag', 'urgent');
  await become(2);
  await add('tag', 'of-acme');
  await become(1);
  await page.reload();
  await stage.settled();
  await become(1);
  assert.deepEqual((await page.locator('.pill').allTextContents()).map((pill) => pill.trim()), ['tag: urgent ×', 'tag: of-acme ×']);
  await page.getByRole('link', { name: 'Remove the filter tag of-acme' }).click();
  await become(2);
}

/** A text finds runs by everything that names them. */
export async function search(stage) {
  const { page, given } = stage;
  await stage.open();
  for (const [text, name] of [
    ['loan-1036', 'loan-1036'],
    [given.failed, 'loan-1036'],
    [given.failed.slice(0, 20).toUpperCase(), 'loan-1036'],
    ['refuses the', 'loan-1036'],
    ['CollateralRefused', 'loan-1036'],
    ['MAIL', 'letter-1'],
    ['req-77', 'letter-1'],
  ]) {
    await page.keyboard.press('/');
    await page.getByRole('searchbox').fill(text);
    await page.waitForFunction((name) => [...document.querySelectorAll('tbody th a')].map((link) => link.textContent).join() === name, name);
    await page.getByRole('searchbox').press('Escape');
    await page.keyboard.press('l');
    await page.getByRole('heading', { level: 1, name }).waitFor();
    await page.goBack();
    await stage.settled();
  }
}

/** A run that ends while its row is looked at. */
export async function ends(stage) {
  const { page } = stage;
  await stage.open();
  const row = page.locator('tbody tr', { hasText: 'loan-1040' });
  const names = await page.locator('tbody th a').allTextContents();
  assert.match(await row.textContent(), /running/);
  // For how long it has been running goes on without anything that happens.
  const took = await row.locator('.now').last().textContent();
  await page.waitForFunction((took) => [...document.querySelectorAll('tbody td.number .now')].every((cell) => cell.textContent !== took), took);
  await at('the end');
  await row.locator('.state.cancelled').waitFor();
  assert.match(await row.locator('.cause').textContent(), /aborted/, 'why is said in the place of the step');
  assert.equal(await row.locator('.now').count(), 0);
  assert.deepEqual(await page.locator('tbody th a').allTextContents(), names, 'every row is where it was');
  assert.equal(await page.getByRole('button', { name: /new/ }).count(), 0);
}

/** Times as the reader wants them. */
export async function times(stage) {
  const { page, given } = stage;
  await stage.open();
  const time = page.locator('tbody td time').first();
  const shown = async (choice) => {
    await page.getByLabel('Times').selectOption(choice);
    return time.textContent();
  };
  const since = new Date(given.started).getTime();
  const at = (offset) => new Date(since + offset * 60_000).toISOString().slice(0, 19).replace('T', ' ');
  assert.equal(await shown('utc'), `${at(0)}Z`);
  assert.equal(await shown('local'), at(given.ahead));
  // Days begin where the clock on the wall says so.
  const asked = page.waitForRequest(/api\/runs\?.*since=/);
  await page.getByRole('link', { name: 'Today' }).click();
  const midnight = new Date(new URL((await asked).url()).searchParams.get('since')).getTime() + given.ahead * 60_000;
  assert.match(new Date(midnight).toISOString(), /T00:00:00/);
  await page.reload();
  await stage.settled();
  assert.equal(await time.textContent(), at(given.ahead), 'the choice is kept');
  assert.match(await shown('relative'), /^1 h ago$|^\d+ min ago$/);
}

/** The first page of a store in which much goes on and much goes wrong. */
export async function weight(stage) {
  const { page } = stage;
  for (const [address, open, least] of [['', 25, 20_000], ['#/runs?state=failed', 0, 1_000]]) {
    const bytes = await stage.bytes(async () => {
      await stage.open(address);
      await page.waitForFunction((open) => document.querySelectorAll('tbody tr').length === 50 && document.querySelectorAll('td.cause div b').length >= open, open);
    });
    assert.ok(bytes > least && bytes <= 100_000, `${bytes} bytes`);
  }
}

/** Runs in which nothing happens any more. */
export async function standstill(stage) {
  const { page } = stage;
  await stage.open('#/running');
  await page.getByText('Not safe to deploy: 0 running, 55 stuck, 1 interrupted.').waitFor();
  const rows = page.locator('.open-runs tbody tr');
  const left = page.locator('.open-runs tbody tr', { hasText: 'left-1' });
  assert.match(await rows.nth(1).textContent(), /stuck/);
  assert.match(await left.textContent(), /interrupted.*changes nothing; waits to be resumed/);
  const processes = page.getByRole('region', { name: 'Processes and their leases' });
  assert.match(await processes.textContent(), /lost/);
  const first = await page.locator('.open-runs tbody th a').allTextContents();
  assert.equal(first.length, 50);
  await page.getByRole('link', { name: 'Newer' }).click();
  await page.waitForFunction(() => document.querySelectorAll('.open-runs tbody tr').length === 6);
  const second = await page.locator('.open-runs tbody th a').allTextContents();
  assert.equal(new Set([...first, ...second]).size, 56);
  await page.getByRole('link', { name: 'Oldest' }).click();
  await page.waitForFunction(() => document.querySelectorAll('.open-runs tbody tr').length === 50);
}

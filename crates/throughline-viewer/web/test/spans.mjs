// What readers do with the spans of a run, a scene for each test.

import assert from 'node:assert/strict';

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
  // Later and earlier, by keys and by the wheel.
  const ticks = page.locator('.ticks');
  const moves = async (move, what) => {
    const before = await ticks.textContent();
    await move();
    await page.waitForFunction((before) => document.querySelector('.ticks').textContent !== before, before);
    assert.notEqual(await ticks.textContent(), before, what);
  };
  for (const key of [']', '[', 'ArrowRight', 'ArrowLeft', '-']) await moves(() => page.keyboard.press(key), key);
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
  await page.keyboard.down('Shift');
  await moves(() => page.mouse.wheel(0, 200), 'the wheel with Shift');
  await page.keyboard.up('Shift');

  // Several hits, one after the other and round again.
  await page.getByLabel('Search in the run').fill('collateral');
  await page.getByRole('status').getByText(/^[3-9] hits/).waitFor();
  const chosen = async (press) => {
    await press();
    return page.locator('.row.selected.hit .text').textContent();
  };
  await page.keyboard.press('Escape');
  const hits = await page.locator('.row.hit').count();
  const round = [];
  for (let hit = 0; hit <= hits; hit += 1) round.push(await chosen(() => page.keyboard.press('n')));
  assert.equal(round.at(-1), round[0], 'after the last comes the first');
  assert.equal(new Set(round).size, hits);
  assert.equal(await chosen(() => page.keyboard.press('N')), round[hits - 1]);
  assert.equal(await chosen(() => page.getByRole('button', { name: 'Next hit' }).click()), round[0]);
  assert.equal(await chosen(() => page.getByRole('button', { name: 'Previous hit' }).click()), round[hits - 1]);
  assert.equal(await chosen(() => page.getByLabel('Search in the run').press('Enter')), round[0]);
  assert.equal(await chosen(() => page.getByLabel('Search in the run').press('Shift+Enter')), round[hits - 1]);
  await page.getByLabel('Search in the run').fill('');

  // Evidence leads to its span.
  await page.locator('.statements a').first().click();
  await details.waitFor();

  // Attempts share a row, and each has its number.
  await stage.open(`#/run/${given.retried}`);
  const tries = page.getByRole('treeitem', { name: /×2 attempts/ });
  await tries.waitFor();
  assert.deepEqual(await tries.locator('.bar').allTextContents(), ['1', '2']);

  // Also those that called somebody: what they did is folded away with them.
  await stage.open(`#/run/${given.called}`);
  const names = () => page.locator('.row .text').allTextContents();
  const inOne = ['workflow:shop', 'stage:ask', 'http:bureau'];
  await items.nth(2).waitFor();
  assert.deepEqual(await names(), inOne);
  assert.deepEqual(await page.getByRole('treeitem', { name: /×3 attempts/ }).locator('.bar').allTextContents(), ['1', '2', '3']);
  const apart = ['workflow:shop', 'stage:ask', 'http:bureau', 'stage:ask', 'http:bureau', 'stage:ask', 'http:bureau'];
  const become = (count) => page.waitForFunction((count) => document.querySelectorAll('[role=treeitem]').length === count, count);
  await page.locator('.times').click();
  await become(7);
  assert.deepEqual(await names(), apart);
  assert.deepEqual(await page.locator('.times').allTextContents(), ['attempt 1', 'attempt 2', 'attempt 3']);
  // The same by keys, and back.
  await page.locator('.row', { hasText: 'attempt 3' }).click();
  await page.keyboard.press('a');
  await become(3);
  assert.deepEqual(await names(), inOne);
  // A hit within an attempt that is folded away brings it back.
  await page.getByLabel('Search in the run').fill('bureau-2');
  await page.getByText('1 hit').waitFor();
  await page.getByLabel('Search in the run').press('Enter');
  await page.locator('.row.selected.hit', { hasText: 'http:bureau' }).waitFor();
  await become(7);

  // Steps of a second, with an hour between them, are seen for what they are once the hours are folded away.
  await stage.open(`#/run/${given.patient}`);
  const step = page.getByRole('treeitem', { name: /stage:remind/ }).locator('.bar');
  const folded = (await step.boundingBox()).width;
  assert.equal(await page.locator('.rows .idle').count(), 2);
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
  // The search and the keys are those of the waterfall.
  await page.keyboard.press('/');
  await page.keyboard.type('needle');
  await page.getByText('1 hit').waitFor();
  await page.keyboard.press('Enter');
  await details.getByRole('heading', { name: 'stage:open-file' }).waitFor();
  assert.match(await timeline.locator('tr.hit.selected').first().textContent(), /stage:open-file/);
  await page.getByLabel('Search in the run').fill('');
  await page.getByLabel('Search in the run').press('Escape');
  for (const [key, name] of [['g', 'workflow:loan-approval'], ['G', 'workflow:loan-approval'], ['f', 'stage:register-collateral']]) {
    await page.keyboard.press(key);
    await details.getByRole('heading', { name }).waitFor();
  }

  // As a tree, in words.
  await page.getByRole('link', { name: 'Tree' }).click();
  const tree = page.getByRole('region', { name: 'Tree' });
  const cut = tree.locator('li.selected');
  assert.match(await cut.textContent(), /cause stage:register-collateral step 3 of 4.*failed.*LoanError::CollateralRefused the registry refuses the collateral/);
  const all = await tree.getByRole('treeitem').count();
  assert.equal(all, moments.filter((moment) => !moment.includes('began')).length, 'each span once');
  // What is around it is closed and opened.
  const become = (count) => page.waitForFunction((count) => document.querySelectorAll('.tree [role=treeitem]').length === count, count);
  await page.keyboard.press('h');
  await details.getByRole('heading', { name: 'saga:loan-approval' }).waitFor();
  await page.keyboard.press('h');
  await become(2);
  assert.equal(await cut.getAttribute('aria-expanded'), 'false');
  await page.keyboard.press('l');
  await become(all);
  await cut.locator('.fold').click();
  await become(2);
  await page.keyboard.press('f');
  await become(all);
  for (const [key, name] of [['g', 'workflow:loan-approval'], ['j', 'saga:loan-approval'], ['k', 'workflow:loan-approval'], ['f', 'stage:register-collateral']]) {
    await page.keyboard.press(key);
    await details.getByRole('heading', { name }).waitFor();
  }
  await page.keyboard.press('/');
  await page.keyboard.type('needle');
  await page.getByText('1 hit').waitFor();
  assert.match(await tree.locator('li.hit').textContent(), /stage:open-file/);
  await page.getByLabel('Search in the run').fill('');
  await page.getByLabel('Search in the run').press('Escape');

  // The selection stays what it is in another view.
  await page.getByRole('link', { name: 'Graph' }).click();
  const graph = page.getByRole('region', { name: 'Graph', exact: true });
  const cause = graph.getByRole('button', { name: /stage:register-collateral.*cause/ });
  assert.equal(await cause.getAttribute('aria-pressed'), 'true');
  await details.getByText('because: no register is kept for a boat').waitFor();
  assert.ok((await graph.locator('path.led').count()) > 0, 'the decision is joined with what followed');
  for (const [key, name] of [['g', 'workflow:loan-approval'], ['j', 'saga:loan-approval'], ['k', 'workflow:loan-approval'], ['f', 'stage:register-collateral']]) {
    await page.keyboard.press(key);
    await details.getByRole('heading', { name }).waitFor();
  }
  await page.keyboard.press('/');
  await page.keyboard.type('needle');
  await page.getByText('1 hit').waitFor();
  assert.match(await graph.locator('.box.hit').textContent(), /stage:open-file/);
  await page.getByLabel('Search in the run').fill('');
  await page.getByLabel('Search in the run').press('Escape');
  await graph.getByRole('button', { name: /^stage:reserve-funds/ }).click();
  await details.getByRole('heading', { name: 'stage:reserve-funds' }).waitFor();
  await page.reload();
  await stage.settled();
  await details.getByRole('heading', { name: 'stage:reserve-funds' }).waitFor();
  assert.match(page.url(), /view=graph/);
  await stage.shot('graph');
  // Evidence leads to its span in the view that is shown.
  await page.locator('.origin > a').click();
  await page.waitForFunction(() => document.querySelector('.graph .is-cause')?.getAttribute('aria-pressed') === 'true');
  await page.getByRole('link', { name: 'Waterfall' }).click();
  await page.locator('.row.selected.is-cause').waitFor();

  // Spans of one name are one box, however many there are.
  await stage.open(`#/run/${given.large}?view=graph`);
  await graph.getByRole('button', { name: /stage:page.*×2,999, 1 failed/ }).waitFor();
  await stage.open(`#/run/${given.large}?view=tree`);
  await page.getByText('1 to 300 of 3,000 spans').waitFor();
  await page.keyboard.press('G');
  await page.getByText('2,701 to 3,000 of 3,000 spans').waitFor();
  await page.getByRole('button', { name: 'Earlier' }).click();
  await page.getByText('2,401 to 2,700 of 3,000 spans').waitFor();
  await stage.open(`#/run/${given.large}?view=timeline`);
  await page.getByText('1 to 300 of 6,000 moments').waitFor();
  await page.getByRole('button', { name: 'Later' }).click();
  await page.getByText('301 to 600 of 6,000 moments').waitFor();
}

/** What a span recorded, which spans a run had to wait for, and what came of a decision. */
export async function uneven(stage) {
  const { page, given } = stage;
  await stage.open(`#/run/${given.run}`);
  const items = page.getByRole('treeitem');
  const named = (name) => page.locator('.row', { hasText: name });
  const critical = await page.locator('.rows .row:has(.bar.critical) .text').allTextContents();
  assert.deepEqual(critical, ['workflow:shop', 'stage:quick', 'stage:slow'], 'without these it would have been shorter');
  await page.getByText('underlined: without it the run would have been shorter').waitFor();
  // What is short is hidden, and what is long stays.
  const all = await items.count();
  await page.getByLabel('hide short').check();
  await named('stage:quick').waitFor({ state: 'detached' });
  assert.equal(await named('stage:slow').count(), 1);
  assert.equal(await named('stage:beside').count(), 1);
  await page.getByLabel('hide short').uncheck();
  assert.equal(await items.count(), all);
  // Everything of a span.
  const details = page.getByRole('complementary');
  await named('stage:slow').click();
  for (const [label, text] of [['Input', '"parcel": "p-1"'], ['Output', '"track": "t-99"'], ['depot', 'north']]) {
    await details.getByRole('heading', { name: label, exact: true }).waitFor();
    assert.ok((await details.getByRole('group', { name: label, exact: true }).textContent()).includes(text), label);
  }
  assert.match(await details.locator('dl').textContent(), /carrierpost/);
  await details.locator('.tag', { hasText: 'expensive' }).waitFor();
  await page.keyboard.press('Escape');
  // The result, of which the beginning is shown.
  const result = page.getByRole('region', { name: 'Result' });
  assert.match(await result.textContent(), /\{"parcels":\["p-1",/);
  await result.getByRole('link', { name: 'all of it' }).click();
  await details.getByRole('heading', { name: 'Output' }).waitFor();
  // A decision against the scores: its alternatives, and what followed.
  const decision = page.locator('.decision');
  assert.match(await decision.textContent(), /chose post, though air scored 0\.40 more/);
  assert.deepEqual((await decision.locator('.alternatives li').allTextContents()).map((text) => text.trim().replaceAll(/\s+/g, ' ')), ['● post (chosen) 0.30 a parcel of 4 kg', '○ air 0.70']);
  await decision.getByText('What followed').getByRole('link').first().click();
  await details.getByRole('heading', { name: 'stage:quick' }).waitFor();
}

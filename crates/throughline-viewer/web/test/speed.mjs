// How long readers wait. Figures are always printed, and judged where the test is told to.

import assert from 'node:assert/strict';

/** By how much the processor is held back for a slow machine, and how often the page is opened on it. */
const SLOWER = 4;
const ROUNDS = 5;

/** The first page, from nothing to a row that reacts to a key, on a slow machine. */
export async function slow(stage) {
  const { page, given } = stage;
  const session = await page.context().newCDPSession(page);
  await session.send('Network.enable');
  await session.send('Network.setCacheDisabled', { cacheDisabled: true });
  await session.send('Emulation.setCPUThrottlingRate', { rate: SLOWER });
  await page.addInitScript(() => {
    new MutationObserver(() => {
      const first = document.querySelector('tbody tr');
      if (first) globalThis.shown ??= performance.now();
      // Another row is chosen than that which is at first.
      if (first && !first.classList.contains('selected') && document.querySelector('tr.selected')) globalThis.reacted ??= performance.now();
    }).observe(document, { subtree: true, childList: true, attributes: true });
  });
  const took = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    await page.goto('about:blank');
    await page.goto(given.url, { waitUntil: 'commit' });
    while (!(await page.evaluate(() => globalThis.reacted))) await page.keyboard.press('j');
    took.push(await page.evaluate(() => ({ shown: globalThis.shown, reacted: globalThis.reacted })));
  }
  await session.send('Emulation.setCPUThrottlingRate', { rate: 1 });
  const of = (what) => took.map((one) => Math.round(one[what])).sort((a, b) => a - b);
  const [shown, reacted] = [of('shown'), of('reacted')];
  const middle = Math.floor(ROUNDS / 2);
  console.log(
    `on a processor ${SLOWER} times as slow, with nothing in the cache, the list has rows after ${shown[middle]} ms and reacts to a key ` +
      `after ${reacted[middle]} ms (median of ${ROUNDS}, at most ${reacted[ROUNDS - 1]} ms)`,
  );
  if (given.reacts_within) assert.ok(reacted[middle] <= given.reacts_within, `it took ${reacted[middle]} ms`);
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
  if (given.opens_within) {
    assert.ok(opened <= given.opens_within, `it took ${opened} ms to open`);
    assert.ok(Number(of(0.5)) < 17.5, `half of the frames took longer than ${of(0.5)} ms: it does not draw 60 a second`);
  }
}

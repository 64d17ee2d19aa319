// Opens pages in a browser as a person does: `node pages.mjs SCENE '{"url": ..}'`, with the packages found by NODE_PATH.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';

const { chromium } = createRequire(join(process.env.NODE_PATH, 'none.js'))('playwright-core');

const path = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'chromium'));
const ordered = (page) => page.waitForResponse((response) => response.url().endsWith('/orders'));

/** Leaves a page, and waits until the service has taken a report that has this in it. */
async function leave(page, part) {
  // A page is there until the next one is answered, which must not wait for the report therefore.
  await page.goto(new URL('/away', page.url()).href);
  const answer = await page.goto(new URL(`/reported/${part}`, page.url()).href);
  assert.equal(answer.status(), 200, `a report with ${part} has come`);
}

const scenes = {
  async slow(page, url) {
    await page.goto(`${url}/slow`);
    // A busy machine has answered the page long before it paints it, and what was never painted has not moved.
    await page.evaluate(() => new Promise((resolve) => {
      new PerformanceObserver(() => resolve()).observe({ type: 'largest-contentful-paint', buffered: true });
    }));
    await leave(page, 'CLS');
  },
  async throws(page, url) {
    // It is the last of all.
    const thrown = page.waitForEvent('pageerror', (error) => error.message === 'no card');
    await page.goto(`${url}/throws`);
    await thrown;
    await leave(page, 'rejection');
  },
  async click(page, url) {
    await page.goto(`${url}/buttons`);
    const answer = ordered(page);
    await page.click('#order');
    assert.equal((await answer).status(), 500);
    await leave(page, 'click');
  },
  async gives_up(page, url) {
    await page.goto(`${url}/gives-up`);
    const failed = page.waitForEvent('pageerror');
    await page.click('#order');
    await failed;
    await leave(page, 'rejection');
  },
  async reacts_slowly(page, url) {
    await page.goto(`${url}/busy`);
    // A browser measures a click when the page has been painted after it. It may never find the page idle before it is left.
    const measured = page.evaluate(() => new Promise((resolve) => {
      const observer = new PerformanceObserver((list) => {
        if (list.getEntries().some(({ name }) => name === 'click')) resolve();
      });
      observer.observe({ type: 'event', durationThreshold: 40 });
    }));
    await page.click('#work');
    await measured;
    await leave(page, 'INP');
  },
  async calls(page, url, { listed, other }) {
    await page.goto(`${url}/calls/${listed}/${other}`);
    const answered = [listed, other].map((port) => page.waitForResponse((response) => (
      new URL(response.url()).port === String(port) && response.request().method() === 'GET'
    )));
    await page.click('#order');
    await Promise.all(answered);
    await leave(page, 'click');
  },
  async has_no_beacons(page, url) {
    await page.addInitScript(() => { delete Navigator.prototype.sendBeacon; });
    await page.goto(`${url}/busy`);
    await leave(page, 'CLS');
  },
  async has_beacons_refused(page, url) {
    await page.addInitScript(() => { Navigator.prototype.sendBeacon = () => false; });
    await page.goto(`${url}/busy`);
    await leave(page, 'CLS');
  },
  async refuses(page, url) {
    const sent = [];
    page.on('request', (request) => sent.push([request.url(), request.headers().traceparent]));
    await page.goto(`${url}/asks`);
    const answer = ordered(page);
    await page.click('#order');
    await answer;
    await page.evaluate(() => throughline.consent(false));
    await page.goto(`${url}/away`);
    assert.ok(sent.every(([address]) => !address.endsWith('/report')), JSON.stringify(sent));
    assert.ok(sent.every(([, trace]) => trace === undefined), JSON.stringify(sent));
  },
  async consents(page, url) {
    await page.goto(`${url}/asks`);
    await page.evaluate(() => throughline.consent(true));
    const answer = ordered(page);
    await page.click('#order');
    await answer;
    await leave(page, 'click');
  },
};

const [scene, given] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: path.find(existsSync),
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
});
try {
  // A browser that calls itself headless is taken for a robot.
  const context = await browser.newContext({ userAgent: 'Mozilla/5.0 (X11; Linux x86_64) Chrome/139.0.0.0 Safari/537.36' });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const { url, ...others } = JSON.parse(given);
  await scenes[scene](page, url, others);
} finally {
  await browser.close();
}

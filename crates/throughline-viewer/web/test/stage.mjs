// A browser with a page that is watched: nothing may be asked of another host, reported or logged as an error.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';

const require = createRequire(join(process.env.NODE_PATH, 'none.js'));
const { chromium } = require('playwright-core');
const AXE = require.resolve('axe-core/axe.min.js');

/** The sizes of which there are pictures. */
export const SIZES = [[1600, 1000], [1000, 800], [360, 740]];
/** What a page is as well to fit. */
export const LARGE = [3840, 2160];

const input = createInterface({ input: process.stdin });
// The test is gone, and with it all that could be shown. What was started here ends with this process.
input.once('close', () => process.exit(0));
const lines = input[Symbol.asyncIterator]();

/** What the test says next. */
export async function heard() {
  return (await lines.next()).value;
}

/** Says to the test that the scene is at a place, and continues when the test says so. */
export async function at(place) {
  console.log(`at: ${place}`);
  await heard();
}

function chromiumOnPath() {
  const found = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'chromium')).find(existsSync);
  assert.ok(found, 'chromium is on the path: install it, or set THROUGHLINE_SERVICES=off');
  return found;
}

let browser;

/** The browser of all scenes: to start one takes longer than most of them. */
async function running() {
  if (!browser?.isConnected()) {
    browser = await chromium.launch({
      executablePath: chromiumOnPath(),
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
    });
  }
  return browser;
}

export async function stage(given, play) {
  // Nothing is left in it of the scene before: no cache, no choice of the reader.
  const context = await (await running()).newContext({
    viewport: { width: 1600, height: 1000 },
    reducedMotion: 'reduce',
    ...(given.timezone ? { timezoneId: given.timezone } : {}),
  });
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(60_000);
    const wrong = [];
    const origin = new URL(given.url).origin;
    let requests = 0;
    page.on('request', (request) => {
      requests += 1;
      if (!request.url().startsWith(origin)) wrong.push(`a request to ${request.url()}`);
    });
    page.on('console', (message) => {
      // A refusal is logged by the browser itself, whatever the page does about it.
      const isExpected = (given.token && message.text().includes('401')) || scene.expected?.test(message.text());
      if (['error', 'warning'].includes(message.type()) && !isExpected) wrong.push(`console: ${message.text()}`);
    });
    page.on('pageerror', (error) => wrong.push(`error: ${error.stack}`));
    page.on('dialog', (dialog) => {
      wrong.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    await page.addInitScript(() => {
      globalThis.reports = [];
      document.addEventListener('securitypolicyviolation', (event) => {
        globalThis.reports.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
      });
    });
    const scene = new Stage(page, given, () => requests);
    try {
      await play(scene);
    } catch (error) {
      await scene.shot('where-it-failed');
      throw new Error(`at ${page.url()}, with ${wrong.join('; ') || 'nothing else wrong'}`, { cause: error });
    }
    wrong.push(...(await page.evaluate(() => globalThis.reports)).map((report) => `policy: ${report}`));
    assert.deepEqual(wrong, []);
  } finally {
    await context.close();
  }
}

class Stage {
  constructor(page, given, requests) {
    Object.assign(this, { page, given, requests });
  }

  /** What the browser may log as an error, because the scene brings it about. */
  expects(message) {
    this.expected = message;
  }

  /** Opens a page of the viewer and waits until it has what it shows. */
  async open(address = '') {
    await this.page.goto('about:blank');
    await this.page.goto(this.given.url + address);
    await this.settled();
  }

  async settled() {
    await this.page.locator('main').waitFor();
    await this.page.waitForFunction(() => !document.querySelector('.loading'));
  }

  /** Chooses colours as a reader does. */
  async theme(name) {
    await this.page.getByLabel('Colours').selectOption(name);
  }

  /** The milliseconds between the frames that are drawn meanwhile, by the browser's tracing. */
  async traced(work) {
    const session = await this.page.context().newCDPSession(this.page);
    const drawn = [];
    session.on('Tracing.dataCollected', ({ value }) => drawn.push(...value.filter(({ name }) => name === 'DrawFrame').map(({ ts }) => ts)));
    await session.send('Tracing.start', { traceConfig: { includedCategories: ['devtools.timeline', 'disabled-by-default-devtools.timeline.frame'] } });
    await work();
    const ended = new Promise((done) => session.once('Tracing.tracingComplete', done));
    await session.send('Tracing.end');
    await ended;
    drawn.sort((a, b) => a - b);
    return drawn.slice(1).map((at, before) => (at - drawn[before]) / 1_000);
  }

  /** How many bytes the objects of the page take, garbage not counted. */
  async heap() {
    const session = await this.page.context().newCDPSession(this.page);
    await session.send('HeapProfiler.collectGarbage');
    const { usedSize } = await session.send('Runtime.getHeapUsage');
    return usedSize;
  }

  /** A picture of what is in sight. */
  async shot(name) {
    await this.page.screenshot({ path: join(process.env.SHOTS, `${name}.png`) });
  }

  /** A picture of the whole page, for a person to look at. */
  async picture(name) {
    await this.page.screenshot({ path: join(process.env.SHOTS, `${name}.png`), fullPage: true });
  }

  /** By how many pixels the page is wider than the window. */
  async spilt() {
    return this.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  }

  /** The parts of names that are broken although they are short enough to be shown in one piece. */
  async broken() {
    return this.page.evaluate(() => {
      const isWhole = (text) => {
        const range = document.createRange();
        range.selectNodeContents(text);
        return new Set([...range.getClientRects()].map(({ top }) => Math.round(top))).size <= 1;
      };
      return [...document.querySelectorAll('.named')].flatMap((name) => {
        const texts = document.createTreeWalker(name, NodeFilter.SHOW_TEXT, (text) => (text.parentElement.closest('.long') ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT));
        const found = [];
        while (texts.nextNode()) if (!isWhole(texts.currentNode)) found.push(`${texts.currentNode.data} of ${name.textContent}`);
        return found;
      });
    });
  }

  /** How many bytes come over the wire until the work is done, but for what is told of as it happens. */
  async bytes(work) {
    const session = await this.page.context().newCDPSession(this.page);
    let bytes = 0;
    session.on('Network.loadingFinished', ({ encodedDataLength }) => {
      bytes += encodedDataLength;
    });
    await session.send('Network.enable');
    await work();
    await session.detach();
    return bytes;
  }

  /** What axe finds wrong. */
  async violations() {
    // The policy allows the page no script of others; the debugger may.
    if (!(await this.page.evaluate(() => 'axe' in globalThis))) await this.page.evaluate(await readFile(AXE, 'utf8'));
    const { violations } = await this.page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
    return violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => `${node.html} ${node.failureSummary}`).join(' | ')}`);
  }

  /** Whether all of an element is in sight without scrolling. */
  async isInSight(locator) {
    const box = await locator.boundingBox();
    const { width, height } = this.page.viewportSize();
    return box !== null && box.x >= 0 && box.y >= 0 && box.x + box.width <= width && box.y + box.height <= height;
  }
}

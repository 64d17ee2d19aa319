// Plays scenes, with the packages of the lock file found by NODE_PATH: each line of the standard input names one, and what it is given.

import { inspect } from 'node:util';
import * as lists from './lists.mjs';
import * as pages from './pages.mjs';
import * as runs from './runs.mjs';
import * as spans from './spans.mjs';
import * as speed from './speed.mjs';
import { heard, stage } from './stage.mjs';

const scenes = { ...lists, ...pages, ...runs, ...spans, ...speed };

for (;;) {
  const { scene, given } = JSON.parse(await heard());
  try {
    await stage(given, scenes[scene]);
    console.log('played');
  } catch (error) {
    console.log(`failed: ${JSON.stringify(inspect(error))}`);
  }
}

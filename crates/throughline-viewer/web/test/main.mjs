// Plays a scene: `node main.mjs SCENE GIVEN`, with the packages of the lock file found by NODE_PATH.

import * as lists from './lists.mjs';
import * as pages from './pages.mjs';
import * as runs from './runs.mjs';
import * as spans from './spans.mjs';
import { stage } from './stage.mjs';

const [name, given] = process.argv.slice(2);
await stage(JSON.parse(given), { ...lists, ...pages, ...runs, ...spans }[name]);
process.exit(0);

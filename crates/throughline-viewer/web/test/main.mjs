// Plays a scene: `node main.mjs SCENE GIVEN`, with the packages of the lock file found by NODE_PATH.

import * as scenes from './scenes.mjs';
import { stage } from './stage.mjs';

const [name, given] = process.argv.slice(2);
await stage(JSON.parse(given), scenes[name]);
process.exit(0);

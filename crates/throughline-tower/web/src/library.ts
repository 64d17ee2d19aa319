// Takes the place of a part of `web-vitals`: `build.mjs` sees to that.

const postponed: (() => void)[] = [];

function catchUp(): void {
  for (const task of postponed.splice(0)) task();
}

/**
 * Does something when the browser has time for it, at the latest when the page is hidden.
 *
 * The library itself would do it after measurements are reported, because it listens for a hidden page from this call on, later than
 * what reports. So a page that was left before the browser had time never told how slowly it reacted, and slow pages are like that.
 */
export function whenIdleOrHidden(task: () => void): void {
  postponed.push(task);
  if (document.visibilityState === 'hidden') catchUp();
  else (window.requestIdleCallback ?? setTimeout)(catchUp);
}

// This module runs before any of the library listens.
addEventListener('visibilitychange', catchUp, true);

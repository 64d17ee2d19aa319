// Takes the place of parts of `web-vitals`: `build.mjs` sees to that. How things are measured is left to the library.

interface Metric {
  name: string;
  value: number;
  entries: PerformanceEntry[];
}

/** A measurement, without a value for now unless one is given. The library would add an id and how the page was opened: not sent. */
export function initMetric(name: string, value = -1): Metric {
  return { name, value, entries: [] };
}

/** What reports a measurement once it is final, if its value is new. The library would rate it as well: not sent either. */
export function bindReporter(report: (metric: Metric) => void, metric: Metric): (isFinal?: boolean) => void {
  let reported: number | undefined;
  return (isFinal) => {
    if (!isFinal || metric.value < 0 || metric.value === reported) return;
    reported = metric.value;
    report(metric);
  };
}

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

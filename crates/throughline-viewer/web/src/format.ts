// Numbers and times as people read them.

import type { Run } from './types.ts';

export type Clock = 'utc' | 'local' | 'relative';

const STEPS: [number, string][] = [
  [31_557_600_000_000, 'y'],
  [86_400_000_000, 'd'],
  [3_600_000_000, 'h'],
  [60_000_000, 'min'],
  [1_000_000, 's'],
  [1_000, 'ms'],
];

export function micros(us: number): string {
  for (const [at, [size, unit]] of STEPS.entries()) {
    const shown = rounded(us / size);
    const above = STEPS[at - 1];
    // What rounds to 60 s is a minute.
    if (above && shown * size >= above[0]) return `1 ${above[1]}`;
    if (shown >= 1) return `${shown} ${unit}`;
  }
  return `${us} µs`;
}

function rounded(value: number): number {
  return value >= 100 ? Math.round(value) : Number(value.toPrecision(2));
}

/** A time; a precise one has the milliseconds, where all that is shown is of one second. */
export function moment(text: string, clock: Clock, now = Date.now(), isPrecise = false): string {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return text;
  if (clock === 'relative') {
    const passed = (now - at.getTime()) * 1_000;
    return passed < 1_000_000 ? 'now' : `${micros(passed)} ago`;
  }
  const part = isPrecise ? `.${String(at.getMilliseconds()).padStart(3, '0')}` : '';
  if (clock === 'utc') return `${text.slice(0, 10)} ${text.slice(11, 19)}${part}Z`;
  const pad = (value: number) => String(value).padStart(2, '0');
  const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  return `${day} ${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}${part}`;
}

/** The first and the last moment that servers have a name for, in milliseconds. */
const [FIRST, LAST] = [Date.parse('0001-01-01T00:00:00Z'), Date.parse('9999-12-31T23:59:59Z')];

/** A moment as servers name it; the nearest that has a name. */
export function isoOf(ms: number): string {
  return new Date(Math.max(FIRST, Math.min(LAST, ms)) || 0).toISOString();
}

export function count(value: number): string {
  return value.toLocaleString('en-GB');
}

/** How much, in the units of files. */
export function bytes(value: number): string {
  for (const [size, unit] of [[2 ** 30, 'GiB'], [2 ** 20, 'MiB'], [2 ** 10, 'KiB']] as const) {
    if (value >= size) return `${rounded(value / size)} ${unit}`;
  }
  return `${value} B`;
}

/** So many of something. */
export function many(number: number, one: string, several = `${one}s`): string {
  return `${count(number)} ${number === 1 ? one : several}`;
}

export function percent(ratio: number): string {
  return `${ratio > 0 && ratio < 0.1 ? (ratio * 100).toFixed(1) : Math.round(ratio * 100)} %`;
}

/** What to call a run: its key, or else what it is. */
export function nameOf(run: Run): string {
  return run.correlation_id ?? run.root?.name ?? run.trace_id.slice(0, 12);
}

export function kindOf(run: Run): string {
  return run.workflow ?? run.root?.name ?? '';
}

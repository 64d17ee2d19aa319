// Where the spans of a run are drawn: rows, and a time axis without the time in which nothing happened.

import type { Node, Span } from './types.ts';

/** A row: a span, or all attempts at the same thing. */
export interface Row {
  node: Node;
  /** The attempts before, earliest first. */
  earlier: Span[];
  /** Whether there were other attempts. */
  isOneOfSeveral: boolean;
  depth: number;
  hasChildren: boolean;
}

/** A piece of time, on the axis from 0 to 1. */
export interface Piece {
  from: number;
  to: number;
  start: number;
  end: number;
  isIdle: boolean;
}

export interface Axis {
  pieces: Piece[];
  end: number;
}

export function endOf(span: Span, open: number): number {
  if (span.duration_us !== undefined) return span.offset_us + span.duration_us;
  return isOpen(span) ? Math.max(open, span.offset_us) : span.offset_us;
}

export function isOpen(span: Span): boolean {
  return !span.point && (span.state === 'running' || span.state === 'interrupted' || span.state === 'unfinished');
}

/** For each span the place of the one that it is in; -1 at the top. */
export function parents(nodes: Node[]): Int32Array {
  const found = new Int32Array(nodes.length).fill(-1);
  const above: number[] = [];
  nodes.forEach((node, at) => {
    above.length = node.depth;
    found[at] = above[node.depth - 1] ?? -1;
    above[node.depth] = at;
  });
  return found;
}

/** Attempts at the same thing within the same span, by their places, and what the last of them is called. */
export interface Attempts {
  id: string;
  places: number[];
}

export function attemptsOf(nodes: Node[], parent: Int32Array): Attempts[] {
  // Most runs have none, and in a large one the search for them would take longest.
  const tried = new Set(nodes.filter(({ span }) => (span.attempt ?? 1) > 1).map(({ span }) => span.name));
  const last = new Map<string, number>();
  const attempts = new Map<string, number[]>();
  nodes.forEach((node, at) => {
    if (!tried.has(node.span.name)) return;
    const key = `${parent[at]}\n${node.span.name}`;
    const before = last.get(key);
    if ((node.span.attempt ?? 1) > 1 && before !== undefined) {
      const places = attempts.get(key);
      if (places) places.push(at);
      else attempts.set(key, [before, at]);
    }
    last.set(key, at);
  });
  return [...attempts.values()].map((places) => ({ id: nodes[places.at(-1) ?? 0]?.span.span_id ?? '', places }));
}

/** The place after the last span inside a span. */
function after(nodes: Node[], at: number): number {
  let next = at + 1;
  while ((nodes[next]?.depth ?? 0) > (nodes[at]?.depth ?? 0)) next += 1;
  return next;
}

/** Those of which an earlier attempt has one of these spans inside. */
export function holding(nodes: Node[], attempts: Attempts[], spans: ReadonlySet<string>): string[] {
  const holds = (at: number) => nodes.slice(at + 1, after(nodes, at)).some(({ span }) => spans.has(span.span_id));
  return attempts.filter(({ places }) => places.slice(0, -1).some(holds)).map(({ id }) => id);
}

/** The rows of all spans. Attempts at the same thing share the row of the last, unless they are unfolded. */
export function rows(nodes: Node[], attempts: Attempts[], unfolded: ReadonlySet<string>): Row[] {
  const earlier = new Map<number, Span[]>();
  const hidden = new Set<number>();
  const ofSeveral = new Set<number>();
  for (const { id, places } of attempts) {
    places.forEach((at) => ofSeveral.add(at));
    if (unfolded.has(id)) continue;
    const before = places.slice(0, -1);
    for (const first of before) {
      const end = after(nodes, first);
      for (let at = first; at < end; at += 1) hidden.add(at);
    }
    earlier.set(places.at(-1) ?? 0, before.flatMap((at) => nodes[at]?.span ?? []));
  }
  return nodes.flatMap((node, at) =>
    hidden.has(at)
      ? []
      : [
          {
            node,
            earlier: earlier.get(at) ?? [],
            isOneOfSeveral: ofSeveral.has(at),
            depth: node.depth,
            hasChildren: (nodes[at + 1]?.depth ?? 0) > node.depth,
          },
        ],
  );
}

/** How much of the axis a folded piece of idle time takes. */
const FOLDED = 0.03;

/** From where on idle time is worth folding, in microseconds. */
const IDLE = 100_000;

/** The time axis. Idle is when no innermost span is at work for a twentieth of the run, and long enough to be noticed. */
export function axis(nodes: Node[], read: number, isFolded: boolean): Axis {
  const end = nodes.reduce((most, { span }) => Math.max(most, endOf(span, read)), 1);
  const inner = nodes.filter((node, at) => (nodes[at + 1]?.depth ?? 0) <= node.depth);
  const busy = inner
    .map(({ span }): [number, number] => [span.offset_us, endOf(span, read)])
    .sort(([a], [b]) => a - b);
  const idle: [number, number][] = [];
  const least = Math.max(end / 20, IDLE);
  let until = 0;
  for (const [from, to] of busy) {
    if (from - until > least) idle.push([until, from]);
    until = Math.max(until, to);
  }
  if (end - until > least) idle.push([until, end]);
  if (!isFolded || idle.length === 0 || busy.length === 0) {
    return { pieces: [{ from: 0, to: end, start: 0, end: 1, isIdle: false }], end };
  }
  const idleTime = idle.reduce((sum, [from, to]) => sum + to - from, 0);
  const width = Math.min(FOLDED, 0.5 / idle.length);
  const scale = (1 - width * idle.length) / Math.max(1, end - idleTime);
  const pieces: Piece[] = [];
  let [at, start] = [0, 0];
  for (const [from, to] of idle) {
    if (from > at) pieces.push({ from: at, to: from, start, end: (start += (from - at) * scale), isIdle: false });
    pieces.push({ from, to, start, end: (start += width), isIdle: true });
    at = to;
  }
  if (end > at) pieces.push({ from: at, to: end, start, end: 1, isIdle: false });
  return { pieces, end };
}

/** The place of a time on the axis. */
export function place(axis: Axis, time: number): number {
  const { pieces } = axis;
  let [low, high] = [0, pieces.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((pieces[middle]?.to ?? 0) < time) low = middle + 1;
    else high = middle;
  }
  const piece = pieces[low];
  if (!piece) return 0;
  const within = (time - piece.from) / Math.max(1, piece.to - piece.from);
  return piece.start + Math.max(0, Math.min(1, within)) * (piece.end - piece.start);
}

/** The time at a place of the axis. */
export function timeAt(axis: Axis, at: number): number {
  const piece = axis.pieces.find((piece) => piece.end >= at) ?? axis.pieces.at(-1);
  if (!piece) return 0;
  return piece.from + ((at - piece.start) / Math.max(1e-9, piece.end - piece.start)) * (piece.to - piece.from);
}

/** The spans without which the run would have been shorter: from the end back, always the child that ended last. */
export function criticalPath(nodes: Node[], parent: Int32Array, read: number): Set<string> {
  // The first inside a span, and the next beside one: lists of their own for each span would take longer than all else.
  const first = new Int32Array(nodes.length).fill(-1);
  const next = new Int32Array(nodes.length).fill(-1);
  for (let at = nodes.length - 1; at >= 0; at -= 1) {
    const above = parent[at] ?? -1;
    if (above < 0) continue;
    next[at] = first[above] ?? -1;
    first[above] = at;
  }
  const inside = (at: number) => {
    const found: [number, Span][] = [];
    for (let child = first[at] ?? -1; child >= 0; child = next[child] ?? -1) {
      const span = nodes[child]?.span;
      if (span && !span.point) found.push([child, span]);
    }
    return found.sort(([, a], [, b]) => endOf(b, read) - endOf(a, read));
  };
  const found = new Set<string>();
  const pending: [number, number][] = nodes.length > 0 ? [[parent.indexOf(-1), Infinity]] : [];
  for (let one = pending.pop(); one; one = pending.pop()) {
    const [at, limit] = one;
    const node = nodes[at];
    if (!node) continue;
    found.add(node.span.span_id);
    let until = Math.min(limit, endOf(node.span, read));
    for (const [child, span] of inside(at)) {
      if (endOf(span, read) <= until) {
        pending.push([child, until]);
        until = span.offset_us;
      }
    }
  }
  return found;
}

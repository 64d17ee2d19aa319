// Other views of the spans of a run: what happened in the order of time, and the graph that happened.

import { useEffect, useMemo, useState } from 'preact/hooks';
import { count, isoOf, micros } from './format.ts';
import { useKeys } from './keys.ts';
import { endOf, isOpen, parents } from './layout.ts';
import { Moment, Name, State } from './parts.tsx';
import { useSearch } from './search.tsx';
import { to } from './route.ts';
import type { Node, Span, Story } from './types.ts';

export interface ViewProps {
  story: Story;
  /** The runs that it is of: the run, and those of its child runs that are shown in it. */
  runs: readonly string[];
  selected: string | undefined;
  select: (span: string | undefined) => void;
}

/** How many moments are shown at once. */
const SHOWN = 300;

interface Occasion {
  at: number;
  what: string;
  span: Span;
}

/** What began and ended, in the order of time. */
function occasions(nodes: Node[]): Occasion[] {
  const found = nodes.flatMap(({ span }): Occasion[] => {
    if (span.point) return [{ at: span.offset_us, what: 'happened', span }];
    const began = { at: span.offset_us, what: (span.attempt ?? 1) > 1 ? `attempt ${span.attempt} began` : 'began', span };
    return isOpen(span) ? [began] : [began, { at: endOf(span, 0), what: span.state, span }];
  });
  return found.sort((a, b) => a.at - b.at);
}

/** Everything that began and ended, one after the other. */
export function Timeline({ story, runs, selected, select }: ViewProps) {
  const all = useMemo(() => occasions(story.nodes), [story]);
  const first = selected === undefined ? 0 : Math.max(0, all.findIndex(({ span }) => span.span_id === selected));
  const [page, setPage] = useState<number>();
  const from = (page ?? Math.floor(first / SHOWN)) * SHOWN;
  const cause = story.explanation.cause?.span.span_id;
  const move = (by: number) => {
    // The next of another span: what follows the start of one is often its own end.
    let at = all.findIndex(({ span }) => span.span_id === selected) + by;
    while (all[at] && all[at]?.span.span_id === selected) at += by;
    setPage(undefined);
    const next = all[at];
    if (next) select(next.span.span_id);
  };
  const show = (span: string | undefined) => {
    setPage(undefined);
    if (span) select(span);
  };
  const search = useSearch(runs, story.nodes, selected, show);
  const hits = new Set(search.hits);
  useEffect(() => document.querySelector('.timeline .selected')?.scrollIntoView({ block: 'nearest' }), [selected, from]);
  useKeys([
    { key: 'j ArrowDown', does: 'next span', run: () => move(1) },
    { key: 'k ArrowUp', does: 'previous span', run: () => move(-1) },
    { key: 'g', does: 'first span', run: () => show(all[0]?.span.span_id) },
    { key: 'G', does: 'last span', run: () => show(all.at(-1)?.span.span_id) },
    { key: 'h', does: 'back to the list', run: () => void (location.hash = to('runs')) },
    { key: 'f', does: 'go to the cause', run: () => show(cause) },
    ...search.keys,
    { key: 'Escape', does: 'close the details', run: () => select(undefined) },
  ]);
  return (
    <section class="card timeline" aria-label="Timeline">
      <div class="tools">{search.box}</div>
      <table>
        <thead><tr><th scope="col" class="number">After</th><th scope="col" class="roomy">At</th><th scope="col">What</th><th scope="col">Span</th></tr></thead>
        <tbody>
          {all.slice(from, from + SHOWN).map(({ at, what, span }) => (
            <tr class={[span.span_id === selected && 'selected', hits.has(span.span_id) && 'hit'].filter(Boolean).join(' ')}>
              <td class="number">{at < 1 ? '0' : micros(at)}</td>
              <td class="roomy"><Moment at={isoOf(Date.parse(span.started) + (at - span.offset_us) / 1_000)} isPrecise /></td>
              <td>{what === 'began' || what === 'happened' || what.startsWith('attempt') ? what : <State state={what} />}</td>
              <th scope="row">
                <button class="link" onClick={() => select(span.span_id)}><Name of={span.name} /></button>
                {span.span_id === cause && <b class="mark"> cause</b>}
                {what === span.state && span.error && <span class="quiet"> <Name of={span.error.type} /></span>}
              </th>
            </tr>
          ))}
        </tbody>
      </table>
      {all.length > SHOWN && (
        <p class="actions">
          <button disabled={from === 0} onClick={() => setPage(from / SHOWN - 1)}>Earlier</button>
          <button disabled={from + SHOWN >= all.length} onClick={() => setPage(from / SHOWN + 1)}>Later</button>
          <span class="quiet">{count(from + 1)} to {count(Math.min(all.length, from + SHOWN))} of {count(all.length)} moments</span>
        </p>
      )}
    </section>
  );
}

/** How many boxes a graph has at most. */
const BOXES = 300;
const [WIDTH, HEIGHT, ACROSS, DOWN] = [190, 40, 60, 14];

/** Spans of the same name within the same box are one box. */
interface Box {
  name: string;
  spans: Span[];
  above: number;
  x: number;
  y: number;
}

interface Graph {
  boxes: Box[];
  /** The box of each span. */
  of: Map<string, number>;
  /** How many spans are in no box. */
  more: number;
  rows: number;
}

function graphOf(nodes: Node[]): Graph {
  const parent = parents(nodes);
  const boxes: Box[] = [];
  const places = new Map<string, number>();
  const of = new Map<string, number>();
  let more = 0;
  nodes.forEach(({ span }, at) => {
    const parentSpan = nodes[parent[at] ?? -1]?.span.span_id;
    const above = parentSpan === undefined ? -1 : (of.get(parentSpan) ?? -2);
    const key = `${above}\n${span.name}`;
    const known = places.get(key);
    if (above === -2 || (known === undefined && boxes.length >= BOXES)) {
      more += 1;
      return;
    }
    const place = known ?? boxes.push({ name: span.name, spans: [], above, x: 0, y: 0 }) - 1;
    places.set(key, place);
    of.set(span.span_id, place);
    boxes[place]?.spans.push(span);
  });
  // From left to right the way down, from top to bottom the order in which it happened.
  const children = boxes.map(() => [] as number[]);
  boxes.forEach(({ above }, at) => children[above]?.push(at));
  let rows = 0;
  const left: [number, number][] = boxes.flatMap(({ above }, at): [number, number][] => (above < 0 ? [[at, 0]] : [])).toReversed();
  for (let next = left.pop(); next; next = left.pop()) {
    const [at, depth] = next;
    const box = boxes[at];
    if (!box) continue;
    const isFirst = box.above >= 0 && children[box.above]?.[0] === at;
    [box.x, box.y] = [depth, isFirst ? (boxes[box.above]?.y ?? 0) : rows++];
    for (const child of children[at]?.toReversed() ?? []) left.push([child, depth + 1]);
  }
  return { boxes, of, more, rows };
}

/** The worst state of some spans. */
function stateOf(spans: Span[]): string {
  const order = ['failed', 'interrupted', 'running', 'unfinished', 'cancelled'];
  return order.find((state) => spans.some((span) => span.state === state)) ?? 'succeeded';
}

/** The graph that happened: what led to what, with the decisions that led there. */
export function GraphView({ story, runs, selected, select }: ViewProps) {
  const graph = useMemo(() => graphOf(story.nodes), [story]);
  const cause = story.explanation.cause?.span.span_id;
  const chosen = selected === undefined ? undefined : graph.of.get(selected);
  const causing = cause === undefined ? undefined : graph.of.get(cause);
  const show = (span: string | undefined) => {
    if (span) select(span);
  };
  const search = useSearch(runs, story.nodes, selected, show);
  const hits = new Set(search.hits.map((span) => graph.of.get(span)));
  // From box to box as they were begun.
  const go = (place: number) => show(graph.boxes[Math.max(0, Math.min(graph.boxes.length - 1, place))]?.spans[0]?.span_id);
  useEffect(() => document.querySelector('.graph [aria-pressed=true]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' }), [chosen]);
  useKeys([
    { key: 'j ArrowDown', does: 'next box', run: () => go((chosen ?? -1) + 1) },
    { key: 'k ArrowUp', does: 'previous box', run: () => go((chosen ?? 1) - 1) },
    { key: 'g', does: 'first box', run: () => go(0) },
    { key: 'G', does: 'last box', run: () => go(graph.boxes.length - 1) },
    { key: 'h', does: 'back to the list', run: () => void (location.hash = to('runs')) },
    { key: 'f', does: 'go to the cause', run: () => show(cause) },
    ...search.keys,
    { key: 'Escape', does: 'close the details', run: () => select(undefined) },
  ]);
  const at = (box: Box): [number, number] => [box.x * (WIDTH + ACROSS), box.y * (HEIGHT + DOWN)];
  const led = story.decisions.outcomes.flatMap(({ decision, consequences }) =>
    consequences.flatMap(({ span }): [number, number][] => {
      const [from, to] = [graph.of.get(decision.span_id), graph.of.get(span.span_id)];
      return from === undefined || to === undefined || from === to ? [] : [[from, to]];
    }),
  );
  const width = Math.max(1, ...graph.boxes.map((box) => box.x + 1)) * (WIDTH + ACROSS);
  const height = Math.max(1, graph.rows) * (HEIGHT + DOWN);
  return (
    <section class="card graph" aria-label="Graph">
      <div class="tools">{search.box}</div>
      <div class="scrolled" tabIndex={0} role="group" aria-label="The graph that happened">
        <div class="canvas" style={{ width: `${width}px`, height: `${height}px` }}>
          <svg width={width} height={height} aria-hidden="true">
            {graph.boxes.map((box) => {
              const above = graph.boxes[box.above];
              if (!above) return null;
              const [[ax, ay], [x, y]] = [at(above), at(box)];
              const [from, middle] = [ax + WIDTH, ax + WIDTH + ACROSS / 2];
              return <path class="edge" d={`M${from} ${ay + HEIGHT / 2}H${middle}V${y + HEIGHT / 2}H${x}`} />;
            })}
            {led.map(([from, to]) => {
              const [a, b] = [graph.boxes[from], graph.boxes[to]];
              if (!a || !b) return null;
              const [[ax, ay], [x, y]] = [at(a), at(b)];
              // Along the right of the boxes: what lies between the two had no part in it.
              const [right, there] = [ax + WIDTH, x + WIDTH];
              const aside = Math.max(right, there) + ACROSS / 3;
              return <path class="edge led" d={`M${right} ${ay + HEIGHT * 0.75}H${aside}V${y + HEIGHT / 4}H${there}`} />;
            })}
          </svg>
          <ul>
            {graph.boxes.map((box, place) => {
              const [x, y] = at(box);
              const failed = box.spans.filter(({ state }) => state === 'failed').length;
              const state = stateOf(box.spans);
              const worst = box.spans.find((span) => span.span_id === cause) ?? box.spans.find((span) => span.state === state) ?? box.spans[0];
              return (
                <li style={{ left: `${x}px`, top: `${y}px` }}>
                  <button
                    class={`box ${state}${place === causing ? ' is-cause' : ''}${hits.has(place) ? ' hit' : ''}`}
                    aria-pressed={place === chosen}
                    title={box.name}
                    onClick={() => select(worst?.span_id)}
                  >
                    <span class="text">{box.name}</span>
                    <span class="more">
                      {place === causing && <b class="mark">cause</b>} {state}
                      {box.spans.length > 1 && ` ×${count(box.spans.length)}`}
                      {box.spans.length > 1 && failed > 0 && `, ${count(failed)} failed`}
                    </span>
                  </button>
                </li>
              );
            })}
          </ul>
        </div>
      </div>
      {graph.more > 0 && <p class="quiet">{count(graph.more)} spans are not drawn; the waterfall has all of them.</p>}
    </section>
  );
}

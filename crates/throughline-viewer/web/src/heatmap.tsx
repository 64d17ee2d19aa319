// How long the spans of a stage took, over time, and what is different about those in a region.

import { useRef, useState } from 'preact/hooks';
import { count, isoOf, many, micros, percent } from './format.ts';
import { useAnswer } from './hooks.ts';
import { Moment, Name, Shown } from './parts.tsx';
import { toRun } from './route.ts';
import type { Compared, Latency, Rate, Region } from './types.ts';

const COLUMNS = 48;
const ROWS = 14;

interface Grid {
  /** How many spans are in each cell, column by column from the left, and in each from the bottom. */
  cells: number[][];
  most: number;
  from: number;
  to: number;
  /** The time that a row begins with, in microseconds, and where the last ends. */
  bounds: number[];
}

/** Times grow by a factor from row to row: a stage that takes 5 ms may take 5 s. */
function gridOf(spans: Latency['spans']): Grid {
  let [from, to, least, longest] = [Infinity, -Infinity, Infinity, 1];
  for (const span of spans) {
    const ended = Date.parse(span.ended);
    [from, to] = [Math.min(from, ended), Math.max(to, ended)];
    [least, longest] = [Math.min(least, Math.max(1, span.duration_us)), Math.max(longest, span.duration_us)];
  }
  to = Math.max(to, from + 1);
  const factor = Math.max(1.2, (longest / least) ** (1 / ROWS) * 1.000001);
  const bounds = Array.from({ length: ROWS + 1 }, (_, row) => Math.floor(least * factor ** row));
  bounds[ROWS] = Math.max(longest, bounds[ROWS] ?? 0);
  const cells = Array.from({ length: COLUMNS }, () => new Array<number>(ROWS).fill(0));
  let most = 1;
  for (const span of spans) {
    const column = Math.min(COLUMNS - 1, Math.floor(((Date.parse(span.ended) - from) / (to - from)) * COLUMNS));
    const row = Math.max(0, Math.min(ROWS - 1, bounds.findLastIndex((bound) => bound <= Math.max(1, span.duration_us))));
    const cell = cells[column];
    if (cell) most = Math.max(most, (cell[row] = (cell[row] ?? 0) + 1));
  }
  return { cells, most, from, to, bounds };
}

/** A part of the grid: columns and rows, both ends included. */
interface Box {
  left: number;
  right: number;
  bottom: number;
  top: number;
}

function regionOf({ from, to, bounds }: Grid, { left, right, bottom, top }: Box): Region {
  const at = (column: number) => from + ((to - from) * column) / COLUMNS;
  return {
    // The ends of a page of time have more digits than a browser keeps.
    from: isoOf(at(left)),
    to: isoOf(at(right + 1) + 1),
    least_us: String(bottom === 0 ? 0 : bounds[bottom]),
    most_us: String(top === ROWS - 1 ? bounds[ROWS] : (bounds[top + 1] ?? 1) - 1),
  };
}

export function Heatmap({ stage, since, workflow, close }: { stage: string; since: string | undefined; workflow: string | undefined; close: string }) {
  const answer = useAnswer<Latency>('latency', { type: stage, since, workflow });
  return (
    <section class="card wide-card" aria-labelledby="heatmap">
      <h2 id="heatmap">How long <code><Name of={stage} /></code> took</h2>
      <p><a href={close}>Close</a></p>
      <Shown answer={answer}>
        {(found) => found.spans.length === 0 ? <p>No span of this stage ended in this time: choose a longer time above.</p> : <Chart found={found} stage={stage} since={since} workflow={workflow} />}
      </Shown>
    </section>
  );
}

function Chart({ found, stage, since, workflow }: { found: Latency; stage: string; since: string | undefined; workflow: string | undefined }) {
  const grid = gridOf(found.spans);
  const [box, setBox] = useState<Box>();
  const [start, setStart] = useState<[number, number]>();
  const chart = useRef<HTMLDivElement>(null);
  const cellAt = (event: { clientX: number; clientY: number }): [number, number] => {
    const area = chart.current?.getBoundingClientRect() ?? new DOMRect(0, 0, 1, 1);
    const within = (share: number, cells: number) => Math.max(0, Math.min(cells - 1, Math.floor(share * cells)));
    return [within((event.clientX - area.left) / area.width, COLUMNS), within((area.bottom - event.clientY) / area.height, ROWS)];
  };
  const select = ([ax, ay]: [number, number], [bx, by]: [number, number]) =>
    setBox({ left: Math.min(ax, bx), right: Math.max(ax, bx), bottom: Math.min(ay, by), top: Math.max(ay, by) });
  const rows = Array.from({ length: ROWS }, (_, row) => ROWS - 1 - row);
  const inRow = (row: number) => grid.cells.reduce((sum, column) => sum + (column[row] ?? 0), 0);
  // Of one and the same second it has to be said when in it.
  const isShort = grid.to - grid.from < 10_000;
  const label = (row: number) => `${micros(grid.bounds[row] ?? 0)} to ${micros(grid.bounds[row + 1] ?? 0)}`;
  return (
    <>
      <p class="quiet">
        {many(found.spans.length, 'span')}{found.more && ', the latest of them'}. Drag over a region, or choose a row below, to see what is different about it.
      </p>
      <div class="heatmap">
        <div class="times" aria-hidden="true"><span>{micros(grid.bounds[ROWS] ?? 0)}</span><span>{micros(grid.bounds[0] ?? 0)}</span></div>
        <div
          ref={chart}
          class="cells"
          aria-hidden="true"
          onPointerDown={(event) => {
            event.currentTarget.setPointerCapture(event.pointerId);
            const cell = cellAt(event);
            setStart(cell);
            select(cell, cell);
          }}
          onPointerMove={(event) => start && select(start, cellAt(event))}
          onPointerUp={() => setStart(undefined)}
          onPointerCancel={() => setStart(undefined)}
        >
          {grid.cells.flatMap((column, x) =>
            column.map((number, y) =>
              number === 0 ? null : (
                <i
                  class={`cell heat-${Math.ceil((Math.log1p(number) / Math.log1p(grid.most)) * 5)}`}
                  style={{ left: `${(x / COLUMNS) * 100}%`, bottom: `${(y / ROWS) * 100}%`, width: `${100 / COLUMNS}%`, height: `${100 / ROWS}%` }}
                />
              ),
            ),
          )}
          {box && (
            <i
              class="region"
              style={{
                left: `${(box.left / COLUMNS) * 100}%`,
                width: `${((box.right - box.left + 1) / COLUMNS) * 100}%`,
                bottom: `${(box.bottom / ROWS) * 100}%`,
                height: `${((box.top - box.bottom + 1) / ROWS) * 100}%`,
              }}
            />
          )}
        </div>
      </div>
      <p class="heatmap-axis quiet" aria-hidden="true"><Moment at={isoOf(grid.from)} isPrecise={isShort} /> <span>ended</span> <Moment at={isoOf(grid.to)} isPrecise={isShort} /></p>
      {box && !start && <Differences stage={stage} since={since} workflow={workflow} region={regionOf(grid, box)} />}
      <details>
        <summary>The same as a table</summary>
        <table>
          <thead><tr><th scope="col">Took</th><th scope="col" class="number">Spans</th></tr></thead>
          <tbody>
            {rows.filter((row) => inRow(row) > 0).map((row) => (
              <tr>
                <th scope="row">
                  <button onClick={() => setBox({ left: 0, right: COLUMNS - 1, bottom: row, top: row })}>{label(row)}</button>
                </th>
                <td class="number">{count(inRow(row))}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </details>
    </>
  );
}

function Differences({ stage, since, workflow, region }: { stage: string; since: string | undefined; workflow: string | undefined; region: Region }) {
  const answer = useAnswer<Compared>('latency/region', { type: stage, since, workflow, ...region });
  const share = (rate: Rate) => `${percent(rate.hits / Math.max(1, rate.total))} (${count(rate.hits)})`;
  return (
    <Shown answer={answer}>
      {(found) => (
        <section aria-label="What is different in the region">
          <h3>{many(found.inside, 'span')} from {micros(Number(region.least_us))} to {micros(Number(region.most_us))}, beside {many(found.outside, 'other')}</h3>
          {found.inside === 0 ? (
            <p>There are no spans in this region: drag over coloured cells.</p>
          ) : found.differences.length === 0 ? (
            <p>{found.outside === 0 ? 'All spans are in this region.' : 'Nothing that was recorded of them is different from the others.'}</p>
          ) : (
            <table>
              <thead><tr><th scope="col">What</th><th scope="col">Value</th><th scope="col" class="number">Here</th><th scope="col" class="number">Others</th></tr></thead>
              <tbody>
                {found.differences.map(({ name, value, inside, outside }) => (
                  <tr><th scope="row"><Name of={name} /></th><td><Name of={value} /></td><td class="number">{share(inside)}</td><td class="number">{share(outside)}</td></tr>
                ))}
              </tbody>
            </table>
          )}
          {found.spans.length > 0 && (
            <p>
              The longest of them:{' '}
              {found.spans.map((span, at) => (
                <>
                  {at > 0 && ', '}
                  <a href={toRun(span.trace_id, span.span_id)}>{micros(span.duration_us)}{span.failed && ', failed'}, <Moment at={span.ended} /></a>
                </>
              ))}
            </p>
          )}
        </section>
      )}
    </Shown>
  );
}

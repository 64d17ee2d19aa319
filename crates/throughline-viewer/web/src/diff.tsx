// How a run differs from another, side by side and on demand.

import { useState } from 'preact/hooks';
import { count, many, micros, nameOf } from './format.ts';
import { useAnswer } from './hooks.ts';
import { Moment, Name, Shown } from './parts.tsx';
import { toRun } from './route.ts';
import type { ComparedRuns, Diff, Run, Span } from './types.ts';

/** How many differences are shown. */
const SHOWN = 200;

/** How many runs under the same key are offered. */
const OFFERED = 3;

export function Comparison({ id, others }: { id: string; others: Run[] }) {
  const [other, setOther] = useState('');
  const [against, setAgainst] = useState<string>();
  return (
    <section class="card" aria-labelledby="diff">
      <h2 id="diff">Difference</h2>
      <p class="actions">
        <button onClick={() => setAgainst('')}>From the last good run</button>
        {others.slice(0, OFFERED).map((run) => (
          <button onClick={() => setAgainst(run.trace_id)}>From the run of <Moment at={run.started} /></button>
        ))}
        <input
          aria-label="Run to compare with, by its key or id"
          placeholder="or from the run with this key or id"
          value={other}
          onInput={(event) => setOther(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === 'Enter' && other) setAgainst(other.trim());
          }}
        />
      </p>
      {against !== undefined && <Differences id={id} against={against} />}
    </section>
  );
}

function Differences({ id, against }: { id: string; against: string }) {
  const answer = useAnswer<ComparedRuns>(`runs/${id}/diff`, { with: against });
  return (
    <Shown answer={answer}>
      {({ with: other, diff }) => {
        const all = rows(diff);
        return all.length === 0 ? (
          <p>
            It went the same way as <a href={toRun(other.trace_id)}>{nameOf(other)}</a>.
          </p>
        ) : (
          <table class="compared">
            <thead>
              <tr>
                <th scope="col">What</th>
                <th scope="col">Here</th>
                <th scope="col">
                  <a href={toRun(other.trace_id)}>{nameOf(other)}</a>, <Moment at={other.started} />
                </th>
              </tr>
            </thead>
            <tbody>
              {all.slice(0, SHOWN).map(({ what, here, there, span, isFirst }) => (
                <tr>
                  <th scope="row">
                    {span ? <a href={toRun(id, span)}><Name of={what} /></a> : <Name of={what} />}
                    {isFirst && <span class="mark"> first</span>}
                  </th>
                  <td><Name of={here} /></td>
                  <td><Name of={there} /></td>
                </tr>
              ))}
              {all.length > SHOWN && (
                <tr>
                  <td colSpan={3}>… and {count(all.length - SHOWN)} more: throughline diff {id} --json</td>
                </tr>
              )}
            </tbody>
          </table>
        );
      }}
    </Shown>
  );
}

interface Line {
  what: string;
  here: string;
  there: string;
  /** The span of this run, if it has one. */
  span?: string;
  isFirst?: boolean;
}

function rows(diff: Diff): Line[] {
  const first = diff.first_divergence?.path;
  const lines: (Line & { path?: string })[] = [
    ...diff.changed.map(({ path, here, there }) => ({ path, what: path, here: told(here), there: told(there), span: here.span_id })),
    ...diff.only_here.map(({ path, span, below }) => ({ path, what: path, here: told(span, below), there: '–', span: span.span_id })),
    ...diff.only_there.map(({ path, span, below }) => ({ path, what: path, here: '–', there: told(span, below) })),
    ...diff.choices.map(({ path, here, there }) => ({ path, what: path, here: here.choice ?? '–', there: there.choice ?? '–', span: here.span_id })),
    ...diff.inputs.map(({ span, pointer, here, there }) => ({ what: `input of ${span} ${pointer}`, here: json(here), there: json(there) })),
    ...diff.attrs.map(({ path, key, here, there }) => ({ what: `${key} of ${path}`, here: here ?? '–', there: there ?? '–' })),
    ...diff.slower.map(({ path, here_us, there_us }) => ({ what: `time of ${path}`, here: micros(here_us), there: micros(there_us) })),
  ];
  return lines
    .map((line) => ({ ...line, isFirst: line.path !== undefined && line.path === first }))
    .sort((a, b) => Number(b.isFirst) - Number(a.isFirst));
}

function told({ state, duration_us, error }: Span, below = 0): string {
  const took = duration_us === undefined ? '' : `, ${micros(duration_us)}`;
  return `${state}${took}${error ? `: ${error.type}` : ''}${below > 0 ? `, with ${many(below, 'span')} inside` : ''}`;
}

function json(value: unknown): string {
  return value === undefined ? '–' : JSON.stringify(value);
}

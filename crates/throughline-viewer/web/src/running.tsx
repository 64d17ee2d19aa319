// What runs now, and what a deployment would cut short.

import { useEffect } from 'preact/hooks';
import { count, kindOf, micros, nameOf } from './format.ts';
import { useAnswer, useNews, useThrottled } from './hooks.ts';
import { useKeys } from './keys.ts';
import { Empty, Moment, Shown, State } from './parts.tsx';
import { type Route, to, toRun } from './route.ts';
import { useSettings } from './settings.ts';
import type { OpenRun, Running as Found } from './types.ts';

/** How often it is read again where nothing tells of what is new. */
const EVERY = 10_000;

export function Running({ route }: { route: Route }) {
  const { about } = useSettings();
  const { after } = route.parameters;
  const answer = useAnswer<Found>('running', { after });
  const readAgain = useThrottled(answer.again, () => 1_000);
  useNews(about.live, undefined, (news) => {
    if (news.missed || Object.values(news.runs).some(({ started, ended }) => started || ended)) readAgain();
  });
  useEffect(() => {
    const timer = setInterval(answer.again, EVERY);
    return () => clearInterval(timer);
  }, []);
  useKeys([{ key: 'r', does: 'read again', run: answer.again }]);
  return (
    <main>
      <h1>Running now</h1>
      <Shown answer={answer}>
        {(found) => (
          <>
            <section class={`card ${found.safe_to_deploy ? 'succeeded' : 'failed'}`} aria-label="Safe to deploy">
              <p class="headline">{verdict(found)}</p>
              <p class="quiet">
                A run is stuck when nothing has happened in it for {micros(found.stuck_after_s * 1_000_000)}. Interrupted runs
                were left by a process that has ended; a deployment does not affect them.
              </p>
            </section>
            {found.runs.length === 0 ? (
              <Empty title="Nothing is running">
                <a href={to('runs')}>All runs</a> shows what ran before.
              </Empty>
            ) : (
              <Table found={found} />
            )}
            <nav class="pages" aria-label="Pages">
              {after && <a href={to('running')}>Oldest</a>}
              {found.next && <a href={to('running', { after: found.next })}>Newer</a>}
            </nav>
          </>
        )}
      </Shown>
    </main>
  );
}

function verdict({ safe_to_deploy, running, stuck, interrupted }: Found): string {
  if (safe_to_deploy) {
    return interrupted === 0
      ? 'Safe to deploy: nothing is running.'
      : `Safe to deploy: nothing is running; ${count(interrupted)} interrupted.`;
  }
  return `Not safe to deploy: ${count(running)} running, ${count(stuck)} stuck, ${count(interrupted)} interrupted.`;
}

function Table({ found }: { found: Found }) {
  const now = Date.parse(found.read_at);
  const since = (at: string) => micros(Math.max(0, now - Date.parse(at)) * 1_000);
  const stateOf = ({ summary, last_event }: OpenRun) =>
    summary.state === 'running' && now - Date.parse(last_event) >= found.stuck_after_s * 1_000 ? 'stuck' : summary.state;
  return (
    <table class="runs">
      <thead>
        <tr>
          <th scope="col">Run</th>
          <th scope="col">State</th>
          <th scope="col">Current step</th>
          <th scope="col" class="number">Age</th>
          <th scope="col" class="number roomy">Quiet for</th>
          <th scope="col" class="wide">First failure</th>
          <th scope="col" class="wide">Workflow</th>
          <th scope="col" class="wide">Started</th>
        </tr>
      </thead>
      <tbody>
        {found.runs.map((run) => (
          <tr key={run.summary.trace_id}>
            <th scope="row"><a href={toRun(run.summary.trace_id, run.current?.span_id)}>{nameOf(run.summary)}</a></th>
            <td><State state={stateOf(run)} /></td>
            <td>{run.current && <Step current={run.current} />}</td>
            <td class="number">{since(run.summary.started)}</td>
            <td class="number roomy">{since(run.last_event)}</td>
            <td class="wide cause">{run.summary.first_failure?.name}</td>
            <td class="wide">{kindOf(run.summary)}</td>
            <td class="wide"><Moment at={run.summary.started} /></td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Step({ current }: { current: NonNullable<OpenRun['current']> }) {
  return (
    <>
      {current.name}
      <span class="quiet">
        {current.step_index !== null && ` step ${current.step_index}${current.step_total === null ? '' : ` of ${current.step_total}`}`}
        {(current.attempt ?? 1) > 1 && ` attempt ${current.attempt}`}
      </span>
    </>
  );
}

// What runs now, and what a deployment would cut short.

import { useEffect, useState } from 'preact/hooks';
import { count, kindOf, micros, nameOf } from './format.ts';
import { useAnswer, useNews, useNow, useThrottled } from './hooks.ts';
import { useKeys } from './keys.ts';
import { Empty, Name, Shown, State, Step } from './parts.tsx';
import { type Route, to, toRun } from './route.ts';
import { useSettings } from './settings.ts';
import type { Holder, OpenRun, Running as Found, UsualTime } from './types.ts';

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
  const found = answer.value?.runs ?? [];
  const [selected, setSelected] = useState(0);
  const move = (by: number) => {
    const next = Math.max(0, Math.min(found.length - 1, selected + by));
    setSelected(next);
    document.getElementById(`open-${next}`)?.scrollIntoView({ block: 'nearest' });
  };
  useEffect(() => setSelected(0), [after]);
  useKeys([
    { key: 'j ArrowDown', does: 'next run', run: () => move(1) },
    { key: 'k ArrowUp', does: 'previous run', run: () => move(-1) },
    { key: 'l Enter', does: 'open the run', run: () => {
      const run = found[Math.min(selected, found.length - 1)];
      if (run) location.hash = toRun(run.summary.trace_id, run.current?.span_id);
    } },
    { key: 'h', does: 'back to the list', run: () => void (location.hash = to('runs')) },
    { key: 'g', does: 'first run', run: () => move(-found.length) },
    { key: 'G', does: 'last run', run: () => move(found.length) },
    { key: 'r', does: 'read again', run: answer.again },
  ]);
  const clock = useNow(found.length > 0);
  // By the clock of the server, as the times are that it is compared with.
  const now = (read: Found) => Date.parse(read.read_at) + Math.max(0, clock - answer.at);
  return (
    <main>
      <h1>Running now</h1>
      <Shown answer={answer}>
        {(found) => (
          <>
            <section class={`card ${found.safe_to_deploy ? 'succeeded' : 'failed'}`} aria-label="Safe to deploy">
              <p class="headline">{verdict(found)}</p>
              {!found.safe_to_deploy && <p>{reason(found)}</p>}
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
              <>
                <Table found={found} now={now(found)} selected={Math.min(selected, found.runs.length - 1)} />
                <Processes found={found} now={now(found)} />
              </>
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

function runs(number: number): string {
  return `${count(number)} ${number === 1 ? 'run' : 'runs'}`;
}

/** Why it is not safe, in a sentence. */
function reason({ running, stuck, can_be_resumed }: Found): string {
  const all = running + stuck;
  const lost = all - can_be_resumed;
  const end = lost === 0 ? ', all of which can be resumed' : can_be_resumed === 0 ? ' for good' : `, of which ${count(can_be_resumed)} can be resumed`;
  return `A deployment would cut short ${runs(all)}${end}.`;
}

/** What a deployment does to a run, and how that is coloured. */
const DEPLOYMENTS: Record<string, [string, string]> = {
  cuts_short: ['cuts it short; can be resumed', 'warn'],
  cuts_short_for_good: ['cuts it short for good', 'mark'],
  waits_to_be_resumed: ['changes nothing; waits to be resumed', 'quiet'],
  is_left_over: ['changes nothing; can\u2019t be resumed', 'quiet'],
};

function Table({ found, now, selected }: { found: Found; now: number; selected: number }) {
  const since = (at: string) => Math.max(0, now - Date.parse(at)) * 1_000;
  const stateOf = ({ summary, last_event }: OpenRun) =>
    summary.state === 'running' && now - Date.parse(last_event) >= found.stuck_after_s * 1_000 ? 'stuck' : summary.state;
  return (
    <table class="runs open-runs">
      <thead>
        <tr>
          <th scope="col">Run</th>
          <th scope="col">State</th>
          <th scope="col">Current step</th>
          <th scope="col">Age</th>
          <th scope="col" class="roomy">A deployment</th>
          <th scope="col" class="wide">Process</th>
          <th scope="col" class="number roomy">Quiet for</th>
          <th scope="col" class="wide">First failure</th>
        </tr>
      </thead>
      <tbody>
        {found.runs.map((run, at) => {
          const [does, tone] = DEPLOYMENTS[run.deployment] ?? ['not known', 'quiet'];
          return (
            <tr id={`open-${at}`} class={at === selected ? 'selected' : undefined} key={run.summary.trace_id}>
              <th scope="row">
                <a href={toRun(run.summary.trace_id, run.current?.span_id)}><Name of={nameOf(run.summary)} /></a>
                {kindOf(run.summary) !== nameOf(run.summary) && <div class="quiet"><Name of={kindOf(run.summary)} /></div>}
              </th>
              <td><State state={stateOf(run)} /></td>
              <td>
                <Step current={run.current} />
                {run.current && <Against took={since(run.current.started)} usual={run.usual_of_step} label="for " />}
                {run.next_retry && Date.parse(run.next_retry) > now && (
                  <div class="warn">next retry in {micros((Date.parse(run.next_retry) - now) * 1_000)}</div>
                )}
                <div class={`narrow ${tone}`}>a deployment {does}</div>
              </td>
              <td>
                <Against took={since(run.summary.started)} usual={run.usual} label="" />
              </td>
              <td class={`roomy ${tone}`}>{does}</td>
              <td class="wide">{run.holder && processOf(run.holder)}</td>
              <td class="number roomy">{micros(since(run.last_event))}</td>
              <td class="wide cause">{run.summary.first_failure && <Name of={run.summary.first_failure.name} />}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

/** How long something has taken so far, beside how long it usually takes. */
function Against({ took, usual, label }: { took: number; usual: UsualTime | null; label: string }) {
  const isLong = usual !== null && took > usual.p95_us;
  return (
    <div>
      <span class={isLong ? 'warn' : undefined}>{label}{micros(took)}</span>
      {usual && <span class="quiet"> usually {micros(usual.p50_us)}, p95 {micros(usual.p95_us)}</span>}
      {isLong && <b class="warn"> longer than usual</b>}
    </div>
  );
}

function processOf({ host, pid, instance }: Holder): string {
  return pid === null ? instance : `${host ?? ''} pid ${pid}`.trim();
}

/** The processes that have these runs in hand, each with its lease. */
function Processes({ found, now }: { found: Found; now: number }) {
  const since = (at: string) => micros(Math.max(0, now - Date.parse(at)) * 1_000);
  const holders = new Map<string, { holder: Holder; runs: number }>();
  for (const { holder } of found.runs) {
    if (!holder) continue;
    const known = holders.get(holder.instance);
    if (known) known.runs += 1;
    else holders.set(holder.instance, { holder, runs: 1 });
  }
  if (holders.size === 0) return null;
  return (
    <section class="card" aria-labelledby="processes">
      <h2 id="processes">Processes and their leases</h2>
      <table>
        <thead>
          <tr>
            <th scope="col">Process</th>
            <th scope="col">Lease</th>
            <th scope="col">Service</th>
            <th scope="col" class="roomy">Version</th>
            <th scope="col" class="number roomy">Up for</th>
            <th scope="col" class="number">Runs here</th>
          </tr>
        </thead>
        <tbody>
          {[...holders.values()].map(({ holder, runs }) => (
            <tr key={holder.instance}>
              <th scope="row" title={`instance ${holder.instance}`}><Name of={processOf(holder)} /></th>
              <td>
                <State state={LEASES[holder.lease] ?? 'unfinished'} />{' '}
                {holder.last_seen && <span class="quiet">last sign of life {since(holder.last_seen)} ago</span>}
              </td>
              <td>{holder.service !== null && <Name of={holder.service} />}</td>
              <td class="roomy">{holder.version}</td>
              <td class="number roomy">{holder.since && holder.lease === 'alive' && since(holder.since)}</td>
              <td class="number">{count(runs)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** How a lease stands, as the states of runs are shown. */
const LEASES: Record<string, string> = { alive: 'held', dead: 'lost', imported: 'imported', unknown: 'unknown' };

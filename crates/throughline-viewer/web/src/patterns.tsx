// What runs have in common.

import { useMemo } from 'preact/hooks';
import { count, isoOf, micros, percent } from './format.ts';
import { Heatmap } from './heatmap.tsx';
import { useAnswer } from './hooks.ts';
import { useKeys } from './keys.ts';
import { Empty, Kind, Name, Shown } from './parts.tsx';
import { type Route, to } from './route.ts';
import { sinceOf } from './runs.tsx';
import { useSettings } from './settings.ts';
import type { Patterns as Found, Rate, WithInterval } from './types.ts';

const TIMES: [string, string][] = [
  ['1h', 'last hour'],
  ['24h', 'last 24 hours'],
  ['7d', 'last 7 days'],
  ['all', 'all'],
];

export function Patterns({ route }: { route: Route }) {
  const { clock } = useSettings();
  const chosen = route.parameters['since'] ?? '24h';
  const since = useMemo(() => (chosen === 'all' ? undefined : sinceOf(chosen, clock)), [chosen, clock]);
  const { workflow, stage } = route.parameters;
  const answer = useAnswer<Found>('patterns', { since, workflow });
  // From figure to figure: each is a link to its runs.
  const move = (by: number) => {
    const links = [...document.querySelectorAll<HTMLElement>('.grid a')];
    const at = links.findIndex((link) => link === document.activeElement);
    links[Math.max(0, Math.min(links.length - 1, at < 0 ? 0 : at + by))]?.focus();
  };
  useKeys([
    { key: 'j ArrowDown', does: 'next figure', run: () => move(1) },
    { key: 'k ArrowUp', does: 'previous figure', run: () => move(-1) },
    { key: 'l', does: 'show the runs behind the figure', run: () => {
      if (document.activeElement?.matches('.grid a')) (document.activeElement as HTMLElement).click();
    } },
    { key: 'h', does: 'back to the list', run: () => void (location.hash = to('runs')) },
    { key: 'g', does: 'first figure', run: () => move(-Infinity) },
    { key: 'G', does: 'last figure', run: () => move(Infinity) },
    { key: 'r', does: 'read again', run: answer.again },
  ]);
  /** The address of the runs behind a figure. */
  const runs = (more: Record<string, string | undefined>) =>
    to('runs', { since: chosen === 'all' ? undefined : chosen, workflow, ...more });
  return (
    <main>
      <h1>Patterns</h1>
      <nav class="chips" aria-label="Time">
        {TIMES.map(([value, name]) => (
          <a class="chip" href={to('patterns', { since: value, workflow })} aria-current={value === chosen ? 'true' : undefined}>{name}</a>
        ))}
        {workflow && <a class="pill" href={to('patterns', { since: chosen })}>workflow: <b>{workflow}</b> <span aria-hidden="true">×</span></a>}
      </nav>
      {answer.value?.uncounted ? <Uncounted events={answer.value.uncounted} /> : null}
      <Shown answer={answer}>
        {(found) =>
          (found.failures?.total ?? 0) === 0 && (found.slowest_stages ?? []).length === 0 ? (
            <Empty title="No run finished in this time">
              Choose a longer time above, or look at <a href={to('running')}>what is running</a>.
            </Empty>
          ) : (
            <div class="grid">
              <section class="card" aria-labelledby="rates">
                <h2 id="rates">How runs end</h2>
                <RateLine name="failed" of="finished runs" rate={found.failures} address={runs({ state: 'failed' })} />
                <RateLine name="began to compensate" of="runs" rate={found.compensations} address={runs({ type: 'saga:compensating' })} />
              </section>
              <OverTime found={found} address={(since, until, state) => to('runs', { state, since, until, workflow })} />
              <HotSpots found={found} address={(cause, error) => runs({ state: 'failed', cause, error: error ?? undefined })} />
              <Stages found={found} address={(type) => runs({ type })} times={(stage) => to('patterns', { since: chosen, workflow, stage })} />
              {stage && <Heatmap key={stage} stage={stage} since={since} workflow={workflow} close={to('patterns', { since: chosen, workflow })} />}
              <Outcomes found={found} address={(type, choice, state) => runs({ type, choice, state })} />
            </div>
          )
        }
      </Shown>
    </main>
  );
}

function Uncounted({ events }: { events: number }) {
  return (
    <p class="notice" role="status">
      <b>{count(events)}</b> {events === 1 ? 'event waits' : 'events wait'} in the outbox for the store and {events === 1 ? 'is' : 'are'} not
      counted here. <a href={to('library')}>Why it waits</a>
    </p>
  );
}

function Unknown() {
  return <p class="quiet">This store does not count that; SQLite does.</p>;
}

function interval([low, high]: [number, number]): string {
  return `95 % interval ${percent(low)} to ${percent(high)}`;
}

function RateLine({ name, of, rate, address }: { name: string; of: string; rate: WithInterval | null; address: string }) {
  if (!rate) return <Unknown />;
  return (
    <p>
      <a href={address}><b>{count(rate.hits)}</b> of {count(rate.total)} {of} {name}</a>: {percent(rate.ratio)}{' '}
      <span class="quiet">({interval(rate.interval)})</span>
    </p>
  );
}

/** A bar whose length is a share. */
function Share({ rate, most }: { rate: Rate; most: number }) {
  return (
    <span class="share" aria-hidden="true">
      <i class="bar failed" style={{ width: `${(rate.hits / Math.max(1, most)) * 100}%` }} />
    </span>
  );
}

/** How runs have ended that have. */
const ENDED = 'succeeded,failed,cancelled';

function OverTime({ found, address }: { found: Found; address: (since: string, until: string, state: string) => string }) {
  const buckets = found.over_time;
  const most = Math.max(1, ...(buckets ?? []).map(({ failed }) => failed.total));
  return (
    <section class="card" aria-labelledby="over-time">
      <h2 id="over-time">Failures over time</h2>
      {!buckets ? <Unknown /> : (
        <>
          <div class="columns-chart">
            {buckets.map(({ start, failed }) => {
              const until = isoOf(Date.parse(start) + found.width_s * 1_000);
              const label = `${start.slice(0, 16).replace('T', ' ')} UTC: ${count(failed.hits)} of ${count(failed.total)} failed`;
              return (
                <a href={address(start, until, failed.hits > 0 ? 'failed' : ENDED)} aria-label={label} title={label}>
                  <i class="bar succeeded" style={{ height: `${((failed.total - failed.hits) / most) * 100}%` }} />
                  <i class="bar failed" style={{ height: `${(failed.hits / most) * 100}%` }} />
                </a>
              );
            })}
          </div>
          <p class="quiet">
            {buckets[0] && `from ${buckets[0].start.slice(0, 16).replace('T', ' ')} UTC, `}one bar per {micros(found.width_s * 1_000_000)}, up to {count(most)} finished runs
          </p>
        </>
      )}
    </section>
  );
}

function HotSpots({ found, address }: { found: Found; address: (cause: string, error: string | null) => string }) {
  const spots = found.hot_spots;
  const most = Math.max(1, ...(spots ?? []).map(({ share }) => share.hits));
  return (
    <section class="card" aria-labelledby="hot-spots">
      <h2 id="hot-spots">Where runs fail, by cause</h2>
      {!spots ? <Unknown /> : spots.length === 0 ? <p>No run failed.</p> : (
        <table>
          <thead><tr><th scope="col">Cause</th><th scope="col">Error</th><th scope="col" class="number">Runs</th><th scope="col" class="share roomy"><span class="hidden">Share</span></th></tr></thead>
          <tbody>
            {spots.map((spot) => (
              <tr>
                <th scope="row"><a href={address(spot.event_type, spot.error_type)}><Name of={spot.event_type} /></a></th>
                <td>{spot.error_type && <Kind name={spot.error_type} />}</td>
                <td class="number">{count(spot.share.hits)}</td>
                <td class="share roomy"><Share rate={spot.share} most={most} /></td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function Stages({ found, address, times }: { found: Found; address: (type: string) => string; times: (stage: string) => string }) {
  const stages = found.slowest_stages;
  return (
    <section class="card" aria-labelledby="stages">
      <h2 id="stages">Slow stages</h2>
      {!stages ? <Unknown /> : (
        <table>
          <thead>
            <tr><th scope="col">Stage</th><th scope="col" class="number">Count</th><th scope="col" class="number roomy">p50</th><th scope="col" class="number">p95</th><th scope="col" class="number roomy">p99</th><th scope="col" class="number wide">max</th><th scope="col"><span class="hidden">Over time</span></th></tr>
          </thead>
          <tbody>
            {stages.slice(0, 20).map((stage) => (
              <tr>
                <th scope="row"><a href={address(stage.event_type)}><Name of={stage.event_type} /></a></th>
                <td class="number">{count(stage.count)}</td>
                <td class="number roomy">{micros(stage.p50_us)}</td>
                <td class="number">{micros(stage.p95_us)}</td>
                <td class="number roomy">{micros(stage.p99_us)}</td>
                <td class="number wide">{micros(stage.max_us)}</td>
                <td class="whole"><a href={times(stage.event_type)}>heatmap<span class="hidden"> of {stage.event_type}</span></a></td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function Outcomes({ found, address }: { found: Found; address: (type: string, choice: string, state?: string) => string }) {
  const { about } = useSettings();
  const outcomes = found.decisions;
  return (
    <section class="card" aria-labelledby="outcomes">
      <h2 id="outcomes">How decisions turned out</h2>
      {!outcomes ? about.payloads ? <Unknown /> : <p class="quiet">Choices are not shown to you.</p> : outcomes.length === 0 ? <p class="quiet">No finished run made a decision.</p> : (
        <table>
          <thead><tr><th scope="col">Decision</th><th scope="col">Choice</th><th scope="col" class="number">Failed</th><th scope="col">Rate</th></tr></thead>
          <tbody>
            {outcomes.map((outcome) => (
              <tr>
                <th scope="row"><Name of={outcome.decision} /></th>
                <td><a href={address(outcome.decision, outcome.choice)}><Name of={outcome.choice} /></a></td>
                <td class="number">
                  <a href={address(outcome.decision, outcome.choice, 'failed')}>
                    {count(outcome.failed.hits)} of {count(outcome.failed.total)}<span class="hidden"> that chose {outcome.choice} failed</span>
                  </a>
                </td>
                <td><span class="whole">{percent(outcome.failed.hits / Math.max(1, outcome.failed.total))}</span> <span class="quiet roomy">({interval(outcome.interval)})</span></td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

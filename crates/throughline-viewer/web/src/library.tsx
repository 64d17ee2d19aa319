// How the library itself does.

import { useEffect } from 'preact/hooks';
import { bytes, count, many, micros } from './format.ts';
import { useAnswer } from './hooks.ts';
import { useKeys } from './keys.ts';
import { Moment, Name, Shown } from './parts.tsx';
import { to, toRun } from './route.ts';
import { useSettings } from './settings.ts';
import type { Destination, Health, Library as Found, Outbox } from './types.ts';

/** How often it is read again: nothing tells of what became of events. */
const EVERY = 5_000;

export function Library() {
  const { about } = useSettings();
  const answer = useAnswer<Found>('library');
  useEffect(() => {
    const timer = setInterval(answer.again, EVERY);
    return () => clearInterval(timer);
  }, []);
  useKeys([
    { key: 'h', does: 'back to the list', run: () => void (location.hash = to('runs')) },
    { key: 'r', does: 'read again', run: answer.again },
  ]);
  return (
    <main>
      <h1>The library itself</h1>
      <Shown answer={answer}>
        {(found) => (
          <>
            <section class={`card ${isWell(found) ? 'succeeded' : 'failed'}`} aria-labelledby="store">
              <h2 id="store">Store and feed</h2>
              <p><Answers what="The store" health={found.store} /></p>
              <p>
                {found.feed ? (
                  <>
                    <Answers what="The feed" health={found.feed} />{' '}
                    {found.feed.error === null ? 'Pages are kept up to date as events arrive.' : 'Until it does, pages show what is new when they are read again.'}
                  </>
                ) : (
                  'There is no feed, so pages are not kept up to date: give the service a feed, or start the command with --feed.'
                )}
              </p>
            </section>
            <section class="card" aria-labelledby="delivery">
              <h2 id="delivery">What became of the events</h2>
              {found.delivery ? (
                <Destinations all={found.delivery.destinations} outbox={found.outbox} />
              ) : (
                <p>
                  Only the service itself knows this, and the viewer runs beside it: nest the viewer in the service, or look at the
                  delivery metrics on its <code>/metrics</code>.
                </p>
              )}
            </section>
            <Waiting outbox={found.outbox} />
            <section class="card" aria-labelledby="viewer">
              <h2 id="viewer">This viewer</h2>
              <dl>
                <Room of="Requests at once" free={found.free_requests} most={found.most_requests} />
                <Room of="Live pages" free={found.free_watchers} most={found.most_watchers} />
                <div><dt>Version</dt><dd>{about.version}</dd></div>
              </dl>
            </section>
            {found.delivery && Object.keys(found.delivery.redacted).length > 0 && (
              <section class="card" aria-labelledby="redacted">
                <h2 id="redacted">What redaction has replaced</h2>
                <dl>
                  {Object.entries(found.delivery.redacted).map(([kind, number]) => (
                    <div><dt>{kind}</dt><dd>{count(number)}</dd></div>
                  ))}
                </dl>
              </section>
            )}
          </>
        )}
      </Shown>
    </main>
  );
}

function isWell({ store, feed }: Found): boolean {
  return store.error === null && (feed?.error ?? null) === null;
}

function Answers({ what, health }: { what: string; health: Health }) {
  if (health.error === null) return <>{what} answers in {micros(health.took_us)}.</>;
  return <b class="mark">{what} does not answer: {health.error}.</b>;
}

function Room({ of, free, most }: { of: string; free: number; most: number }) {
  return (
    <div><dt>{of}</dt><dd>{count(most - free)} of {count(most)}</dd></div>
  );
}

/** What waits until the store is there. */
function Waiting({ outbox }: { outbox: Outbox | null }) {
  return (
    <section class="card" aria-labelledby="outbox">
      <h2 id="outbox">Outbox</h2>
      {outbox === null ? (
        <p class="quiet">
          No outbox is known here: a service has one with <code>.spool(..)</code>, in which its events wait while its store is away. Beside a
          service, <code>throughline serve --outbox FILE</code> shows what waits in its file.
        </p>
      ) : outbox.usage === null ? (
        <p><Answers what="The outbox" health={outbox} /></p>
      ) : (
        <>
          <p>
            {outbox.usage.events === 0 ? 'Nothing waits for the store' : <b class="warn">{many(outbox.usage.events, 'event waits', 'events wait')} for the store</b>}
            {outbox.oldest && <>, the oldest since <Moment at={outbox.oldest} /></>}
            {': '}{bytes(outbox.usage.bytes)} of {bytes(outbox.usage.capacity_bytes)} are taken.
          </p>
          {outbox.usage.events > 0 && <p class="quiet">Lists and runs have them already; what is counted may not have them before they are in the store.</p>}
          {outbox.usage.refused > 0 && <p><b class="mark">{many(outbox.usage.refused, 'event was', 'events were')} set aside, because the store refused {outbox.usage.refused === 1 ? 'it' : 'them'}.</b></p>}
          {outbox.refused.length > 0 && (
            <table>
              <thead><tr><th scope="col">Event</th><th scope="col">Why</th></tr></thead>
              <tbody>
                {outbox.refused.map((one) => (
                  <tr>
                    <th scope="row"><a href={toRun(one.trace_id, one.span_id)}><Name of={one.event_type} /></a></th>
                    <td>{one.reason}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
        </>
      )}
    </section>
  );
}

function Destinations({ all, outbox }: { all: Destination[]; outbox: Outbox | null }) {
  return (
    <table>
      <thead>
        <tr><th scope="col">Destination</th><th scope="col" class="number roomy">Accepted</th><th scope="col" class="number roomy">Delivered</th><th scope="col" class="number">Pending</th><th scope="col" class="number roomy">Queue</th><th scope="col" class="number">Dropped</th><th scope="col">Condition</th></tr>
      </thead>
      <tbody>
        {all.map((one) => (
          <tr>
            <th scope="row"><Name of={one.name} /> <span class="quiet">{one.kind}</span></th>
            <td class="number roomy">{count(one.accepted)}</td>
            <td class="number roomy">{count(one.delivered)}</td>
            <td class="number">
              {count(one.pending)}
              {one.kind === 'store' && (outbox?.usage?.events ?? 0) > 0 && <div class="quiet">{count(outbox?.usage?.events ?? 0)} in the outbox</div>}
            </td>
            <td class="number roomy">{one.queue && `${count(one.queue.waiting)} of ${count(one.queue.capacity)}`}</td>
            <td class="number">{count(one.dropped.reduce((sum, [, number]) => sum + number, 0))}</td>
            <td>
              {conditionOf(one)}
              {one.last_failure && <div class="quiet">took nothing last <Moment at={one.last_failure.at} />: {one.last_failure.reason}</div>}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function conditionOf(one: Destination): string {
  const said = [
    one.broken && `broken: ${one.broken}`,
    ...one.dropped.map(([reason, number]) => `${count(number)} dropped: ${reason.replaceAll('_', ' ')}`),
    one.panics > 0 && `${count(one.panics)} panics`,
    one.last_upkeep_failure && `upkeep failed ${count(one.upkeep_failures)} times, the last time because ${one.last_upkeep_failure}`,
  ].filter(Boolean);
  return said.length > 0 ? said.join('; ') : 'works';
}

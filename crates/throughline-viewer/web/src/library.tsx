// How the library itself does.

import { useEffect } from 'preact/hooks';
import { count, micros } from './format.ts';
import { useAnswer } from './hooks.ts';
import { useKeys } from './keys.ts';
import { Shown } from './parts.tsx';
import { useSettings } from './settings.ts';
import type { Destination, Library as Found } from './types.ts';

/** How often it is read again: nothing tells of what became of events. */
const EVERY = 5_000;

export function Library() {
  const { about } = useSettings();
  const answer = useAnswer<Found>('library');
  useEffect(() => {
    const timer = setInterval(answer.again, EVERY);
    return () => clearInterval(timer);
  }, []);
  useKeys([{ key: 'r', does: 'read again', run: answer.again }]);
  return (
    <main>
      <h1>The library itself</h1>
      <Shown answer={answer}>
        {(found) => (
          <>
            <section class="card" aria-labelledby="store">
              <h2 id="store">Store and feed</h2>
              <p>The store answers in {micros(found.store_answers_us)}.</p>
              <p>{about.live ? 'Pages are kept up to date as events arrive.' : 'Pages are not kept up to date: give the service a feed, or start the command with --feed.'}</p>
              <p class="quiet">
                Room for {count(found.free_requests)} more requests at once, and for {count(found.free_watchers)} more live pages. Version {about.version}.
              </p>
            </section>
            <section class="card" aria-labelledby="delivery">
              <h2 id="delivery">What became of the events</h2>
              {found.delivery ? (
                <Destinations all={found.delivery.destinations} />
              ) : (
                <p>
                  Only the service itself knows this, and the viewer runs beside it: nest the viewer in the service, or look at the
                  delivery metrics on its <code>/metrics</code>.
                </p>
              )}
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

function Destinations({ all }: { all: Destination[] }) {
  return (
    <table>
      <thead>
        <tr><th scope="col">Destination</th><th scope="col" class="number roomy">Accepted</th><th scope="col" class="number roomy">Delivered</th><th scope="col" class="number">Pending</th><th scope="col" class="number">Dropped</th><th scope="col">Condition</th></tr>
      </thead>
      <tbody>
        {all.map((one) => (
          <tr>
            <th scope="row">{one.name} <span class="quiet">{one.kind}</span></th>
            <td class="number roomy">{count(one.accepted)}</td>
            <td class="number roomy">{count(one.delivered)}</td>
            <td class="number">{count(one.pending)}</td>
            <td class="number">{count(one.dropped.reduce((sum, [, number]) => sum + number, 0))}</td>
            <td>{conditionOf(one)}</td>
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

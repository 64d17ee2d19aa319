// How a run differs from another, on demand.

import { useState } from 'preact/hooks';
import { nameOf } from './format.ts';
import { useAnswer } from './hooks.ts';
import { Moment, Shown } from './parts.tsx';
import { toRun } from './route.ts';
import type { Diff } from './types.ts';

export function Comparison({ id }: { id: string }) {
  const [other, setOther] = useState('');
  const [against, setAgainst] = useState<string>();
  return (
    <section class="card" aria-labelledby="diff">
      <h2 id="diff">Difference</h2>
      <p class="actions">
        <button onClick={() => setAgainst('')}>From the last good run</button>
        <input
          aria-label="Id of the run to compare with"
          placeholder="or from the run with this id"
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
  const answer = useAnswer<Diff>(`runs/${id}/diff`, { with: against });
  return (
    <Shown answer={answer}>
      {({ with: other, diff }) => {
        const found = Object.entries(diff).filter(([, value]) => (Array.isArray(value) ? value.length > 0 : isObject(value) && 'spans' in value));
        return (
          <>
            <p>
              From <a href={toRun(other.trace_id)}>{nameOf(other)}</a>, <Moment at={other.started} />:
            </p>
            {found.length === 0 && <p>Both went the same way.</p>}
            {found.map(([name, value]) => (
              <>
                <h3>{name.replaceAll('_', ' ')}</h3>
                <ul class="plain">{(Array.isArray(value) ? value : [value]).slice(0, 50).map((one) => <li>{inWords(one)}</li>)}</ul>
              </>
            ))}
          </>
        );
      }}
    </Shown>
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** A difference with the names of what differs; ids of spans say nothing beside another run. */
function inWords(value: unknown): string {
  if (Array.isArray(value)) return value.map(inWords).join(', ');
  if (!isObject(value)) return String(value);
  if (typeof value['name'] === 'string' && 'span_id' in value) return value['name'];
  const said = Object.entries(value).filter(([name, one]) => one !== null && !name.endsWith('span_id') && name !== 'spans');
  return said.map(([name, one]) => (isObject(one) && 'name' in one ? inWords(one) : `${name.replaceAll('_', ' ')} ${inWords(one)}`)).join(' · ');
}

// The list of runs.

import { Component, type ComponentChildren } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { ask } from './api.ts';
import { type Clock, count, isoOf, kindOf, micros, nameOf } from './format.ts';
import { useAnswer, useMedia, useNews, useNow, useThrottled } from './hooks.ts';
import { useKeys } from './keys.ts';
import { Age, Empty, Kind, Moment, Name, Shown, State, Step, StepNumber } from './parts.tsx';
import { type Route, replace, to, toRun, valuesOf, withValue } from './route.ts';
import { useSettings } from './settings.ts';
import type { Counts, Listed, OpenRun, Run, Running } from './types.ts';

/** Views that are a click away. */
const VIEWS: { name: string; parameters: Record<string, string> }[] = [
  { name: 'All', parameters: {} },
  { name: 'Failed', parameters: { state: 'failed' } },
  { name: 'Running', parameters: { state: 'running' } },
  { name: 'Stuck', parameters: { view: 'stuck' } },
  { name: 'Interrupted', parameters: { state: 'interrupted' } },
  { name: 'Succeeded', parameters: { state: 'succeeded' } },
  { name: 'Cancelled', parameters: { state: 'cancelled' } },
  { name: 'Unfinished', parameters: { state: 'unfinished' } },
  { name: 'Orphaned resources', parameters: { view: 'orphaned' } },
];

const TIMES: [string, string][] = [
  ['', 'any time'],
  ['1h', 'last hour'],
  ['today', 'today'],
  ['24h', 'last 24 hours'],
  ['7d', 'last 7 days'],
];
/** Times that are a click away. */
const CHIPS: [string, string][] = [
  ['1h', 'Last hour'],
  ['today', 'Today'],
];

/** How many runs a page of the list has. */
const PAGE = 50;
/** Of how many open runs it is asked at once in which steps they are. */
const MOST_OPEN = 60;

const FILTERS = ['workflow', 'service', 'key', 'type', 'tag', 'attr', 'choice', 'cause', 'error'];
/** What those may not ask for who may not see payloads. */
const OF_PAYLOADS = ['tag', 'attr', 'choice'];
const PILLS = [...FILTERS, 'until'];

/** The beginning of a time that is named from now. Days begin where the reader's clock says so. */
export function sinceOf(name: string | undefined, clock: Clock, now = Date.now()): string | undefined {
  if (!name) return undefined;
  if (name === 'today') {
    return clock === 'utc' ? `${new Date(now).toISOString().slice(0, 10)}T00:00:00Z` : new Date(new Date(now).setHours(0, 0, 0, 0)).toISOString();
  }
  const [, number, unit] = /^(\d+)(min|h|d)$/.exec(name) ?? [];
  if (!number || !unit) return name;
  const size = { min: 60_000, h: 3_600_000, d: 86_400_000 }[unit] ?? 0;
  return isoOf(now - Number(number) * size);
}

export function Runs({ route }: { route: Route }) {
  const { parameters } = route;
  const { about, clock } = useSettings();
  const [fresh, setFresh] = useState<ReadonlySet<string>>(new Set());
  // The beginning of "the last hour" stands still while the page does.
  const since = useMemo(() => sinceOf(parameters['since'], clock), [parameters['since'], parameters['after'], clock]);
  const question = { ...parameters, since };
  const answer = useAnswer<Listed>('runs', question);
  const listed = useFurther(answer.value, question);
  const counts = useAnswer<Counts>('counts', {
    since,
    q: parameters['q'],
    ...Object.fromEntries(PILLS.map((name) => [name, parameters[name]])),
  });
  const [selected, setSelected] = useState(0);
  const search = useRef<HTMLInputElement>(null);

  /** What became of runs since the list was read: they keep their places. */
  const [changed, setChanged] = useState<ReadonlyMap<string, Run>>(new Map());
  const runs = useMemo(() => {
    const named = new Set(listed?.named.map((run) => run.trace_id));
    const all = [...(listed?.named ?? []), ...(listed?.runs.filter((run) => !named.has(run.trace_id)) ?? [])];
    return all.map((run) => changed.get(run.trace_id) ?? run);
  }, [listed, changed]);

  // In which step open runs are is not in a list of all runs.
  const openRuns = runs.filter(isOpen).slice(0, MOST_OPEN);
  const underWay = useAnswer<Running>(openRuns.length > 0 ? 'running' : undefined, { id: openRuns.map((run) => run.trace_id).join(',') }, listed);
  const steps = useMemo(() => new Map(underWay.value?.runs.map((run) => [run.summary.trace_id, run.current])), [underWay.value]);

  const wasConnected = useRef(false);
  const countAgain = useThrottled(counts.again, () => 2_000);
  const stepsAgain = useThrottled(underWay.again, () => 2_000);
  const moved = useRef(new Set<string>());
  const update = useThrottled(() => {
    const id = [...moved.current].join(',');
    moved.current.clear();
    ask<Listed>('runs', { id }).then(
      (found) => setChanged((before) => new Map([...before, ...found.runs.map((run): [string, Run] => [run.trace_id, run])])),
      () => undefined,
    );
  }, () => 250);
  // Of what was missed, what a list of now has and this one has not; further back there are no new runs.
  const look = useThrottled(() => {
    const newest = listed?.runs[0]?.started ?? '';
    if (parameters['after'] || !listed) return;
    ask<Listed>('runs', question).then(
      (found) => {
        const shown = new Set(runs.map((run) => run.trace_id));
        const unseen = found.runs.filter((run) => !shown.has(run.trace_id) && run.started >= newest);
        if (unseen.length > 0) setFresh((before) => new Set([...before, ...unseen.map((run) => run.trace_id)]));
      },
      () => undefined,
    );
  }, () => 250);
  useNews(about.live, undefined, (news) => {
    if (news.missed) {
      look();
      // What was counted when the page was read is as new as the first connection.
      if (wasConnected.current) countAgain();
      wasConnected.current = true;
    }
    const shown = new Set(runs.map((run) => run.trace_id));
    const unseen = Object.entries(news.runs).filter(([id, { started }]) => started && !shown.has(id));
    if (unseen.length > 0) setFresh((before) => new Set([...before, ...unseen.map(([id]) => id)].slice(0, 10_000)));
    if (Object.values(news.runs).some(({ started, ended }) => started || ended)) countAgain();
    if (openRuns.some((run) => news.runs[run.trace_id])) stepsAgain();
    const ended = Object.entries(news.runs).filter(([id, { ended }]) => ended && shown.has(id));
    ended.forEach(([id]) => moved.current.add(id));
    if (ended.length > 0) update();
  });
  useEffect(() => {
    setFresh(new Set());
    setChanged(new Map());
  }, [answer.value]);
  useEffect(() => setSelected(0), [JSON.stringify(parameters)]);

  const change = (changed: Record<string, string | undefined>) =>
    to('runs', { ...parameters, after: undefined, ...changed });
  const show = () => {
    setFresh(new Set());
    if (parameters['after']) location.hash = change({});
    else answer.again();
  };
  const move = (by: number) => {
    const next = Math.max(0, Math.min(runs.length - 1, selected + by));
    setSelected(next);
    document.getElementById(`run-${next}`)?.scrollIntoView({ block: 'nearest' });
  };
  const open = () => {
    const run = runs[selected];
    if (run) location.hash = toRun(run.trace_id);
  };
  useKeys([
    { key: 'j ArrowDown', does: 'next run', run: () => move(1) },
    { key: 'k ArrowUp', does: 'previous run', run: () => move(-1) },
    { key: 'l Enter', does: 'open the run', run: open },
    { key: 'h', does: 'back to the newest', run: () => void (location.hash = change({})) },
    { key: '/', does: 'search', run: () => search.current?.focus() },
    { key: 'g', does: 'first run', run: () => move(-runs.length) },
    { key: 'G', does: 'last run', run: () => move(runs.length) },
    { key: 'f', does: 'failed runs only, or all', run: () => void (location.hash = change({ view: undefined, state: parameters['state'] === 'failed' ? undefined : 'failed' })) },
    { key: 'r', does: 'read again', run: show },
  ]);

  const isView = (view: Record<string, string>) =>
    (view['state'] ?? '') === (parameters['state'] ?? '') && (view['view'] ?? '') === (parameters['view'] ?? '');
  const number = (name: string): string => {
    const found = counts.value;
    if (!found) return '';
    if (name === 'Failed') return found.failed ? count(found.failed.hits) : '';
    const { running, stuck, interrupted, unfinished, succeeded, cancelled } = found;
    const ended = found.failed?.total ?? null;
    const all = [ended, running, stuck, interrupted, unfinished];
    const sum = all.reduce((sum, one) => (sum === null || one === null ? null : sum + one), 0);
    const values: Record<string, number | null> = { All: sum, Succeeded: succeeded, Cancelled: cancelled, Running: running, Stuck: stuck, Interrupted: interrupted, Unfinished: unfinished };
    const value = values[name];
    return value === undefined || value === null ? '' : count(value);
  };
  const isFiltered = Object.entries(parameters).some(([name, value]) => value && name !== 'after');
  const pills = PILLS.flatMap((name) => {
    const values = valuesOf(name, parameters[name]);
    return values.map((value) => ({ name, value, rest: values.filter((other) => other !== value).join('\n') }));
  });
  return (
    <main>
      <h1 class="hidden">Runs</h1>
      <div class="first-line">
        <nav class="chips" aria-label="Views">
          {VIEWS.map(({ name, parameters: view }) => (
            <a
              class="chip"
              href={change({ state: undefined, view: undefined, ...view })}
              aria-current={isView(view) ? 'true' : undefined}
            >
              {name} <span class="number">{number(name)}</span>
            </a>
          ))}
          {CHIPS.map(([since, name]) => (
            <a class="chip" href={change({ since: parameters['since'] === since ? undefined : since, until: undefined })} aria-current={parameters['since'] === since ? 'true' : undefined}>
              {name}
            </a>
          ))}
        </nav>
        <div class="news" role="status">
          {fresh.size > 0 && (
            <button onClick={show}>
              {count(fresh.size)} new – {isFiltered ? 'see which match' : 'show'}
            </button>
          )}
        </div>
      </div>
      <form class="search" role="search" onSubmit={(event) => event.preventDefault()}>
        <input
          ref={search}
          type="search"
          aria-label="Search by key, id, request id, workflow or error"
          placeholder="key, id, request id, workflow or error   ( / )"
          value={parameters['q'] ?? ''}
          onInput={(event) => replace(change({ q: event.currentTarget.value }))}
          onKeyDown={(event) => {
            if (event.key === 'Escape' || event.key === 'Enter') event.currentTarget.blur();
          }}
        />
        <label>
          <span class="hidden">Time</span>
          <select
            value={parameters['since'] ?? ''}
            onChange={(event) => void (location.hash = change({ since: event.currentTarget.value, until: undefined }))}
          >
            {TIMES.map(([value, name]) => (
              <option value={value}>{name}</option>
            ))}
            {parameters['since'] && !TIMES.some(([value]) => value === parameters['since']) && (
              <option value={parameters['since']}>since {parameters['since']}</option>
            )}
          </select>
        </label>
        <AddFilter add={(name, value) => void (location.hash = change({ [name]: withValue(name, parameters[name], value) }))} />
        {pills.map(({ name, value, rest }) => (
          <a class="pill" href={change({ [name]: rest })} aria-label={`Remove the filter ${name} ${value}`}>
            {name}: <b>{value}</b> <span aria-hidden="true">×</span>
          </a>
        ))}
      </form>
      <Shown answer={{ ...answer, value: listed }}>
        {(listed) =>
          runs.length === 0 && !listed.next ? (
            <Nothing parameters={parameters} />
          ) : (
            <>
              {runs.length > 0 && <Table runs={runs} steps={steps} selected={selected} parameters={parameters} />}
              <Pages listed={listed} shown={runs.length} parameters={parameters} />
            </>
          )
        }
      </Shown>
    </main>
  );
}

/** So many runs are searched before somebody has to ask for more. */
const FAR = 20_000;

/** An answer, and those that continue it until a page is full: each takes no longer than one may wait for it. */
function useFurther(first: Listed | undefined, question: Record<string, string | undefined>): Listed | undefined {
  const [further, setFurther] = useState<{ first: Listed; listed: Listed }>();
  useEffect(() => {
    let isGone = false;
    const search = async (first: Listed) => {
      let listed = first;
      while (!isGone && listed.next && listed.runs.length < PAGE && listed.looked_at < FAR) {
        const found = await ask<Listed>('runs', { ...question, after: listed.next });
        listed = {
          named: first.named,
          runs: [...listed.runs, ...found.runs],
          next: found.next,
          looked_at: listed.looked_at + found.looked_at,
        };
        if (!isGone) setFurther({ first, listed });
      }
    };
    // What was found until then stays, and how to look further back.
    if (first) search(first).catch(() => undefined);
    return () => void (isGone = true);
  }, [first]);
  return further && further.first === first ? further.listed : first;
}

function AddFilter({ add }: { add: (name: string, value: string) => void }) {
  const { about } = useSettings();
  const [name, setName] = useState('workflow');
  const [value, setValue] = useState('');
  const use = () => {
    if (value) add(name, value);
    setValue('');
  };
  return (
    <details class="add">
      <summary>Filter</summary>
      <div>
        <label>
          <span class="hidden">What to filter by</span>
          <select value={name} onChange={(event) => setName(event.currentTarget.value)}>
            {FILTERS.filter((name) => about.payloads || !OF_PAYLOADS.includes(name)).map((name) => (
              <option value={name}>{name}</option>
            ))}
          </select>
        </label>
        <input
          aria-label="Value of the filter"
          placeholder={name === 'attr' ? 'tenant=acme' : name === 'type' ? 'stage:*' : 'exact value'}
          value={value}
          onInput={(event) => setValue(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === 'Enter') use();
          }}
        />
        <button type="button" onClick={use}>
          Add
        </button>
      </div>
    </details>
  );
}

/** Where the style sheet leaves columns out. */
const NARROW = '(max-width: 480px)';

interface TableProps {
  runs: Run[];
  /** The steps that open runs are in. */
  steps: ReadonlyMap<string, OpenRun['current']>;
  selected: number;
  parameters: Record<string, string>;
}

function Table({ runs, steps, selected, parameters }: TableProps) {
  const { clock } = useSettings();
  const isNarrow = useMedia(NARROW);
  const now = useNow(runs.some(({ state }) => state === 'running'));
  const hasServices = new Set(runs.map((run) => run.service)).size > 1;
  return (
    <table class="runs">
      <thead>
        <tr>
          <th scope="col">Run</th>
          <th scope="col">State</th>
          <th scope="col">Cause, or current step</th>
          <th scope="col" class="wide">
            Workflow
          </th>
          {hasServices && (
            <th scope="col" class="wide">
              Service
            </th>
          )}
          <th scope="col" class="roomy">
            Started{clock === 'utc' && <span class="wide"> (UTC)</span>}
          </th>
          <th scope="col" class="number">
            Took
          </th>
        </tr>
      </thead>
      <tbody>
        {runs.map((run, at) => (
          <OneRow
            key={run.trace_id}
            run={run}
            at={at}
            isSelected={at === selected}
            isStuck={parameters['view'] === 'stuck'}
            step={isOpen(run) ? steps.get(run.trace_id) : undefined}
            hasService={hasServices}
            hasAge={isNarrow}
            now={run.state === 'running' ? now : 0}
          />
        ))}
      </tbody>
    </table>
  );
}

interface RowProps {
  run: Run;
  at: number;
  isSelected: boolean;
  isStuck: boolean;
  step: OpenRun['current'] | undefined;
  hasService: boolean;
  /** Whether it says how old it is, where there is no room for when it began. */
  hasAge: boolean;
  /** The time, for a run that grows with it. */
  now: number;
}

/** A row, which is drawn anew when something of it is another: the choice of the next run is about two of them. */
class OneRow extends Component<RowProps> {
  override shouldComponentUpdate(next: RowProps): boolean {
    return (Object.keys(next) as (keyof RowProps)[]).some((name) => next[name] !== this.props[name]);
  }

  override render({ run, at, isSelected, isStuck, step, hasService, hasAge, now }: RowProps): ComponentChildren {
    return (
      <tr id={`run-${at}`} class={isSelected ? 'selected' : undefined}>
        <th scope="row">
          <a href={toRun(run.trace_id)}><Name of={nameOf(run)} /></a>
          {(run.root?.attempt ?? 1) > 1 && <span class="quiet"> attempt {run.root?.attempt}</span>}
          {hasAge && <div class="quiet age"><Age since={run.started} /></div>}
        </th>
        <td><State state={isStuck ? 'stuck' : run.state} /></td>
        <td class="cause">{step ? <Step current={step} /> : <Cause run={run} />}</td>
        <td class="wide"><Name of={kindOf(run)} /></td>
        {hasService && <td class="wide">{run.service}</td>}
        <td class="roomy"><Moment at={run.started} /></td>
        <td class="number">{tookOf(run, now)}</td>
      </tr>
    );
  }
}

function isOpen({ state }: Run): boolean {
  return state === 'running' || state === 'interrupted';
}

/** How long a run took, or for how long one has been running. */
function tookOf({ state, started, duration_us }: Run, now: number): ComponentChildren {
  if (duration_us !== null) return micros(duration_us);
  return state === 'running' ? <span class="now">{micros(Math.max(0, now - Date.parse(started)) * 1_000)}…</span> : '';
}

function Cause({ run }: { run: Run }) {
  const failure = run.cause ?? (run.state === 'failed' ? run.first_failure : null);
  if (!failure) return null;
  return (
    <a href={toRun(run.trace_id, failure.span_id)} title={failure.error?.message}>
      <b><Name of={failure.name} /></b>
      <StepNumber of={failure} />
      {failure.error && (
        <>
          {' '}
          <Kind name={failure.error.type} /> {failure.error.message}
        </>
      )}
    </a>
  );
}

function Pages({ listed, shown, parameters }: { listed: Listed; shown: number; parameters: Record<string, string> }) {
  const isFiltered = listed.looked_at > shown;
  return (
    <nav class="pages" aria-label="Pages">
      <span>
        {isFiltered
          ? `${count(shown)} found among the ${count(listed.looked_at)} runs that were searched`
          : `${count(shown)} ${shown === 1 ? 'run' : 'runs'}`}
        {!listed.next && ', which is all'}
      </span>
      {parameters['after'] && <a href={to('runs', { ...parameters, after: undefined })}>Newest</a>}
      {listed.next && (
        <a href={to('runs', { ...parameters, after: listed.next })}>{isFiltered ? 'Look further back' : 'Older'}</a>
      )}
    </nav>
  );
}

function Nothing({ parameters }: { parameters: Record<string, string> }) {
  if (Object.values(parameters).some(Boolean)) {
    return (
      <Empty title="No run matches">
        <a href={to('runs')}>Show all runs</a>, or remove one of the filters above.
      </Empty>
    );
  }
  return (
    <Empty title="There are no runs yet">
      Runs appear here once a service that uses Throughline has run a workflow, or after{' '}
      <code>throughline import FILE</code>.
    </Empty>
  );
}

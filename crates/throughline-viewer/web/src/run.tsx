// One run: what happened, why, what was undone.

import type { ComponentChildren } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { useWhole } from './children.ts';
import { Details } from './details.tsx';
import { Comparison } from './diff.tsx';
import { kindOf, micros, nameOf, percent } from './format.ts';
import { useAnswer, useNews, useNow, useThrottled } from './hooks.ts';
import { Logs } from './logs.tsx';
import { Copy, Kind, Moment, Name, Save, Shown, State } from './parts.tsx';
import { replace, type Route, to, toRun } from './route.ts';
import { useSettings } from './settings.ts';
import type { Decision, DecisionOutcome, Details as Found, Run, SagaCompensation, Statement, Story } from './types.ts';
import { Tree } from './tree.tsx';
import { GraphView, Timeline } from './views.tsx';
import { Waterfall } from './waterfall.tsx';

/** The views of the spans of a run; the first has no name of its own. */
const VIEWS: [string | undefined, string][] = [
  [undefined, 'Waterfall'],
  ['tree', 'Tree'],
  ['timeline', 'Timeline'],
  ['graph', 'Graph'],
];
const LOGS: [string, string] = ['logs', 'Logs'];

export function OneRun({ route }: { route: Route }) {
  const { id } = route;
  const { about } = useSettings();
  const answer = useAnswer<Story>(`runs/${id}`);
  const isOpen = ['running', 'interrupted', 'unfinished'].includes(answer.value?.explanation.run?.state ?? '');
  const read = useRef({ at: Date.now(), took: 0 });
  useEffect(() => {
    read.current = { ...read.current, took: Date.now() - read.current.at };
    document.title = answer.value?.explanation.run ? `${nameOf(answer.value.explanation.run)} · Throughline` : 'Throughline';
  }, [answer.value]);
  // A large run is read less often: reading it takes at most a fifth of the time.
  const readAgain = useThrottled(
    () => {
      read.current.at = Date.now();
      answer.again();
    },
    () => Math.max(250, read.current.took * 4),
  );
  useNews(about.live && isOpen, id, readAgain);
  return (
    <main class="run">
      <Shown answer={answer}>
        {(story) => <Content story={story} readAt={answer.at} route={route} again={answer.again} isLive={about.live && isOpen} />}
      </Shown>
      {!answer.value && <h1 class={answer.error ? undefined : 'hidden'}>{answer.error ? 'This run can\u2019t be shown' : 'Run'}</h1>}
      {answer.error && !answer.value && (
        <p>
          <a href={to('runs')}>All runs</a> are listed with their keys; a search there finds a run by the beginning of its id.
        </p>
      )}
    </main>
  );
}

/** From how many spans on what goes on is drawn anew less often. */
const LARGE = 5_000;

/** How long ago a run was read, in microseconds, by the second; nothing if none of it goes on. */
function usePassed({ nodes }: Story, readAt: number): number {
  const goesOn = useMemo(() => nodes.some(({ span }) => span.state === 'running'), [nodes]);
  const seconds = Math.max(0, Math.floor((useNow(goesOn) - readAt) / 1_000));
  const step = nodes.length > LARGE ? 15 : 1;
  return goesOn ? Math.floor(seconds / step) * step * 1_000_000 : 0;
}

function Content({ story, readAt, route, again, isLive }: { story: Story; readAt: number; route: Route; again: () => void; isLive: boolean }) {
  const { id, parameters } = route;
  const { about } = useSettings();
  const views = about.logs ? [...VIEWS, LOGS] : VIEWS;
  const view = views.find(([name]) => name === parameters['view'])?.[0];
  const span = parameters['span'];
  const open = parameters['open']?.split(',').filter(Boolean) ?? [];
  const whole = useWhole(id, story, open);
  const select = (span: string | undefined) => replace(to(`run/${id}`, { view, open: parameters['open'], span }));
  const runOfSpan = span && whole.runOf(span);
  // A span of a child run that is closed is no longer there to be shown.
  const openRuns = (runs: string[]) =>
    replace(to(`run/${id}`, { view, open: runs.join(','), span: runOfSpan && [id, ...runs].includes(runOfSpan) ? span : undefined }));
  const spanName = (span: string) => whole.story.nodes.find((node) => node.span.span_id === span)?.span.name;
  const passed = usePassed(whole.story, readAt);
  const shown = { story: whole.story, runs: [id, ...open], selected: span, select };
  return (
    <>
      <Head story={story} id={id} headline={headlineOf(story, passed)} again={again} isLive={isLive} />
      <div class="columns">
        <div class="verdict">
          <Verdict story={story} id={id} passed={passed} />
          <Ledger story={story} id={id} />
          <Decisions story={story} id={id} />
          <Passed id={id} root={story.explanation.run?.root?.span_id} />
          <Related story={story} id={id} />
          <Comparison id={id} others={story.related.same_key} />
        </div>
        <div class="spans">
          <nav class="chips views" aria-label="Views of the run">
            {views.map(([name, label]) => (
              <a class="chip" href={to(`run/${id}`, { ...parameters, view: name })} aria-current={name === view ? 'true' : undefined}>{label}</a>
            ))}
          </nav>
          {view === 'tree' ? (
            <Tree {...shown} />
          ) : view === 'timeline' ? (
            <Timeline {...shown} />
          ) : view === 'graph' ? (
            <GraphView {...shown} />
          ) : view === 'logs' ? (
            <Logs {...shown} id={id} />
          ) : (
            <Waterfall {...shown} id={id} passed={passed} whole={whole} open={open} openRuns={openRuns} />
          )}
          {span && runOfSpan && <Details id={runOfSpan} span={span} nameOf={spanName} close={() => select(undefined)} />}
        </div>
      </div>
    </>
  );
}

/** For how long something has been going on, in microseconds. */
function since(start: string, story: Story, passed: number): number {
  return Math.max(0, Date.parse(story.read_at) - Date.parse(start)) * 1_000 + passed;
}

/** What happened, in a line; what goes on grows. */
function headlineOf(story: Story, passed: number): string {
  const { headline, verdict, run } = story.explanation;
  return verdict === 'running' && run ? `${headline}; it has been running for ${micros(since(run.started, story, passed))}` : headline;
}

function Head({ story, id, headline, again, isLive }: { story: Story; id: string; headline: string; again: () => void; isLive: boolean }) {
  const { run } = story.explanation;
  const { about } = useSettings();
  if (!run) return <h1>{id}</h1>;
  const { caused_by } = story.related;
  return (
    <header class="head">
      {caused_by && (
        <a class="above" href={to(`run/${caused_by.trace_id}`, { open: id })} title="Shows this run within the one that began it">
          {nameOf(caused_by)} <span aria-hidden="true">›</span><span class="hidden"> began this run</span>
        </a>
      )}
      <h1><Name of={nameOf(run)} /></h1>
      <State state={run.state} />
      <span><Name of={kindOf(run)} /> · <Name of={run.service} /></span>
      {run.duration_us !== null && <span>{micros(run.duration_us)}</span>}
      {(run.root?.attempt ?? 1) > 1 && <span>attempt {run.root?.attempt}</span>}
      <span>started <Moment at={run.started} /></span>
      {isLive && <span class="live">live</span>}
      <span class="actions">
        <Copy text={id} label="Copy id" />
        <Copy text={`throughline why ${id}`} label="Copy command" />
        <Copy text={headline} label="Copy as one line" />
        {about.payloads && <Save question={`runs/${id}/export`} name={`${fileName(run)}.html`} label="Save as one file" />}
        <button class="quiet" onClick={again}>Read again</button>
      </span>
    </header>
  );
}

/** A name that every system takes for a file. */
function fileName(run: Run): string {
  return nameOf(run).replaceAll(/[^A-Za-z0-9._-]+/g, '-').replace(/^[.-]+/, '').slice(0, 80) || run.trace_id;
}

const HOW_SURE: Record<string, string> = {
  recorded: 'recorded',
  linked: 'linked',
  inferred: 'inferred',
  compared: 'compared',
};

/** Of how many spans it is said for how long they have been at work. */
const AT_WORK = 3;

function Verdict({ story, id, passed }: { story: Story; id: string; passed: number }) {
  const { explanation } = story;
  // The headline says it already: what it rests on stands beside the cause.
  const origin = explanation.cause && explanation.statements.find(({ says, text }) => says === 'origin' && explanation.headline.includes(text));
  const rest = explanation.statements.filter((statement) => statement !== origin && statement.text !== explanation.headline);
  const atWork = explanation.verdict === 'running' ? explanation.open.filter(({ state }) => state === 'running').slice(0, AT_WORK) : [];
  return (
    <section class={`card ${explanation.verdict}`} aria-labelledby="verdict">
      <h2 id="verdict" class="headline"><Name of={headlineOf(story, passed)} /></h2>
      {explanation.cause && (
        <p class="origin">
          Cause: <a href={toRun(id, explanation.cause.span.span_id)}><b><Name of={explanation.cause.span.name} /></b></a>
          {explanation.cause.span.error && <>: <Kind name={explanation.cause.span.error.type} /> {explanation.cause.span.error.message}</>}
          {explanation.cause.span.error?.chain?.map((because) => <span class="because"> because: {because}</span>)}
          {origin && <Evidence statement={origin} />}
        </p>
      )}
      {rest.length + atWork.length > 0 && (
        <ul class="statements">
          {atWork.map((span) => (
            <li class="at-work">
              <a href={toRun(id, span.span_id)}><Name of={span.name} /></a> has been at work for {micros(since(span.started, story, passed))}
            </li>
          ))}
          {rest.map((statement) => <Said statement={statement} />)}
        </ul>
      )}
      {explanation.problems.length > 0 && (
        <p class="quiet">The record has gaps: {explanation.problems.map(({ kind, count }) => `${kind.replaceAll('_', ' ')} (${count})`).join(', ')}.</p>
      )}
    </section>
  );
}

/** How many links a statement has, unless somebody asks for more. */
const LINKS = 3;

/** The spans that a statement rests on, of whichever run. */
function evidence({ events }: Statement): [string, string][] {
  const spans = new Map<string, [string, string]>();
  for (const event of events) {
    const [run = '', span = ''] = event.split(':', 2);
    spans.set(`${run}:${span}`, [run, span]);
  }
  return [...spans.values()];
}

function Said({ statement }: { statement: Statement }) {
  return <li><Name of={statement.text} /><Evidence statement={statement} /></li>;
}

/** How sure a statement is, and where that is to be seen. */
function Evidence({ statement }: { statement: Statement }) {
  const [isWhole, setWhole] = useState(false);
  const all = evidence(statement);
  const more = isWhole ? 0 : Math.max(0, all.length - LINKS);
  return (
    <span class="evidence">
      {' '}<span class="sure">({HOW_SURE[statement.certainty] ?? statement.certainty})</span>
      {all.slice(0, all.length - more).map(([run, span], at) => (
        <> <a href={toRun(run, span)} aria-label={`Evidence ${at + 1} of: ${statement.text}`}>[{at + 1}]</a></>
      ))}
      {more > 0 && <> <button class="link" aria-label={`${more} more pieces of evidence of: ${statement.text}`} onClick={() => setWhole(true)}>+{more}</button></>}
    </span>
  );
}

function Ledger({ story, id }: { story: Story; id: string }) {
  const { sagas, unmatched } = story.compensations;
  const withAny = sagas.filter((saga) => saga.entries.length > 0);
  if (withAny.length + unmatched.length === 0) return null;
  return (
    <section class="card" aria-labelledby="ledger">
      <h2 id="ledger">Compensation</h2>
      {withAny.map((saga) => <Saga saga={saga} id={id} />)}
      {unmatched.length > 0 && (
        <p>
          Of a step that is not known:{' '}
          {unmatched.map((span, at) => (
            <>{at > 0 && ', '}<a href={toRun(id, span.span_id)}><Name of={span.name} /></a> <State state={span.state} /></>
          ))}
        </p>
      )}
    </section>
  );
}

/** As the command counts: what is in doubt is neither undone nor left. */
function verdictOf(saga: SagaCompensation): string {
  const inDoubt = saga.entries.filter(({ state }) => state === 'in_doubt').length;
  const undone = saga.entries.filter(({ state }) => state === 'compensated' || state === 'out_of_order').length;
  const all = saga.entries.length - inDoubt;
  const doubt = inDoubt > 0 ? `; ${inDoubt} in doubt` : '';
  if (!saga.began) return `${all} ${all === 1 ? 'step has' : 'steps have'} not been undone${doubt}`;
  return `${undone} of ${all} steps undone${saga.took_us !== undefined ? `, in ${micros(saga.took_us)}` : ''}${doubt}`;
}

function Saga({ saga, id }: { saga: SagaCompensation; id: string }) {
  return (
    <>
      <p>
        {saga.saga ? <a href={toRun(id, saga.saga.span_id)}><Name of={saga.saga.name} /></a> : 'Without a saga'}: <b>{verdictOf(saga)}</b>
      </p>
      <table class="ledger">
        <thead class="hidden"><tr><th scope="col">State</th><th scope="col">Step</th><th scope="col">Resource</th></tr></thead>
        <tbody>
          {saga.entries.map((entry) => (
            <tr>
              <td><State state={entry.state} /></td>
              <td>
                <a href={toRun(id, (entry.compensation ?? entry.step).span_id)}><Name of={entry.step.name} /></a>
                {entry.attempts > 1 && <span class="times"> ×{entry.attempts}</span>}
                {entry.should_follow && (
                  <div class="warn">
                    {entry.state === 'out_of_order' ? 'undone' : 'tried'} before <a href={toRun(id, entry.should_follow.span_id)}><Name of={entry.should_follow.name} /></a>, which ran after it
                  </div>
                )}
                {entry.compensation?.error && (
                  <div class="quiet"><Kind name={entry.compensation.error.type} /> {entry.compensation.error.message}</div>
                )}
              </td>
              <td>{entry.resource && <Name of={entry.resource} />}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {saga.orphaned.map((orphan) => (
        <p class="orphan">
          Orphaned: <b><Name of={orphan.resource ?? 'what it created'} /></b> of <a href={toRun(id, orphan.step)}><Name of={orphan.step_name} /></a>
        </p>
      ))}
    </>
  );
}

/** Those first that led to the cause. */
function Decisions({ story, id }: { story: Story; id: string }) {
  const outcomes = story.decisions.outcomes.toSorted((a, b) => Number(b.led_to_cause) - Number(a.led_to_cause));
  if (outcomes.length === 0) return null;
  return (
    <section class="card" aria-labelledby="decisions">
      <h2 id="decisions">Decisions</h2>
      {outcomes.map((outcome) => <OneDecision outcome={outcome} id={id} />)}
    </section>
  );
}

/** By how much what was chosen is ahead of the best that was not. */
function marginOf({ alternatives }: Decision): string {
  const chosen = alternatives.find((one) => one.chosen)?.score;
  const [next] = alternatives
    .filter((one) => !one.chosen && one.score !== undefined)
    .sort((a, b) => (b.score ?? 0) - (a.score ?? 0));
  if (chosen === undefined || next?.score === undefined) return '';
  const by = chosen - next.score;
  return by >= 0 ? ` by ${by.toFixed(2)} over ${next.name}` : `, though ${next.name} scored ${(-by).toFixed(2)} more`;
}

function OneDecision({ outcome, id }: { outcome: DecisionOutcome; id: string }) {
  const { decision, led_to_cause, consequences } = outcome;
  return (
    <div class="decision">
      <p>
        <a href={toRun(id, decision.span_id)}><Name of={decision.name} /></a> chose <b><Name of={decision.choice ?? 'nothing'} /></b>
        {marginOf(decision)}
        {decision.confidence !== undefined && `, ${percent(decision.confidence)} sure`}
        {decision.decider && `, by ${decision.decider}`}
        {led_to_cause && <> <b class="mark">led to the cause</b></>}
      </p>
      {decision.reasoning && <p class="quiet">{decision.reasoning}</p>}
      {decision.alternatives.length > 0 && (
        <ul class="alternatives">
          {decision.alternatives.map((one) => (
            <li class={one.chosen ? 'chosen' : undefined}>
              <span aria-hidden="true">{one.chosen ? '●' : '○'}</span> <Name of={one.name} /> {one.chosen && <span class="hidden">(chosen)</span>}
              {one.score !== undefined && <span class="number"> {one.score.toFixed(2)}</span>}
              {one.reason && <span class="quiet"> {one.reason}</span>}
            </li>
          ))}
        </ul>
      )}
      {consequences.length > 0 && (
        <p class="quiet">
          What followed: {consequences.slice(0, 6).map(({ span, failed, holds_cause }, at) => (
            <>
              {at > 0 && ', '}
              <a href={toRun(id, span.span_id)}><Name of={span.name} /></a>
              {holds_cause ? ' (the cause)' : failed > 0 ? ` (${failed} failed)` : ''}
            </>
          ))}
          {consequences.length > 6 && ` and ${consequences.length - 6} more`}
        </p>
      )}
    </div>
  );
}

/** How much of an input or a result is shown beside the verdict. */
const PREVIEW = 400;

/** What the run was given, and what came of it. */
function Passed({ id, root }: { id: string; root: string | undefined }) {
  const { value } = useAnswer<Found>(root && `runs/${id}/spans/${root}`);
  const last = (key: string) => value?.events.findLast(({ data }) => data && key in data)?.data?.[key];
  const passed: [string, unknown][] = [['Input', last('input')], ['Result', last('output')]];
  const shown = passed.filter(([, value]) => value !== undefined);
  if (!root || shown.length === 0) return null;
  return (
    <section class="card" aria-labelledby="passed">
      <h2 id="passed">{shown.map(([name]) => name).join(' and ')}</h2>
      {shown.map(([name, value]) => {
        const text = typeof value === 'string' ? value : JSON.stringify(value);
        return (
          <p>
            {shown.length > 1 && <span class="quiet">{name} </span>}
            <code>{text.slice(0, PREVIEW)}</code>
            {text.length > PREVIEW && <> <a href={toRun(id, root)}>all of it</a></>}
          </p>
        );
      })}
    </section>
  );
}

function Related({ story, id }: { story: Story; id: string }) {
  const { caused_by, caused, began, same_key } = story.related;
  const isBegunHere = (run: Run) => Object.values(began).includes(run.trace_id);
  if (!caused_by && caused.length === 0 && same_key.length === 0) return null;
  const line = (label: string, run: Run, also?: ComponentChildren) => (
    <li>
      {label} <a href={toRun(run.trace_id)}><Name of={nameOf(run)} /></a> <State state={run.state} /> <span class="quiet">{kindOf(run)} <Moment at={run.started} /></span> {also}
    </li>
  );
  return (
    <section class="card" aria-labelledby="related">
      <h2 id="related">Related runs</h2>
      <ul class="plain">
        {caused_by && line('caused by', caused_by)}
        {caused.map((run) => line('caused', run, isBegunHere(run) && <a href={to(`run/${id}`, { open: run.trace_id })}>show in place</a>))}
        {same_key.map((run) => line('same key', run))}
      </ul>
    </section>
  );
}

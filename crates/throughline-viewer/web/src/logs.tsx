// What the service logged in a run.

import { useState } from 'preact/hooks';
import { count } from './format.ts';
import { useAnswer } from './hooks.ts';
import { Empty, Kind, Moment, Name, Shown } from './parts.tsx';
import type { LogLine, Logged, Story } from './types.ts';
import type { ViewProps } from './views.tsx';

const LEVELS = ['error', 'warn', 'info', 'debug', 'trace'];

/** All lines of a run. */
export function Logs({ story, id, selected, select }: ViewProps & { id: string }) {
  const answer = useAnswer<Logged>(`runs/${id}/logs`, {}, story);
  const [text, setText] = useState('');
  const [least, setLeast] = useState('trace');
  const sought = text.trim().toLowerCase();
  const isWanted = (line: LogLine) =>
    LEVELS.indexOf(line.level ?? 'error') <= LEVELS.indexOf(least) && (!sought || textOf(line).toLowerCase().includes(sought));
  return (
    <section class="card logs" aria-label="Logs">
      <div class="tools">
        <input
          type="search"
          aria-label="Search in the log"
          placeholder="search in the log"
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
        <label>
          at least{' '}
          <select value={least} onChange={(event) => setLeast(event.currentTarget.value)}>
            {LEVELS.map((level) => <option value={level}>{level}</option>)}
          </select>
        </label>
      </div>
      <Shown answer={answer}>
        {({ lines, has_more, files }) => {
          const shown = lines.filter(isWanted);
          if (lines.length === 0) {
            return (
              <Empty title="Nothing was logged in this run">
                {count(files)} log {files === 1 ? 'file' : 'files'} of its time {files === 1 ? 'was' : 'were'} searched for its id. Lines have it
                where the service logs with <code>throughline-log</code>, or with another logger as <code>trace_id</code>.
              </Empty>
            );
          }
          return (
            <>
              <Lines lines={shown} story={story} selected={selected} select={select} />
              {shown.length < lines.length && <p class="quiet">{count(lines.length - shown.length)} other lines are hidden.</p>}
              {has_more && <p class="quiet">There may be earlier lines: throughline logs --run {id} PATH shows all of them.</p>}
            </>
          );
        }}
      </Shown>
    </section>
  );
}

/** The lines of one span, where there are any. */
export function SpanLogs({ id, span }: { id: string; span: string }) {
  const { value } = useAnswer<Logged>(`runs/${id}/logs`, { span });
  if (!value || value.lines.length === 0) return null;
  return (
    <details open>
      <summary>Logged in it ({count(value.lines.length)})</summary>
      <Lines lines={value.lines} />
    </details>
  );
}

interface LinesProps {
  lines: LogLine[];
  story?: Story;
  selected?: string | undefined;
  select?: (span: string | undefined) => void;
}

function Lines({ lines, story, selected, select }: LinesProps) {
  const names = new Map(story?.nodes.map(({ span }) => [span.span_id, span.name]));
  return (
    <table class="log">
      <thead class="hidden">
        <tr>
          <th scope="col">At</th>
          <th scope="col">Level</th>
          <th scope="col">Line</th>
          {select && <th scope="col">Span</th>}
        </tr>
      </thead>
      <tbody>
        {lines.map((line) => (
          <tr class={selected !== undefined && line.span_id === selected ? 'selected' : undefined}>
            <td class="roomy at">{line.at && <Moment at={line.at} />}</td>
            <td><span class={`level level-${line.level ?? 'none'}`}>{line.level}</span></td>
            <td>
              {line.message}
              {line.error && (
                <div class="failure">
                  <b><Kind name={line.error.type} /></b> {line.error.message}
                  {line.error.chain?.map((because) => <span> because: {because}</span>)}
                </div>
              )}
              {Object.keys(line.fields).length > 0 && <div class="quiet fields">{fieldsOf(line)}</div>}
            </td>
            {select && (
              <td class="wide of-span">
                {line.span_id && names.has(line.span_id) && (
                  <button class="link" onClick={() => select(line.span_id ?? undefined)}><Name of={names.get(line.span_id) ?? ''} /></button>
                )}
              </td>
            )}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function fieldsOf({ fields }: LogLine): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join('  ');
}

function textOf(line: LogLine): string {
  return [line.message, line.error?.type, line.error?.message, line.target, fieldsOf(line)].join(' ');
}

// Everything about one span, in place.

import { micros } from './format.ts';
import { useAnswer } from './hooks.ts';
import { SpanLogs } from './logs.tsx';
import { Copy, Kind, Moment, Name, Shown, State } from './parts.tsx';
import { toRun } from './route.ts';
import { useSettings } from './settings.ts';
import type { Details as Found, ErrorInfo, TraceEvent } from './types.ts';

/** How much of a value is shown at once. */
const SHOWN = 20_000;

interface DetailsProps {
  id: string;
  span: string;
  /** What spans of the run are called. */
  nameOf: (span: string) => string | undefined;
  close: () => void;
}

export function Details({ id, span, nameOf, close }: DetailsProps) {
  const answer = useAnswer<Found>(`runs/${id}/spans/${span}`);
  return (
    <aside class="details" aria-label="Details of the span">
      <button class="close" onClick={close} aria-label="Close the details">×</button>
      <Shown answer={answer}>{(found) => <Body id={id} found={found} nameOf={nameOf} />}</Shown>
    </aside>
  );
}

function Body({ id, found, nameOf }: { id: string; found: Found; nameOf: DetailsProps['nameOf'] }) {
  const { span, events } = found;
  const { about } = useSettings();
  const last = (key: string) => events.findLast((event) => event.data && key in event.data)?.data?.[key];
  const attrs = Object.entries(Object.assign({}, ...events.map((event) => event.attrs ?? {})) as Record<string, string>);
  const tags = [...new Set(events.flatMap((event) => event.tags ?? []))];
  // The end of a span has the links of its beginning as well.
  const links = [...new Map(events.flatMap((event) => event.links ?? []).map((link) => [JSON.stringify(link), link])).values()];
  const other = events.map(({ data }) => Object.entries(data ?? {}).filter(([key]) => key !== 'input' && key !== 'output')).flat();
  const address = `${location.href.split('#', 1)[0]}${toRun(id, span.span_id)}`;
  return (
    <>
      <h2><Name of={span.name} /></h2>
      <p>
        <State state={span.state} /> {span.duration_us !== undefined && micros(span.duration_us)} · <Moment at={span.started} /> · +{micros(span.offset_us)}
        {span.attempt !== undefined && ` · attempt ${span.attempt}`}
        {span.step_index !== undefined && ` · step ${span.step_index}${span.step_total ? ` of ${span.step_total}` : ''}`}
      </p>
      {span.error && <ErrorOf error={span.error} />}
      <Value name="Input" value={last('input')} />
      <Value name="Output" value={last('output')} />
      {other.map(([key, value]) => <Value name={key} value={value} />)}
      {attrs.length > 0 && (
        <dl>
          {attrs.map(([key, value]) => (
            <div><dt><Name of={key} /></dt><dd>{value}</dd></div>
          ))}
        </dl>
      )}
      {tags.length > 0 && <p>{tags.map((tag) => <span class="tag">{tag}</span>)}</p>}
      {links.length > 0 && (
        <ul class="plain">
          {links.map((link) => (
            <li>{link.rel.replaceAll('_', ' ')} <a href={toRun(link.trace_id ?? id, link.span_id)}><Name of={nameOf(link.span_id) ?? link.span_id} /></a></li>
          ))}
        </ul>
      )}
      {about.logs && <SpanLogs id={id} span={span.span_id} />}
      <details>
        <summary>Events as recorded ({events.length})</summary>
        {events.map((event) => <Json value={event} label={`${event.event_type}, seq ${event.seq}`} />)}
      </details>
      <p class="actions">
        <Copy text={address} label="Copy link" />
        <Copy text={inALine(span.name, span.state, span.error)} label="Copy as one line" />
        <Copy text={JSON.stringify(events, null, 2)} label="Copy JSON" />
      </p>
    </>
  );
}

function inALine(name: string, state: string, error: ErrorInfo | undefined): string {
  return `${name}: ${state}${error ? ` with ${error.type}: ${error.message}` : ''}`.replaceAll(/\s+/g, ' ');
}

export function ErrorOf({ error }: { error: ErrorInfo }) {
  return (
    <div class="failure">
      <b><Kind name={error.type} /></b> {error.message}
      {error.chain && error.chain.length > 0 && (
        <ol>{error.chain.map((cause) => <li>because: {cause}</li>)}</ol>
      )}
    </div>
  );
}

function Value({ name, value }: { name: string; value: unknown }) {
  return value === undefined ? null : (
    <>
      <h3><Name of={name} /></h3>
      <Json value={value} label={name || 'no name'} />
    </>
  );
}

function Json({ value, label }: { value: unknown | TraceEvent; label: string }) {
  const text = typeof value === 'string' ? value : JSON.stringify(value, null, 2);
  return (
    <pre tabIndex={0} role="group" aria-label={label}>
      {text.slice(0, SHOWN)}
      {text.length > SHOWN && `\n… ${text.length - SHOWN} more characters: copy the JSON to see them`}
    </pre>
  );
}

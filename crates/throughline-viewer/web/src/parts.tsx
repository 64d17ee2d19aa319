// Small parts of pages.

import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { fetchFile } from './api.ts';
import { moment } from './format.ts';
import { type Answer, useNow } from './hooks.ts';
import { useSettings } from './settings.ts';
import type { OpenRun } from './types.ts';

const SIGNS: Record<string, string> = {
  succeeded: '✓',
  failed: '✗',
  cancelled: '⊘',
  running: '▶',
  stuck: '▮▮',
  interrupted: '⚡',
  unfinished: '…',
  compensated: '✓',
  missing: '✗',
  standing: '▮',
  in_doubt: '?',
  out_of_order: '⇅',
  waiting: '…',
  held: '✓',
  lost: '✗',
};

/** A state by its sign, its colour and its name: no meaning is in the colour alone. */
export function State({ state }: { state: string }) {
  return (
    <span class={`state ${state}`}>
      <span aria-hidden="true">{SIGNS[state] ?? '·'}</span> <span class="word">{state.replaceAll('_', ' ')}</span>
    </span>
  );
}

/** Between the parts of a name: after what separates them, and before a capital letter. */
const BETWEEN = /(?<=[:\-_./=])(?![:\-_./=])|(?<=[a-z\d])(?=[A-Z])|(?<=\s)(?=\S)/;
/** A part that is longer is broken anywhere, as is what follows after so many characters. */
const LONG = 14;
const DIVIDED = 200;

/** A name, which is broken between its parts where there is no room for all of it. */
export function Name({ of, kind = '' }: { of: string; kind?: string }) {
  // A link needs something to be read and clicked.
  if (of.trim() === '') return <span class={`named quiet ${kind}`}>(no name)</span>;
  const parts = [...of.slice(0, DIVIDED).split(BETWEEN), of.slice(DIVIDED)].filter(Boolean);
  return (
    <span class={`named ${kind}`}>
      {parts.map((part, at) => (
        <>
          {at > 0 && <wbr />}
          {part.length > LONG ? <span class="long">{part}</span> : part}
        </>
      ))}
    </span>
  );
}

/** The type of an error. */
export function Kind({ name }: { name: string }) {
  return <Name of={name} kind="kind" />;
}

/** Which step it is, and of how many. */
export function StepNumber({ of }: { of: { step_index: number | null; step_total: number | null } }) {
  if (of.step_index === null) return null;
  return <span class="quiet"> step {of.step_index}{of.step_total !== null && ` of ${of.step_total}`}</span>;
}

/** The step that an open run is in. */
export function Step({ current }: { current: OpenRun['current'] }) {
  if (!current) return null;
  return (
    <div>
      <b><Name of={current.name} /></b>
      <span class="quiet">
        <StepNumber of={current} />
        {(current.attempt ?? 1) > 1 && ` attempt ${current.attempt}`}
      </span>
    </div>
  );
}

export function Moment({ at, isPrecise }: { at: string; isPrecise?: boolean }) {
  const { clock } = useSettings();
  return (
    <time dateTime={at} title={at}>
      {moment(at, clock, useNow(clock === 'relative'), isPrecise)}
    </time>
  );
}

/** How long ago something was, whatever times are shown as: it takes the least room. */
export function Age({ since }: { since: string }) {
  return <time dateTime={since} title={since}>{moment(since, 'relative', useNow(true))}</time>;
}

/** What is said where there is nothing, with what can be done. */
export function Empty({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      <p>{children}</p>
    </div>
  );
}

/** What is shown of an answer: the answer, that it is waited for, or why there is none. */
export function Shown<T>({ answer, children }: { answer: Answer<T>; children: (value: T) => ComponentChildren }) {
  const { value, error, again } = answer;
  return (
    <>
      {error && (
        <div class="error" role="alert">
          {error.message} <button onClick={again}>Try again</button>
        </div>
      )}
      {value !== undefined ? children(value) : error ? null : <p class="loading" role="status">Reading…</p>}
    </>
  );
}

/** Browsers have a clipboard for pages of this machine and over TLS; elsewhere the old way is all there is. */
async function toClipboard(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement('textarea');
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand('copy');
  area.remove();
}

/** Saves an answer as a file. A link could not send the token. */
export function Save({ question, name, label }: { question: string; name: string; label: string }) {
  const [error, setError] = useState<string>();
  const save = () => {
    fetchFile(question).then(
      (file) => {
        const link = document.createElement('a');
        link.href = URL.createObjectURL(file);
        link.download = name;
        link.click();
        URL.revokeObjectURL(link.href);
        setError(undefined);
      },
      (failed: Error) => setError(failed.message),
    );
  };
  return (
    <>
      <button class="quiet" onClick={save}>{label}</button>
      {error && <span class="error" role="alert">{error}</span>}
    </>
  );
}

export function Copy({ text, label }: { text: string; label: string }) {
  const [isDone, setDone] = useState(false);
  const copy = () => {
    void toClipboard(text).then(() => {
      setDone(true);
      setTimeout(() => setDone(false), 1_500);
    });
  };
  return (
    <button class="quiet" onClick={copy} title={text}>
      {isDone ? 'Copied' : label}
    </button>
  );
}

// The search within a run, which all views of it have.

import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { ask } from './api.ts';
import { count } from './format.ts';
import type { Key } from './keys.ts';
import type { Node } from './types.ts';

export interface Search {
  /** Where people type, and what was found. */
  box: ComponentChildren;
  keys: Key[];
  /** The spans in which the text was found, in their order. */
  hits: string[];
}

/** A search in some runs, whose spans these are. */
export function useSearch(runs: readonly string[], nodes: Node[], selected: string | undefined, show: (span: string) => void): Search {
  const [text, setText] = useState('');
  const input = useRef<HTMLInputElement>(null);
  const hits = useHits(runs, text, nodes);
  const jump = (by: number) => {
    const now = hits.indexOf(selected ?? '');
    const next = hits[now < 0 ? (by > 0 ? 0 : hits.length - 1) : (now + by + hits.length) % hits.length];
    if (next !== undefined) show(next);
  };
  const box = (
    <>
      <input
        ref={input}
        type="search"
        aria-label="Search in the run"
        placeholder="search in the run   ( / )"
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === 'Enter') jump(event.shiftKey ? -1 : 1);
          if (event.key === 'Escape') event.currentTarget.blur();
        }}
      />
      {text && (
        <span role="status">
          {hits.length === 0 ? 'no hit' : `${count(hits.length)} ${hits.length === 1 ? 'hit' : 'hits'}`}{' '}
          <button onClick={() => jump(-1)} aria-label="Previous hit">↑</button>
          <button onClick={() => jump(1)} aria-label="Next hit">↓</button>
        </span>
      )}
    </>
  );
  const keys = [
    { key: '/', does: 'search in the run', run: () => input.current?.focus() },
    { key: 'n', does: 'next hit', run: () => jump(1) },
    { key: 'N', does: 'previous hit', run: () => jump(-1) },
  ];
  return { box, keys, hits };
}

/** The spans in which a text was found, in their order. */
function useHits(runs: readonly string[], text: string, nodes: Node[]): string[] {
  const [found, setFound] = useState<string[]>([]);
  useEffect(() => {
    const sought = text.trim();
    setFound([]);
    if (!sought) return;
    const abort = new AbortController();
    const timer = setTimeout(() => {
      Promise.all(runs.map((run) => ask<{ spans: string[] }>(`runs/${run}/search`, { q: sought }, abort.signal)))
        .then((found) => {
          const hits = new Set(found.flatMap(({ spans }) => spans));
          setFound(nodes.map(({ span }) => span.span_id).filter((span) => hits.has(span)));
        })
        .catch(() => undefined);
    }, 150);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [runs.join(','), text, nodes]);
  return found;
}

// Runs that a run began, shown within it: their spans stand below the one that began them, at the times at which they were.

import { useEffect, useMemo, useState } from 'preact/hooks';
import { ask } from './api.ts';
import type { Node, Run, Story } from './types.ts';

/** A run that a span began, with what is known of it. */
export interface Child {
  id: string;
  run: Run | undefined;
}

/** A run with those of its child runs that are shown in place. */
export interface Whole {
  story: Story;
  /** The run that a span is of; unknown while child runs that it may be of are read. */
  runOf: (span: string) => string | undefined;
  /** The child runs that are not shown in place, by the spans that began them. */
  closed: ReadonlyMap<string, Child>;
  /** The same for those that are. */
  opened: ReadonlyMap<string, Child>;
}

/** Microseconds since 1970: times have six digits of a second, of which `Date` reads three. */
function microsOf(time: string): number {
  return Date.parse(`${time.slice(0, 19)}Z`) * 1_000 + Number(time.slice(20, 26));
}

/** When a run began, in microseconds. */
function beginningOf({ nodes: [first] }: Story): number {
  return first ? microsOf(first.span.started) - first.span.offset_us : 0;
}

const NO_CHILDREN: ReadonlyMap<string, Child> = new Map();
const NO_STORIES: ReadonlyMap<string, Story> = new Map();

/** The child runs that were read, and which were wanted then. */
interface Read {
  key: string;
  stories: ReadonlyMap<string, Story>;
}

function whole(id: string, story: Story, children: ReadonlyMap<string, Story>, isComplete: boolean): Whole {
  if (Object.keys(story.related.began).length === 0) return { story, runOf: () => id, closed: NO_CHILDREN, opened: NO_CHILDREN };
  const nodes: Node[] = [];
  const runs = new Map<string, string>();
  const closed = new Map<string, Child>();
  const opened = new Map<string, Child>();
  const beginning = beginningOf(story);
  const add = (run: string, { nodes: spans, related }: Story, shift: number, depth: number, above: string[]) => {
    for (const node of spans) {
      const { span } = node;
      nodes.push({ ...node, depth: node.depth + depth, span: { ...span, offset_us: span.offset_us + shift } });
      runs.set(span.span_id, run);
      const child = related.began[span.span_id];
      if (child === undefined || above.includes(child)) continue;
      const inner = children.get(child);
      const summary = inner?.explanation.run ?? related.caused.find(({ trace_id }) => trace_id === child);
      (inner ? opened : closed).set(span.span_id, { id: child, run: summary });
      if (inner) add(child, inner, beginningOf(inner) - beginning, depth + node.depth + 1, [...above, child]);
    }
  };
  add(id, story, 0, 0, [id]);
  return {
    story: opened.size > 0 ? { ...story, nodes } : story,
    runOf: (span) => runs.get(span) ?? (isComplete ? id : undefined),
    closed,
    opened,
  };
}

/** A run with these of its child runs in place, as soon as they are read; they are read again with it. */
export function useWhole(id: string, story: Story, wanted: readonly string[]): Whole {
  const [children, setChildren] = useState<Read>({ key: '', stories: NO_STORIES });
  const key = wanted.join(',');
  useEffect(() => {
    if (wanted.length === 0) return setChildren({ key, stories: NO_STORIES });
    const abort = new AbortController();
    const read = (run: string) =>
      ask<Story>(`runs/${run}`, {}, abort.signal).then(
        (found): [string, Story][] => [[run, found]],
        () => [],
      );
    void Promise.all(wanted.map(read)).then((found) => {
      if (!abort.signal.aborted) setChildren({ key, stories: new Map(found.flat()) });
    });
    return () => abort.abort();
  }, [key, story]);
  return useMemo(() => whole(id, story, children.stories, children.key === key), [id, story, children, key]);
}

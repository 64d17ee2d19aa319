// The spans of a run as a tree, with what went wrong in words: what the waterfall has no room for.

import { useEffect, useMemo, useState } from 'preact/hooks';
import { count, micros } from './format.ts';
import { useKeys } from './keys.ts';
import { parents } from './layout.ts';
import { Kind, Name, State } from './parts.tsx';
import { to } from './route.ts';
import { useSearch } from './search.tsx';
import type { Node } from './types.ts';
import type { ViewProps } from './views.tsx';

/** How many spans are shown at once. */
const SHOWN = 300;

/** The spans that are not within a closed one. */
function visible(nodes: Node[], closed: ReadonlySet<string>): Node[] {
  let below = Infinity;
  return nodes.filter((node) => {
    if (node.depth > below) return false;
    below = closed.has(node.span.span_id) ? node.depth : Infinity;
    return true;
  });
}

export function Tree({ story, runs, selected, select }: ViewProps) {
  const { nodes } = story;
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  const [page, setPage] = useState<number>();
  const parent = useMemo(() => parents(nodes), [nodes]);
  const holding = useMemo(() => new Set(Array.from(parent, (above) => nodes[above]?.span.span_id)), [nodes, parent]);
  const shown = useMemo(() => visible(nodes, closed), [nodes, closed]);
  const at = selected === undefined ? -1 : shown.findIndex(({ span }) => span.span_id === selected);
  const from = (page ?? Math.floor(Math.max(0, at) / SHOWN)) * SHOWN;
  const cause = story.explanation.cause?.span.span_id;
  const go = (place: number) => {
    setPage(undefined);
    const next = shown[Math.max(0, Math.min(shown.length - 1, place))];
    if (next) select(next.span.span_id);
  };
  /** Shows a span that may be within one that is closed. */
  const show = (span: string | undefined) => {
    if (!span) return;
    setPage(undefined);
    setClosed(new Set());
    select(span);
  };
  const search = useSearch(runs, nodes, selected, show);
  const hits = new Set(search.hits);
  const toggle = (span: string) => {
    const next = new Set(closed);
    if (!next.delete(span)) next.add(span);
    setClosed(next);
  };
  useEffect(() => document.querySelector('.tree .selected')?.scrollIntoView({ block: 'nearest' }), [selected, from]);
  useKeys([
    { key: 'j ArrowDown', does: 'next span', run: () => go(at + 1) },
    { key: 'k ArrowUp', does: 'previous span', run: () => go(at - 1) },
    { key: 'h', does: 'close the span, or go to the one around it', run: () => {
      const node = shown[at];
      if (!node) location.hash = to('runs');
      else if (holding.has(node.span.span_id) && !closed.has(node.span.span_id)) toggle(node.span.span_id);
      else select(nodes[parent[nodes.indexOf(node)] ?? -1]?.span.span_id ?? selected);
    } },
    { key: 'l', does: 'open the span', run: () => selected !== undefined && closed.has(selected) && toggle(selected) },
    { key: 'f', does: 'go to the cause', run: () => show(cause) },
    { key: 'g', does: 'first span', run: () => go(0) },
    { key: 'G', does: 'last span', run: () => go(shown.length - 1) },
    ...search.keys,
    { key: 'Escape', does: 'close the details', run: () => select(undefined) },
  ]);
  return (
    <section class="card tree" aria-label="Tree">
      <div class="tools">{search.box}</div>
      <ul role="tree" aria-label="Spans" tabIndex={0} aria-activedescendant={at >= from && at < from + SHOWN ? `node-${selected}` : undefined}>
        {shown.slice(from, from + SHOWN).map((node) => (
          <OneNode
            key={node.span.span_id}
            node={node}
            isSelected={node.span.span_id === selected}
            isHit={hits.has(node.span.span_id)}
            isCause={node.span.span_id === cause}
            isOpen={holding.has(node.span.span_id) ? !closed.has(node.span.span_id) : undefined}
            select={select}
            toggle={toggle}
          />
        ))}
      </ul>
      {shown.length > SHOWN && (
        <p class="actions">
          <button disabled={from === 0} onClick={() => setPage(from / SHOWN - 1)}>Earlier</button>
          <button disabled={from + SHOWN >= shown.length} onClick={() => setPage(from / SHOWN + 1)}>Later</button>
          <span class="quiet">{count(from + 1)} to {count(Math.min(shown.length, from + SHOWN))} of {count(shown.length)} spans</span>
        </p>
      )}
    </section>
  );
}

interface NodeProps {
  node: Node;
  isSelected: boolean;
  isHit: boolean;
  isCause: boolean;
  /** Whether what is inside is shown; `undefined` where there is nothing inside. */
  isOpen: boolean | undefined;
  select: (span: string) => void;
  toggle: (span: string) => void;
}

function OneNode({ node, isSelected, isHit, isCause, isOpen, select, toggle }: NodeProps) {
  const { span, choice, depth } = node;
  return (
    <li
      id={`node-${span.span_id}`}
      role="treeitem"
      aria-level={depth + 1}
      aria-selected={isSelected}
      aria-expanded={isOpen}
      class={[isSelected && 'selected', isHit && 'hit'].filter(Boolean).join(' ')}
      style={{ paddingLeft: `${Math.min(depth, 20) * 14}px` }}
      onClick={() => select(span.span_id)}
    >
      <span
        class="fold"
        aria-hidden="true"
        onClick={(event) => {
          if (isOpen === undefined) return;
          event.stopPropagation();
          toggle(span.span_id);
        }}
      >
        {isOpen === undefined ? '' : isOpen ? '▾' : '▸'}
      </span>
      <span class="told">
        {isCause && <><b class="mark">cause</b> </>}
        <b><Name of={span.name} /></b>
        {choice && <span class="quiet"> → <Name of={choice} /></span>}
        {span.step_index !== undefined && <span class="quiet"> step {span.step_index}{span.step_total ? ` of ${span.step_total}` : ''}</span>}
        {(span.attempt ?? 1) > 1 && <span class="quiet"> attempt {span.attempt}</span>}
        {!span.point && <> <State state={span.state} /></>}
        {span.duration_us !== undefined && <span class="quiet"> {micros(span.duration_us)}</span>}
        {span.error && <div class="failure"><Kind name={span.error.type} /> {span.error.message}</div>}
      </span>
    </li>
  );
}

// The waterfall of a run: a row for each span, of which those are drawn that are in sight.

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Whole } from './children.ts';
import { count, micros, nameOf } from './format.ts';
import { useKeys } from './keys.ts';
import { type Axis, attemptsOf, axis, criticalPath, endOf, holding, isOpen, parents, place, type Row, rows, timeAt } from './layout.ts';
import { State } from './parts.tsx';
import { useSearch } from './search.tsx';
import type { Span, Story } from './types.ts';

/** How high a row is, as the style sheet has it. */
const ROW = 24;
/** How wide the column of durations is, as the style sheet has it. */
const TOOK = 64;
/** How many rows are drawn above and below those in sight. */
const MORE = 8;

interface Window {
  from: number;
  to: number;
}

const WHOLE: Window = { from: 0, to: 1 };

export interface WaterfallProps {
  story: Story;
  id: string;
  /** How long ago the story was read, in microseconds: so much longer are spans that are at work. */
  passed: number;
  selected: string | undefined;
  select: (span: string | undefined) => void;
  whole: Whole;
  /** The child runs that are shown in place. */
  open: readonly string[];
  openRuns: (runs: string[]) => void;
}

export function Waterfall({ story, id, passed, selected, select, whole, open, openRuns }: WaterfallProps) {
  const { nodes, explanation } = story;
  const cause = explanation.cause?.span.span_id;
  const [isFolded, setFolded] = useState(true);
  const [window, setWindow] = useState<Window>(WHOLE);
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  /** Spans whose earlier attempts have rows of their own. */
  const [unfolded, setUnfolded] = useState<ReadonlySet<string>>(new Set());
  const [hide, setHide] = useState({ short: false, succeeded: false });

  const read = useMemo(() => {
    const started = nodes[0] ? Date.parse(nodes[0].span.started) * 1_000 - nodes[0].span.offset_us : 0;
    return Math.max(0, Date.parse(story.read_at) * 1_000 - started) + passed;
  }, [story, passed]);
  // What a dead process left open lasts until the last that is known of the run.
  const known = useMemo(
    () => (nodes.some(({ span }) => span.state === 'running') ? read : nodes.reduce((most, { span }) => Math.max(most, span.offset_us + (span.duration_us ?? 0)), 1)),
    [nodes, read],
  );
  const parent = useMemo(() => parents(nodes), [nodes]);
  const attempts = useMemo(() => attemptsOf(nodes, parent), [nodes, parent]);
  // What is selected, and why a run failed, are not folded away with the attempt that they are in.
  const pinned = explanation.run?.state === 'failed' ? cause : undefined;
  const needed = useMemo(
    () => holding(nodes, attempts, new Set([selected, pinned].filter((span) => span !== undefined))),
    [nodes, attempts, selected, pinned],
  );
  const unfoldedNow = [...unfolded, ...needed].join(',');
  const all = useMemo(() => rows(nodes, attempts, new Set(unfoldedNow.split(','))), [nodes, attempts, unfoldedNow]);
  const folded = useMemo(() => axis(nodes, known, true), [nodes, known]);
  const time = useMemo(() => (isFolded ? folded : axis(nodes, known, false)), [nodes, known, isFolded, folded]);
  const critical = useMemo(() => criticalPath(nodes, parent, known), [nodes, parent, known]);
  const shown = useMemo(() => visible(all, closed, hide, time.end), [all, closed, hide, time]);
  const at = useMemo(
    () => (selected === undefined ? -1 : shown.findIndex((row) => row.node.span.span_id === selected || row.earlier.some((span) => span.span_id === selected))),
    [shown, selected],
  );

  const zoom = (factor: number, centre = (window.from + window.to) / 2) => {
    const width = Math.min(1, Math.max(1e-6, (window.to - window.from) * factor));
    const share = (centre - window.from) / (window.to - window.from);
    const from = Math.max(0, Math.min(1 - width, centre - share * width));
    setWindow({ from, to: from + width });
  };
  const pan = (by: number) => {
    const width = window.to - window.from;
    const from = Math.max(0, Math.min(1 - width, window.from + by * width));
    setWindow({ from, to: from + width });
  };
  const move = (by: number) => select(shown[Math.max(0, Math.min(shown.length - 1, at + by))]?.node.span.span_id);
  /** Shows a span that may be within one that is closed, or hidden. */
  const show = (span: string | undefined) => {
    if (!span) return;
    setClosed(new Set());
    setHide({ short: false, succeeded: false });
    select(span);
  };
  const search = useSearch([id, ...open], nodes, selected, show);
  const toggle = (span: string, isClosed: boolean) => {
    const child = whole.closed.get(span);
    if (child) return openRuns([...open, child.id]);
    const next = new Set(closed);
    if (isClosed) next.add(span);
    else next.delete(span);
    setClosed(next);
  };
  const selectedRow = shown[at];
  const unfold = (row: Row) => {
    const id = attempts.find(({ places }) => places.some((place) => nodes[place] === row.node))?.id;
    if (id === undefined) return;
    const next = new Set(unfolded);
    if (row.earlier.length > 0) next.add(id);
    else next.delete(id);
    setUnfolded(next);
  };
  useKeys([
    { key: 'j ArrowDown', does: 'next span', run: () => move(1) },
    { key: 'k ArrowUp', does: 'previous span', run: () => move(-1) },
    { key: 'h', does: 'close the span, or go to the one around it', run: () => {
      if (selectedRow?.hasChildren && !closed.has(selectedRow.node.span.span_id)) toggle(selectedRow.node.span.span_id, true);
      else if (selectedRow) select(nodes[parent[nodes.indexOf(selectedRow.node)] ?? -1]?.span.span_id ?? selected);
      else location.hash = '#/runs';
    } },
    { key: 'l', does: 'open the span, or the run that it began', run: () => selectedRow && toggle(selectedRow.node.span.span_id, false) },
    { key: 'f', does: 'go to the cause', run: () => show(cause) },
    ...search.keys,
    { key: 'g', does: 'first span', run: () => move(-shown.length) },
    { key: 'G', does: 'last span', run: () => move(shown.length) },
    { key: '+ =', does: 'zoom in', run: () => zoom(0.5) },
    { key: '-', does: 'zoom out', run: () => zoom(2) },
    { key: '0', does: 'the whole run', run: () => setWindow(WHOLE) },
    { key: '[ ArrowLeft', does: 'earlier', run: () => pan(-0.25) },
    { key: '] ArrowRight', does: 'later', run: () => pan(0.25) },
    { key: 'i', does: 'fold idle time, or unfold it', run: () => setFolded(!isFolded) },
    { key: 'a', does: 'show each attempt in a row, or all in one', run: () => selectedRow && unfold(selectedRow) },
    { key: 'Escape', does: 'close the details', run: () => select(undefined) },
  ]);

  const hasOpen = useMemo(() => nodes.some(({ span }) => isOpen(span)), [nodes]);
  const hasIdle = folded.pieces.some((piece) => piece.isIdle);
  return (
    <section class="waterfall" aria-label="Waterfall">
      <div class="tools">
        {search.box}
        {cause && <button onClick={() => show(cause)}>Cause</button>}
        <label><input type="checkbox" checked={hide.succeeded} onChange={() => setHide({ ...hide, succeeded: !hide.succeeded })} /> hide successes</label>
        <label><input type="checkbox" checked={hide.short} onChange={() => setHide({ ...hide, short: !hide.short })} /> hide short</label>
        {whole.closed.size + whole.opened.size > 0 && (
          <label>
            <input
              type="checkbox"
              checked={whole.closed.size === 0}
              onChange={() => openRuns(whole.closed.size === 0 ? [] : [...open, ...[...whole.closed.values()].map((child) => child.id)])}
            />{' '}
            child runs ({count(whole.closed.size + whole.opened.size)})
          </label>
        )}
        {hasIdle && <label><input type="checkbox" checked={isFolded} onChange={() => setFolded(!isFolded)} /> fold idle time</label>}
        <span class="zoom">
          <button onClick={() => zoom(0.5)} aria-label="Zoom in">+</button>
          <button onClick={() => zoom(2)} aria-label="Zoom out">−</button>
          <button onClick={() => setWindow(WHOLE)} disabled={window === WHOLE}>All</button>
        </span>
      </div>
      <Scale time={time} window={window} zoom={zoom} pan={pan} brush={setWindow} />
      <Rows
        shown={shown}
        time={time}
        known={known}
        window={window}
        closed={closed}
        cause={cause}
        critical={critical}
        hits={search.hits}
        id={id}
        whole={whole}
        selected={selected}
        at={at}
        select={select}
        toggle={toggle}
        unfold={unfold}
        zoom={zoom}
        pan={pan}
      />
      {critical.size > 1 && (
        <p class="quiet legend">
          <i class="bar succeeded critical" aria-hidden="true" /> underlined: without it the run would have been shorter
          {hasOpen && <>; <i class="bar open" aria-hidden="true" /> hatched: has not ended</>}
        </p>
      )}
      {shown.length < all.length && closed.size === 0 && (
        <p class="quiet">{count(all.length - shown.length)} spans are hidden.</p>
      )}
    </section>
  );
}

function visible(all: Row[], closed: ReadonlySet<string>, hide: { short: boolean; succeeded: boolean }, end: number): Row[] {
  let below = Infinity;
  return all.filter((row) => {
    if (row.depth > below) return false;
    below = closed.has(row.node.span.span_id) ? row.depth : Infinity;
    const { span } = row.node;
    if (row.hasChildren || span.state !== 'succeeded') return true;
    return !hide.succeeded && !(hide.short && (span.duration_us ?? 0) < end / 200);
  });
}

interface Moves {
  zoom: (factor: number, centre?: number) => void;
  pan: (by: number) => void;
}

/** Zooms by wheel with Ctrl, pans by wheel with Shift or sideways; all other turns scroll. */
function useWheel(element: { current: HTMLElement | null }, window: Window, { zoom, pan }: Moves, offset: number): void {
  useEffect(() => {
    const target = element.current;
    if (!target) return;
    const turned = (event: WheelEvent) => {
      const sideways = event.shiftKey ? event.deltaY : Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : 0;
      if (event.ctrlKey || event.metaKey) {
        const box = target.getBoundingClientRect();
        const [left, right] = [box.left + box.width * offset, box.right - (offset > 0 ? TOOK : 0)];
        const share = Math.max(0, Math.min(1, (event.clientX - left) / Math.max(1, right - left)));
        zoom(event.deltaY > 0 ? 1.25 : 0.8, window.from + share * (window.to - window.from));
      } else if (sideways !== 0) pan(sideways / 600);
      else return;
      event.preventDefault();
    };
    target.addEventListener('wheel', turned, { passive: false });
    return () => target.removeEventListener('wheel', turned);
  });
}

/** The scale; dragging across it zooms to what was dragged over. */
function Scale({ time, window, zoom, pan, brush }: { time: Axis; window: Window; brush: (window: Window) => void } & Moves) {
  const element = useRef<HTMLDivElement>(null);
  const [drag, setDrag] = useState<[number, number]>();
  useWheel(element, window, { zoom, pan }, 0);
  const width = window.to - window.from;
  const share = (event: { clientX: number }) => {
    const box = element.current?.getBoundingClientRect();
    return box ? Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) : 0;
  };
  const end = () => {
    if (drag && Math.abs(drag[1] - drag[0]) > 0.01) {
      const [from, to] = drag.toSorted((a, b) => a - b) as [number, number];
      brush({ from: window.from + from * width, to: window.from + to * width });
    }
    setDrag(undefined);
  };
  const ticks = [0, 0.25, 0.5, 0.75].map((tick): [number, number] => [tick, timeAt(time, window.from + tick * width)]);
  return (
    <div class="scale">
      <div
        ref={element}
        class="ticks"
        aria-hidden="true"
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          setDrag([share(event), share(event)]);
        }}
        onPointerMove={(event) => drag && setDrag([drag[0], share(event)])}
        onPointerUp={end}
        onPointerCancel={() => setDrag(undefined)}
      >
        {ticks.map(([tick, us]) => (
          <span style={{ left: `${tick * 100}%` }}>{us < 1 ? '0' : micros(Math.round(us))}</span>
        ))}
        {drag && <i class="brush" style={{ left: `${Math.min(...drag) * 100}%`, width: `${Math.abs(drag[1] - drag[0]) * 100}%` }} />}
      </div>
    </div>
  );
}

interface RowsProps extends Moves {
  shown: Row[];
  time: Axis;
  known: number;
  window: Window;
  closed: ReadonlySet<string>;
  cause: string | undefined;
  critical: ReadonlySet<string>;
  hits: string[];
  /** The run that the page is of. */
  id: string;
  whole: Whole;
  selected: string | undefined;
  at: number;
  select: (span: string | undefined) => void;
  toggle: (span: string, isClosed: boolean) => void;
  unfold: (row: Row) => void;
}

function Rows(props: RowsProps) {
  const { shown, at, selected, time, window } = props;
  const element = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(600);
  const hits = useMemo(() => new Set(props.hits), [props.hits]);
  useWheel(element, window, props, 0.4);
  useLayoutEffect(() => {
    const target = element.current;
    if (!target) return;
    const observer = new ResizeObserver(() => setHeight(target.clientHeight));
    observer.observe(target);
    return () => observer.disconnect();
  }, []);
  // The span that is shown is in sight, wherever the choice was made.
  useLayoutEffect(() => {
    const target = element.current;
    if (!target || at < 0) return;
    if (at * ROW < target.scrollTop || (at + 1) * ROW > target.scrollTop + target.clientHeight) {
      target.scrollTop = Math.max(0, at * ROW - target.clientHeight / 3);
    }
  }, [at, selected]);
  const idle = useMemo(() => time.pieces.filter((piece) => piece.isIdle), [time]);
  const first = Math.max(0, Math.floor(top / ROW) - MORE);
  const drawn = shown.slice(first, Math.ceil((top + height) / ROW) + MORE);
  return (
    <div
      ref={element}
      class="rows"
      role="tree"
      aria-label="Spans"
      tabIndex={0}
      aria-activedescendant={at >= first && at < first + drawn.length ? `span-${selected}` : undefined}
      onScroll={(event) => setTop(event.currentTarget.scrollTop)}
    >
      <div role="none" class="all" style={{ height: `${shown.length * ROW}px` }}>
        {/* Behind all rows at once: for each of them it would be most of what is drawn. */}
        <div class="idles" aria-hidden="true" style={{ top: `${first * ROW}px`, height: `${drawn.length * ROW}px` }}>
          {idle.map((piece) => <Box kind="idle" from={piece.start} to={piece.end} window={window} />)}
        </div>
        {drawn.map((row, index) => (
          <OneRow key={row.node.span.span_id} {...props} row={row} place={first + index} hits={hits} />
        ))}
      </div>
    </div>
  );
}

function OneRow(props: Omit<RowsProps, 'hits'> & { row: Row; place: number; hits: ReadonlySet<string> }) {
  const { row, time, known, window, closed, cause, critical, hits, whole, shown, at, select, toggle, unfold } = props;
  const { span } = row.node;
  const id = span.span_id;
  const child = (whole.closed.get(id) ?? whole.opened.get(id))?.run;
  const hasChildren = row.hasChildren || whole.closed.has(id);
  const isClosed = closed.has(id) || whole.closed.has(id);
  const spans = [...row.earlier, span];
  const classes = ['row', span.state];
  if (props.place === at) classes.push('selected');
  if (id === cause) classes.push('is-cause');
  if (whole.runOf(id) !== props.id) classes.push('of-child');
  if (spans.some((span) => hits.has(span.span_id))) classes.push('hit');
  const took = span.point ? '' : span.duration_us === undefined ? (isOpen(span) ? `${micros(Math.max(0, known - span.offset_us))}…` : '') : micros(span.duration_us);
  return (
    <div
      id={`span-${id}`}
      role="treeitem"
      aria-level={row.depth + 1}
      aria-posinset={props.place + 1}
      aria-setsize={shown.length}
      aria-selected={props.place === at}
      aria-expanded={hasChildren ? !isClosed : undefined}
      class={classes.join(' ')}
      style={{ top: `${props.place * ROW}px` }}
      onClick={() => select(id)}
    >
      <span class="name" style={{ paddingLeft: `${Math.min(row.depth, 20) * 12}px` }}>
        <span
          class="fold"
          aria-hidden="true"
          onClick={(event) => {
            if (!hasChildren) return;
            event.stopPropagation();
            toggle(id, !isClosed);
          }}
        >
          {hasChildren ? (isClosed ? '▸' : '▾') : ''}
        </span>
        {id === cause && <b class="mark">cause</b>}
        <span class="text">{span.name}</span>
        {child && <span class="choice">{nameOf(child)} <State state={child.state} /></span>}
        {row.node.choice && <span class="choice">→ {row.node.choice}</span>}
        <span class="hidden">, {span.state}{took && `, ${took}`}</span>
        {row.earlier.length === 0 && (row.isOneOfSeveral || (span.attempt ?? 1) > 1) && <span class="times">attempt {span.attempt ?? 1}</span>}
        {row.earlier.length > 0 && (
          <span
            class="times"
            title="Shows each attempt in a row"
            onClick={(event) => {
              event.stopPropagation();
              unfold(row);
            }}
          >
            ×{row.earlier.length + 1} <span class="hidden">attempts</span>
          </span>
        )}
      </span>
      <span class="bars" aria-hidden="true">
        {spans.map((one) => (
          <Bar span={one} time={time} known={known} window={window} isCritical={critical.has(one.span_id)} label={spans.length > 1 || (one.attempt ?? 1) > 1 ? String(one.attempt ?? 1) : ''} select={select} />
        ))}
      </span>
      <span class="took" aria-hidden="true">{took}</span>
    </div>
  );
}

function Bar({ span, time, known, window, isCritical, label, select }: { span: Span; time: Axis; known: number; window: Window; isCritical: boolean; label: string; select: (span: string) => void }) {
  const kind = `bar ${span.state}${span.point ? ' point' : ''}${isOpen(span) ? ' open' : ''}${isCritical ? ' critical' : ''}`;
  return (
    <Box
      kind={kind}
      from={place(time, span.offset_us)}
      to={place(time, endOf(span, known))}
      window={window}
      label={label}
      select={() => select(span.span_id)}
    />
  );
}

function Box({ kind, from, to, window, label, select }: { kind: string; from: number; to: number; window: Window; label?: string; select?: () => void }) {
  const scale = 100 / (window.to - window.from);
  const left = Math.max(-1, (from - window.from) * scale);
  const right = Math.min(101, (to - window.from) * scale);
  if (right < 0 || left > 100) return null;
  return (
    <i
      class={kind}
      style={{ left: `${left}%`, width: `${Math.max(0, right - left)}%` }}
      onClick={(event) => {
        if (!select) return;
        event.stopPropagation();
        select();
      }}
    >
      {label}
    </i>
  );
}

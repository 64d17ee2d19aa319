// The answers of the server, as far as the pages read them.

export type State = 'running' | 'interrupted' | 'unfinished' | 'succeeded' | 'failed' | 'cancelled';

export interface ErrorInfo {
  type: string;
  message: string;
  chain?: string[];
}

export interface Failure {
  span_id: string;
  name: string;
  event_type: string;
  error: ErrorInfo | null;
  step_index: number | null;
  step_total: number | null;
}

export interface Run {
  trace_id: string;
  state: State;
  workflow: string | null;
  service: string;
  correlation_id: string | null;
  root: { span_id: string; event_type: string; name: string; attempt: number | null } | null;
  started: string;
  ended: string | null;
  duration_us: number | null;
  first_failure: Failure | null;
  cause: Failure | null;
}

export interface Listed {
  named: Run[];
  runs: Run[];
  next: string | null;
  looked_at: number;
}

export interface Rate {
  hits: number;
  total: number;
}

export interface WithInterval extends Rate {
  ratio: number;
  interval: [number, number];
}

export interface Counts {
  failed: Rate | null;
  succeeded: number | null;
  cancelled: number | null;
  running: number | null;
  stuck: number | null;
  interrupted: number | null;
  unfinished: number | null;
}

export interface Span {
  span_id: string;
  name: string;
  state: State;
  point?: boolean;
  started: string;
  offset_us: number;
  duration_us?: number;
  attempt?: number;
  step_index?: number;
  step_total?: number;
  error?: ErrorInfo;
}

export interface Node {
  depth: number;
  span: Span;
  choice?: string;
}

export interface Statement {
  says: string;
  certainty: string;
  text: string;
  /** What it rests on: each event by its run, its span and its number, of this run or of another. */
  events: string[];
}

export interface CompensationEntry {
  step: Span;
  resource?: string;
  state: string;
  compensation?: Span;
  attempts: number;
  /** What should have been undone before, if the order was wrong. */
  should_follow?: Span;
}

export interface Orphan {
  step: string;
  step_name: string;
  resource?: string;
  state: string;
  error?: ErrorInfo;
}

export interface SagaCompensation {
  saga?: Span;
  began?: string;
  took_us?: number;
  can_be_resumed?: boolean;
  entries: CompensationEntry[];
  orphaned: Orphan[];
}

export interface Decision {
  span_id: string;
  name: string;
  at: string;
  offset_us: number;
  choice?: string;
  alternatives: { name: string; score?: number; reason?: string; chosen: boolean }[];
  reasoning?: string;
  confidence?: number;
  decider?: string;
}

export interface DecisionOutcome {
  decision: Decision;
  basis: string;
  consequences: { span: Span; spans: number; failed: number; holds_cause: boolean }[];
  more: number;
  led_to_cause: boolean;
}

export interface Problem {
  kind: string;
  count: number;
}

export interface Explanation {
  run: Run | null;
  verdict: string;
  headline: string;
  /** Spans that have begun and not ended. */
  open: Span[];
  statements: Statement[];
  cause?: { span: Span; kind: string; certainty: string };
  path: { span: Span }[];
  decisions: { decision: Decision; linked: boolean; led_to_cause: boolean }[];
  problems: Problem[];
}

export interface Story {
  explanation: Explanation;
  nodes: Node[];
  compensations: { sagas: SagaCompensation[]; unmatched: Span[] };
  decisions: { outcomes: DecisionOutcome[] };
  related: { caused_by: Run | null; caused: Run[]; began: Record<string, string>; same_key: Run[] };
  read_at: string;
}

export interface TraceEvent {
  event_type: string;
  timestamp: string;
  status: string;
  seq: number;
  attrs?: Record<string, string>;
  data?: Record<string, unknown>;
  tags?: string[];
  links?: { rel: string; trace_id?: string; span_id: string }[];
  error?: ErrorInfo;
}

export interface Details {
  span: Span;
  events: TraceEvent[];
}

export interface LogLine {
  at: string | null;
  level: string | null;
  message: string;
  target: string | null;
  span_id: string | null;
  error: ErrorInfo | null;
  fields: Record<string, unknown>;
}

export interface Logged {
  lines: LogLine[];
  has_more: boolean;
  files: number;
}

export interface Unmatched {
  path: string;
  span: Span;
  below: number;
}

export interface Diff {
  first_divergence?: { kind: string; path: string; span: Span };
  inputs: { span: string; pointer: string; here?: unknown; there?: unknown }[];
  attrs: { path: string; key: string; here?: string; there?: string }[];
  choices: { path: string; here: Decision; there: Decision }[];
  changed: { path: string; here: Span; there: Span }[];
  only_here: Unmatched[];
  only_there: Unmatched[];
  slower: { path: string; here_us: number; there_us: number }[];
}

export interface ComparedRuns {
  with: Run;
  diff: Diff;
}

export interface OpenRun {
  summary: Run;
  current: {
    span_id: string;
    name: string;
    started: string;
    attempt: number | null;
    step_index: number | null;
    step_total: number | null;
  } | null;
  last_event: string;
  next_retry: string | null;
  deployment: string;
  holder: Holder | null;
  usual: UsualTime | null;
  usual_of_step: UsualTime | null;
}

/** The process that has a run in hand. */
export interface Holder {
  instance: string;
  lease: string;
  service: string | null;
  version: string | null;
  host: string | null;
  pid: number | null;
  since: string | null;
  last_seen: string | null;
}

export interface UsualTime {
  p50_us: number;
  p95_us: number;
  count: number;
}

export interface Running {
  safe_to_deploy: boolean;
  running: number;
  stuck: number;
  interrupted: number;
  can_be_resumed: number;
  stuck_after_s: number;
  runs: OpenRun[];
  next: string | null;
  read_at: string;
}

export interface Patterns {
  failures: WithInterval | null;
  compensations: WithInterval | null;
  over_time: { start: string; failed: Rate }[] | null;
  width_s: number;
  hot_spots: { event_type: string; error_type: string | null; share: Rate }[] | null;
  slowest_stages:
    | { event_type: string; count: number; p50_us: number; p95_us: number; p99_us: number; max_us: number }[]
    | null;
  decisions: { decision: string; choice: string; failed: Rate; interval: [number, number] }[] | null;
  uncounted: number | null;
}

export interface Took {
  trace_id: string;
  span_id: string;
  ended: string;
  duration_us: number;
  failed: boolean;
}

export interface Latency {
  spans: Took[];
  more: boolean;
}

/** A part of a chart of times, as parameters of a question. */
export interface Region {
  [name: string]: string;
  from: string;
  to: string;
  least_us: string;
  most_us: string;
}

export interface Compared {
  inside: number;
  outside: number;
  differences: { name: string; value: string; inside: Rate; outside: Rate }[];
  spans: Took[];
}

export interface Destination {
  name: string;
  kind: string;
  accepted: number;
  delivered: number;
  pending: number;
  dropped: [string, number][];
  panics: number;
  broken: string | null;
  last_failure: { at: string; reason: string } | null;
  queue: { waiting: number; capacity: number } | null;
  upkeep_failures: number;
  last_upkeep_failure: string | null;
}

/** Whether something answers: how long it was waited for, and why it does not. */
export interface Health {
  took_us: number;
  error: string | null;
}

/** What waits for the store. */
export interface Outbox extends Health {
  usage: { events: number; bytes: number; capacity_bytes: number; refused: number } | null;
  oldest: string | null;
  refused: { trace_id: string; span_id: string; event_type: string; reason: string }[];
}

export interface Library {
  delivery: { destinations: Destination[]; redacted: Record<string, number> } | null;
  store: Health;
  feed: Health | null;
  outbox: Outbox | null;
  free_requests: number;
  most_requests: number;
  free_watchers: number;
  most_watchers: number;
}

export interface About {
  payloads: boolean;
  live: boolean;
  logs: boolean;
  delivery: boolean;
  version: string;
}

export interface News {
  runs: Record<string, { started: boolean; ended: boolean }>;
  missed: boolean;
}

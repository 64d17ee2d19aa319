-- Version 1. Why it looks like this: docs/adr/0002-sqlite-layout.md.
-- Times are microseconds since 1970-01-01T00:00:00Z. Look at the views `events`, `runs` and `failures` first.

-- Texts that repeat: event types, services, workflows, tags, attribute keys.
CREATE TABLE name (
    id   INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;

-- Instances: a process from its start to its end. `opened` is set for those that held a lease here; number 0 stands for
-- imported events.
CREATE TABLE instance (
    id      INTEGER PRIMARY KEY,
    key     INTEGER NOT NULL UNIQUE,
    service TEXT,
    opened  INTEGER,
    closed  INTEGER
) STRICT;
INSERT INTO instance (id, key, service) VALUES (0, 0, 'imported');

-- One row per run, written when its first event, its first failure and the events of its root span come. Columns from
-- `root` to `keyed` name events.
CREATE TABLE run (
    id             INTEGER PRIMARY KEY,
    trace_id       BLOB    NOT NULL UNIQUE,
    started        INTEGER NOT NULL, -- its earliest event
    ended          INTEGER,          -- when its root span ended
    status         INTEGER NOT NULL, -- 0 open, 1 success, 2 failed, 3 cancelled
    owner          INTEGER NOT NULL, -- the instance that has it in hand
    service        INTEGER NOT NULL,
    workflow       INTEGER,
    correlation_id TEXT,
    attrs          TEXT,             -- of the event that came first
    root           INTEGER,          -- the earliest root event
    head           INTEGER NOT NULL, -- the first event of the root span; without a root the earliest event
    last           INTEGER,          -- the last event of the root span
    failure        INTEGER,          -- the first failed event
    named          INTEGER,          -- the earliest event that names a workflow
    keyed          INTEGER,          -- the earliest event that names a correlation id
    compensating   INTEGER NOT NULL
) STRICT;
CREATE INDEX run_started ON run (started);
CREATE INDEX run_open ON run (started) WHERE status = 0;
CREATE INDEX run_failed ON run (started) WHERE failure IS NOT NULL;
CREATE INDEX run_correlation ON run (correlation_id) WHERE correlation_id IS NOT NULL;

-- Attributes of a run's events that are not among the attributes of the event that came first.
CREATE TABLE run_attr (
    run   INTEGER NOT NULL,
    key   INTEGER NOT NULL,
    value TEXT    NOT NULL,
    PRIMARY KEY (run, key, value)
) STRICT, WITHOUT ROWID;

-- What was chosen in a run.
CREATE TABLE decision (
    run    INTEGER NOT NULL,
    type   INTEGER NOT NULL,
    choice TEXT    NOT NULL,
    PRIMARY KEY (run, type, choice)
) STRICT, WITHOUT ROWID;

-- Events in the order of their arrival. Numbers are never reused.
CREATE TABLE event (
    id          INTEGER PRIMARY KEY,
    run         INTEGER NOT NULL,
    span        INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    parent      INTEGER,
    ts          INTEGER NOT NULL,
    instance    INTEGER NOT NULL,
    n           INTEGER NOT NULL,
    type        INTEGER NOT NULL,
    status      INTEGER NOT NULL, -- 0 pending, 1 success, 2 failed, 3 cancelled
    service     INTEGER NOT NULL,
    workflow    INTEGER,
    duration    INTEGER,          -- microseconds
    attempt     INTEGER,
    step_index  INTEGER,
    step_total  INTEGER,
    correlation ANY,              -- the text, or 1: as the run's correlation_id
    attrs       ANY,              -- JSON, or 1: as the run's attrs
    tags        TEXT,             -- JSON, as are the next three
    error       TEXT,
    data        TEXT,
    rest        TEXT
) STRICT;
CREATE UNIQUE INDEX event_identity ON event (run, span, seq);
CREATE INDEX event_failed ON event (ts) WHERE status = 2;
CREATE INDEX event_correlation ON event (correlation) WHERE correlation > 1;

-- For each committed group of events (or a part of it) a sketch of them: what most filters ask for, in 36 bytes an event.
-- `entries` describes the events `id` to `id + count - 1`. The last block is also what the next numbers of events
-- and runs are counted from, so it is never removed.
CREATE TABLE block (
    id           INTEGER PRIMARY KEY,
    count        INTEGER NOT NULL,
    runs         INTEGER NOT NULL, -- the greatest number of a run so far
    first_ts     INTEGER NOT NULL,
    last_ts      INTEGER NOT NULL,
    max_duration INTEGER,
    entries      BLOB    NOT NULL
) STRICT;
CREATE INDEX block_time ON block (last_ts, first_ts);
CREATE INDEX block_slow ON block (max_duration) WHERE max_duration IS NOT NULL;

-- Counts by the day and the hour (`width` in hours, `start` in widths since 1970), folded from blocks a few thousand
-- events at a time; `folded` says how far. workflow 0 stands for none.
CREATE TABLE rollup (
    width        INTEGER NOT NULL,
    start        INTEGER NOT NULL,
    type         INTEGER NOT NULL,
    workflow     INTEGER NOT NULL,
    pending      INTEGER NOT NULL,
    success      INTEGER NOT NULL,
    failed       INTEGER NOT NULL,
    cancelled    INTEGER NOT NULL,
    max_duration INTEGER,
    durations    BLOB    NOT NULL, -- histogram: bucket (2 bytes) and count (4 bytes), little-endian
    PRIMARY KEY (width, start, type, workflow)
) STRICT, WITHOUT ROWID;
CREATE TABLE folded (
    event INTEGER NOT NULL -- the last event that is in the rollups
) STRICT;
INSERT INTO folded (event) VALUES (0);

-- Imported logs, with the options of the import.
CREATE TABLE import (
    log      TEXT    PRIMARY KEY,
    options  TEXT    NOT NULL,
    started  INTEGER NOT NULL,
    finished INTEGER
) STRICT, WITHOUT ROWID;

CREATE VIEW events AS
SELECT lower(hex(r.trace_id)) AS trace_id,
       printf('%016x', e.span) AS span_id,
       e.seq,
       CASE WHEN e.parent IS NOT NULL THEN printf('%016x', e.parent) END AS parent_span_id,
       strftime('%Y-%m-%dT%H:%M:%S', (e.ts - (e.ts % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch')
           || printf('.%06dZ', (e.ts % 1000000 + 1000000) % 1000000) AS timestamp,
       t.text AS event_type,
       CASE e.status WHEN 0 THEN 'pending' WHEN 1 THEN 'success' WHEN 2 THEN 'failed' ELSE 'cancelled' END AS status,
       e.duration AS duration_us,
       s.text AS service,
       w.text AS workflow,
       CASE WHEN e.correlation = 1 THEN r.correlation_id ELSE e.correlation END AS correlation_id,
       e.attempt,
       e.step_index,
       e.step_total,
       CASE WHEN e.attrs = 1 THEN r.attrs ELSE e.attrs END AS attrs,
       e.tags,
       e.error,
       e.data,
       e.rest,
       printf('%016x', i.key) AS instance,
       e.n,
       e.id AS event,
       e.run
FROM event e
JOIN run r ON r.id = e.run
JOIN name t ON t.id = e.type
JOIN name s ON s.id = e.service
JOIN instance i ON i.id = e.instance
LEFT JOIN name w ON w.id = e.workflow;

CREATE VIEW runs AS
SELECT lower(hex(r.trace_id)) AS trace_id,
       CASE r.status WHEN 0 THEN 'open' WHEN 1 THEN 'succeeded' WHEN 2 THEN 'failed' ELSE 'cancelled' END AS state,
       w.text AS workflow,
       s.text AS service,
       r.correlation_id,
       strftime('%Y-%m-%dT%H:%M:%S', (r.started - (r.started % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch')
           || printf('.%06dZ', (r.started % 1000000 + 1000000) % 1000000) AS started,
       strftime('%Y-%m-%dT%H:%M:%S', (r.ended - (r.ended % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch')
           || printf('.%06dZ', (r.ended % 1000000 + 1000000) % 1000000) AS ended,
       l.duration AS duration_us,
       ft.text AS first_failure,
       f.error ->> '$.type' AS error_type,
       f.error ->> '$.message' AS error_message,
       r.compensating,
       r.id AS run
FROM run r
JOIN name s ON s.id = r.service
LEFT JOIN event l ON l.id = r.last
LEFT JOIN name w ON w.id = r.workflow
LEFT JOIN event f ON f.id = r.failure
LEFT JOIN name ft ON ft.id = f.type;

CREATE VIEW failures AS
SELECT timestamp, trace_id, span_id, event_type, workflow, service, correlation_id,
       error ->> '$.type' AS error_type,
       error ->> '$.message' AS error_message,
       duration_us
FROM events
WHERE status = 'failed';

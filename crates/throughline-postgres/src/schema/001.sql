-- Version 1. Why it looks like this: docs/adr/0031-postgres-layout.md.
-- Times are microseconds since 1970-01-01T00:00:00Z. Look at the views `events`, `runs` and `failures` first.

CREATE TABLE throughline.store (
    id      text   NOT NULL DEFAULT gen_random_uuid()::text,
    -- 32 bytes, 244 bits of which are random.
    secret  bytea  NOT NULL DEFAULT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'),
    -- The greatest `xid` of an event that was removed.
    removed bigint NOT NULL DEFAULT 0
);
INSERT INTO throughline.store DEFAULT VALUES;

-- Instances: a process from its start to its end. `opened` is set for those that held a lease here.
CREATE TABLE throughline.instance (
    id      bigint PRIMARY KEY,
    service text,
    version text,
    host    text,
    pid     bigint,
    opened  timestamptz,
    seen    timestamptz,
    expires timestamptz,
    closed  timestamptz
);

-- Which instance works on a run. A claim counts for as long as its holder's lease.
CREATE TABLE throughline.claim (
    trace_id bytea  PRIMARY KEY,
    instance bigint NOT NULL
);
CREATE INDEX claim_instance ON throughline.claim (instance);

-- One row per run. A transaction that writes events of a run holds the lock of its row.
CREATE TABLE throughline.run (
    id             bigint   GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    trace_id       bytea    NOT NULL UNIQUE,
    day            date     NOT NULL, -- when its first event was stored: the partition of all its events
    started        bigint   NOT NULL DEFAULT 0,
    latest         bigint   NOT NULL DEFAULT -9223372036854775808, -- its last event when the row was last written
    ended          bigint,
    status         smallint NOT NULL DEFAULT 0, -- 0 open, 1 success, 2 failed, 3 cancelled
    owner          bigint   NOT NULL DEFAULT 0, -- the instance that has it in hand
    service        text     NOT NULL DEFAULT '',
    workflow       text,
    correlation_id text,
    has_failure    boolean  NOT NULL DEFAULT false,
    compensating   boolean  NOT NULL DEFAULT false,
    version        bigint   NOT NULL DEFAULT 0, -- rises with each change of the row, which most events do not change
    state          json     NOT NULL DEFAULT '{}' -- what its fold and its summary are made of
) WITH (fillfactor = 70);
CREATE INDEX run_started ON throughline.run (started, trace_id);
CREATE INDEX run_open ON throughline.run (started, trace_id) WHERE status = 0;
CREATE INDEX run_failed ON throughline.run (started, trace_id) WHERE has_failure;
CREATE INDEX run_cancelled ON throughline.run (started, trace_id) WHERE status = 3;
-- A text of any length would not fit into an index.
CREATE INDEX run_correlation ON throughline.run (left(correlation_id, 200), started, trace_id)
    WHERE correlation_id IS NOT NULL;
CREATE INDEX run_day ON throughline.run (day);

-- Events. `event` is the event as its public JSON; the other columns are what questions are answered from.
CREATE TABLE throughline.event (
    day            date     NOT NULL,
    run            bigint   NOT NULL,
    span           bigint   NOT NULL,
    seq            bigint   NOT NULL,
    ts             bigint   NOT NULL,
    instance       bigint   NOT NULL, -- this and the next with the highest bit inverted: so they sort as unsigned numbers
    n              bigint   NOT NULL,
    xid            bigint   NOT NULL DEFAULT pg_current_xact_id()::text::bigint, -- the transaction that wrote it
    ord            integer  NOT NULL, -- its place in that
    status         smallint NOT NULL, -- 0 pending, 1 success, 2 failed, 3 cancelled
    event_type     text     NOT NULL,
    service        text     NOT NULL,
    workflow       text,
    correlation_id text,
    duration       bigint,  -- microseconds
    bucket         integer, -- of the histogram of durations
    detached       boolean  NOT NULL,
    job            text,    -- the beginning of the id of a job, of an attempt at it
    choice         text,    -- what was chosen, of a decision
    event          json     NOT NULL,
    PRIMARY KEY (run, span, seq, day)
) PARTITION BY RANGE (day);
CREATE INDEX event_ts ON throughline.event (ts);
CREATE INDEX event_log ON throughline.event (xid, ord);
CREATE INDEX event_failed ON throughline.event (ts) WHERE status = 2;
CREATE INDEX event_detached ON throughline.event (run) WHERE detached;
CREATE INDEX event_job ON throughline.event (run, job) WHERE job IS NOT NULL;
CREATE INDEX event_choice ON throughline.event (run) WHERE choice IS NOT NULL;

-- Makes the partitions of yesterday, today and the days ahead; returns how many were missing. It runs with the rights
-- of the role that migrated, so that a role without any right to create tables can write for good.
CREATE FUNCTION throughline.make_partitions(ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    next  date;
    name  text;
    made  integer := 0;
BEGIN
    FOR next IN SELECT today + i FROM generate_series(-1, least(ahead, 31)) AS i LOOP
        name := 'event_' || to_char(next, 'YYYYMMDD');
        -- Not by `to_regclass`, which may remember for a while that a table is not there.
        CONTINUE WHEN EXISTS (SELECT FROM pg_tables WHERE schemaname = 'throughline' AND tablename = name);
        PERFORM pg_advisory_xact_lock(6075152841538334803);
        CONTINUE WHEN EXISTS (SELECT FROM pg_tables WHERE schemaname = 'throughline' AND tablename = name);
        -- To attach a table disturbs nobody, whereas to create it as a partition would lock out all readers and writers.
        EXECUTE format('CREATE TABLE throughline.%I (LIKE throughline.event INCLUDING DEFAULTS)', name);
        EXECUTE format(
            'ALTER TABLE throughline.event ATTACH PARTITION throughline.%I FOR VALUES FROM (%L) TO (%L)',
            name, next, next + 1);
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;
SELECT throughline.make_partitions(7);

-- What a writer does is done by functions, because a session keeps the plans of what is in them, while a pooler lets nobody keep a
-- prepared statement. The plans must be good for tables that have grown since they were made, so whatever joins does so by an index.

-- Adds the events that are not there yet, and creates the rows of their runs. The rows of `traces`, which are in order, are locked
-- until the transaction ends; `events_run` has the place in them of the run of each event. A state is left out where the version of
-- the row is the known one.
CREATE FUNCTION throughline.add_events(
    traces bytea[], known bigint[], instances bigint[], events_run integer[], span bigint[], seq bigint[], ts bigint[],
    instance bigint[], n bigint[], status smallint[], event_type text[], service text[], workflow text[],
    correlation_id text[], duration bigint[], bucket integer[], detached boolean[], job text[], choice text[], event text[],
    OUT ids bigint[], OUT versions bigint[], OUT started bigint[], OUT compensating boolean[], OUT states text[],
    OUT added integer[])
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET lock_timeout = '5s' AS $$
DECLARE
    days date[];
BEGIN
    IF cardinality(instances) > 0 THEN
        INSERT INTO throughline.instance (id) SELECT i FROM unnest(instances) AS i ORDER BY i ON CONFLICT (id) DO NOTHING;
    END IF;
    IF array_position(known, NULL) IS NOT NULL OR array_position(known, 0) IS NOT NULL THEN
        INSERT INTO throughline.run (trace_id, day)
            SELECT k.trace_id, (clock_timestamp() AT TIME ZONE 'UTC')::date
            FROM unnest(traces, known) AS k (trace_id, version)
            WHERE coalesce(k.version, 0) = 0
                AND NOT EXISTS (SELECT FROM throughline.run r WHERE r.trace_id = k.trace_id)
            ORDER BY k.trace_id ON CONFLICT (trace_id) DO NOTHING;
    END IF;
    SELECT array_agg(l.id), array_agg(l.day), array_agg(l.version), array_agg(l.started), array_agg(l.compensating),
            array_agg(l.state)
        INTO ids, days, versions, started, compensating, states
        FROM (SELECT r.id, r.day, r.version, r.started, r.compensating,
                CASE WHEN r.version IS DISTINCT FROM k.version THEN r.state::text END AS state
            FROM unnest(traces, known) AS k (trace_id, version)
            JOIN throughline.run r ON r.trace_id = k.trace_id ORDER BY r.trace_id FOR UPDATE OF r) AS l;
    IF cardinality(ids) IS DISTINCT FROM cardinality(traces) THEN
        RAISE EXCEPTION 'a run was removed at this very moment' USING ERRCODE = 'serialization_failure';
    END IF;
    WITH new AS (
        INSERT INTO throughline.event (day, run, span, seq, ts, instance, n, ord, status, event_type, service, workflow,
                correlation_id, duration, bucket, detached, job, choice, event)
            SELECT days[e.run], ids[e.run], e.span, e.seq, e.ts, e.instance, e.n, e.ord - 1, e.status, e.event_type, e.service,
                e.workflow, e.correlation_id, e.duration, e.bucket, e.detached, e.job, e.choice, e.event::json
            FROM unnest(events_run, span, seq, ts, instance, n, status, event_type, service, workflow, correlation_id,
                    duration, bucket, detached, job, choice, event) WITH ORDINALITY
                AS e (run, span, seq, ts, instance, n, status, event_type, service, workflow, correlation_id, duration,
                    bucket, detached, job, choice, event, ord)
            ON CONFLICT DO NOTHING RETURNING ord)
        SELECT array_agg(new.ord) INTO added FROM new;
END
$$;

-- Brings rows of runs up to date.
CREATE FUNCTION throughline.update_runs(
    ids bigint[], run_latest bigint[], run_started bigint[], run_ended bigint[], run_status smallint[], run_owner bigint[],
    run_service text[], run_workflow text[], run_correlation_id text[], run_has_failure boolean[],
    run_compensating boolean[], run_state text[])
RETURNS void LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    UPDATE throughline.run r SET version = r.version + 1, latest = greatest(r.latest, u.latest), started = u.started,
            ended = u.ended, status = u.status, owner = u.owner, service = u.service, workflow = u.workflow,
            correlation_id = u.correlation_id, has_failure = u.has_failure, compensating = u.compensating, state = u.state::json
        FROM unnest(ids, run_latest, run_started, run_ended, run_status, run_owner, run_service, run_workflow,
                run_correlation_id, run_has_failure, run_compensating, run_state)
            AS u (id, latest, started, ended, status, owner, service, workflow, correlation_id, has_failure,
                compensating, state)
        WHERE r.id = u.id;
    -- Whatever the defaults of the role are, what is acknowledged is on the disk.
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
END
$$;

-- Both at once, by a writer that remembers all runs as they are; `run_place` has the places in `traces` of the runs that are
-- different afterwards. If one is not as it is remembered, or an event is there already, it fails with `TL001` or with
-- `unique_violation`, and has done nothing.
CREATE FUNCTION throughline.append(
    traces bytea[], known bigint[], instances bigint[], events_run integer[], span bigint[], seq bigint[], ts bigint[],
    instance bigint[], n bigint[], status smallint[], event_type text[], service text[], workflow text[],
    correlation_id text[], duration bigint[], bucket integer[], detached boolean[], job text[], choice text[], event text[],
    run_place integer[], run_latest bigint[], run_started bigint[], run_ended bigint[], run_status smallint[],
    run_owner bigint[], run_service text[], run_workflow text[], run_correlation_id text[], run_has_failure boolean[],
    run_compensating boolean[], run_state text[])
RETURNS void LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET lock_timeout = '5s' AS $$
DECLARE
    ids  bigint[];
    days date[];
BEGIN
    IF cardinality(instances) > 0 THEN
        INSERT INTO throughline.instance (id) SELECT i FROM unnest(instances) AS i ORDER BY i ON CONFLICT (id) DO NOTHING;
    END IF;
    IF array_position(known, 0) IS NOT NULL THEN
        INSERT INTO throughline.run (trace_id, day, version, latest, started, ended, status, owner, service, workflow,
                correlation_id, has_failure, compensating, state)
            SELECT traces[u.place], (clock_timestamp() AT TIME ZONE 'UTC')::date, 1, u.latest, u.started, u.ended, u.status,
                u.owner, u.service, u.workflow, u.correlation_id, u.has_failure, u.compensating, u.state::json
            FROM unnest(run_place, run_latest, run_started, run_ended, run_status, run_owner, run_service, run_workflow,
                    run_correlation_id, run_has_failure, run_compensating, run_state)
                AS u (place, latest, started, ended, status, owner, service, workflow, correlation_id, has_failure,
                    compensating, state)
            WHERE known[u.place] = 0 ORDER BY u.place;
    END IF;
    SELECT array_agg(l.id), array_agg(l.day) INTO ids, days
        FROM (SELECT r.id, r.day
            FROM unnest(traces, known) AS k (trace_id, version)
            JOIN throughline.run r ON r.trace_id = k.trace_id AND r.version = greatest(k.version, 1)
            ORDER BY r.trace_id FOR UPDATE OF r) AS l;
    IF cardinality(ids) IS DISTINCT FROM cardinality(traces) THEN
        RAISE EXCEPTION 'a run is not as its writer remembers it' USING ERRCODE = 'TL001';
    END IF;
    INSERT INTO throughline.event (day, run, span, seq, ts, instance, n, ord, status, event_type, service, workflow,
            correlation_id, duration, bucket, detached, job, choice, event)
        SELECT days[e.run], ids[e.run], e.span, e.seq, e.ts, e.instance, e.n, e.ord - 1, e.status, e.event_type, e.service,
            e.workflow, e.correlation_id, e.duration, e.bucket, e.detached, e.job, e.choice, e.event::json
        FROM unnest(events_run, span, seq, ts, instance, n, status, event_type, service, workflow, correlation_id, duration,
                bucket, detached, job, choice, event) WITH ORDINALITY
            AS e (run, span, seq, ts, instance, n, status, event_type, service, workflow, correlation_id, duration, bucket,
                detached, job, choice, event, ord);
    -- A new row is as it is to be.
    PERFORM throughline.update_runs(
        ARRAY(SELECT CASE WHEN known[p.place] <> 0 THEN ids[p.place] END
            FROM unnest(run_place) WITH ORDINALITY AS p (place, ord) ORDER BY p.ord),
        run_latest, run_started, run_ended, run_status, run_owner, run_service, run_workflow, run_correlation_id,
        run_has_failure, run_compensating, run_state);
END
$$;

-- When the last event of a run was, whose row may be older. The offset has the planner look at the events of the run, and not at the
-- latest of all runs for one of this.
CREATE FUNCTION throughline.last_event(run bigint, day date, latest bigint) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT greatest($3, (SELECT max(e.ts) FROM (SELECT ts FROM throughline.event WHERE event.run = $1 AND event.day = $2
        OFFSET 0) AS e))
$$;

-- The events of a run, or of one of its spans. By a function for the same reason: to plan a question to all partitions takes longer
-- than to answer it.
CREATE FUNCTION throughline.events_of(trace bytea, of_span bigint) RETURNS SETOF text
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    asked record;
BEGIN
    SELECT r.id, r.day INTO asked FROM throughline.run r WHERE r.trace_id = trace;
    IF of_span IS NULL THEN
        RETURN QUERY SELECT e.event::text FROM throughline.event e WHERE e.run = asked.id AND e.day = asked.day;
    ELSE
        RETURN QUERY SELECT e.event::text FROM throughline.event e
            WHERE e.run = asked.id AND e.span = of_span AND e.day = asked.day;
    END IF;
END
$$;

-- How an instance stands: 0 alive, 1 dead, 2 imported, 3 unknown.
CREATE FUNCTION throughline.liveness(id bigint, opened timestamptz, closed timestamptz, expires timestamptz) RETURNS integer
LANGUAGE sql VOLATILE AS $$
    SELECT CASE WHEN id IS NULL THEN 3
                WHEN opened IS NULL THEN 2
                WHEN closed IS NULL AND expires > clock_timestamp() THEN 0
                ELSE 1 END
$$;

-- A moment; none where Postgres has no such year.
CREATE FUNCTION throughline.moment(micros bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN micros BETWEEN -200000000000000000 AND 9000000000000000000
                THEN 'epoch'::timestamptz + make_interval(secs => micros / 1000000)
                     + (micros % 1000000) * interval '1 microsecond' END
$$;

CREATE VIEW throughline.events AS
SELECT encode(r.trace_id, 'hex') AS trace_id,
       lpad(to_hex(e.span), 16, '0') AS span_id,
       e.seq,
       throughline.moment(e.ts) AS "timestamp",
       e.event_type,
       (ARRAY['pending', 'success', 'failed', 'cancelled'])[e.status + 1] AS status,
       e.duration AS duration_us,
       e.service,
       e.workflow,
       e.correlation_id,
       e.event
FROM throughline.event e JOIN throughline.run r ON r.id = e.run AND r.day = e.day;

CREATE VIEW throughline.runs AS
SELECT encode(trace_id, 'hex') AS trace_id,
       (ARRAY['open', 'succeeded', 'failed', 'cancelled'])[status + 1] AS state,
       workflow,
       service,
       correlation_id,
       throughline.moment(started) AS started,
       throughline.moment(ended) AS ended,
       throughline.moment(throughline.last_event(id, day, latest)) AS last_event,
       compensating
FROM throughline.run;

CREATE VIEW throughline.failures AS
SELECT * FROM throughline.events WHERE status = 'failed';

-- Version 3: which instance works on a run, when the last event of a run happened, and what a file is recognised by. All
-- of it is in tables of its own, so that a process of an earlier release that has this file open can continue to write to the
-- others.

-- Runs that an instance claimed; `instance` is the `key` of the table `instance`. A claim counts for as long as the
-- instance holds its lease.
CREATE TABLE claim (
    trace_id BLOB    PRIMARY KEY,
    instance INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The last event of each run, folded from blocks a few thousand events at a time; `latest_folded` says how far.
CREATE TABLE latest (
    run INTEGER PRIMARY KEY,
    ts  INTEGER NOT NULL
) STRICT;
CREATE TABLE latest_folded (
    event INTEGER NOT NULL
) STRICT;
INSERT INTO latest_folded (event) VALUES (0);

-- What a cursor of this file begins with, so that one of another file is recognised.
CREATE TABLE file (
    id TEXT NOT NULL
) STRICT;
INSERT INTO file (id) VALUES (lower(hex(randomblob(8))));

-- Blocks that cover more than a minute: few, but for imports of logs with little in them. All others begin within a
-- minute of their end, so that the index `block_time` finds the events of a time from its beginning on, too.
CREATE INDEX block_wide ON block (first_ts, last_ts) WHERE last_ts - first_ts > 60000000;

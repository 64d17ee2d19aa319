-- The run of each event, so that the events of one can be read without those of all others.
ALTER TABLE waiting ADD COLUMN trace BLOB NOT NULL DEFAULT x'';
UPDATE waiting SET trace = unhex(event ->> '$.trace_id');
CREATE INDEX waiting_trace ON waiting (trace);

-- Events that the store will never accept, and why, as it said. Only the latest are kept; the last number that was given says how
-- many there were.
CREATE TABLE refused (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    reason TEXT NOT NULL,
    event  TEXT NOT NULL
) STRICT;

-- How many bytes of events may wait, as the process that fills the spool set it: for those that only read it.
CREATE TABLE capacity (
    bytes INTEGER NOT NULL
) STRICT;

-- Version 5: in tables and indexes of their own again.

-- Runs that were removed and of which something is left: events, attributes or decisions. Their rows in `run` are gone, so that
-- nobody sees them any more; what is left goes in small steps.
CREATE TABLE removed (
    run INTEGER PRIMARY KEY
) STRICT;

-- Attempts at jobs: those at one job are found without a look at the others of its run.
CREATE INDEX event_job ON event (run, type, json_extract(attrs, '$.job_id')) WHERE instr(tags, '"detached"') > 0;

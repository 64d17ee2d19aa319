-- Version 9: lists of a few runs among a million, and counts of them. In tables and indexes of their own again.

-- What occurs among the events `first` to `last`, whose last moment is `last_ts`: event types, statuses, tags, and the attributes
-- of runs that became known there, each as a hash of 32 bits; all in ascending order, little-endian. Written when events are
-- folded. Events that no row covers may be anything.
CREATE TABLE skip_index (
    first   INTEGER PRIMARY KEY,
    last    INTEGER NOT NULL,
    last_ts INTEGER NOT NULL,
    hashes  BLOB    NOT NULL
) STRICT;

-- How many runs began in which hour since 1970; workflow 0 stands for none. Folded a few hundred runs at a time: `run_folded`
-- says which was the last. Triggers keep it true of runs that are changed or removed afterwards, whoever does that.
CREATE TABLE run_count (
    hour     INTEGER NOT NULL,
    workflow INTEGER NOT NULL,
    runs     INTEGER NOT NULL,
    PRIMARY KEY (hour, workflow)
) STRICT, WITHOUT ROWID;
CREATE TABLE run_folded (
    run INTEGER NOT NULL
) STRICT;
INSERT INTO run_count (hour, workflow, runs)
SELECT started / 3600000000 - (started % 3600000000 < 0), coalesce(workflow, 0), count(*)
FROM run GROUP BY 1, 2;
INSERT INTO run_folded (run) SELECT coalesce(max(id), 0) FROM run;

CREATE TRIGGER run_uncounted AFTER DELETE ON run WHEN old.id <= (SELECT run FROM run_folded) BEGIN
    UPDATE run_count SET runs = runs - 1
    WHERE hour = old.started / 3600000000 - (old.started % 3600000000 < 0)
      AND workflow = coalesce(old.workflow, 0);
END;
CREATE TRIGGER run_recounted AFTER UPDATE OF started, workflow ON run
WHEN old.id <= (SELECT run FROM run_folded) AND (old.started, old.workflow) IS NOT (new.started, new.workflow) BEGIN
    UPDATE run_count SET runs = runs - 1
    WHERE hour = old.started / 3600000000 - (old.started % 3600000000 < 0)
      AND workflow = coalesce(old.workflow, 0);
    INSERT INTO run_count (hour, workflow, runs)
    VALUES (new.started / 3600000000 - (new.started % 3600000000 < 0), coalesce(new.workflow, 0), 1)
    ON CONFLICT (hour, workflow) DO UPDATE SET runs = runs + 1;
END;

-- Runs that failed or were cancelled, of all and of a workflow.
DROP INDEX run_cancelled;
CREATE INDEX run_lost ON run (status, started) WHERE status > 1;
CREATE INDEX run_lost_of ON run (workflow, status, started) WHERE status > 1 AND workflow IS NOT NULL;

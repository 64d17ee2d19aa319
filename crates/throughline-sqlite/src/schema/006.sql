-- Version 6: in tables of their own again.

-- A writer remembers runs and names although others write, and has to know which are gone. Triggers note that,
-- whoever deletes them: the number of a run, or NULL for a name. The latest 4096 are kept; who missed some forgets everything.
CREATE TABLE removal (
    id  INTEGER PRIMARY KEY,
    run INTEGER
) STRICT;

CREATE TRIGGER run_removed AFTER DELETE ON run BEGIN
    INSERT INTO removal (run) VALUES (old.id);
    DELETE FROM removal WHERE id = (SELECT max(id) FROM removal) - 4096;
END;
CREATE TRIGGER name_removed AFTER DELETE ON name BEGIN
    INSERT INTO removal (run) VALUES (NULL);
    DELETE FROM removal WHERE id = (SELECT max(id) FROM removal) - 4096;
END;

-- Where the instances ran that held a lease here.
CREATE TABLE process (
    instance INTEGER PRIMARY KEY, -- the `key` of the instance
    version  TEXT,
    host     TEXT,
    pid      INTEGER,
    seen     INTEGER              -- the last sign of life, once it is closed; before that it is when its lease file was touched
) STRICT;

-- Version 6: a writer remembers runs and names although others write, and has to know which are gone. Triggers note that,
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

-- Version 6: in a table of its own again.

-- Where the instances ran that held a lease here.
CREATE TABLE process (
    instance INTEGER PRIMARY KEY, -- the `key` of the instance
    version  TEXT,
    host     TEXT,
    pid      INTEGER,
    seen     INTEGER              -- the last sign of life, once it is closed; before that it is when its lease file was touched
) STRICT;

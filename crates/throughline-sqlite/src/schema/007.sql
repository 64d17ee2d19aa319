-- Version 7: what went wrong in a run that has ended: the last event of the span that is the cause, or NULL if nothing went
-- wrong for good. In a table of its own, so that a process of an earlier release can continue to write; a run that it wrote has
-- no row here, and its cause is found when it is asked for.
CREATE TABLE cause (
    run   INTEGER PRIMARY KEY,
    event INTEGER
) STRICT;

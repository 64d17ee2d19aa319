-- Events that wait for their store, in order, as the JSON that is the public contract of an event. Numbers are never
-- reused: they are the positions by which events are removed.
CREATE TABLE waiting (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    event TEXT NOT NULL
) STRICT;

-- Events that wait for their store, in order, as the JSON that is the public contract of an event.
CREATE TABLE waiting (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    event TEXT NOT NULL
) STRICT;

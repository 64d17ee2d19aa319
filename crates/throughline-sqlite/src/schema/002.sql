-- Version 2: spans that are detached from a run's root, such as the jobs that a request put into a queue. The columns
-- `ended`, `status` and `owner` of a run that has any take them into account.
ALTER TABLE run ADD COLUMN detached INTEGER NOT NULL DEFAULT 0; -- whether it has any

DROP VIEW runs;
CREATE VIEW runs AS
SELECT lower(hex(r.trace_id)) AS trace_id,
       CASE r.status WHEN 0 THEN 'open' WHEN 1 THEN 'succeeded' WHEN 2 THEN 'failed' ELSE 'cancelled' END AS state,
       w.text AS workflow,
       s.text AS service,
       r.correlation_id,
       strftime('%Y-%m-%dT%H:%M:%S', (r.started - (r.started % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch')
           || printf('.%06dZ', (r.started % 1000000 + 1000000) % 1000000) AS started,
       strftime('%Y-%m-%dT%H:%M:%S', (r.ended - (r.ended % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch')
           || printf('.%06dZ', (r.ended % 1000000 + 1000000) % 1000000) AS ended,
       CASE WHEN r.detached THEN r.ended - r.started ELSE l.duration END AS duration_us,
       ft.text AS first_failure,
       f.error ->> '$.type' AS error_type,
       f.error ->> '$.message' AS error_message,
       r.compensating,
       r.id AS run
FROM run r
JOIN name s ON s.id = r.service
LEFT JOIN event l ON l.id = r.last
LEFT JOIN name w ON w.id = r.workflow
LEFT JOIN event f ON f.id = r.failure
LEFT JOIN name ft ON ft.id = f.type;

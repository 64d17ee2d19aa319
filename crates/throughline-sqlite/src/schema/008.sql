-- Version 8: lists of runs by how they ended, by their workflow, service or request are read from an index, however many other
-- runs there are.

CREATE INDEX run_cancelled ON run (started) WHERE status = 3;
CREATE INDEX run_workflow ON run (workflow, started) WHERE workflow IS NOT NULL;
CREATE INDEX run_service ON run (service, started);
CREATE INDEX run_request ON run (json_extract(attrs, '$.request_id')) WHERE instr(attrs, '"request_id":') > 0;
CREATE INDEX run_attr_value ON run_attr (key, value);

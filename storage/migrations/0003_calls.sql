CREATE TABLE calls (
    run TEXT NOT NULL REFERENCES runs (id),
    id TEXT NOT NULL,
    leg INTEGER NOT NULL,
    place INTEGER NOT NULL,
    name TEXT NOT NULL,
    arguments TEXT NOT NULL,
    server TEXT,
    state TEXT NOT NULL,
    output TEXT NOT NULL,
    failed INTEGER NOT NULL,
    approved INTEGER,
    asked_ts TEXT,
    asked_at DOUBLE PRECISION,
    decided_by TEXT,
    approvers TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (run, leg, id)
);

INSERT INTO calls (run, id, leg, place, name, arguments, server, state, output, failed, approved, asked_ts, asked_at,
    decided_by)
SELECT run, id, leg, place, name, arguments, server, state, output, failed, approved, asked_ts, asked_at, decided_by
FROM run_calls;

DROP TABLE run_calls;

ALTER TABLE calls RENAME TO run_calls;

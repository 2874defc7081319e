ALTER TABLE posts ADD COLUMN files TEXT NOT NULL DEFAULT '[]';

ALTER TABLE runs ADD COLUMN said TEXT NOT NULL DEFAULT '';

CREATE TABLE run_calls (
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
    PRIMARY KEY (run, id)
);

CREATE TABLE posted_files (
    run TEXT NOT NULL REFERENCES runs (id),
    digest TEXT NOT NULL,
    PRIMARY KEY (run, digest)
);

CREATE TABLE usage (
    run TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    team TEXT NOT NULL,
    channel TEXT NOT NULL,
    person TEXT NOT NULL,
    assistant TEXT NOT NULL,
    model TEXT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    PRIMARY KEY (run, model)
);

CREATE INDEX usage_by_time ON usage (at, run, model);

CREATE TABLE history (
    thread TEXT NOT NULL,
    seq INTEGER NOT NULL,
    exchange TEXT NOT NULL,
    item TEXT NOT NULL,
    PRIMARY KEY (thread, seq)
);

CREATE TABLE threads (
    team TEXT NOT NULL,
    channel TEXT NOT NULL,
    ts TEXT NOT NULL,
    backend TEXT,
    backend_thread TEXT,
    assistant TEXT,
    forgotten_before TEXT,
    PRIMARY KEY (team, channel, ts)
);

CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    team TEXT NOT NULL,
    channel TEXT NOT NULL,
    thread_ts TEXT NOT NULL,
    assistant TEXT NOT NULL,
    backend TEXT NOT NULL,
    status TEXT NOT NULL,
    backend_thread TEXT,
    backend_run TEXT,
    cursor INTEGER,
    attempt INTEGER NOT NULL,
    error TEXT,
    created_at DOUBLE PRECISION NOT NULL,
    ended_at DOUBLE PRECISION,
    retried_by TEXT REFERENCES runs (id) DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (team, channel, thread_ts) REFERENCES threads (team, channel, ts)
);

CREATE INDEX runs_unfinished ON runs (team, channel, thread_ts, created_at) WHERE ended_at IS NULL;
CREATE INDEX runs_of_thread ON runs (team, channel, thread_ts);

CREATE TABLE posts (
    team TEXT NOT NULL,
    channel TEXT NOT NULL,
    ts TEXT NOT NULL,
    thread_ts TEXT NOT NULL,
    author TEXT NOT NULL,
    author_team TEXT NOT NULL,
    text TEXT NOT NULL,
    kind TEXT NOT NULL,
    surface TEXT NOT NULL,
    state TEXT NOT NULL,
    run TEXT REFERENCES runs (id) DEFERRABLE INITIALLY DEFERRED,
    event_id TEXT NOT NULL,
    edited_ts TEXT,
    PRIMARY KEY (team, channel, ts),
    FOREIGN KEY (team, channel, thread_ts) REFERENCES threads (team, channel, ts)
);

CREATE INDEX posts_waiting ON posts (team, channel, thread_ts, ts) WHERE state = 'waiting';
CREATE INDEX posts_of_run ON posts (run, ts) WHERE run IS NOT NULL;
CREATE INDEX posts_of_author ON posts (team, channel, author, ts);

CREATE TABLE replies (
    run TEXT NOT NULL REFERENCES runs (id),
    seq INTEGER NOT NULL,
    ts TEXT NOT NULL,
    start INTEGER NOT NULL,
    stream INTEGER NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (run, seq)
);

CREATE TABLE choices (
    team TEXT NOT NULL,
    scope TEXT NOT NULL,
    scope_id TEXT NOT NULL,
    assistant TEXT NOT NULL,
    PRIMARY KEY (team, scope, scope_id)
);

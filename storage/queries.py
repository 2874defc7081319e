"""The SQL, each statement once, in words that SQLite and PostgreSQL both understand.

Parameters are named. Rows come back in the order of the records' fields (storage/base.py).
"""

_POST = "team, channel, thread_ts, ts, author, author_team, text, kind, surface, state, run, event_id, edited_ts, files"
_RUN = (
    "id, team, channel, thread_ts, assistant, backend, status, backend_thread, backend_run, cursor, attempt, "
    "error, created_at, ended_at, said"
)
_CALL = (
    "run, id, leg, name, arguments, server, state, output, failed, approved, asked_ts, asked_at, decided_by, approvers"
)
_USAGE = (
    "run, at, team, channel, person, assistant, model, input_tokens, cached_tokens, output_tokens, reasoning_tokens"
)
_OF_THREAD = "team = :team AND channel = :channel AND thread_ts = :thread_ts"
_OPEN_CALL = (
    "run = :run AND id = :id AND state <> 'answered' "
    "AND EXISTS (SELECT 1 FROM runs WHERE id = run_calls.run AND ended_at IS NULL)"
)
_OF_POST = "team = :team AND channel = :channel AND ts = :ts"

#: SQLite's own catalogue.
TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' LIMIT 1"
HAS_SCHEMA_VERSION = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'"
ADD_SCHEMA_VERSION = "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY)"
VERSION = "SELECT MAX(version) FROM schema_version"
KEEP_VERSION = "INSERT INTO schema_version (version) VALUES (:version)"

MAP_THREAD = """
    INSERT INTO threads (team, channel, ts) VALUES (:team, :channel, :thread_ts)
    ON CONFLICT (team, channel, ts) DO NOTHING
"""
ADD_POST = f"""
    INSERT INTO posts ({_POST})
    SELECT :team, :channel, :thread_ts, :ts, :author, :author_team, :text, :kind, :surface, :state, :run, :event_id,
        :edited_ts, :files
    WHERE EXISTS (SELECT 1 FROM threads WHERE team = :team AND channel = :channel AND ts = :thread_ts)
    ON CONFLICT (team, channel, ts) DO NOTHING
    RETURNING ts
"""
#: Of the twin events of a mention, one may come without the files.
FILL_FILES = f"UPDATE posts SET files = :files WHERE {_OF_POST} AND state = 'waiting' AND files = '[]'"
EDIT_POST = f"""
    UPDATE posts SET text = :text, edited_ts = :edited_ts, files = COALESCE(:files, files)
    WHERE {_OF_POST} AND state = 'waiting' AND (edited_ts IS NULL OR edited_ts < :edited_ts)
    RETURNING ts
"""
DROP_POST = f"""
    UPDATE posts SET state = 'dropped', text = '', files = '[]'
    WHERE {_OF_POST} AND state = 'waiting' RETURNING thread_ts
"""
DROP_CONTEXT = f"""
    UPDATE posts SET state = 'dropped', text = ''
    WHERE {_OF_THREAD} AND state = 'waiting' AND kind = 'context' AND ts <= :forgotten_before
"""
WAITING_POSTS = f"SELECT {_POST} FROM posts WHERE {_OF_THREAD} AND state = 'waiting' ORDER BY ts"
FINISH_POST = f"UPDATE posts SET state = 'done', text = '', files = '[]' WHERE {_OF_POST}"
THREADS_WITH_WORK = """
    SELECT team, channel, thread_ts FROM (
        SELECT team, channel, thread_ts, ts AS since FROM posts WHERE state = 'waiting' AND kind <> 'context'
        UNION ALL
        SELECT team, channel, thread_ts, (SELECT MIN(posts.ts) FROM posts WHERE posts.run = runs.id) AS since
        FROM runs WHERE ended_at IS NULL
    ) AS work
    GROUP BY team, channel, thread_ts ORDER BY MIN(since), team, channel, thread_ts
"""

THREAD = """
    SELECT backend, backend_thread, assistant, forgotten_before FROM threads
    WHERE team = :team AND channel = :channel AND ts = :thread_ts
"""
POINT_THREAD = """
    INSERT INTO threads (team, channel, ts, backend, backend_thread)
    VALUES (:team, :channel, :thread_ts, :backend, :backend_thread)
    ON CONFLICT (team, channel, ts) DO UPDATE
    SET backend = excluded.backend, backend_thread = excluded.backend_thread
"""
RESET_THREAD = """
    UPDATE threads SET backend = NULL, backend_thread = NULL, forgotten_before = :forgotten_before
    WHERE team = :team AND channel = :channel AND ts = :thread_ts
"""
CHOOSE_FOR_THREAD = """
    INSERT INTO threads (team, channel, ts, assistant) VALUES (:team, :channel, :thread_ts, :assistant)
    ON CONFLICT (team, channel, ts) DO UPDATE SET assistant = excluded.assistant
"""
CHOOSE = """
    INSERT INTO choices (team, scope, scope_id, assistant) VALUES (:team, :scope, :scope_id, :assistant)
    ON CONFLICT (team, scope, scope_id) DO UPDATE SET assistant = excluded.assistant
"""
UNCHOOSE = "DELETE FROM choices WHERE team = :team AND scope = :scope AND scope_id = :scope_id"
CHOICES = """
    SELECT scope, assistant FROM choices
    WHERE team = :team AND ((scope = 'person' AND scope_id = :person)
        OR (scope = 'channel' AND scope_id = :channel) OR (scope = 'workspace' AND scope_id = :team))
"""
LATEST_THREADS = """
    SELECT posts.team, posts.channel, posts.thread_ts FROM posts
    JOIN threads ON threads.team = posts.team AND threads.channel = posts.channel AND threads.ts = posts.thread_ts
    WHERE posts.team = :team AND posts.channel = :channel AND posts.author = :author
        AND threads.backend_thread IS NOT NULL
    GROUP BY posts.team, posts.channel, posts.thread_ts ORDER BY MAX(posts.ts) DESC LIMIT :limit
"""

ADD_RUN = f"""
    INSERT INTO runs ({_RUN}) VALUES (:id, :team, :channel, :thread_ts, :assistant, :backend, :status,
        :backend_thread, :backend_run, :cursor, :attempt, :error, :created_at, :ended_at, :said)
"""
TAKE_POST = f"UPDATE posts SET state = 'taken', run = :run WHERE {_OF_POST} AND state = 'waiting'"
UNFINISHED_RUN = f"SELECT {_RUN} FROM runs WHERE {_OF_THREAD} AND ended_at IS NULL ORDER BY created_at, id LIMIT 1"
RUN = f"SELECT {_RUN} FROM runs WHERE id = :id"
RUN_POSTS = f"SELECT {_POST} FROM posts WHERE run = :id ORDER BY ts"
UPDATE_RUN = """
    UPDATE runs SET status = :status, backend = :backend, backend_thread = :backend_thread,
        backend_run = :backend_run, cursor = :cursor, attempt = :attempt, said = :said
    WHERE id = :id AND ended_at IS NULL
"""
END_RUN = """
    UPDATE runs SET status = :status, error = :error, ended_at = :ended_at
    WHERE id = :id AND ended_at IS NULL RETURNING id
"""
END_POSTS = "UPDATE posts SET state = 'done' WHERE run = :id"
FORGET_POSTS = "UPDATE posts SET state = 'done', text = '', files = '[]' WHERE run = :id"
CLAIM_RETRY = """
    UPDATE runs SET retried_by = :new_run
    WHERE id = :id AND ended_at IS NOT NULL AND status <> 'completed' AND retried_by IS NULL RETURNING id
"""
# A run has fewer legs than that, so that those of several runs that were retried in turn stay apart.
HAND_OVER_CALLS = """
    UPDATE run_calls SET run = :new_run, leg = leg - 1000
    WHERE run = :id AND state = 'answered' AND failed = 0 AND server IS NULL
"""
HAND_OVER_POSTS = "UPDATE posts SET state = 'taken', run = :new_run WHERE run = :id"

ADD_REPLY = """
    INSERT INTO replies (run, seq, ts, start, stream, created_at)
    VALUES (:run, :seq, :ts, :start, :stream, :created_at)
"""
REPLIES = "SELECT run, seq, ts, start, stream, created_at FROM replies WHERE run = :id ORDER BY seq"
REPLIED = """
    SELECT replies.ts FROM runs JOIN replies ON replies.run = runs.id
    WHERE runs.team = :team AND runs.channel = :channel AND runs.thread_ts = :thread_ts
"""

# A call's place counts on through all legs of its run, so that a second batch of one leg comes after the first.
ADD_CALL = """
    INSERT INTO run_calls (run, id, leg, place, name, arguments, server, state, output, failed, approved, asked_ts,
        asked_at, decided_by, approvers)
    VALUES (:run, :id, :leg, (SELECT COUNT(*) FROM run_calls WHERE run = :run), :name, :arguments, :server, :state,
        :output, :failed, :approved, :asked_ts, :asked_at, :decided_by, :approvers)
    ON CONFLICT (run, leg, id) DO NOTHING
"""
RUN_CALLS = f"SELECT {_CALL} FROM run_calls WHERE run = :id ORDER BY leg, place"
# Between reading a call and keeping it again somebody may have pressed a button: that decision stands.
UPDATE_CALL = f"""
    UPDATE run_calls SET
        state = CASE WHEN approved IS NOT NULL AND :state IN ('wanted', 'asked') THEN state ELSE :state END,
        output = :output, failed = :failed, asked_ts = :asked_ts, asked_at = :asked_at, approvers = :approvers,
        approved = COALESCE(approved, :approved), decided_by = COALESCE(decided_by, :decided_by)
    WHERE {_OPEN_CALL} AND leg = :leg
"""
DECIDE_CALL = f"""
    UPDATE run_calls SET state = :state, approved = :approved, decided_by = :decided_by
    WHERE {_OPEN_CALL} AND state = 'asked' AND approved IS NULL
    RETURNING id
"""
FORGET_SAID = "UPDATE runs SET said = '' WHERE id = :id"
FORGET_CALLS = "UPDATE run_calls SET arguments = '', output = '' WHERE run = :id"

ADD_POSTED_FILE = "INSERT INTO posted_files (run, digest) VALUES (:run, :digest) ON CONFLICT (run, digest) DO NOTHING"
POSTED_FILES = "SELECT digest FROM posted_files WHERE run = :run"
FORGET_HISTORY = "DELETE FROM history WHERE thread = :thread"
ADD_USAGE = f"""
    INSERT INTO usage ({_USAGE}) VALUES (:run, :at, :team, :channel, :person, :assistant, :model, :input_tokens,
        :cached_tokens, :output_tokens, :reasoning_tokens)
    ON CONFLICT (run, model) DO UPDATE SET
        input_tokens = usage.input_tokens + excluded.input_tokens,
        cached_tokens = usage.cached_tokens + excluded.cached_tokens,
        output_tokens = usage.output_tokens + excluded.output_tokens,
        reasoning_tokens = usage.reasoning_tokens + excluded.reasoning_tokens
"""
USAGE = f"SELECT {_USAGE} FROM usage WHERE at >= :since ORDER BY at, run, model"

ADD_ITEM = """
    INSERT INTO history (thread, seq, exchange, item) VALUES (:thread, :seq, :exchange, :item)
    ON CONFLICT (thread, seq) DO NOTHING
"""
ITEMS = "SELECT thread, seq, exchange, item FROM history WHERE thread = :thread ORDER BY seq"

"""Storage in one SQLite file, through aiosqlite."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import aiosqlite

from storage import queries
from storage.base import (
    Post,
    PostKind,
    PostState,
    ReplyMessage,
    Run,
    RunStatus,
    Scope,
    StorageError,
    Thread,
    ThreadKey,
)
from storage.migrations import migrations

_SCHEME = "sqlite:///"
#: Seconds to wait for another process that holds the database's lock.
_BUSY = 5.0
#: FULL: a post of which Slack was told "received" outlives a power cut too (https://www.sqlite.org/pragma.html).
_PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON")

Row = Sequence[Any]


class SqliteStorage:
    """One connection. aiosqlite runs statements of different tasks in between each other, so a lock holds a
    transaction's together."""

    def __init__(self, connection: aiosqlite.Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._lock = asyncio.Lock()

    @classmethod
    async def open(cls, url: str) -> "SqliteStorage":
        """Open (or make) the database of a `sqlite:///path` URL and bring its schema up to date.

        Raises StorageError: not a folder, not writable, not a database, or from a newer Bobbin.
        """
        name = url.removeprefix(_SCHEME)
        if not url.startswith(_SCHEME) or not name:
            raise StorageError(f"DATABASE_URL: {url} is not of the form sqlite:///bobbin.db.")
        if name != ":memory:" and not await asyncio.to_thread(Path(name).parent.is_dir):
            raise StorageError(f"DATABASE_URL: there is no folder {Path(name).parent} to keep {Path(name).name} in.")
        try:
            connection = await aiosqlite.connect(name, timeout=_BUSY, isolation_level=None)
        except sqlite3.Error as error:
            raise StorageError(f"DATABASE_URL: {name} cannot be opened ({error}).") from error
        storage = cls(connection, name)
        try:
            await storage._prepare()
        except BaseException:
            await connection.close()
            raise
        return storage

    async def close(self) -> None:
        await self._connection.close()

    # Posts

    async def add_post(self, post: Post, *, opens_thread: bool) -> bool:
        async with self._transaction() as run:
            if opens_thread:
                await run(queries.MAP_THREAD, _key(post.thread))
            return bool(await run(queries.ADD_POST, _post_parameters(post)))

    async def edit_post(self, thread_team: str, channel: str, ts: str, text: str, edited_ts: str) -> bool:
        values = {"team": thread_team, "channel": channel, "ts": ts, "text": text, "edited_ts": edited_ts}
        return bool(await self._write(queries.EDIT_POST, values))

    async def drop_post(self, thread_team: str, channel: str, ts: str) -> ThreadKey | None:
        rows = await self._write(queries.DROP_POST, {"team": thread_team, "channel": channel, "ts": ts})
        return ThreadKey(thread_team, channel, rows[0][0]) if rows else None

    async def waiting_posts(self, thread: ThreadKey) -> Sequence[Post]:
        return [_post(row) for row in await self._read(queries.WAITING_POSTS, _key(thread))]

    async def finish_post(self, post: Post) -> None:
        await self._write(queries.FINISH_POST, _post_key(post))

    async def threads_with_work(self) -> Sequence[ThreadKey]:
        return [ThreadKey(*row) for row in await self._read(queries.THREADS_WITH_WORK, {})]

    # Threads

    async def thread(self, key: ThreadKey) -> Thread | None:
        rows = await self._read(queries.THREAD, _key(key))
        return Thread(key, *rows[0]) if rows else None

    async def map_thread(self, key: ThreadKey, backend: str, backend_thread: str) -> None:
        values = {**_key(key), "backend": backend, "backend_thread": backend_thread}
        await self._write(queries.POINT_THREAD, values)

    async def reset_thread(self, key: ThreadKey, forgotten_before: str) -> Thread | None:
        async with self._transaction() as run:
            rows = await run(queries.THREAD, _key(key))
            await run(queries.RESET_THREAD, {**_key(key), "forgotten_before": forgotten_before})
        return Thread(key, *rows[0]) if rows else None

    async def choose_for_thread(self, key: ThreadKey, assistant: str | None) -> None:
        await self._write(queries.CHOOSE_FOR_THREAD, {**_key(key), "assistant": assistant})

    async def choose(self, team: str, scope: Scope, scope_id: str, assistant: str | None) -> None:
        query = queries.CHOOSE if assistant else queries.UNCHOOSE
        values = {"team": team, "scope": scope, "scope_id": scope_id}
        await self._write(query, {**values, "assistant": assistant} if assistant else values)

    async def choices(self, team: str, channel: str, person: str) -> dict[Scope, str]:
        rows = await self._read(queries.CHOICES, {"team": team, "channel": channel, "person": person})
        return {Scope(scope): assistant for scope, assistant in rows}

    async def latest_threads(self, team: str, channel: str, author: str, limit: int) -> Sequence[ThreadKey]:
        values = {"team": team, "channel": channel, "author": author, "limit": limit}
        return [ThreadKey(*row) for row in await self._read(queries.LATEST_THREADS, values)]

    # Runs

    async def open_run(self, run: Run, posts: Sequence[Post]) -> Sequence[Post]:
        async with self._transaction() as execute:
            for post in posts:
                await execute(queries.TAKE_POST, {**_post_key(post), "run": run.id})
            taken = [_post(row) for row in await execute(queries.RUN_POSTS, {"id": run.id})]
            if taken:
                await execute(queries.ADD_RUN, _run_parameters(run))
        return taken

    async def unfinished_run(self, thread: ThreadKey) -> Run | None:
        return _first_run(await self._read(queries.UNFINISHED_RUN, _key(thread)))

    async def run(self, run_id: str) -> Run | None:
        return _first_run(await self._read(queries.RUN, {"id": run_id}))

    async def run_posts(self, run_id: str) -> Sequence[Post]:
        return [_post(row) for row in await self._read(queries.RUN_POSTS, {"id": run_id})]

    async def update_run(self, run: Run) -> None:
        await self._write(queries.UPDATE_RUN, _run_changes(run))

    async def close_run(self, run: Run) -> None:
        posts = queries.FORGET_POSTS if run.status is RunStatus.COMPLETED else queries.END_POSTS
        async with self._transaction() as execute:
            await execute(queries.UPDATE_RUN, _run_changes(run))
            await execute(posts, {"id": run.id})

    async def reopen_run(self, run_id: str, new_run: Run) -> bool:
        async with self._transaction() as execute:
            if not await execute(queries.CLAIM_RETRY, {"id": run_id, "new_run": new_run.id}):
                return False
            await execute(queries.ADD_RUN, _run_parameters(new_run))
            await execute(queries.HAND_OVER_POSTS, {"id": run_id, "new_run": new_run.id})
        return True

    async def add_reply_message(self, message: ReplyMessage) -> None:
        await self._write(queries.ADD_REPLY, asdict(message))

    async def reply_messages(self, run_id: str) -> Sequence[ReplyMessage]:
        rows = await self._read(queries.REPLIES, {"id": run_id})
        return [replace(message, stream=bool(message.stream)) for message in (ReplyMessage(*row) for row in rows)]

    # The connection

    async def _prepare(self) -> None:
        try:
            for pragma in _PRAGMAS:
                await self._connection.execute(f"PRAGMA {pragma}")
            await self._connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
        except sqlite3.Error as error:
            raise StorageError(f"DATABASE_URL: {self._name} cannot be used as a database ({error}).") from error
        async with self._transaction() as run:
            await self._migrate(run)

    async def _migrate(self, run: Any) -> None:
        rows = await run("SELECT MAX(version) FROM schema_version", {})
        version = rows[0][0] or 0
        known = list(migrations())
        if version > len(known):
            raise StorageError(
                f"DATABASE_URL: {self._name} was written by a newer Bobbin (schema {version}; this one knows up to "
                f"{len(known)}). Upgrade Bobbin, or point DATABASE_URL at another file."
            )
        for migration in known[version:]:
            for statement in migration.statements:
                await run(statement, {})
            await run("INSERT INTO schema_version (version) VALUES (:version)", {"version": migration.version})

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Any]:
        """All or nothing; yields what runs a statement and gives its rows."""
        async with self._lock:
            try:
                await self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._execute
                except BaseException:
                    await asyncio.shield(self._connection.execute("ROLLBACK"))
                    raise
                await self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise StorageError(f"{self._name}: {error}. Nothing was changed.") from error

    async def _execute(self, query: str, values: Mapping[str, Any]) -> list[Row]:
        return list(await self._connection.execute_fetchall(query, dict(values)))

    async def _write(self, query: str, values: Mapping[str, Any]) -> list[Row]:
        async with self._transaction() as run:
            rows: list[Row] = await run(query, values)
        return rows

    async def _read(self, query: str, values: Mapping[str, Any]) -> list[Row]:
        # Under the lock too: a statement between another task's BEGIN and COMMIT would see what may be rolled back.
        async with self._lock:
            try:
                return await self._execute(query, values)
            except sqlite3.Error as error:
                raise StorageError(f"{self._name}: {error}.") from error


def _key(thread: ThreadKey) -> dict[str, Any]:
    return {"team": thread.team, "channel": thread.channel, "thread_ts": thread.ts}


def _post_key(post: Post) -> dict[str, Any]:
    return {"team": post.thread.team, "channel": post.thread.channel, "ts": post.ts}


def _post_parameters(post: Post) -> dict[str, Any]:
    values = asdict(post)
    del values["thread"]
    return values | _key(post.thread)


def _post(row: Row) -> Post:
    team, channel, thread_ts, ts, author, author_team, text, kind, surface, state, run, event_id, edited_ts = row
    return Post(
        ThreadKey(team, channel, thread_ts),
        ts,
        author,
        author_team,
        text,
        PostKind(kind),
        surface,
        PostState(state),
        run,
        event_id,
        edited_ts,
    )


def _run_parameters(run: Run) -> dict[str, Any]:
    values = asdict(run)
    del values["thread"]
    return values | _key(run.thread)


def _run_changes(run: Run) -> dict[str, Any]:
    unchanging = ("team", "channel", "thread_ts", "backend", "created_at")
    return {name: value for name, value in _run_parameters(run).items() if name not in unchanging}


def _first_run(rows: Sequence[Row]) -> Run | None:
    if not rows:
        return None
    run_id, team, channel, thread_ts, assistant, backend, status, *rest = rows[0]
    return Run(run_id, ThreadKey(team, channel, thread_ts), assistant, backend, RunStatus(status), *rest)

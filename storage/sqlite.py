"""Storage in one SQLite file, through aiosqlite."""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aiosqlite

from storage import queries
from storage.base import (
    CallState,
    HistoryItem,
    Post,
    PostFile,
    ReplyMessage,
    Run,
    RunCall,
    RunStatus,
    Scope,
    StorageError,
    Thread,
    ThreadKey,
    Usage,
)
from storage.migrations import check, migrate, migrations
from storage.rows import (
    Execute,
    Row,
    call_of,
    call_values,
    files_value,
    post_identity,
    post_of,
    post_values,
    reply_of,
    reply_values,
    run_of,
    run_values,
    storable,
    thread_values,
)

_SCHEME = "sqlite:///"
_MEMORY = ":memory:"
#: Seconds to wait for another process that holds the database's lock.
_BUSY_TIMEOUT = 5.0
#: FULL: a post of which Slack was told "received" outlives a power cut too. secure_delete: text that is forgotten
#: does not stay in the file's unused bytes (https://www.sqlite.org/pragma.html).
_PRAGMAS = ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON")
#: Seconds between two attempts at what SQLite does not wait for by itself, and at another process's lock file.
_BUSY_PAUSE, _OWNER_PAUSE = 0.02, 0.2
#: What SQLite's result codes (https://www.sqlite.org/rescode.html) mean for the person who runs Bobbin.
_REASONS = {
    sqlite3.SQLITE_BUSY: "another program keeps it locked; end that program, or give each its own file",
    sqlite3.SQLITE_CORRUPT: "it is damaged; restore a copy, or point DATABASE_URL at another file",
    sqlite3.SQLITE_NOTADB: "it is not a database; point DATABASE_URL at another file",
    sqlite3.SQLITE_FULL: "its disk is full",
    sqlite3.SQLITE_READONLY: "it may not be written; give Bobbin the right to write the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; give Bobbin the right to read and write the file and its folder",
}


class SqliteStorage:
    """One connection. aiosqlite runs statements of different tasks in between each other, so a lock holds a
    transaction's together."""

    def __init__(self, connection: aiosqlite.Connection, name: str, owned: int | None = None) -> None:
        """`owned` is the descriptor of the lock file that keeps other processes away."""
        self._connection = connection
        self._name = name
        self._owned = owned
        self._lock = asyncio.Lock()
        self._closed = False

    @classmethod
    async def open(
        cls, url: str, *, busy_timeout: float = _BUSY_TIMEOUT, owner_wait: float | None = None
    ) -> "SqliteStorage":
        """Open (or make) the database of a `sqlite:///path` URL and bring its schema up to date.

        `busy_timeout` is how many seconds to wait for another process's transaction. With `owner_wait` the database
        is this process's alone among those that ask so: two that answer from one file would answer twice. It is how
        many seconds to wait for the one before. Raises StorageError: no folder, not writable, not a database,
        damaged, locked, owned, or from a newer Bobbin.
        """
        name = _name(url)
        if name != _MEMORY:
            await asyncio.to_thread(_check_place, Path(name))
        owned = await _own(name, owner_wait) if owner_wait is not None and name != _MEMORY else None
        with _explained(name):
            storage = cls(await aiosqlite.connect(name, timeout=busy_timeout, isolation_level=None), name, owned)
        try:
            await storage._prepare(busy_timeout)
        except BaseException:
            await storage.close()
            raise
        return storage

    @classmethod
    async def open_to_read(cls, url: str, *, busy_timeout: float = _BUSY_TIMEOUT) -> "SqliteStorage":
        """Open the database that a Bobbin made, beside it or without one, and write nothing: each write is a
        StorageError. Raises StorageError also where there is none, or where its schema is not this Bobbin's.
        """
        name = _name(url)
        place = await asyncio.to_thread(_place_of_existing, Path(name))
        with _explained(name):
            connection = await aiosqlite.connect(place, uri=True, timeout=busy_timeout, isolation_level=None)
        storage = cls(connection, name)
        try:
            await storage._read("PRAGMA query_only = ON", {})
            known = await asyncio.to_thread(lambda: tuple(migrations()))
            await check(known, database=name, read=storage._read)
        except BaseException:
            await storage.close()
            raise
        return storage

    async def close(self) -> None:
        """Let go of the file, once the transaction that is under way has ended."""
        async with self._lock:
            self._closed = True
            await self._connection.close()
            if self._owned is not None:
                os.close(self._owned)
                self._owned = None

    # Posts

    async def add_post(self, post: Post, *, opens_thread: bool) -> bool:
        async with self._transaction() as execute:
            if opens_thread:
                await execute(queries.MAP_THREAD, thread_values(post.thread))
            added = bool(await execute(queries.ADD_POST, post_values(post)))
            if not added and post.files:
                await execute(queries.FILL_FILES, post_values(post))
            return added

    async def edit_post(
        self,
        thread_team: str,
        channel: str,
        ts: str,
        text: str,
        edited_ts: str,
        files: Sequence[PostFile] | None = None,
    ) -> bool:
        identity = {"team": thread_team, "channel": channel, "ts": ts}
        changes = {"text": text, "edited_ts": edited_ts, "files": None if files is None else files_value(files)}
        return bool(await self._write(queries.EDIT_POST, identity | changes))

    async def drop_post(self, thread_team: str, channel: str, ts: str) -> ThreadKey | None:
        rows = await self._write(queries.DROP_POST, {"team": thread_team, "channel": channel, "ts": ts})
        return ThreadKey(thread_team, channel, rows[0][0]) if rows else None

    async def waiting_posts(self, thread: ThreadKey) -> Sequence[Post]:
        return [post_of(row) for row in await self._read(queries.WAITING_POSTS, thread_values(thread))]

    async def finish_post(self, post: Post) -> None:
        await self._write(queries.FINISH_POST, post_identity(post))

    async def threads_with_work(self) -> Sequence[ThreadKey]:
        return [ThreadKey(*row) for row in await self._read(queries.THREADS_WITH_WORK, {})]

    # Threads

    async def thread(self, key: ThreadKey) -> Thread | None:
        rows = await self._read(queries.THREAD, thread_values(key))
        return Thread(key, *rows[0]) if rows else None

    async def map_thread(self, key: ThreadKey, backend: str, backend_thread: str) -> None:
        values = {**thread_values(key), "backend": backend, "backend_thread": backend_thread}
        async with self._transaction() as execute:
            for _, before, *_ in await execute(queries.THREAD, thread_values(key)):
                if before != backend_thread:
                    await execute(queries.FORGET_HISTORY, {"thread": before})
            await execute(queries.POINT_THREAD, values)

    async def reset_thread(self, key: ThreadKey, forgotten_before: str) -> Thread | None:
        async with self._transaction() as execute:
            rows = await execute(queries.THREAD, thread_values(key))
            values = {**thread_values(key), "forgotten_before": forgotten_before}
            await execute(queries.RESET_THREAD, values)
            await execute(queries.DROP_CONTEXT, values)
            for _, backend_thread, *_ in rows:
                await execute(queries.FORGET_HISTORY, {"thread": backend_thread})
        return Thread(key, *rows[0]) if rows else None

    async def choose_for_thread(self, key: ThreadKey, assistant: str | None) -> None:
        await self._write(queries.CHOOSE_FOR_THREAD, {**thread_values(key), "assistant": assistant})

    async def choose(self, team: str, scope: Scope, scope_id: str, assistant: str | None) -> None:
        values = {"team": team, "scope": scope, "scope_id": scope_id}
        if assistant is None:
            await self._write(queries.UNCHOOSE, values)
        else:
            await self._write(queries.CHOOSE, {**values, "assistant": assistant})

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
                await execute(queries.TAKE_POST, {**post_identity(post), "run": run.id})
            taken = [post_of(row) for row in await execute(queries.RUN_POSTS, {"id": run.id})]
            if taken:
                await execute(queries.ADD_RUN, run_values(run))
        return taken

    async def unfinished_run(self, thread: ThreadKey) -> Run | None:
        return run_of(await self._read(queries.UNFINISHED_RUN, thread_values(thread)))

    async def run(self, run_id: str) -> Run | None:
        return run_of(await self._read(queries.RUN, {"id": run_id}))

    async def run_posts(self, run_id: str) -> Sequence[Post]:
        return [post_of(row) for row in await self._read(queries.RUN_POSTS, {"id": run_id})]

    async def update_run(self, run: Run) -> None:
        await self._write(queries.UPDATE_RUN, run_values(run))

    async def close_run(self, run: Run) -> None:
        # Without an end it would be taken up for ever, with posts that are done.
        assert run.status.ended
        assert run.ended_at is not None
        posts = queries.FORGET_POSTS if run.status is RunStatus.COMPLETED else queries.END_POSTS
        async with self._transaction() as execute:
            if await execute(queries.END_RUN, run_values(run)):
                await execute(posts, {"id": run.id})
                await execute(queries.FORGET_SAID, {"id": run.id})
                if run.status in (RunStatus.COMPLETED, RunStatus.CANCELLED):
                    await execute(queries.FORGET_CALLS, {"id": run.id})

    async def reopen_run(self, run_id: str, new_run: Run) -> bool:
        async with self._transaction() as execute:
            if not await execute(queries.CLAIM_RETRY, {"id": run_id, "new_run": new_run.id}):
                return False
            await execute(queries.ADD_RUN, run_values(new_run))
            await execute(queries.HAND_OVER_POSTS, {"id": run_id, "new_run": new_run.id})
            await execute(queries.HAND_OVER_CALLS, {"id": run_id, "new_run": new_run.id})
            await execute(queries.FORGET_CALLS, {"id": run_id})
        return True

    async def add_reply_message(self, message: ReplyMessage) -> None:
        await self._write(queries.ADD_REPLY, reply_values(message))

    async def reply_messages(self, run_id: str) -> Sequence[ReplyMessage]:
        return [reply_of(row) for row in await self._read(queries.REPLIES, {"id": run_id})]

    async def add_posted_files(self, run_id: str, digests: Sequence[str]) -> None:
        async with self._transaction() as execute:
            for digest in digests:
                await execute(queries.ADD_POSTED_FILE, {"run": run_id, "digest": digest})

    async def posted_files(self, run_id: str) -> frozenset[str]:
        return frozenset(digest for (digest,) in await self._read(queries.POSTED_FILES, {"run": run_id}))

    async def replied(self, thread: ThreadKey) -> frozenset[str]:
        return frozenset(ts for (ts,) in await self._read(queries.REPLIED, thread_values(thread)))

    # Tool calls

    async def add_calls(self, calls: Sequence[RunCall]) -> None:
        async with self._transaction() as execute:
            for call in calls:
                await execute(queries.ADD_CALL, call_values(call))

    async def run_calls(self, run_id: str) -> Sequence[RunCall]:
        return [call_of(row) for row in await self._read(queries.RUN_CALLS, {"id": run_id})]

    async def update_call(self, call: RunCall) -> None:
        await self._write(queries.UPDATE_CALL, call_values(call))

    async def decide_call(self, run_id: str, call_id: str, approved: bool, decided_by: str) -> bool:
        state = CallState.APPROVED if approved else CallState.ASKED
        values = {"run": run_id, "id": call_id, "state": state, "approved": int(approved), "decided_by": decided_by}
        return bool(await self._write(queries.DECIDE_CALL, values))

    # Usage

    async def add_usage(self, usage: Usage) -> None:
        await self._write(queries.ADD_USAGE, asdict(usage))

    async def usage(self, since: float) -> Sequence[Usage]:
        return [Usage(*row) for row in await self._read(queries.USAGE, {"since": since})]

    # Conversations that Bobbin keeps itself

    async def add_items(self, items: Sequence[HistoryItem]) -> None:
        async with self._transaction() as execute:
            for item in items:
                await execute(queries.ADD_ITEM, asdict(item))

    async def items(self, thread: str) -> Sequence[HistoryItem]:
        return [HistoryItem(*row) for row in await self._read(queries.ITEMS, {"thread": thread})]

    # The connection

    async def _prepare(self, busy_timeout: float) -> None:
        with self._explained():
            await self._write_ahead(busy_timeout)
        for pragma in _PRAGMAS:
            await self._read(f"PRAGMA {pragma}", {})
        if await self._read(queries.TABLES, {}) and not await self._read(queries.HAS_SCHEMA_VERSION, {}):
            raise StorageError(
                f"DATABASE_URL: {self._name} is another program's database; point it at a file of Bobbin's own."
            )
        known = await asyncio.to_thread(lambda: tuple(migrations()))
        await migrate(known, database=self._name, read=self._read, transaction=self._transaction)

    async def _write_ahead(self, busy_timeout: float) -> None:
        """Switch a new file to WAL, which SQLite does not wait for while another process has just made it too
        (https://www.sqlite.org/c3ref/busy_handler.html)."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + busy_timeout
        while True:
            try:
                await self._execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY or clock() >= deadline:
                    raise
                await asyncio.sleep(_BUSY_PAUSE)
            else:
                return

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Execute]:
        """All or nothing; yields what runs a statement and gives its rows.

        Cancelled before COMMIT was sent it is rolled back; cancelled after, it is done.
        """
        async with self._lock:
            with self._explained():
                try:
                    await self._execute("BEGIN IMMEDIATE")
                    yield self._execute
                    await self._execute("COMMIT")
                except BaseException:
                    # aiosqlite still runs a statement whose waiter was cancelled, BEGIN too; this queues behind it.
                    await asyncio.shield(self._connection.rollback())
                    raise

    async def _write(self, query: str, values: Mapping[str, Any]) -> Sequence[Row]:
        async with self._transaction() as execute:
            return await execute(query, values)

    async def _read(self, query: str, values: Mapping[str, Any]) -> Sequence[Row]:
        # Under the lock too: a statement between another task's BEGIN and COMMIT would see what may be rolled back.
        async with self._lock:
            with self._explained():
                return await self._execute(query, values)

    async def _execute(self, query: str, values: Mapping[str, Any] | None = None) -> Sequence[Row]:
        return list(await self._connection.execute_fetchall(query, storable(values or {})))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        if self._closed:
            raise StorageError(f"{self._name} is closed: Bobbin is stopping.")
        with _explained(self._name):
            yield


async def _own(name: str, wait: float) -> int:
    """Take the lock beside a database, which the operating system lets go of with the process. Returns its
    descriptor. Raises StorageError."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + wait
    descriptor = os.open(f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if clock() < deadline:
                await asyncio.sleep(_OWNER_PAUSE)
                continue
            os.close(descriptor)
            raise StorageError(
                f"DATABASE_URL: another Bobbin answers from {name}; end that one, or give each a file of its own."
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def _name(url: str) -> str:
    """What a `sqlite:///path` URL points at."""
    name = url.removeprefix(_SCHEME)
    if not url.startswith(_SCHEME) or not name:
        raise StorageError(f"DATABASE_URL: {url} is not of the form sqlite:///bobbin.db.")
    return name


def _place_of_existing(path: Path) -> str:
    """The URI that opens a database which is there, and makes none."""
    if not path.is_file():
        raise StorageError(f"DATABASE_URL: there is no database {path}; Bobbin makes it when it first serves.")
    # Not mode=ro, which leaves SQLite's -wal and -shm files behind.
    return f"{path.absolute().as_uri()}?mode=rw"


def _check_place(path: Path) -> None:
    """SQLite says "unable to open database file" to all of these."""
    if not path.parent.is_dir():
        raise StorageError(f"DATABASE_URL: there is no folder {path.parent} to keep {path.name} in.")
    if path.is_dir():
        raise StorageError(f"DATABASE_URL: {path} is a folder, not a file.")
    for place in (path.parent, path):
        if place.exists() and not os.access(place, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            raise StorageError(f"DATABASE_URL: {place} is not writable, and SQLite writes {path.name} and beside it.")


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """SQLite's errors as StorageError."""
    try:
        yield
    except sqlite3.Error as error:
        reason = _REASONS.get(_code(error))
        sentence = f"{reason} ({error})" if reason else str(error)
        raise StorageError(f"Database {name}: {sentence}.") from error


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code: the lowest byte of an extended one (https://www.sqlite.org/rescode.html)."""
    # The sqlite3 module's own errors, such as a missing parameter, have none.
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF

"""Migrations: in order, each whole or not at all, and never backwards."""

import asyncio
import sqlite3
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from storage.base import PostState, RunStatus, Scope, StorageError, Thread
from storage.migrations import Migration, migrate, migrations
from storage.sqlite import SqliteStorage
from tests.storage.records import ADA, CHANNEL, TEAM, call, file, post, reply, run, thread_key, ts

_KNOWN = tuple(migrations())
#: What a Bobbin of schema 1 may have left behind, as it wrote it.
_ROWS_OF_1 = (
    "INSERT INTO schema_version VALUES (1)",
    "INSERT INTO threads VALUES "
    "('T1', 'C1', '1700000000.000100', 'responses', 'conv_1', 'math-tutor', '1700000009.000100')",
    "INSERT INTO runs VALUES ('run1', 'T1', 'C1', '1700000000.000100', 'math-tutor', 'responses', 'in_progress', NULL, "
    "'resp_1', NULL, 1, NULL, 1000.0, NULL, NULL)",
    "INSERT INTO posts VALUES ('T1', 'C1', '1700000000.000100', '1700000000.000100', 'U1', 'T1', 'hello', 'ask', "
    "'channel', 'taken', 'run1', 'Ev1', '1700000001.000100')",
    "INSERT INTO posts VALUES ('T1', 'C1', '1700000005.000100', '1700000000.000100', 'U1', 'T1', 'a later one', 'ask', "
    "'channel', 'waiting', NULL, '', NULL)",
    "INSERT INTO replies VALUES ('run1', 0, '1700000100.000100', 0, 1, 1234.5)",
    "INSERT INTO choices VALUES ('T1', 'channel', 'C1', 'general')",
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "bobbin.db"


def ask(place: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(place, isolation_level=None)) as database:
        return database.execute(query).fetchall()


async def make(place: Path) -> None:
    await (await SqliteStorage.open(f"sqlite:///{place}")).close()


async def migrated(place: Path, *later: Migration) -> None:
    """As a later Bobbin would do it that knows these too."""
    connection = await aiosqlite.connect(place, isolation_level=None)
    storage = SqliteStorage(connection, str(place))
    try:
        await migrate((*_KNOWN, *later), database=str(place), read=storage._read, transaction=storage._transaction)
    finally:
        await storage.close()


def later(number: int, *statements: str) -> Migration:
    version = len(_KNOWN) + number
    return Migration(version, f"{version:04}_later.sql", statements)


def test_files_are_numbered_without_a_gap() -> None:
    assert [migration.name[:5] for migration in _KNOWN] == [f"{number:04}_" for number in range(1, len(_KNOWN) + 1)]


def test_files_are_cut_into_whole_statements() -> None:
    folder = resources.files("storage.migrations")
    for migration in _KNOWN:
        assert all(sqlite3.complete_statement(f"{statement};") for statement in migration.statements)
        text = folder.joinpath(migration.name).read_text(encoding="utf-8")
        assert len(migration.statements) == text.count(";")


async def test_a_new_database_has_the_latest_schema(place: Path) -> None:
    await make(place)
    assert ask(place, "SELECT version FROM schema_version") == [(migration.version,) for migration in _KNOWN]


async def test_an_up_to_date_database_is_not_written(place: Path) -> None:
    await make(place)
    before = place.read_bytes(), place.stat().st_mtime_ns
    await make(place)
    assert (place.read_bytes(), place.stat().st_mtime_ns) == before


async def test_a_newer_schema_is_refused_and_left_alone(place: Path) -> None:
    await make(place)
    ask(place, "INSERT INTO schema_version (version) VALUES (7)")
    before = place.read_bytes()
    with pytest.raises(StorageError) as caught:
        await make(place)
    assert str(caught.value) == (
        f"{place} was written by a newer Bobbin (schema 7; this one knows up to {len(_KNOWN)}). "
        "Upgrade Bobbin, or point DATABASE_URL at another file."
    )
    assert place.read_bytes() == before


async def test_later_versions_keep_what_is_stored(place: Path) -> None:
    storage = await SqliteStorage.open(f"sqlite:///{place}")
    await storage.add_post(post(), opens_thread=True)
    await storage.close()
    await migrated(
        place,
        later(1, "ALTER TABLE posts ADD COLUMN mood TEXT", "UPDATE posts SET mood = 'good'"),
        later(2, "CREATE TABLE moods (name TEXT)", "INSERT INTO moods SELECT mood FROM posts"),
    )
    assert ask(place, "SELECT name FROM moods") == [("good",)]
    assert ask(place, "SELECT MAX(version) FROM schema_version") == [(len(_KNOWN) + 2,)]


async def test_a_database_of_schema_1_is_upgraded_and_keeps_its_rows(place: Path) -> None:
    for statement in (*_KNOWN[0].statements, "CREATE TABLE schema_version (version INTEGER PRIMARY KEY)", *_ROWS_OF_1):
        ask(place, statement)
    storage = await SqliteStorage.open(f"sqlite:///{place}")
    taken = post(0, state=PostState.TAKEN, run="run1", event_id="Ev1", edited_ts=ts(1))
    assert await storage.thread(thread_key()) == Thread(thread_key(), "responses", "conv_1", "math-tutor", ts(9))
    assert await storage.run_posts("run1") == [taken]
    assert await storage.waiting_posts(thread_key()) == [post(5, text="a later one")]
    assert await storage.unfinished_run(thread_key()) == run(status=RunStatus.IN_PROGRESS, backend_run="resp_1")
    assert await storage.reply_messages("run1") == [reply()]
    assert await storage.choices(TEAM, CHANNEL, ADA) == {Scope.CHANNEL: "general"}
    # And what is new works on what is old.
    await storage.add_calls([call()])
    assert await storage.run_calls("run1") == [call()]
    assert await storage.edit_post(TEAM, CHANNEL, ts(5), "a later one", ts(6), (file(),))
    await storage.close()
    assert ask(place, "SELECT version FROM schema_version") == [(migration.version,) for migration in _KNOWN]


async def test_each_is_applied_once_by_many_at_once(place: Path) -> None:
    await make(place)
    more = [later(number, f"CREATE TABLE later_{number} (name TEXT)") for number in range(1, 6)]
    await asyncio.gather(*(migrated(place, *more) for _ in range(4)))
    await migrated(place, *more)
    assert ask(place, "SELECT COUNT(*), MAX(version) FROM schema_version") == [(len(_KNOWN) + 5, len(_KNOWN) + 5)]


async def test_the_bobbin_from_before_an_upgrade_is_refused(place: Path) -> None:
    await migrated(place, later(1, "ALTER TABLE posts ADD COLUMN mood TEXT"))
    with pytest.raises(StorageError, match="newer Bobbin"):
        await make(place)


async def test_one_that_breaks_is_undone_and_those_before_it_stay(place: Path) -> None:
    with pytest.raises(StorageError, match="no such table: nowhere"):
        await migrated(
            place,
            later(1, "CREATE TABLE one (name TEXT)"),
            later(2, "CREATE TABLE two (name TEXT)", "INSERT INTO nowhere VALUES (1)"),
            later(3, "CREATE TABLE three (name TEXT)"),
        )
    tables = {name for (name,) in ask(place, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert "one" in tables
    assert not {"two", "three"} & tables
    assert ask(place, "SELECT MAX(version) FROM schema_version") == [(len(_KNOWN) + 1,)]


async def test_a_database_without_a_version_is_a_new_one(place: Path) -> None:
    place.touch()
    await make(place)
    storage = await SqliteStorage.open(f"sqlite:///{place}")
    assert await storage.thread(thread_key()) is None
    await storage.close()

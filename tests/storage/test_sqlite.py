"""SqliteStorage: the contract, on a file and in memory, and what only a file can suffer."""

import asyncio
import os
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from storage.base import RunStatus, StorageError
from storage.sqlite import SqliteStorage
from tests.storage.contract import StorageContract
from tests.storage.records import CHANNEL, TEAM, file, post, run, thread_key, ts, usage

_NOBODY = 65534


@asynccontextmanager
async def opened(place: Path | str, *, busy_timeout: float = 5.0) -> AsyncIterator[SqliteStorage]:
    storage = await SqliteStorage.open(f"sqlite:///{place}", busy_timeout=busy_timeout)
    try:
        yield storage
    finally:
        await storage.close()


@asynccontextmanager
async def other_process(program: str, *arguments: str) -> AsyncIterator[Process]:
    """Another Python; `kill -9` ends it at last."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, *arguments, stdin=PIPE, stdout=PIPE, cwd=Path(__file__).parents[2]
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line_of(process: Process) -> str:
    assert process.stdout
    return (await process.stdout.readline()).decode().strip()


class TestSqliteStorage(StorageContract):
    @pytest.fixture(params=["file", "memory"])
    async def storage(self, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqliteStorage]:
        async with opened(tmp_path / "bobbin.db" if request.param == "file" else ":memory:") as storage:
            yield storage


class TestUrl:
    async def test_three_slashes_are_relative_to_where_bobbin_runs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        async with opened("bobbin.db"):
            assert (tmp_path / "bobbin.db").is_file()

    @pytest.mark.parametrize("url", ["bobbin.db", "sqlite:///", "sqlite://bobbin.db", "postgresql://db/bobbin"])
    async def test_another_form_is_refused(self, url: str) -> None:
        with pytest.raises(StorageError, match=r"^DATABASE_URL: .* is not of the form sqlite:///bobbin\.db\.$"):
            await SqliteStorage.open(url)

    async def test_a_missing_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match=f"there is no folder {tmp_path}/missing to keep bobbin.db in"):
            await SqliteStorage.open(f"sqlite:///{tmp_path}/missing/bobbin.db")

    async def test_a_folder_is_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match=f"{tmp_path} is a folder"):
            await SqliteStorage.open(f"sqlite:///{tmp_path}")


class TestUnwritable:
    @pytest.fixture
    def folder(self) -> Iterator[Path]:
        """A folder that anybody may read and nobody may write, root included: it steps down for the test."""
        with TemporaryDirectory() as name:
            folder = Path(name)
            with closing(sqlite3.connect(folder / "there.db")):
                (folder / "there.db").chmod(0o444)
            folder.chmod(0o555)
            superuser = os.geteuid() == 0
            if superuser:
                os.seteuid(_NOBODY)
            yield folder
            if superuser:
                os.seteuid(0)
            folder.chmod(0o755)

    @pytest.mark.parametrize("name", ["new.db", "there.db"])
    async def test_is_told_plainly(self, folder: Path, name: str) -> None:
        with pytest.raises(StorageError, match=f"^DATABASE_URL: {folder}[^ ]* is not writable"):
            await SqliteStorage.open(f"sqlite:///{folder}/{name}")
        assert [entry.name for entry in folder.iterdir()] == ["there.db"]


class TestDamage:
    async def test_what_is_no_database_is_refused_and_left_alone(self, tmp_path: Path) -> None:
        place = tmp_path / "notes.txt"
        place.write_text("Buy milk. " * 500)
        with pytest.raises(StorageError, match=f"{place}: it is not a database; point DATABASE_URL at another"):
            await SqliteStorage.open(f"sqlite:///{place}")
        assert place.read_text() == "Buy milk. " * 500

    async def test_a_damaged_database_is_a_storage_error(self, tmp_path: Path) -> None:
        place = tmp_path / "bobbin.db"
        async with opened(place) as storage:
            await storage.add_post(post(), opens_thread=True)
        with place.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (place.stat().st_size - 4096))

        async def use() -> None:
            async with opened(place) as storage:
                await storage.waiting_posts(thread_key())

        with pytest.raises(StorageError, match=f"{place}: it is damaged; restore a copy") as caught:
            await use()
        assert isinstance(caught.value.__cause__, sqlite3.DatabaseError)

    async def test_another_programs_tables_are_left_alone(self, tmp_path: Path) -> None:
        place = tmp_path / "forum.db"
        with closing(sqlite3.connect(place)) as forum:
            forum.execute("CREATE TABLE posts (title TEXT)")
        with pytest.raises(StorageError, match="another program's database"):
            await SqliteStorage.open(f"sqlite:///{place}")
        with closing(sqlite3.connect(place)) as forum:
            tables = {name for (name,) in forum.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert "threads" not in tables


class TestOneOwner:
    async def test_two_that_answer_from_one_file_would_answer_twice(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'bobbin.db'}"
        first = await SqliteStorage.open(url, owner_wait=0)
        with pytest.raises(StorageError, match="another Bobbin answers from"):
            await SqliteStorage.open(url, owner_wait=0)
        looking = await SqliteStorage.open(url)  # doctor, while one runs
        await looking.close()
        await first.close()
        again = await SqliteStorage.open(url, owner_wait=0)
        await again.close()

    async def test_a_new_one_waits_for_the_old_one_to_finish(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'bobbin.db'}"
        first = await SqliteStorage.open(url, owner_wait=0)
        second = asyncio.create_task(SqliteStorage.open(url, owner_wait=20))
        await first.close()
        await (await second).close()


class TestOtherProcesses:
    _LOCK = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
database.execute("COMMIT")
"""
    _ADD = """
import asyncio, sys
from storage.sqlite import SqliteStorage
from tests.storage.records import post

async def add():
    storage = await SqliteStorage.open(f"sqlite:///{sys.argv[1]}")
    moment = 0
    while True:
        await storage.add_post(post(moment), opens_thread=True)
        print(moment, flush=True)
        moment += 1

asyncio.run(add())
"""

    async def test_a_post_outlives_kill_9(self, tmp_path: Path) -> None:
        """All that was said to be stored is there, whenever the kill comes."""
        place = tmp_path / "bobbin.db"
        async with other_process(self._ADD, str(place)) as process:
            while await line_of(process) != "20":
                assert process.returncode is None
            process.kill()
            assert process.stdout
            said = 20 + len((await process.stdout.read()).splitlines())
        async with opened(place) as storage:
            kept = [each.ts for each in await storage.waiting_posts(thread_key())]
        assert kept[: said + 1] == [ts(moment) for moment in range(said + 1)]

    async def test_a_lock_that_is_kept_is_a_storage_error(self, tmp_path: Path) -> None:
        place = tmp_path / "bobbin.db"
        async with opened(place, busy_timeout=0.05) as storage, other_process(self._LOCK, str(place)) as locker:
            assert await line_of(locker) == "locked"
            with pytest.raises(StorageError, match=f"{place}: another program keeps it locked"):
                await storage.add_post(post(), opens_thread=True)
            assert await storage.waiting_posts(thread_key()) == []
            await locker.communicate(b"\n")
            assert await storage.add_post(post(), opens_thread=True)

    async def test_a_lock_that_is_let_go_is_waited_for(self, tmp_path: Path) -> None:
        place = tmp_path / "bobbin.db"
        async with opened(place) as storage, other_process(self._LOCK, str(place)) as locker:
            assert await line_of(locker) == "locked"
            adding = asyncio.create_task(storage.add_post(post(), opens_thread=True))
            await locker.communicate(b"\n")
            assert await adding

    async def test_it_opens_while_another_process_writes(self, tmp_path: Path) -> None:
        place = tmp_path / "bobbin.db"
        async with opened(place), other_process(self._LOCK, str(place)) as locker:
            assert await line_of(locker) == "locked"
            async with opened(place, busy_timeout=0.0) as second:
                assert await second.threads_with_work() == []

    async def test_one_new_file_opened_by_many_at_once(self, tmp_path: Path) -> None:
        """SQLite does not wait for the lock by itself while a file is switched to WAL."""
        for number in range(10):
            url = f"sqlite:///{tmp_path}/{number}.db"
            storages = await asyncio.gather(*(SqliteStorage.open(url) for _ in range(4)))
            added = [await storage.add_post(post(), opens_thread=True) for storage in storages]
            assert added == [True, False, False, False]
            await asyncio.gather(*(storage.close() for storage in storages))


class TestReading:
    async def test_what_a_serving_bobbin_stores_is_read_beside_it(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/a 100% good? #1.db"
        serving = await SqliteStorage.open(url)
        reading = await SqliteStorage.open_to_read(url)
        await serving.add_usage(usage())
        assert await reading.usage(0.0) == [usage()]
        await reading.close()
        await serving.close()

    async def test_it_reads_while_another_process_writes(self, tmp_path: Path) -> None:
        place = tmp_path / "bobbin.db"
        async with opened(place) as storage, other_process(TestOtherProcesses._LOCK, str(place)) as locker:
            assert await line_of(locker) == "locked"
            reading = await SqliteStorage.open_to_read(f"sqlite:///{place}", busy_timeout=0.0)
            assert await reading.usage(0.0) == []
            await reading.close()
            assert await storage.waiting_posts(thread_key()) == []

    async def test_it_writes_nothing_and_leaves_nothing_behind(self, tmp_path: Path) -> None:
        place = tmp_path / "bobbin.db"
        async with opened(place) as storage:
            await storage.add_post(post(), opens_thread=True)
        before = place.read_bytes()
        reading = await SqliteStorage.open_to_read(f"sqlite:///{place}")
        with pytest.raises(StorageError, match="it may not be written"):
            await reading.drop_post(TEAM, CHANNEL, ts(0))
        await reading.close()
        assert place.read_bytes() == before
        assert [entry.name for entry in tmp_path.iterdir()] == ["bobbin.db"]

    async def test_no_database_is_said_and_none_is_made(self, tmp_path: Path) -> None:
        for name in ("missing.db", "missing/bobbin.db", ""):
            with pytest.raises(StorageError, match=f"^DATABASE_URL: there is no database {tmp_path}"):
                await SqliteStorage.open_to_read(f"sqlite:///{tmp_path}/{name}")
        with pytest.raises(StorageError, match="there is no database :memory:"):
            await SqliteStorage.open_to_read("sqlite:///:memory:")
        assert not list(tmp_path.iterdir())

    async def test_what_is_no_database_of_bobbins_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("Buy milk. " * 500)
        with pytest.raises(StorageError, match="it is not a database"):
            await SqliteStorage.open_to_read(f"sqlite:///{tmp_path}/notes.txt")
        (tmp_path / "empty.db").touch()
        with pytest.raises(StorageError, match="no such table: schema_version"):
            await SqliteStorage.open_to_read(f"sqlite:///{tmp_path}/empty.db")

    @pytest.mark.parametrize(
        ("version", "said"), [(1, "an older Bobbin .*Start this Bobbin once"), (99, "a newer Bobbin .*Upgrade Bobbin")]
    )
    async def test_another_schema_is_refused_and_left_alone(self, tmp_path: Path, version: int, said: str) -> None:
        place = tmp_path / "bobbin.db"
        with closing(sqlite3.connect(place)) as database:
            database.execute("CREATE TABLE schema_version (version INTEGER PRIMARY KEY)")
            database.execute("INSERT INTO schema_version VALUES (?)", (version,))
            database.commit()
        before = place.read_bytes()
        with pytest.raises(StorageError, match=said):
            await SqliteStorage.open_to_read(f"sqlite:///{place}")
        assert place.read_bytes() == before


class TestConnection:
    async def test_what_is_stored_is_there_after_a_restart(self, tmp_path: Path) -> None:
        async with opened(tmp_path / "bobbin.db") as storage:
            await storage.add_post(post(), opens_thread=True)
            await storage.open_run(run(), [post()])
        async with opened(tmp_path / "bobbin.db") as storage:
            assert await storage.unfinished_run(thread_key()) == run()

    async def test_forgotten_text_is_not_in_the_file(self, tmp_path: Path) -> None:
        place = tmp_path / "bobbin.db"
        texts = [f"between us {moment} " * 20 for moment in range(4)]
        async with opened(place) as storage:
            for moment, text in enumerate(texts):
                files = (file(name=text),)
                await storage.add_post(post(moment, text=text, files=files), opens_thread=True)
        assert all(text.encode() in place.read_bytes() for text in texts)
        async with opened(place) as storage:
            await storage.drop_post(TEAM, CHANNEL, ts(0))
            await storage.finish_post(post(1))
            await storage.open_run(run(), [post(2)])
            await storage.close_run(run(status=RunStatus.COMPLETED, ended_at=1.0))
        kept = place.read_bytes()
        assert [moment for moment in range(4) if f"between us {moment}".encode() in kept] == [3]

    async def test_every_commit_reaches_the_disk(self, tmp_path: Path) -> None:
        """WAL alone syncs only now and then; FULL is 2 (https://www.sqlite.org/pragma.html#pragma_synchronous)."""
        async with opened(tmp_path / "bobbin.db") as storage:
            for pragma, value in (
                ("journal_mode", "wal"),
                ("synchronous", 2),
                ("foreign_keys", 1),
                ("secure_delete", 1),
            ):
                ((kept,),) = await storage._connection.execute_fetchall(f"PRAGMA {pragma}")
                assert kept == value, pragma

    async def test_closed_it_says_so(self, tmp_path: Path) -> None:
        storage = await SqliteStorage.open(f"sqlite:///{tmp_path}/bobbin.db")
        await storage.close()
        await storage.close()
        for use in (storage.threads_with_work(), storage.add_post(post(), opens_thread=True)):
            with pytest.raises(StorageError, match="is closed"):
                await use

    async def test_closing_waits_for_what_is_under_way(self, tmp_path: Path) -> None:
        storage = await SqliteStorage.open(f"sqlite:///{tmp_path}/bobbin.db")
        adding = asyncio.create_task(storage.add_post(post(), opens_thread=True))
        await asyncio.sleep(0)
        await storage.close()
        assert await adding
        async with opened(tmp_path / "bobbin.db") as storage:
            assert await storage.waiting_posts(thread_key()) == [post()]

    async def test_two_memories_are_two_databases(self) -> None:
        async with opened(":memory:") as one, opened(":memory:") as two:
            await one.add_post(post(), opens_thread=True)
            assert await two.thread(thread_key()) is None


async def test_a_file_that_was_kept_before_files_had_transcripts_is_read(tmp_path: Path) -> None:
    place = tmp_path / "bobbin.db"
    async with opened(place) as storage:
        await storage.add_post(post(files=(file(),)), opens_thread=True)
    with closing(sqlite3.connect(place)) as database, database:
        database.execute("UPDATE posts SET files = json_remove(files, '$[0].transcript')")
    async with opened(place) as storage:
        assert [each.files for each in await storage.waiting_posts(thread_key())] == [(file(),)]

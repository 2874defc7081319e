"""Files of runs do not outlive their run, nor for long a process that was killed."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bot.engine.folders import Folders

_LEAVES_A_FILE = """
import asyncio, os
from bot.engine.folders import Folders

async def main():
    folders = await Folders.open()
    async with folders.new() as folder:
        (folder / "salaries.csv").write_text("a,b")
        os._exit(9)

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)


async def test_a_runs_files_are_removed_with_it(tmp_path: Path) -> None:
    folders = await Folders.open()
    async with folders.new() as folder:
        (folder / "rows.csv").write_text("a,b")
    assert not folder.exists()
    await folders.close()
    assert not list(tmp_path.iterdir())


async def test_what_a_killed_process_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _LEAVES_A_FILE], check=False)
    assert list(tmp_path.rglob("salaries.csv"))
    folders = await Folders.open()
    assert not list(tmp_path.rglob("salaries.csv"))
    await folders.close()


async def test_what_another_process_still_uses_is_left_alone(tmp_path: Path) -> None:
    first = await Folders.open()
    async with first.new() as folder:
        second = await Folders.open()
        assert folder.is_dir()
        await second.close()
    await first.close()


async def test_folders_that_are_nobodys_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "bobbin-notes").mkdir()
    (tmp_path / "bobbin-list.txt").write_text("mine")
    folders = await Folders.open()
    await folders.close()
    assert {path.name for path in tmp_path.iterdir()} == {"bobbin-notes", "bobbin-list.txt"}


async def test_without_room_a_run_goes_on_without_a_folder(tmp_path: Path) -> None:
    folders = await Folders.open()
    [own] = tmp_path.iterdir()
    await folders.close()
    own.write_text("in its way")
    async with folders.new() as folder:
        assert not folder.exists()

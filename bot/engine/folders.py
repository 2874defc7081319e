"""Where files of runs lie while they are needed. They are people's files: what a process that was killed left behind is
removed by the next one."""

import asyncio
import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog

_log = structlog.get_logger()

_PREFIX, _LOCK = "bobbin-", ".lock"


class Folders:
    """A folder of this process's own among the machine's temporary ones, held by a lock that ends with the process."""

    def __init__(self, own: Path, lock: int) -> None:
        """`lock` is the descriptor of the lock in the folder `own`."""
        self._own = own
        self._lock = lock

    @classmethod
    async def open(cls) -> "Folders":
        """A new folder, after those of processes that have ended were removed. Raises OSError."""
        return await asyncio.to_thread(cls._open)

    @classmethod
    def _open(cls) -> "Folders":
        place = Path(tempfile.gettempdir())
        for other in place.glob(f"{_PREFIX}*"):
            _sweep(other)
        own = Path(tempfile.mkdtemp(prefix=_PREFIX))
        # Held before it has the name by which it is found: nobody sees it free.
        lock = os.open(own / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        (own / "lock").rename(own / _LOCK)
        return cls(own, lock)

    @asynccontextmanager
    async def new(self) -> AsyncIterator[Path]:
        """A folder that is removed with all that is in it. Where the disk has no room for it, it is not there: whoever
        wants to put a file into it hears so, and whoever has none goes on."""
        folder = self._own / uuid.uuid4().hex
        try:
            await asyncio.to_thread(folder.mkdir)
        except OSError as error:
            _log.warning("no-folder-for-files", error=repr(error))
        try:
            yield folder
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))

    async def close(self) -> None:
        """Remove all of it."""
        await asyncio.to_thread(shutil.rmtree, self._own, ignore_errors=True)
        os.close(self._lock)


def _sweep(folder: Path) -> None:
    """Remove a folder whose process has ended, if it is ours to remove."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return  # no folder of a Bobbin's, or another user's
    try:
        with suppress(BlockingIOError):  # its process is there
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
            _log.info("leftover-files-removed", folder=folder.name)
    finally:
        os.close(lock)

"""Files that a run made, from the server to the disk."""

import asyncio
import mimetypes
import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from bot.backends.limits import MADE_FILE_BYTES
from bot.engine.ports import FileMade
from bot.errors import FileUnusable

_UNSAFE = re.compile(r"[^\w.()+ -]+")
#: Characters of a file's name; file systems take 255 bytes.
_NAME = 100
_IMAGES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"GIF8": ".gif", b"RIFF": ".webp"}


class Download(Protocol):
    """A response of the SDK's whose body is still to be read."""

    def iter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]: ...


async def saved(
    opening: AbstractAsyncContextManager[Download], folder: Path, name: str, *, limit: int = MADE_FILE_BYTES
) -> FileMade:
    """Read a file of at most `limit` bytes into the folder, under a safe form of its name that nothing there has yet.

    `opening` is a call of the SDK's `with_streaming_response`. Raises FileUnusable, and what breaks the download.
    """
    path = await asyncio.to_thread(_unused, folder, safe_name(name))
    try:
        async with opening as response:
            with await asyncio.to_thread(path.open, "wb") as file:
                await _read(response, file, limit)
        path = await asyncio.to_thread(_with_ending, path)
    except BaseException:
        await asyncio.to_thread(path.unlink, missing_ok=True)
        raise
    return FileMade(path.name, path, mimetypes.guess_type(path.name)[0] or "")


def safe_name(name: str) -> str:
    """The last part of a server's path, without what a file system or a reader could take amiss."""
    last = PurePosixPath(name.replace("\\", "/")).name
    clean = _UNSAFE.sub("_", last).strip(". ") or "file"
    ending = PurePosixPath(clean).suffix[:20]
    return clean.removesuffix(ending)[: _NAME - len(ending)] + ending


async def _read(response: Download, file: IO[bytes], limit: int) -> None:
    size = 0
    async for chunk in response.iter_bytes():
        size += len(chunk)
        if size > limit:
            raise FileUnusable(f"is over {limit / 2**20:.3g} MB")
        await asyncio.to_thread(file.write, chunk)


def _unused(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path, count = folder / name, 1
    while path.exists():
        count += 1
        path = folder / f"{Path(name).stem}-{count}{Path(name).suffix}"
    path.touch()
    return path


def _with_ending(path: Path) -> Path:
    """An image that came without an ending gets its own: Slack shows files by their names."""
    if path.suffix:
        return path
    with path.open("rb") as file:
        start = file.read(4)
    ending = next((ending for begins, ending in _IMAGES.items() if start.startswith(begins)), "")
    return path.rename(_unused(path.parent, path.name + ending)) if ending else path

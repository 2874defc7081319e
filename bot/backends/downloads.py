"""Files that a run made, from the server to the disk."""

import asyncio
import mimetypes
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

import httpx2
import openai
import structlog

from bot.backends.limits import MADE_FILE_BYTES
from bot.backends.retries import Patience, patiently
from bot.engine.ports import FileMade, Task, TaskStatus
from bot.errors import FileUnusable

_log = structlog.get_logger()

_UNSAFE = re.compile(r"[^\w.()+ -]+")
#: Characters of a file's name; file systems take 255 bytes.
_NAME = 100
_IMAGES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"GIF8": ".gif", b"RIFF": ".webp"}


class Download(Protocol):
    """A response of the SDK's whose body is still to be read."""

    def iter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]: ...


async def fetched(
    opening: Callable[[], AbstractAsyncContextManager[Download]],
    patience: Patience,
    folder: Path,
    *,
    file: str,
    name: str,
) -> FileMade | Task:
    """A file that a run made, or a task that says that it is lost. `opening` makes a call of the SDK's
    `with_streaming_response`; `file` is the server's id of it. Raises nothing."""
    try:
        # In haste: the answer that speaks of it waits meanwhile.
        return await patiently(lambda: saved(opening(), folder, name), patience.in_haste, repeatable=True)
    except FileUnusable as error:
        return lost(file, f"{safe_name(name)} {error.sentence}")
    except (openai.APIError, OSError) as error:
        _log.warning("made-file-lost", file=file, error=type(error).__name__)
        return lost(file, f"{safe_name(name)} could not be fetched from the model server")


def lost(file: str, why: str) -> Task:
    """A file that a run made and that nobody gets, as a task that failed; `why` is a sentence with its name, without
    its full stop."""
    return Task(file, "Fetches a file", TaskStatus.ERROR, output=why)


async def written(content: bytes, folder: Path, name: str) -> FileMade:
    """Put a file that came within an answer into the folder, as `saved` does. Raises OSError."""

    def write() -> Path:
        path = unused(folder, safe_name(name))
        path.write_bytes(content)
        return _with_ending(path)

    return _made(await asyncio.to_thread(write))


async def saved(
    opening: AbstractAsyncContextManager[Download], folder: Path, name: str, *, limit: int = MADE_FILE_BYTES
) -> FileMade:
    """Read a file of at most `limit` bytes into the folder, under a safe form of its name that nothing there has yet.

    `opening` is a call of the SDK's `with_streaming_response`. Raises FileUnusable, OSError and openai.APIError.
    """
    path = await asyncio.to_thread(unused, folder, safe_name(name))
    try:
        async with opening as response:
            with await asyncio.to_thread(path.open, "wb") as file:
                await _read(response, file, limit)
        path = await asyncio.to_thread(_with_ending, path)
    except httpx2.HTTPError as error:
        await asyncio.to_thread(path.unlink, missing_ok=True)
        # The SDK makes its own errors of what happens before the body, not of a body that is cut.
        raise openai.APIConnectionError(message=str(error), request=error.request) from error
    except BaseException:
        await asyncio.to_thread(path.unlink, missing_ok=True)
        raise
    return _made(path)


def _made(path: Path) -> FileMade:
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


def unused(folder: Path, name: str) -> Path:
    """Make an empty file of this name in the folder, or of one like it where that is taken."""
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
    return path.rename(unused(path.parent, path.name + ending)) if ending else path

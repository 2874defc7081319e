"""Files of ours, to the server."""

import asyncio
import base64
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Literal

import openai
import structlog

from bot.backends.retries import Patience, patiently
from bot.engine.ports import Attachment
from bot.errors import RunBroken

_log = structlog.get_logger()

#: Seconds for a large file: to send a piece of it, and until the server has looked at the whole.
_TIMEOUT = openai.Timeout(120.0, connect=5.0)
#: Why a file is not among what the model gets: parts of a sentence. The last two are true of every file.
NOT_TAKEN = "the model server does not take it"
NOT_NOW = "the model server does not take files at the moment"
NO_FILES = "the model server takes no files"


async def uploaded(
    client: openai.AsyncOpenAI,
    patience: Patience,
    *,
    path: Path,
    name: str,
    media_type: str,
    purpose: Literal["assistants", "vision", "user_data"],
) -> str:
    """The server's id of a file, read from the disk piece by piece. Raises openai.APIError, and RunBroken where the
    file is not there any more."""
    send = partial(_send, client, path, (name, media_type), purpose)
    # A copy that nobody points at costs its place only: looking for it among all files would cost more.
    return await patiently(send, patience, repeatable=True)


@dataclass(frozen=True, slots=True)
class NotSent:
    """A file that is not on the server, and why: a part of a sentence, after its name."""

    why: str


@dataclass(slots=True)
class PostUploads:
    """Uploads the files of one run's posts. One that the server does not take costs nothing but itself; with `lenient`,
    which is for what was said before, so does one that cannot be sent for whatever reason."""

    client: openai.AsyncOpenAI
    patience: Patience
    lenient: bool = False
    #: Why nothing more is sent: patience ended once, and would for each of the others.
    _given_up: NotSent | None = field(default=None, init=False)

    async def sent(self, file: Attachment, purpose: Literal["assistants", "vision", "user_data"]) -> str | NotSent:
        """The server's id of a file. Raises openai.APIError, and RunBroken where it is not there any more."""
        if self._given_up is not None:
            return self._given_up
        about = {"name": file.name, "media_type": file.media_type}
        try:
            return await uploaded(self.client, self.patience, path=file.path, purpose=purpose, **about)
        except openai.APIError as error:
            why = why_not_taken(error) or (NOT_NOW if self.lenient else None)
            if why is None:
                raise
            _log.info("file-not-taken", type=file.media_type, size=file.size, error=type(error).__name__)
            self._given_up = None if why == NOT_TAKEN else NotSent(why)
            return NotSent(why)


def unread(problem: str) -> str:
    """What the model is told of a file that it does not get: `problem` is its name, a colon, and why."""
    return f"[A file that you cannot read: {problem}]"


def why_not_taken(error: openai.APIError) -> str | None:
    """Why an upload came to nothing, where the answer can do without the file; None where it is about all that Bobbin
    asks of the server, such as its key."""
    if isinstance(error, openai.APIConnectionError):
        return NOT_NOW
    if not isinstance(error, openai.APIStatusError):
        return None
    if error.status_code in (400, 413, 415, 422):
        return NOT_TAKEN
    if error.status_code in (404, 405, 501):
        return NO_FILES
    return NOT_NOW if error.status_code >= 500 else None


async def opened(path: Path) -> IO[bytes]:
    """A file, to be sent. Raises RunBroken."""
    try:
        return await asyncio.to_thread(path.open, "rb")
    except OSError as error:
        raise RunBroken(f"{path.name} cannot be read from Bobbin's disk any more. Please try again.") from error


async def data_url(picture: Attachment) -> str:
    """A picture within a URL, for requests that carry it themselves."""
    return await asyncio.to_thread(_data_url, picture)


def _data_url(picture: Attachment) -> str:
    return f"data:{picture.media_type};base64,{base64.b64encode(picture.path.read_bytes()).decode()}"


async def _send(
    client: openai.AsyncOpenAI,
    path: Path,
    called: tuple[str, str],
    purpose: Literal["assistants", "vision", "user_data"],
) -> str:
    name, media_type = called
    with await opened(path) as file:
        made = await client.files.create(
            file=(name, file, media_type or "application/octet-stream"), purpose=purpose, timeout=_TIMEOUT
        )
    return made.id

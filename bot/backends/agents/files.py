"""Files of a session's sandbox: what people post goes in, what a turn publishes comes out.

https://developers.openai.com/api/docs/guides/agents-api/environments/files
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import openai
import structlog

from bot.backends.downloads import fetched, lost, safe_name
from bot.backends.limits import IMAGE_TYPES, INLINE_IMAGE_BYTES, PAGE, UPLOAD_BYTES
from bot.backends.local import messages as inlined
from bot.backends.retries import Patience, patiently
from bot.backends.uploads import NOT_TAKEN, NotSent, PostUploads, unread
from bot.engine.ports import Assistant, FileMade, Message, Task

_log = structlog.get_logger()

#: Where the sandbox has its files (openai/types/beta/hosted_environment_file_param.py).
_FOLDER = "/workspace"


@dataclass(frozen=True, slots=True)
class Placed:
    """An uploaded file, what it was called, and its place in the sandbox."""

    file: str
    name: str
    path: str

    @property
    def wire(self) -> dict[str, Any]:
        return {"type": "file_id", "file_id": self.file, "path": self.path}


@dataclass(frozen=True, slots=True)
class Prepared:
    """Posts whose documents are on the server: the messages say where each lies. `unused` are those that the server
    did not take, and why."""

    messages: tuple[Message, ...]
    files: tuple[Placed, ...] = ()
    unused: tuple[str, ...] = ()


def file_problem(assistant: Assistant, media_type: str, size: int) -> str | None:
    """Why a file cannot be used, a part of a sentence; None where it can."""
    if size and _in_sandbox(assistant, media_type, size):
        return None if size <= UPLOAD_BYTES else f"is over {UPLOAD_BYTES // 2**20} MB"
    return inlined.file_problem(media_type, size)


def without_files(messages: Sequence[Message], files: Sequence[Placed]) -> Prepared:
    """Posts for a sandbox in which these files were not taken."""
    unused = tuple(f"{file.name}: {NOT_TAKEN}" for file in files)
    *earlier, last = messages
    named = "\n\n".join([last.text, *map(unread, unused)])
    return Prepared((*earlier, replace(last, text=named)), (), unused)


class SandboxFiles:
    """Puts files into sandboxes and fetches them. Raises openai.APIError."""

    def __init__(self, client: openai.AsyncOpenAI, patience: Patience) -> None:
        self._client = client
        self._patience = patience

    async def prepared(self, assistant: Assistant, messages: Sequence[Message], *, lenient: bool = False) -> Prepared:
        """Messages as the assistant gets them. With `lenient`, whatever happens to a file is no reason to fail."""
        uploads = PostUploads(self._client, self._patience, lenient=lenient)
        files: list[Placed] = []
        unused: list[str] = []
        told: list[Message] = []
        for message in messages:
            notes = [message.text]
            seen = [file for file in message.files if not _in_sandbox(assistant, file.media_type, file.size)]
            for number, file in enumerate(file for file in message.files if file not in seen):
                sent = await uploads.sent(file, "user_data")
                if isinstance(sent, NotSent):
                    unused.append(f"{file.name}: {sent.why}")
                    notes.append(unread(unused[-1]))
                else:
                    # Files of one name may be posted again and again.
                    path = f"{_FOLDER}/{message.id}{f'-{number}' if number else ''}-{safe_name(file.name)}"
                    files.append(Placed(sent, file.name, path))
                    notes.append(f"[File {file.name}: {path}]")
            told.append(replace(message, text="\n\n".join(note for note in notes if note), files=tuple(seen)))
        return Prepared(tuple(told), tuple(files), tuple(unused))

    async def place(self, environment: str, files: Sequence[Placed]) -> bool:
        """Put files into a sandbox that is there; False where it takes them no more, as after an hour's rest."""
        create: Any = self._client.beta.agents.environments.files.create
        for file in files:
            try:
                # Placed again, it takes its own place.
                await patiently(partial(create, environment, **file.wire), self._patience, repeatable=True)
            except openai.APIStatusError as error:
                if error.status_code not in REFUSED:
                    raise
                _log.info("sandbox-refused-file", environment=environment, status=error.status_code)
                return False
        return True

    async def published(self, session: str, turn: str, folder: Path) -> AsyncGenerator[FileMade | Task, None]:
        """The files that a turn published; a task that failed for what is lost."""
        artifacts = self._client.beta.agents.sessions.artifacts

        async def listed() -> list[Any]:
            return [each async for each in artifacts.list(session, order="asc", limit=PAGE) if each.turn_id == turn]

        try:
            made = await patiently(listed, self._patience.in_haste, repeatable=True)
        except openai.APIError as error:
            _log.warning("made-files-unlisted", session=session, error=type(error).__name__)
            yield lost(turn, "What this answer made could not be fetched from the model server")
            return
        for each in made:
            opening = partial(artifacts.with_streaming_response.content, each.id, session_id=session)
            yield await fetched(opening, self._patience, folder, file=each.id, name=each.path)


#: What a server says that has no such sandbox any more, or does not take a file.
REFUSED = (400, 404, 409, 410, 413, 415, 422)


def _in_sandbox(assistant: Assistant, media_type: str, size: int) -> bool:
    """Whether a file is for code; pictures are for the model's eyes."""
    seen = media_type in IMAGE_TYPES and size <= INLINE_IMAGE_BYTES
    return "code_interpreter" in assistant.tools and not seen

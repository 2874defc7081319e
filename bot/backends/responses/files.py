"""Files that go to OpenAI with a post, and files that a response made.

https://platform.openai.com/docs/guides/pdf-files, https://platform.openai.com/docs/guides/tools-code-interpreter
"""

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import openai
import structlog

from bot.backends.downloads import fetched, lost, safe_name, written
from bot.backends.limits import IMAGE_BYTES, IMAGE_TYPES, INPUT_FILE_BYTES, PAGE, RESPONSES_MESSAGE, UPLOAD_BYTES
from bot.backends.responses.items import ContainerFile
from bot.backends.responses.notes import for_code, unread
from bot.backends.retries import Patience, patiently
from bot.backends.uploads import fitting_name, uploaded
from bot.engine.ports import Assistant, Attachment, FileMade, Message, Task

_log = structlog.get_logger()
_CROWDED = f"is too much beside the others: at most {INPUT_FILE_BYTES // 2**20} MB are read at once"
#: HTTP statuses of a server that does not take this file, or none.
_REFUSED = (400, 404, 405, 413, 415, 422, 501)
#: What `input_file` reads besides text (https://platform.openai.com/docs/guides/pdf-files).
_DOCUMENTS = frozenset(
    {
        "application/pdf",
        "application/json",
        "application/msword",
        "application/rtf",
        "application/vnd.ms-excel",
        "application/vnd.ms-powerpoint",
        "application/vnd.oasis.opendocument.text",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "application/xml",
        "application/x-yaml",
        "application/javascript",
        "application/x-sh",
    }
)


def file_problem(assistant: Assistant, media_type: str, size: int, before: int = 0) -> str | None:
    """Why a file cannot be used, a part of a sentence; None where it can. `before` are the bytes of those that go
    along already."""
    if size == 0:
        return "is empty"
    if media_type in IMAGE_TYPES:
        return _too_large(size, IMAGE_BYTES)
    if "code_interpreter" in assistant.tools:
        return _too_large(size, UPLOAD_BYTES)
    if not _is_document(media_type):
        return f"is of a type ({media_type or 'unknown'}) that only an assistant with the code interpreter can open"
    if size <= INPUT_FILE_BYTES < before + size:
        return _CROWDED
    return _too_large(size, INPUT_FILE_BYTES)


def _is_document(media_type: str) -> bool:
    return media_type in _DOCUMENTS or media_type.startswith("text/")


def _too_large(size: int, limit: int) -> str | None:
    return f"has {size / 2**20:,.0f} MB; at most {limit // 2**20} MB can be used" if size > limit else None


def crowded_out(messages: Sequence[Message]) -> frozenset[Path]:
    """The documents for which a request has no room any more beside the ones before them
    (https://platform.openai.com/docs/guides/pdf-files): only code can open them."""
    room, crowded = INPUT_FILE_BYTES, set[Path]()
    for file in (file for message in messages for file in message.files if _is_document(file.media_type)):
        if file.size > room:
            crowded.add(file.path)
        else:
            room -= file.size
    return frozenset(crowded)


class Given:
    """A message as it is given to the API: its text, with notes on its files, and those files that the model reads.
    `names` has what they are called, `for_code` the ids of those that only code can open, `unused` why others are left
    out."""

    def __init__(self, message: Message) -> None:
        self.names: dict[str, str] = {}
        self.for_code: list[str] = []
        self.unused: list[str] = []
        self._message = message
        self._notes: list[str] = []
        self._parts: list[dict[str, Any]] = []

    @property
    def item(self) -> dict[str, Any]:
        text = "\n\n".join([self._message.text[:RESPONSES_MESSAGE], *self._notes])
        content: Any = [{"type": "input_text", "text": text}, *self._parts] if self._parts else text
        return {"type": "message", "role": self._message.role, "content": content}

    def give(self, file: str, name: str, kind: str) -> None:
        """The model is to read this one."""
        self.names[file] = name
        self._parts.append({"type": kind, "file_id": file, **({"detail": "auto"} if kind == "input_image" else {})})

    def give_code(self, file: str, name: str) -> None:
        """Code is to open this one."""
        self.for_code.append(file)
        self._notes.append(for_code(name))

    def refuse(self, problem: str) -> None:
        """This one is left out."""
        self.unused.append(problem)
        self._notes.append(unread(problem))


class ResponseFiles:
    """Uploads what people posted, and fetches what a response made. Raises openai.APIError."""

    def __init__(self, client: openai.AsyncOpenAI, patience: Patience) -> None:
        self._client = client
        self._patience = patience

    async def given(self, message: Message, crowded: Collection[Path], *, code: bool) -> Given:
        """A message as an item for the API, its files uploaded. `crowded` are those that only code can open, whatever
        they are; `code` says whether there is some. What cannot be used is left out, and named in the message."""
        given = Given(message)
        for file in message.files:
            picture = file.media_type in IMAGE_TYPES
            read = picture or (_is_document(file.media_type) and file.path not in crowded)
            if not read and not code:
                given.refuse(f"{file.name}: {_CROWDED}")
                continue
            name = fitting_name(file.name, file.media_type) if read else safe_name(file.name)
            try:
                uploaded_as = await self._upload(file, name, "vision" if picture else "user_data")
            except openai.APIStatusError as error:
                if error.status_code not in _REFUSED:
                    raise
                _log.info("file-refused", media_type=file.media_type, status=error.status_code, code=error.code)
                given.refuse(f"{file.name}: the model server does not take it")
                continue
            if not read:
                given.give_code(uploaded_as, file.name)
            else:
                given.give(uploaded_as, file.name, "input_image" if picture else "input_file")
        return given

    async def fetched(self, files: Sequence[ContainerFile], folder: Path) -> AsyncGenerator[FileMade | Task, None]:
        """Files of containers, each as soon as it is there; one that is gone is a task that failed."""
        for each in files:
            opening = partial(
                self._client.containers.files.content.with_streaming_response.retrieve,
                each.file,
                container_id=each.container,
            )
            yield await fetched(opening, self._patience, folder, file=each.file, name=each.name)

    async def uncited(self, container: str, since: float, known: set[str]) -> list[ContainerFile] | Task:
        """What a container holds that a response made and does not speak of; a task that failed where the server does
        not say."""
        try:
            inside = await patiently(partial(self._inside, container), self._patience.in_haste, repeatable=True)
        except openai.NotFoundError:
            _log.info("container-gone", container=container)  # of a file that the answer speaks of, people hear
            return []
        except openai.APIError as error:
            _log.warning("container-unreadable", container=container, error=type(error).__name__)
            return lost(container, "Other files that the code made could not be fetched from the model server")
        return [each for each, made in inside if made >= since and each.file not in known]

    async def _inside(self, container: str) -> list[tuple[ContainerFile, float]]:
        listed = self._client.containers.files.list(container, limit=PAGE)
        return [
            (ContainerFile(container, each.id, each.path), each.created_at)
            async for each in listed
            if each.source == "assistant"
        ]

    async def _upload(self, file: Attachment, name: str, purpose: Literal["vision", "user_data"]) -> str:
        return await uploaded(
            self._client,
            self._patience,
            path=file.path,
            name=name,
            media_type=file.media_type,
            purpose=purpose,
        )


async def picture(result: str, folder: Path, item: str) -> FileMade | Task:
    """A picture that came as base64 within an item; a task that failed where it cannot be read."""
    try:
        content = await asyncio.to_thread(base64.b64decode, result, validate=True)
        return await written(content, folder, "picture")
    except (binascii.Error, OSError) as error:
        _log.warning("picture-unreadable", error=type(error).__name__)
        return lost(item, "A picture that was drawn could not be read")

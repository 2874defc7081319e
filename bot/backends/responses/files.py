"""Files that go to OpenAI with a post, and files that a response made.

https://platform.openai.com/docs/guides/pdf-files, https://platform.openai.com/docs/guides/tools-code-interpreter
"""

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import openai
import structlog

from bot.backends.downloads import safe_name, saved
from bot.backends.limits import IMAGE_BYTES, IMAGE_TYPES, INPUT_FILE_BYTES, PAGE, RESPONSES_MESSAGE, UPLOAD_BYTES
from bot.backends.responses.items import ContainerFile
from bot.backends.retries import Patience
from bot.backends.uploads import uploaded
from bot.engine.ports import Assistant, Attachment, FileMade, Message
from bot.errors import FileUnusable

_log = structlog.get_logger()

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
        return f"is too much beside the others: at most {INPUT_FILE_BYTES // 2**20} MB are read at once"
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


class ResponseFiles:
    """Uploads what people posted, and fetches what a response made. Raises openai.APIError."""

    def __init__(self, client: openai.AsyncOpenAI, patience: Patience) -> None:
        self._client = client
        self._patience = patience

    async def input_of(
        self, message: Message, crowded: Collection[Path] = frozenset()
    ) -> tuple[dict[str, Any], list[str]]:
        """A message as an item for the API, and the uploaded files that only code can open, `crowded` among them."""
        parts: list[dict[str, Any]] = []
        for_code: list[str] = []
        for file in message.files:
            if file.media_type in IMAGE_TYPES:
                parts.append({"type": "input_image", "file_id": await self._upload(file, "vision"), "detail": "auto"})
            elif _is_document(file.media_type) and file.path not in crowded:
                parts.append({"type": "input_file", "file_id": await self._upload(file, "user_data")})
            else:
                for_code.append(await self._upload(file, "user_data"))
        content: Any = message.text[:RESPONSES_MESSAGE]
        if parts:
            content = [{"type": "input_text", "text": content}, *parts]
        return {"type": "message", "role": message.role, "content": content}, for_code

    async def fetched(self, files: Sequence[ContainerFile], folder: Path) -> AsyncGenerator[FileMade, None]:
        """Files of containers, each as soon as it is there; one that is gone is left out, and logged."""
        for file in files:
            opening = self._client.containers.files.content.with_streaming_response.retrieve(
                file.file, container_id=file.container
            )
            try:
                made = await saved(opening, folder, file.name)
            except (openai.APIError, FileUnusable) as error:
                _log.warning("made-file-lost", file=file.file, error=type(error).__name__)
            else:
                yield made

    async def uncited(self, container: str, since: float, known: set[str]) -> list[ContainerFile]:
        """What a container holds that a response made and does not speak of."""
        files: list[ContainerFile] = []
        try:
            async for each in self._client.containers.files.list(container, limit=PAGE):
                if each.source == "assistant" and each.created_at >= since and each.id not in known:
                    files.append(ContainerFile(container, each.id, each.path))
        except openai.APIError as error:
            _log.info("container-unreadable", container=container, error=type(error).__name__)
        return files

    async def _upload(self, file: Attachment, purpose: Literal["vision", "user_data"]) -> str:
        return await uploaded(
            self._client,
            self._patience,
            path=file.path,
            name=safe_name(file.name),
            media_type=file.media_type,
            purpose=purpose,
        )


async def picture(result: str, folder: Path, number: int) -> FileMade | None:
    """A picture that came as base64."""
    with suppress(binascii.Error):
        content = base64.b64decode(result, validate=True)
        path = folder / f"picture-{number}.png"
        await asyncio.to_thread(path.write_bytes, content)
        return FileMade(path.name, path, "image/png")
    _log.warning("picture-unreadable")
    return None

"""Posts as the items of a request that servers of any kind understand: text, and pictures as data URLs."""

import asyncio
from typing import Any

from bot.backends.limits import IMAGE_TYPES, INLINE_CHARACTERS, INLINE_IMAGE_BYTES
from bot.backends.uploads import data_url
from bot.engine.ports import Attachment, Message

_TEXTS = frozenset({"application/json", "application/xml", "application/x-yaml", "application/javascript"})


def file_problem(media_type: str, size: int) -> str | None:
    """Why a file cannot be used, a part of a sentence; None where it can."""
    if size == 0:
        return "is empty"
    if media_type in IMAGE_TYPES:
        return None if size <= INLINE_IMAGE_BYTES else f"is over {INLINE_IMAGE_BYTES // 2**20} MB"
    if not _is_text(media_type):
        return f"is of a type ({media_type or 'unknown'}) that this backend cannot use; it takes pictures and text"
    return None if size <= INLINE_CHARACTERS else f"is over {INLINE_CHARACTERS:,} characters"


async def input_of(message: Message) -> dict[str, Any]:
    """A message as an item, its text files within the text."""
    texts, images = [message.text], []
    for file in message.files:
        if file.media_type in IMAGE_TYPES:
            images.append({"type": "input_image", "image_url": await data_url(file), "detail": "auto"})
        else:
            texts.append(_inlined(file, await asyncio.to_thread(file.path.read_bytes)))
    text = "\n\n".join(part for part in texts if part)
    if not images:
        return {"role": message.role, "content": text}
    return {"role": message.role, "content": [{"type": "input_text", "text": text}, *images]}


def _inlined(file: Attachment, content: bytes) -> str:
    text = content.decode("utf-8", "replace")
    longest = max((len(run) for run in text.split("\n") if set(run.strip()) == {"`"}), default=0)
    fence = "`" * max(3, longest + 1)
    return f"File {file.name}:\n{fence}\n{text}\n{fence}"


def _is_text(media_type: str) -> bool:
    return media_type.startswith("text/") or media_type in _TEXTS

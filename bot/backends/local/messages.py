"""Posts as items that servers of any kind understand: text, and pictures as data URLs."""

import asyncio
from collections.abc import Sequence
from typing import Any

from bot.backends.inlining import UTF8_CHARACTER, inlined
from bot.backends.limits import CHARACTERS_PER_TOKEN, IMAGE_TOKENS, IMAGE_TYPES, INLINE_CHARACTERS, INLINE_IMAGE_BYTES
from bot.backends.local.input import PICTURES
from bot.backends.local.room import fair_share
from bot.backends.uploads import data_url
from bot.engine.ports import Message

_TEXTS = frozenset({"application/json", "application/xml", "application/x-yaml", "application/javascript"})
#: Characters around a text file: its name, fences, a word where it is cut; and around a message.
_AROUND_FILE, _AROUND_MESSAGE = 300, 40


def file_problem(media_type: str, size: int, longest: int = INLINE_CHARACTERS) -> str | None:
    """Why a file cannot be used, a part of a sentence; None where it can. `longest` is what the model reads of a text,
    in characters: one that may be longer is cut, one that must be several times as long is refused."""
    if size == 0:
        return "is empty"
    if media_type in IMAGE_TYPES:
        return None if size <= INLINE_IMAGE_BYTES else f"is over {INLINE_IMAGE_BYTES // 2**20} MB"
    if not _is_text(media_type):
        return f"is of a type ({media_type or 'unknown'}) that this backend cannot use; it takes pictures and text"
    longest = min(longest, INLINE_CHARACTERS)
    return None if size <= longest * UTF8_CHARACTER else f"is over {longest:,} characters"


async def inputs_of(messages: Sequence[Message], room: int) -> list[dict[str, Any]]:
    """Messages as items that have `room` tokens together, as far as cutting their text files can do it."""
    texts = [file for message in messages for file in message.files if file.media_type not in IMAGE_TYPES]
    pictures = sum(len(message.files) for message in messages) - len(texts)
    left = (room - pictures * IMAGE_TOKENS) * CHARACTERS_PER_TOKEN - len(texts) * _AROUND_FILE
    left -= sum(len(message.text) + _AROUND_MESSAGE for message in messages)
    # A file has as many characters as bytes, or fewer.
    longest = fair_share([min(file.size, INLINE_CHARACTERS) for file in texts], left)
    return [await item_of(message, longest) for message in messages]


async def item_of(message: Message, longest: int) -> dict[str, Any]:
    """A message as an item that is kept, with the names of its pictures."""
    names = [file.name for file in message.files if file.media_type in IMAGE_TYPES]
    return await input_of(message, longest) | ({PICTURES: names} if names else {})


async def input_of(message: Message, longest: int = INLINE_CHARACTERS) -> dict[str, Any]:
    """A message as an item, its text files within the text, each cut after so many characters."""
    texts, images = [message.text], []
    for file in message.files:
        if file.media_type in IMAGE_TYPES:
            images.append({"type": "input_image", "image_url": await data_url(file), "detail": "auto"})
        else:
            texts.append(f"File {await asyncio.to_thread(inlined, file, longest)}")
    text = "\n\n".join(part for part in texts if part)
    if not images:
        return {"role": message.role, "content": text}
    return {"role": message.role, "content": [{"type": "input_text", "text": text}, *images]}


def _is_text(media_type: str) -> bool:
    return media_type.startswith("text/") or media_type in _TEXTS

"""Files that a model is given: refused when it could not read them, and shown to the brain.

Sources: https://developers.openai.com/api/docs/guides/images-vision and .../guides/file-inputs. The codes of refused
images are those of openai 3.54, types/responses/response_error.py. Images and files at a URL are not fetched.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from bot.playground.openai import limits
from bot.playground.openai.brain import SeenFile
from bot.playground.openai.errors import bad_request, not_found
from bot.playground.openai.parameters import missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bot.playground.openai.records import File, Json, Message
    from bot.playground.openai.state import State

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.-]+)*;base64,", re.ASCII)


def media_type_of(content: bytes) -> str | None:
    """The type of an image that the API takes, told by how it begins."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    begins = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}
    return next((kind for start, kind in begins.items() if content.startswith(start)), None)


# --- Responses -------------------------------------------------------------------------------------------------------


def check_items(state: State, items: Iterable[Json], path: str) -> None:
    """Refuses images and files that the model could not read; `items` are as they were sent, at `path`."""
    total = 0
    for index, item in enumerate(items):
        field, parts = _content(item)
        for number, part in enumerate(parts):
            place = f"{path}[{index}].{field}[{number}]"
            if part.get("type") == "input_image":
                _check_image_part(state, part, place)
            elif part.get("type") == "input_file":
                total += _check_file_part(state, part, place)
    if total > limits.INPUT_FILES_BYTES:
        raise bad_request(
            f"The files of a request may have {limits.INPUT_FILES_BYTES} bytes together, but got {total}.", param=path
        )


def seen_in(state: State, item: Json, message: int) -> Iterator[SeenFile]:
    """The images and files of an item that passed `check_items`; `message` is its place among the messages."""
    for part in _content(item)[1]:
        if part.get("type") == "input_image":
            if part.get("file_id"):
                yield _stored(state, part["file_id"], "image", message)
            else:
                yield _linked(part["image_url"], "image", message)
        elif part.get("type") == "input_file":
            if part.get("file_id"):
                yield _stored(state, part["file_id"], "file", message)
            else:
                yield _linked(part.get("file_data") or part["file_url"], "file", message, part.get("filename"))


def seen_in_containers(state: State, tools: Iterable[Json]) -> Iterator[SeenFile]:
    """The uploads that a response's code may read."""
    for tool in tools:
        if tool["type"] == "code_interpreter" and isinstance(tool["container"], dict):
            for key in tool["container"].get("file_ids") or ():
                yield _stored(state, key, "file", None)


def seen_in_sandbox(state: State, environment: Json) -> Iterator[SeenFile]:
    """The uploads that lie in an agent's sandbox, by the names that they have there."""
    for file in environment.get("files") or ():
        if file["type"] == "file_id":
            seen = _stored(state, file["file_id"], "file", None)
            yield replace(seen, name=file["path"].rpartition("/")[2])


def _content(item: Json) -> tuple[str, Sequence[Json]]:
    field = "output" if item.get("type") == "function_call_output" else "content"
    parts = item.get(field)
    return field, parts if isinstance(parts, list) else ()


def _check_image_part(state: State, part: Json, place: str) -> None:
    if part.get("file_id"):
        check_image(_find(state, part["file_id"]), f"{place}.file_id")
    elif part.get("image_url"):
        check_image_url(part["image_url"], f"{place}.image_url")
    else:
        raise missing(f"{place}.image_url")


def check_image_url(url: str, place: str) -> None:
    """Refuses what is neither the address of an image nor an image itself."""
    if url.startswith(("http://", "https://")):
        return
    if _DATA_URL.match(url) is None:
        raise bad_request(
            f"Invalid '{place}'. Expected a valid URL, but got a value with an invalid format.",
            code="invalid_image_url",
            param=place,
        )
    _check_image_bytes(_decoded(url, place, "invalid_base64_image"), place)


def check_image(file: File, place: str) -> None:
    """Refuses an upload that is no image."""
    _check_image_bytes(base64.b64decode(file.content), place)


def _check_image_bytes(content: bytes, place: str) -> None:
    if not content:
        raise bad_request("The image file is empty.", code="empty_image_file", param=place)
    if len(content) > limits.IMAGE_BYTES:
        message = f"The image is too large. Expected at most {limits.IMAGE_BYTES} bytes, but got {len(content)}."
        raise bad_request(message, code="image_file_too_large", param=place)
    if media_type_of(content) is None:
        raise bad_request(
            "You uploaded an unsupported image. Please make sure your image has of one the following formats: "
            "['png', 'jpeg', 'gif', 'webp'].",
            code="invalid_image_format",
            param=place,
        )


def _check_file_part(state: State, part: Json, place: str) -> int:
    """Returns the file's size."""
    if part.get("file_id"):
        file = _find(state, part["file_id"])
        return _check_file(file.filename, file.bytes, place)
    if part.get("file_url"):
        return 0
    if not part.get("file_data"):
        raise missing(f"{place}.file_id")
    if not part.get("filename"):
        raise missing(f"{place}.filename")
    if _DATA_URL.match(part["file_data"]) is None:
        raise bad_request(
            f"Invalid file data: '{place}.file_data'. Expected a base64-encoded data URL with a MIME type (e.g. "
            "'data:application/pdf;base64,aGVsbG8='), but got a value without the 'data:' prefix.",
            code="invalid_value",
            param=f"{place}.file_data",
        )
    return _check_file(part["filename"], len(_decoded(part["file_data"], f"{place}.file_data", "invalid_value")), place)


def _check_file(name: str, size: int, place: str) -> int:
    if not size:
        raise bad_request(f"The file '{name}' is empty.", code="invalid_value", param=place)
    if size > limits.INPUT_FILE_BYTES:
        raise bad_request(
            f"The file '{name}' is too large. Expected at most {limits.INPUT_FILE_BYTES} bytes, but got {size}.",
            code="file_too_large",
            param=place,
        )
    ending = _ending(name)
    if ending not in limits.INPUT_FILE_ENDINGS:
        supported = ", ".join(sorted(limits.INPUT_FILE_ENDINGS))
        raise bad_request(
            f"Invalid input: Expected context stuffing file type to be a supported format: {supported} but got "
            f"{ending or 'none'}.",
            code="unsupported_file",
            param=place,
        )
    return size


def _decoded(url: str, place: str, code: str) -> bytes:
    try:
        return base64.b64decode(url.partition(",")[2], validate=True)
    except binascii.Error:
        raise bad_request(f"Invalid base64 data in '{place}'.", code=code, param=place) from None


# --- Assistants ------------------------------------------------------------------------------------------------------


def check_message(state: State, body: Json, path: str = "") -> None:
    """Refuses images and attachments of a message that could not be read; `body` passed its schema."""
    for index, block in enumerate(body["content"] if isinstance(body["content"], list) else ()):
        place = f"{path}content[{index}]"
        if block["type"] == "image_file":
            check_image(_find(state, block["image_file"]["file_id"]), f"{place}.image_file.file_id")
        elif block["type"] == "image_url" and not block["image_url"]["url"].startswith(("http://", "https://")):
            raise bad_request(
                f"Invalid '{place}.image_url.url'. Expected a valid URL, but got a value with an invalid format.",
                code="invalid_image_url",
                param=f"{place}.image_url.url",
            )
    for attachment in body.get("attachments") or ():
        file = _find(state, attachment["file_id"])
        if any(tool["type"] == "file_search" for tool in attachment.get("tools") or ()):
            check_searchable(file)


def is_searchable(file: File) -> bool:
    """Whether a vector store can take the file in."""
    return _ending(file.filename) in limits.SEARCHABLE_ENDINGS


def check_searchable(file: File) -> None:
    """Refuses a file that a vector store cannot take in."""
    ending = _ending(file.filename)
    if not is_searchable(file):
        raise bad_request(
            f"Files with extensions [{ending or 'none'}] are not supported for retrieval. See "
            "https://platform.openai.com/docs/assistants/tools/file-search/supported-files",
            code="unsupported_file",
        )


def seen_in_message(state: State, message: Message, index: int) -> Iterator[SeenFile]:
    """The images and attachments of a message of a thread; `index` is its place among the messages."""
    for block in message.content:
        if block["type"] == "image_file":
            yield _stored(state, block["image_file"]["file_id"], "image", index)
        elif block["type"] == "image_url":
            yield _linked(block["image_url"]["url"], "image", index)
    for attachment in message.attachments:
        yield _stored(state, attachment["file_id"], "file", index)


def _find(state: State, key: str) -> File:
    if key not in state.files:
        raise not_found("file", key)
    return state.files[key]


def _stored(state: State, key: str, kind: str, message: int | None) -> SeenFile:
    file = state.files.get(key)
    if file is None:
        return SeenFile(key, "", 0, kind, message)
    content = base64.b64decode(file.content) if kind == "image" else b""
    media_type = media_type_of(content) or file.media_type
    return SeenFile(file.filename.rpartition("/")[2], media_type, file.bytes, kind, message)


def _linked(url: str, kind: str, message: int, name: str | None = None) -> SeenFile:
    data = _DATA_URL.match(url)
    if data is None:
        return SeenFile(name or url, "", 0, kind, message)
    content = base64.b64decode(url[data.end() :])
    media_type = (media_type_of(content) if kind == "image" else None) or data.group(1) or ""
    return SeenFile(name or "", media_type, len(content), kind, message)


def _ending(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return f".{ending.lower()}" if dot and stem else ""

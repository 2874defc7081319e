"""Files that the API refuses together with the request that has them: which, and the request without them.

https://platform.openai.com/docs/guides/error-codes; `param` names a part of the request, such as
input[0].content[1].file_id.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bot.backends.failures import FILE_CODES, PICTURE_CODES
from bot.backends.responses.notes import unread
from bot.backends.responses.parameters import Asked

_PLACE = re.compile(r"(?:input|items)\[(\d+)\]\.content\[(\d+)\]")
#: Codes that say nothing: then words count.
_NO_CODES = frozenset({"", "invalid_value", "invalid_request_error", "invalid_type", "unsupported_value"})
_PICTURE = re.compile(r"\bimages?\b|image_url|input_image", re.IGNORECASE)
_FILE = re.compile(r"\bfiles?\b|input_file", re.IGNORECASE)
_WHY = "the model server cannot read it"

_Place = tuple[int, int]


def without_refused(asked: Asked, code: str | None, message: str | None, param: str | None = None) -> Asked | None:
    """What was asked without the files that an error can be about, each named in its message and as unused; None
    where the error is about none of them."""
    gone = {file for file in asked.files if file in (message or "")}
    if gone:  # somebody deleted what an earlier post brought
        return replace(asked, files=[file for file in asked.files if file not in gone])
    blamed = _blamed(asked, code, message, param)
    if not blamed:
        return None
    files = {place: part for place, part in _files(asked.items) if place in blamed}
    problems = {place: f"{asked.names.get(part['file_id'], 'a file')}: {_WHY}" for place, part in files.items()}
    items = [_without(index, item, problems) for index, item in enumerate(asked.items)]
    return replace(asked, items=items, unused=(*asked.unused, *problems.values()), refused=True)


def _blamed(asked: Asked, code: str | None, message: str | None, param: str | None) -> set[_Place]:
    files = dict(_files(asked.items))
    named = _PLACE.search(param or "")
    if named and not asked.refused and (place := (int(named[1]), int(named[2]))) in files:
        return {place}
    # Refused once more, or not named: any of its kind, so that a few requests are enough.
    kinds = _kinds(str(code or ""), message or "")
    if named and asked.refused and not kinds:
        kinds = {"input_image", "input_file"}
    return {place for place, part in files.items() if part["type"] in kinds}


def _kinds(code: str, message: str) -> set[str]:
    silent = code in _NO_CODES
    kinds = set()
    if code in PICTURE_CODES | FILE_CODES or (silent and _PICTURE.search(message)):
        kinds.add("input_image")
    if code in FILE_CODES or (silent and _FILE.search(message)):
        kinds.add("input_file")
    return kinds


def _files(items: Sequence[Any]) -> Iterator[tuple[_Place, Mapping[str, Any]]]:
    """The parts of items that are files, by their places."""
    for index, item in enumerate(items):
        content = item.get("content")
        for number, part in enumerate(content if isinstance(content, list) else ()):
            if part["type"] in ("input_image", "input_file"):
                yield (index, number), part


def _without(index: int, item: Any, problems: Mapping[_Place, str]) -> Any:
    gone = {place: problem for place, problem in problems.items() if place[0] == index}
    if not gone:
        return item
    said, *parts = [part for number, part in enumerate(item["content"]) if (index, number) not in gone]
    text = "\n\n".join([said["text"], *map(unread, gone.values())])
    return {**item, "content": [{**said, "text": text}, *parts]}

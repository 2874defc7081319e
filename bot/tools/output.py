"""What a model is told of a call: text, of a bearable length."""

import json
from typing import Any

from pydantic_core import to_jsonable_python

#: Characters of one call's output. More would crowd everything else out of the model's context.
OUTPUT_LIMIT = 100_000


def as_text(value: Any, limit: int = OUTPUT_LIMIT) -> str:
    """A tool's result as the model reads it: text as it is, anything else as JSON, at most `limit` characters.

    Raises ValueError or TypeError for what cannot be written as JSON.
    """
    if value is None:
        return "Done."
    return cut(value if isinstance(value, str) else _as_json(value, limit), limit)


def cut(text: str, limit: int = OUTPUT_LIMIT) -> str:
    """At most `limit` characters of a text, and a word to the model where some are missing."""
    if len(text) > limit:
        note = f"\n[Cut: the output is longer; these are its first {limit:,} characters.]"
        text = text[: max(limit - len(note), 0)] + note
    # Half a surrogate pair cannot be sent to anybody.
    return text.encode("utf-8", "replace").decode("utf-8")


def _as_json(value: Any, limit: int) -> str:
    """JSON until there is enough of it: a result of many megabytes is not written out in full only to be cut."""
    pieces: list[str] = []
    length = 0
    for piece in json.JSONEncoder(ensure_ascii=False, default=_jsonable).iterencode(value):
        pieces.append(piece)
        length += len(piece)
        if length > limit:
            break
    return "".join(pieces)


def _jsonable(value: Any) -> Any:
    """Dates, models, dataclasses and the like as JSON knows them."""
    return to_jsonable_python(value, fallback=str, bytes_mode="base64")

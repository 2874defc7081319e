"""Assistant objects as people saved them from the old Assistants API: one, a list, pages of a list, one a line.

https://platform.openai.com/docs/api-reference/assistants/list
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.errors import BobbinError

_SPACE = re.compile(r"\s*")
#: Of what a server said, in a line.
_SAID_LIMIT = 300


@dataclass(frozen=True, slots=True)
class Saved:
    """Assistant objects as they were saved, and a line for each entry that is none. `cut_after` is the id of the last
    one where the API had more of them, and empty where it did not say which that is; None where these are all."""

    objects: Sequence[Mapping[str, Any]]
    foreign: tuple[str, ...] = ()
    cut_after: str | None = None


def read_objects(file: Path) -> Saved:
    """The assistant objects that a file holds. Raises BobbinError."""
    try:
        # Some programs put a byte order mark in front.
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BobbinError(f"{file} is not UTF-8.") from error
    except OSError as error:
        raise BobbinError(f"{file} cannot be read ({(error.strerror or '').lower()}).") from error
    return assistants_in(text, str(file))


def assistants_in(text: str, source: str) -> Saved:
    """The assistant objects in a JSON text, or in several one after the other (JSONL). Raises BobbinError where there
    is none."""
    pages: list[Mapping[str, Any]] = []
    known: dict[str, Any] = {}
    objects, foreign = [], []
    for place, entry in enumerate(_entries(_values(text, source), pages), 1):
        number = id_of(entry)
        if problem := _problem(entry):
            foreign.append(f"{source}: entry {place} {problem}.")
        elif number and number in known:
            # Pages overlap where something was added in between.
            if entry != known[number]:
                foreign.append(f"{source}: entry {place} has the id of an earlier one ({number}), and is not the same.")
        else:
            objects.append(entry)
            known[number] = entry
    if not objects:
        raise BobbinError(foreign[0] if foreign else f"{source} holds no assistant.")
    return Saved(objects, tuple(foreign), _cut_after(pages))


def id_of(entry: Any) -> str:
    """The id of what may be anything; empty where it has none that is one word."""
    number = entry.get("id") if isinstance(entry, Mapping) else None
    return number if isinstance(number, str) and re.fullmatch(r"[\x21-\x7e]{1,200}", number) else ""


def _values(text: str, source: str) -> Iterator[Any]:
    at, decoder = _end_of_space(text, 0), json.JSONDecoder()
    while at < len(text):
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise BobbinError(f"{source} is not JSON: {error}.") from error
        yield value
        at = _end_of_space(text, at)


def _end_of_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _entries(values: Iterator[Any], pages: list[Mapping[str, Any]]) -> Iterator[Any]:
    """What lists and pages of lists hold, in its order; the pages are noted."""
    for value in values:
        waiting = [value]
        while waiting:
            each = waiting.pop()
            if isinstance(each, Mapping) and isinstance(each.get("data"), list):
                pages.append(each)
                waiting += reversed(each["data"])
            elif isinstance(each, list):
                waiting += reversed(each)
            else:
                yield each


def _problem(entry: Any) -> str | None:
    """Why an entry is no assistant; None where it is one."""
    if not isinstance(entry, Mapping):
        return "is no assistant; an assistant is an object that has a model"
    if "error" in entry:
        error = entry["error"]
        said = error.get("message") if isinstance(error, Mapping) else error
        words = " ".join(str(said).split())[:_SAID_LIMIT].rstrip(".")
        return f"is no assistant, but what a server answered in its place: {words}"
    if entry.get("object") not in (None, "assistant"):
        return "is no assistant; its `object` is something else"
    if not isinstance(entry.get("model"), str) or not entry["model"].strip():
        return "is no assistant; an assistant has a model"
    return None


def _cut_after(pages: Sequence[Mapping[str, Any]]) -> str | None:
    """Where the last page ends; None where one of them says that nothing comes after it."""
    if not pages or any(page.get("has_more") is not True for page in pages):
        return None
    last = pages[-1]
    return id_of({"id": last.get("last_id")}) or (id_of(last["data"][-1]) if last["data"] else "")

"""Fields of the SDK's objects. It checks nothing that a server sends: each may be missing, null, or something else."""

import json
from collections.abc import Mapping
from typing import Any


def field(holder: object, *path: str) -> Any:
    """What is at the end of a path of fields; None where there is no such path."""
    for name in path:
        # What the SDK does not know it leaves as JSON.
        holder = holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
    return holder


def words(holder: object, *path: str) -> str:
    """The text at the end of a path; empty where there is none."""
    found = field(holder, *path)
    return found if isinstance(found, str) else ""


def listed(holder: object, *path: str) -> list[Any]:
    """The list at the end of a path; empty where there is none."""
    found = field(holder, *path)
    return found if isinstance(found, list) else []


def arguments(holder: object, *path: str) -> str:
    """The arguments of a call, as JSON: compatible servers send objects, or leave out what is empty."""
    found = field(holder, *path)
    if isinstance(found, str):
        return found or "{}"
    return json.dumps({} if found is None else plain(found), ensure_ascii=False)


def plain(value: Any) -> Any:
    """An object of the SDK's as JSON has it."""
    return value.to_dict() if hasattr(value, "to_dict") else value

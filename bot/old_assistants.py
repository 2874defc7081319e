"""Assistant objects that were saved from the old Assistants API, as files of ours.

https://platform.openai.com/docs/api-reference/assistants/object
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from bot.engine.assistant_files import parse_assistant
from bot.errors import AssistantFileError, BobbinError

#: Models that OpenAI has switched off or soon will, and what it names instead
#: (https://platform.openai.com/docs/deprecations).
_RETIRED = {
    "gpt-3.5": "gpt-6-luna",
    "gpt-4-turbo": "gpt-6.1-terra",
    "gpt-4o": "gpt-6-luna",
    "gpt-4.1": "gpt-6-luna",
    "gpt-4": "gpt-6.1-terra",
    "gpt-5": "gpt-6.1-terra",
    "o1": "gpt-6.2-sol",
    "o3": "gpt-6.2-sol",
    "o4-mini": "gpt-6.1-terra",
}
_STILL_THERE = re.compile(r"^gpt-5\.[4-9]")
_HOSTED = ("code_interpreter", "file_search")
_KEY = 60


@dataclass(frozen=True, slots=True)
class Imported:
    """One assistant: its key, its file's text, and what does not carry over, a line each."""

    key: str
    text: str
    losses: tuple[str, ...]


def assistants_in(text: str, source: str) -> list[Mapping[str, Any]]:
    """The assistant objects in a JSON text: one, a list of them, or the API's list answer. Raises BobbinError."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BobbinError(f"{source} is not JSON: {error}.") from error
    if isinstance(found, Mapping) and isinstance(found.get("data"), list):
        found = found["data"]
    objects = found if isinstance(found, list) else [found]
    for place, each in enumerate(objects, 1):
        if not isinstance(each, Mapping) or not isinstance(each.get("model"), str) or not each["model"].strip():
            raise BobbinError(f"{source}: entry {place} is no assistant; an assistant has a model.")
    if not objects:
        raise BobbinError(f"{source} holds no assistant.")
    return objects


def imported(objects: Sequence[Mapping[str, Any]]) -> Iterator[Imported]:
    """Each object as a file, under a key of its own."""
    taken: set[str] = set()
    for each in objects:
        key = _free(_slug(_words(each.get("name")) or "assistant"), taken)
        taken.add(key)
        yield _imported(key, each)


def _imported(key: str, old: Mapping[str, Any]) -> Imported:
    losses = list(_losses(old))
    front: dict[str, Any] = {"name": _words(old.get("name"))[:256] or key}
    if description := _words(old.get("description"))[:512]:
        front["description"] = description
    front["model"] = _model(str(old["model"]).strip())
    if tools := [name for name in _HOSTED if any(_type(tool) == name for tool in _tools(old))]:
        front["tools"] = tools
    front |= {name: value for name, low, high in _NUMBERS if (value := _number(old.get(name), low, high)) is not None}
    if old.get("reasoning_effort") in ("none", "minimal", "low", "medium", "high", "xhigh", "max"):
        front["reasoning_effort"] = old["reasoning_effort"]
    wanted = _format(old.get("response_format"))
    if wanted is not None:
        front["response_format"] = wanted
    instructions = _clean(str(old.get("instructions") or "")).strip()
    if not instructions:
        instructions = "You are a helpful assistant."
        losses.append("it had no instructions; a general line stands in their place")
    header = yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=100)
    text = f"---\n{header}---\n{instructions}\n"
    try:
        parse_assistant(key, text, key)
    except AssistantFileError as error:
        raise BobbinError(f"{front['name']}: cannot be carried over ({error.sentence}).") from error
    return Imported(key, text, tuple(losses))


#: Settings that are numbers, and what they may be; what is OpenAI's own default is left out.
_NUMBERS = (("temperature", 0, 2), ("top_p", 0, 1))


def _losses(old: Mapping[str, Any]) -> Iterator[str]:
    """What an object has that a file cannot say."""
    model = str(old["model"])
    if _model(model.strip()) != model.strip():
        yield f"model {model} is retired; {_model(model.strip())} stands in its place"
    for tool in _tools(old):
        if _type(tool) == "function":
            function = tool.get("function")
            name = function.get("name") if isinstance(function, Mapping) else None
            yield f"function {name or 'without a name'}: write it as a Python function (docs/tools.md) and add its name"
        elif _type(tool) not in _HOSTED:
            yield f"tool {_type(tool) or 'without a type'} is not known here"
    resources = old.get("tool_resources")
    for name, resource in resources.items() if isinstance(resources, Mapping) else ():
        if resource:
            yield f"{name}: its files stayed at OpenAI; download them and name them under files"
    if old.get("metadata"):
        yield "metadata is not kept"
    if old.get("response_format") not in (None, "auto") and _format(old.get("response_format")) is None:
        yield "response_format cannot be written here"


def _model(name: str) -> str:
    if _STILL_THERE.match(name):
        return name
    return next((new for old, new in _RETIRED.items() if name == old or name.startswith(f"{old}-")), name)


def _format(old: Any) -> Any:
    kind = old.get("type") if isinstance(old, Mapping) else old
    if kind in ("text", "json_object"):
        return None if kind == "text" else kind
    schema = old.get("json_schema") if isinstance(old, Mapping) else None
    if kind != "json_schema" or not isinstance(schema, Mapping) or not isinstance(schema.get("schema"), Mapping):
        return None
    name = str(schema.get("name") or "")
    return {"name": name, "schema": schema["schema"]} if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) else None


def _tools(old: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    tools = old.get("tools")
    return [tool for tool in tools if isinstance(tool, Mapping)] if isinstance(tools, list) else []


def _type(tool: Mapping[str, Any]) -> str:
    return str(tool.get("type") or "")


def _number(value: Any, low: float, high: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high or value == 1:
        return None
    return float(value)


def _words(value: Any) -> str:
    """One line of what may be anything."""
    return " ".join(_clean(value).split()) if isinstance(value, str) else ""


def _clean(text: str) -> str:
    """Without what YAML and a text file cannot hold."""
    kept = (each for each in text if each in "\n\t" or unicodedata.category(each) not in ("Cc", "Cs", "Cn", "Co"))
    return "".join(kept).replace("\ufeff", "").replace("\u2028", "\n").replace("\u2029", "\n").replace("\x85", "\n")


def _slug(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_KEY].strip("-") or "assistant"


def _free(key: str, taken: set[str]) -> str:
    number, free = 2, key
    while free in taken:
        free, number = f"{key}-{number}", number + 1
    return free

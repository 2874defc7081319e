"""Assistant objects that were saved from the old Assistants API, as files of ours.

https://platform.openai.com/docs/api-reference/assistants/object
"""

import itertools
import re
import unicodedata
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from bot.engine.assistant_files import parse_assistant
from bot.errors import AssistantFileError, BobbinError
from bot.old_objects import id_of
from bot.retired_models import may_refuse_sampling, retirement

#: Hosted tools by their names in the API; `retrieval` is what its first version called file search.
_HOSTED = {"code_interpreter": "code_interpreter", "file_search": "file_search", "retrieval": "file_search"}
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
#: Settings that are numbers, and what they may be.
_NUMBERS = {"temperature": (0, 2), "top_p": (0, 1)}
#: What OpenAI itself takes where a number is not set: left out of a file, because models differ in what they accept.
_USUAL_NUMBER = 1
#: What a file says, or what says nothing about how an assistant answers.
_KNOWN = frozenset(
    {"id", "object", "created_at", "name", "description", "model", "instructions", "tools", "tool_resources"}
    | {"file_ids", "metadata", "response_format", "reasoning_effort", *_NUMBERS}
)
#: What a file may have of them, in characters; the old API's own limits.
_NAME_LIMIT, _DESCRIPTION_LIMIT = 256, 512
#: The line of a file that says which assistant it was; so it is known again when it is imported once more.
_WAS = re.compile(r"# was (\S+) in the Assistants API")
#: In the place of an old id: a key that was given away in this import.
_TAKEN = " "
#: Of a file's name; what else it has is its ending, and a number where two are called the same.
_KEY_LIMIT = 60


@dataclass(frozen=True, slots=True)
class Imported:
    """One assistant: its key, its file's text, what does not carry over, and what is good to know, a line each."""

    key: str
    text: str
    losses: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Import:
    """What became of assistant objects: those that are files now, and a line for each that no file can hold."""

    made: tuple[Imported, ...]
    refused: tuple[str, ...] = ()


def old_ids(folder: Path) -> Mapping[str, str]:
    """The keys of the files in a folder, each with the old id of its assistant; empty where it has none."""
    return {path.stem.lower(): _old_id(path) for path in folder.glob("*.md")}


def _old_id(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # what cannot be read is nothing that was imported, and is not touched
        return ""
    header = itertools.takewhile(lambda line: line.rstrip() != "---", lines[1:])
    return next((found[1] for line in header if (found := _WAS.fullmatch(line.rstrip()))), "")


def imported(
    objects: Sequence[Mapping[str, Any]], today: date, there: Mapping[str, str] = MappingProxyType({})
) -> Import:
    """Each object as a file, under a key of its own: that of its file where it was imported before, else a free one.
    `there` are the keys that are taken, with their old ids. An object that no file can hold is not in the way of the
    others."""
    made: list[Imported] = []
    refused: list[str] = []
    taken = dict(there)
    for each in objects:
        key = _key(each, taken)
        try:
            made.append(_imported(key, each, today))
        except AssistantFileError as error:
            refused += (error.sentence, *error.more)
        else:
            taken[key] = _TAKEN
    return Import(tuple(made), tuple(refused))


def _key(old: Mapping[str, Any], taken: Mapping[str, str]) -> str:
    number, slug = id_of(old), _slug(_words(old.get("name")))
    own = next((key for key, other in taken.items() if number and other == number), None)
    if own is not None:
        return own
    # Without an id nothing tells two of one name apart; then it may be the same.
    return slug if not number and taken.get(slug) == "" else _free(slug, taken)


def write_files(made: Sequence[Imported], folder: Path, *, force: bool) -> list[Path]:
    """Write each into the folder; their files, in the same order. Raises BobbinError, before anything is written
    where one would overwrite what is there without `force`."""
    # A key is the same in upper and lower case.
    there = {path.stem.lower(): path for path in sorted(folder.glob("*.md"))}
    targets = [there.get(each.key, folder / f"{each.key}.md") for each in made]
    for target in targets:
        if not force and (target.exists() or target.is_symlink()):
            raise BobbinError(f"{target} is there already; --force overwrites, --into names another folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for each, target in zip(made, targets, strict=True):
            target.write_text(each.text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise BobbinError(f"{folder} cannot be written to ({(error.strerror or '').lower()}).") from error
    return targets


def _imported(key: str, old: Mapping[str, Any], today: date) -> Imported:
    """Raises AssistantFileError where no file can hold it."""
    model = _model(old, today)
    losses = list(_losses(old, model))
    instructions = _clean(old.get("instructions")).strip()
    if not instructions:
        instructions = "You are a helpful assistant."
        losses.append("it had no instructions; a general line stands in their place")
    name, number = _words(old.get("name"))[:_NAME_LIMIT], id_of(old)
    was = f"# was {number} in the Assistants API\n" if number else ""
    text = f"---\n{was}{_header(key, old, model)}---\n{instructions}\n"
    parse_assistant(key, text, f"{name or key} ({number})" if number else name or key)
    return Imported(key, text, tuple(losses), tuple(_notes(model)))


def _header(key: str, old: Mapping[str, Any], model: str) -> str:
    settings: dict[str, Any] = {
        "name": _words(old.get("name"))[:_NAME_LIMIT] or key,
        "description": _words(old.get("description"))[:_DESCRIPTION_LIMIT],
        "model": model,
        "tools": list(dict.fromkeys(_HOSTED[_type(tool)] for tool in _tools(old) if _type(tool) in _HOSTED)),
        **{name: _kept_number(name, old, model) for name in _NUMBERS},
        "reasoning_effort": _effort(old.get("reasoning_effort")),
        "response_format": _format(old.get("response_format")),
    }
    said = {name: value for name, value in settings.items() if value not in (None, "", [], _USUAL_NUMBER)}
    return yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=100)


# What is lost


def _losses(old: Mapping[str, Any], model: str) -> Iterator[str]:
    """What an object has that its file, which has this model, does not say."""
    for name, limit in (("name", _NAME_LIMIT), ("description", _DESCRIPTION_LIMIT)):
        yield from _text_losses(name, old.get(name), limit)
    if model != _words(old["model"]) and (end := retirement(_words(old["model"]))):
        yield f"model {_words(old['model'])} (at OpenAI until {end.until}): {model} stands in its place"
    yield from _odd_tools(old.get("tools"))
    for tool in _tools(old):
        yield from _tool_losses(tool)
    yield from _file_losses(old)
    if old.get("metadata"):
        yield "metadata is not kept"
    if old.get("reasoning_effort") is not None and _effort(old["reasoning_effort"]) is None:
        yield "reasoning_effort is nothing that can be used"
    for name in _NUMBERS:
        yield from _number_losses(name, old, model)
    yield from _format_losses(old.get("response_format"))
    for name, value in old.items():
        if name not in _KNOWN and value not in (None, "", [], {}):
            yield f"{_words(name)[:60]} is not known here"


def _text_losses(name: str, value: Any, limit: int) -> Iterator[str]:
    if value is not None and not isinstance(value, str):
        yield f"{name} is nothing that can be used"
    elif len(_words(value)) > limit:
        yield f"{name}: only its first {limit} characters are kept, of {len(_words(value))}"


def _odd_tools(tools: Any) -> Iterator[str]:
    """What stands among the tools, or in their place, and is none."""
    if isinstance(tools, list):
        for place, tool in enumerate(tools, 1):
            if not isinstance(tool, Mapping):
                yield f"tools: entry {place} is no tool"
    elif tools is not None:
        yield "tools is nothing that can be used"


def _number_losses(name: str, old: Mapping[str, Any], model: str) -> Iterator[str]:
    value = _number(name, old.get(name))
    if old.get(name) is not None and value is None:
        yield f"{name} is nothing that can be used"
    elif value not in (None, _USUAL_NUMBER, _kept_number(name, old, model)):
        yield f"{name} {value:g} is left out, because {model} may refuse it"


def _tool_losses(tool: Mapping[str, Any]) -> Iterator[str]:
    kind = _type(tool)
    if kind == "function":
        function = tool.get("function")
        name = _words(function.get("name")) if isinstance(function, Mapping) else ""
        yield f"function {name or 'without a name'}: write it in Python (docs/tools.md), and add its name to tools"
    elif kind not in _HOSTED:
        yield f"tool {_words(kind)[:60] or 'without a type'} is not known here"
    elif tool.get(kind):
        yield f"{kind}: its options ({_names(tool[kind])}) are not kept"


def _file_losses(old: Mapping[str, Any]) -> Iterator[str]:
    """Ids of files and stores mean nothing outside of the old API: their files have to be given again."""
    resources = old.get("tool_resources")
    if resources is not None and not isinstance(resources, Mapping):
        yield "tool_resources is nothing that can be used"
    resources = resources if isinstance(resources, Mapping) else {}
    code = _part(resources.get("code_interpreter"), "file_ids")
    search = _part(resources.get("file_search"), "vector_store_ids")
    if code:
        yield f"code_interpreter: its files ({_names(code)}) stayed at OpenAI; people can post them in the thread"
    if search:
        yield (
            f"file_search: its vector stores ({_names(search)}) stayed at OpenAI; put their files beside this one, and "
            "name them under files"
        )
    if old.get("file_ids"):
        yield (
            f"files ({_names(old['file_ids'])}) stayed at OpenAI; for file_search, put them beside this one, and name "
            "them under files"
        )


def _part(resource: Any, name: str) -> Any:
    return resource.get(name) if isinstance(resource, Mapping) else resource


def _format_losses(old: Any) -> Iterator[str]:
    """`auto` and text are how an assistant answers anyway."""
    if old in (None, "auto") or _kind(old) == "text":
        return
    written = _format(old)
    if written is None:
        yield "response_format cannot be written here"
    elif isinstance(written, Mapping):
        rest = {name for name, value in old["json_schema"].items() if value and name not in written}
        if rest:
            yield f"response_format: {_names(sorted(rest))} of its schema is not kept"


def _names(value: Any) -> str:
    """What a list or an object has, for a line."""
    parts = list(value) if isinstance(value, list | Mapping) else [value]
    return ", ".join(_words(each) or "?" for each in parts[:20])[:500] + (", …" if len(parts) > 20 else "")


def _notes(model: str) -> Iterator[str]:
    if end := retirement(model):
        yield (
            f"model {model} is at OpenAI until {end.until}; with fallback_models: [{end.successor}] that one answers "
            "from then on"
        )


# What is kept


def _model(old: Mapping[str, Any], today: date) -> str:
    """An object's model, or what stands in its place where it has ended."""
    model = _words(old["model"])
    end = retirement(model)
    return end.successor if end and end.is_over(today) else model


def _kept_number(name: str, old: Mapping[str, Any], model: str) -> float | None:
    """A number as a file says it. None where it says nothing, cannot, or had better not."""
    return None if may_refuse_sampling(model) else _number(name, old.get(name))


def _kind(old: Any) -> Any:
    return old.get("type") if isinstance(old, Mapping) else old


def _format(old: Any) -> Any:
    """A response format as a file says it. None where it says nothing, or cannot."""
    if _kind(old) == "json_object":
        return "json_object"
    schema = old.get("json_schema") if isinstance(old, Mapping) else None
    if _kind(old) != "json_schema" or not isinstance(schema, Mapping) or not isinstance(schema.get("schema"), Mapping):
        return None
    kinds = {"name": str, "description": str, "schema": Mapping, "strict": bool}
    written = {name: schema[name] for name, kind in kinds.items() if isinstance(schema.get(name), kind)}
    return written if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", written.get("name", "")) and _comes_back(written) else None


def _comes_back(value: Any) -> bool:
    """Whether YAML can hold it: not half a character, nor what is nested beyond all bounds."""
    try:
        return bool(yaml.safe_load(yaml.safe_dump(value, allow_unicode=True)) == value)
    except (yaml.YAMLError, ValueError, RecursionError):
        return False


def _effort(value: Any) -> str | None:
    return value if isinstance(value, str) and value in _EFFORTS else None


def _number(name: str, value: Any) -> float | None:
    low, high = _NUMBERS[name]
    fits = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    return float(value) if fits else None


def _tools(old: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    tools = old.get("tools")
    return [tool for tool in tools if isinstance(tool, Mapping)] if isinstance(tools, list) else []


def _type(tool: Mapping[str, Any]) -> str:
    kind = tool.get("type")
    return kind if isinstance(kind, str) else ""


def _words(value: Any) -> str:
    """One line of what may be anything."""
    return " ".join(_clean(value).split()) if isinstance(value, str) else ""


def _clean(value: Any) -> str:
    """A text without what a text file cannot hold: halves of characters, and control characters."""
    if not isinstance(value, str):
        return ""
    text = re.sub(r"\r\n?", "\n", value)
    return "".join(each for each in text if each in "\n\t" or unicodedata.category(each) not in ("Cc", "Cs"))


def _slug(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_KEY_LIMIT].strip("-") or "assistant"


def _free(key: str, taken: Container[str]) -> str:
    number, free = 2, key
    while free in taken:
        free, number = f"{key}-{number}", number + 1
    return free

"""The assistants: Markdown files that people review, and which of them answers where.

A file is YAML front matter between two lines of three dashes, then the instructions. The key is its name.
"""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.engine.ports import Assistant, Scope, SuggestedPrompt, Thread
from bot.errors import AssistantFileError, CommandError

_FENCE = "---"
#: The Assistants API's limit for instructions (https://platform.openai.com/docs/api-reference/assistants).
_INSTRUCTIONS_LIMIT = 256_000


class _Prompt(BaseModel):
    model_config = ConfigDict(extra="forbid")
    title: str = Field(min_length=1, max_length=75)
    message: str = Field(min_length=1, max_length=3000)


class _FrontMatter(BaseModel):
    """What a file may say above its instructions."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: str = Field(min_length=1, max_length=256)
    description: str = Field(default="", max_length=512)
    model: str = Field(min_length=1)
    tools: list[Literal["code_interpreter"]] = []
    temperature: float | None = Field(default=None, ge=0, le=2)
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    #: Slack shows four (https://docs.slack.dev/reference/app-manifest).
    suggested_prompts: list[_Prompt] = Field(default=[], max_length=4)
    icon: str | None = Field(default=None, pattern=r"^:[a-z0-9_+'-]+:$")


class Assistants:
    """The definitions at hand, and the rule for who answers."""

    def __init__(self, assistants: Iterable[Assistant], default: str) -> None:
        self._by_key = {assistant.key: assistant for assistant in assistants}
        self.default = self.get(default)

    def __iter__(self) -> Iterable[Assistant]:
        return iter(self._by_key.values())

    def all(self) -> tuple[Assistant, ...]:
        return tuple(self._by_key.values())

    def get(self, key: str) -> Assistant:
        """The assistant with this key. Raises CommandError that names the nearest one."""
        found = self._by_key.get(key.lower())
        if found is None:
            raise CommandError(f"There is no assistant `{key}`. {self._nearest(key)}")
        return found

    def knows(self, key: str) -> bool:
        return key.lower() in self._by_key

    def who_answers(self, thread: Thread | None, choices: Mapping[Scope, str]) -> Assistant:
        """The thread's own choice, else the person's, the channel's, the workspace's, else the default.

        A choice whose file is gone is passed over: an assistant that was deleted must not silence a thread.
        """
        own = thread.assistant if thread else None
        for key in (own, *(choices.get(scope) for scope in (Scope.PERSON, Scope.CHANNEL, Scope.WORKSPACE))):
            if key and self.knows(key):
                return self.get(key)
        return self.default

    def _nearest(self, key: str) -> str:
        names = {assistant.name.lower(): assistant.key for assistant in self._by_key.values()}
        close = difflib.get_close_matches(key.lower(), [*self._by_key, *names], n=1, cutoff=0.4)
        if close:
            return f"Did you mean `{names.get(close[0], close[0])}`?"
        return "There are: " + ", ".join(f"`{known}`" for known in self._by_key) + "."


def load_assistants(folder: Path, default: str | None) -> Assistants:
    """Read every `*.md` of a folder.

    `default` is the key that answers where nothing was chosen; without one, `general`, else the first file.
    Raises AssistantFileError naming file, line and mistake.
    """
    if not folder.is_dir():
        raise AssistantFileError(
            f"BOBBIN_ASSISTANTS: there is no folder {folder}; point it at a folder of *.md definitions."
        )
    assistants = [_load(path) for path in sorted(folder.glob("*.md"))]
    if not assistants:
        raise AssistantFileError(f"BOBBIN_ASSISTANTS: {folder} holds no *.md definition; put one there.")
    keys = [assistant.key for assistant in assistants]
    chosen = default or ("general" if "general" in keys else keys[0])
    try:
        return Assistants(assistants, chosen)
    except CommandError as error:
        raise AssistantFileError(f"BOBBIN_DEFAULT_ASSISTANT: {error.sentence}") from error


def _load(path: Path) -> Assistant:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AssistantFileError(f"{path}: cannot be read ({error}).") from error
    return parse_assistant(path.stem, text, str(path))


def parse_assistant(key: str, text: str, source: str) -> Assistant:
    """An assistant from a definition's text. `source` names it in errors (AssistantFileError, with the line)."""
    header, body = _split(text, source)
    node, values = _parse_yaml(header, source)
    try:
        front = _FrontMatter.model_validate(values)
    except ValidationError as error:
        _refuse(error, node, source)
    instructions = body.strip()
    if not instructions:
        raise AssistantFileError(f"{source}: the instructions below the second --- are empty.")
    if len(instructions) > _INSTRUCTIONS_LIMIT:
        raise AssistantFileError(
            f"{source}: the instructions have {len(instructions):,} characters; {_INSTRUCTIONS_LIMIT:,} are allowed."
        )
    return Assistant(
        key=key.lower(),
        name=front.name,
        instructions=instructions,
        model=front.model,
        description=front.description,
        tools=tuple(front.tools),
        temperature=front.temperature,
        reasoning_effort=front.reasoning_effort,
        suggested_prompts=tuple(SuggestedPrompt(p.title, p.message) for p in front.suggested_prompts),
        icon=front.icon,
    )


def _split(text: str, source: str) -> tuple[str, str]:
    lines = text.removeprefix("\ufeff").splitlines(keepends=True)
    if not lines or lines[0].rstrip() != _FENCE:
        raise AssistantFileError(f"{source}, line 1: a definition starts with --- and its settings.")
    for number, line in enumerate(lines[1:], start=1):
        if line.rstrip() == _FENCE:
            return "".join(lines[1:number]), "".join(lines[number + 1 :])
    raise AssistantFileError(f"{source}, line {len(lines)}: the settings are not closed by a second ---.")


def _parse_yaml(header: str, source: str) -> tuple[yaml.MappingNode, Any]:
    """The settings twice: as nodes, which know their lines, and as values."""
    loader = yaml.SafeLoader(header)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise AssistantFileError(f"{source}, line 2: expected settings such as `name: Math tutor`.")
        return node, loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = _file_line(mark.line) if mark else 2
        raise AssistantFileError(f"{source}, line {line}: {error.problem or 'not YAML'}.") from error
    except yaml.YAMLError as error:
        raise AssistantFileError(f"{source}: {' '.join(str(error).split())}.") from error
    finally:
        loader.dispose()


def _refuse(error: ValidationError, node: yaml.MappingNode, source: str) -> NoReturn:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    raise AssistantFileError(
        f"{source}, line {_line_of(first['loc'], node)}: {where}: {first['msg'].lower()}."
    ) from error


def _line_of(location: tuple[int | str, ...], node: yaml.Node) -> int:
    """The line in the file of the deepest part of a setting that is there."""
    line = node.start_mark.line
    for part in location:
        child = _child(node, part)
        if child is None:
            break
        node, line = child
    return _file_line(line)


def _child(node: yaml.Node, part: int | str) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return value, key.start_mark.line
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part].start_mark.line
    return None


def _file_line(line: int) -> int:
    """YAML counts from 0, below the first dashes; people count from 1, from the top of the file."""
    return line + 2

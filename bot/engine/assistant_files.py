"""Assistants' files, that people review: YAML front matter between two lines of three dashes, then the instructions.

The key is the file's name.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError
from pydantic_core import PydanticCustomError

from bot.engine.file_mistakes import broken_yaml, file_line, line_of, name_of, one_line, wrong_settings
from bot.engine.ports import Assistant, HostedMcp, SuggestedPrompt
from bot.errors import AssistantFileError

#: Tools that the model's provider runs; every other name is a function tool's.
HOSTED_TOOLS = frozenset({"code_interpreter", "file_search", "web_search", "image_generation"})

#: What `tool_choice` may say instead of a tool's name.
_CHOICES = ("auto", "none", "required")
_FENCE = "---"
#: The Assistants API's limit for instructions (https://platform.openai.com/docs/api-reference/assistants).
_INSTRUCTIONS_LIMIT = 256_000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """What may be said, as it is written in a file."""
        return tuple(field.alias or name for name, field in cls.model_fields.items())


class _Prompt(_Strict):
    title: str = Field(min_length=1, max_length=75)
    message: str = Field(min_length=1, max_length=3000)


class _HostedMcp(_Strict):
    label: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")
    url: str = Field(pattern=r"^https?://[^\s/]+")
    allowed_tools: list[str] = []
    approval: bool = True
    authorization: str | None = Field(default=None, pattern=r"^\$\{[A-Za-z_][A-Za-z0-9_]*\}$")


def _json(value: dict[str, Any]) -> dict[str, Any]:
    """YAML holds more than JSON does: dates, bytes, sets, what contains itself."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise PydanticCustomError("json", "it is not JSON") from error
    return value


def _line(value: str) -> str:
    """It is told in lines of its own, so it must not break them."""
    if value.splitlines() != [value] or not value.strip():
        raise PydanticCustomError("line", "it has to be one line that is not blank")
    return value


class _JsonSchema(_Strict):
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    description: str | None = None
    schema_: Annotated[dict[str, Any], AfterValidator(_json)] = Field(alias="schema")
    strict: bool | None = None


#: With a tag, so that a mistake is told of the form that was meant, and not of each.
_Format = Annotated[
    Annotated[Literal["text", "json_object"], Tag("word")] | Annotated[_JsonSchema, Tag("schema")],
    Discriminator(lambda value: "schema" if isinstance(value, dict | _JsonSchema) else "word"),
]
_Line = Annotated[str, AfterValidator(_line)]
_Name = Annotated[_Line, Field(max_length=128)]


class _FrontMatter(_Strict):
    """What a file may say above its instructions."""

    name: _Line = Field(max_length=256)
    description: str = Field(default="", max_length=512)
    model: _Line
    tools: list[_Name] = Field(default=[], max_length=100)
    optional_tools: list[_Name] = []
    files: list[_Name] = Field(default=[], max_length=1000)
    mcp_servers: list[_Name] = []
    hosted_mcp: list[_HostedMcp] = []
    approval: list[_Name] = []
    approvers: list[Annotated[str, Field(pattern=r"^[UW][A-Z0-9]+$")]] = []
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    reasoning_summary: bool = False
    response_format: _Format | None = None
    tool_choice: _Name | None = None
    max_output_tokens: int | None = Field(default=None, ge=16)
    truncation: Literal["auto", "disabled"] | None = None
    fallback_models: list[_Name] = []
    moderation: bool = False
    #: Slack shows four (https://docs.slack.dev/reference/app-manifest).
    suggested_prompts: list[_Prompt] = Field(default=[], max_length=4)
    icon: str | None = Field(default=None, pattern=r"^:[a-z0-9_+'-]+:$")


#: The names that may stand at the top of a file, and in each setting that has names of its own.
_KNOWN = {
    "": _FrontMatter.names(),
    "hosted_mcp": _HostedMcp.names(),
    "response_format": _JsonSchema.names(),
    "suggested_prompts": _Prompt.names(),
}


def definitions(folder: Path) -> list[Path]:
    """The files of a folder that define assistants. What begins with a dot is an editor's or an archive's own."""
    return [path for path in sorted(folder.glob("*.md")) if not path.name.startswith(".")]


def read_assistant(path: Path) -> Assistant:
    """The assistant that a file defines, with the files that it names. Raises AssistantFileError, with all mistakes
    that can be seen at once."""
    try:
        content = path.read_bytes()
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise AssistantFileError(f"{path}, line {line}: is not UTF-8; save the file in that encoding.") from error
    except OSError as error:
        raise AssistantFileError(f"{path}: cannot be read ({error.strerror}).") from error
    assistant = parse_assistant(path.stem, text, str(path))
    if wrong := [mistake for file in assistant.files for mistake in _wrong_file(path, file)]:
        raise _refused(wrong)
    # A link stays a link: where a mounted folder is exchanged whole (Kubernetes), its target is not there for long.
    return replace(assistant, files=tuple(path.parent.resolve() / file for file in assistant.files))


def _wrong_file(path: Path, file: Path) -> Iterator[str]:
    """A definition names files in its folder, or below."""
    folder = path.parent.resolve()
    try:
        found = (folder / file).resolve()
        there = found.is_file()
    except (OSError, ValueError, RuntimeError):  # a name that no file can have, links in a circle
        yield f"{path}: files: {str(file)!r} cannot be a file."
        return
    if not found.is_relative_to(folder):
        yield f"{path}: files: {file} is outside of the folder {path.parent}."
    elif not there:
        yield f"{path}: files: there is no file {path.parent / file}."


def parse_assistant(key: str, text: str, source: str) -> Assistant:
    """An assistant from a definition's text. `source` names it in errors: AssistantFileError, with the line of each
    mistake."""
    header, body = _split(text, source)
    node, values = _parse_yaml(header, source)
    instructions = body.strip()
    wrong = list(_wrong_instructions(instructions, text, source))
    try:
        front = _FrontMatter.model_validate(values)
    except ValidationError as error:
        raise _refused([*wrong_settings(error, node, source, _KNOWN), *wrong]) from error
    if wrong := [*_wrong_together(front, node, source), *wrong]:
        raise _refused(wrong)
    return Assistant(
        key=key.lower(),
        name=front.name,
        instructions=instructions,
        model=front.model,
        description=front.description,
        tools=tuple(front.tools),
        optional_tools=tuple(front.optional_tools),
        files=tuple(map(Path, front.files)),
        mcp_servers=tuple(front.mcp_servers),
        hosted_mcp=tuple(
            HostedMcp(m.label, m.url, tuple(m.allowed_tools), m.approval, m.authorization) for m in front.hosted_mcp
        ),
        approval=tuple(front.approval),
        approvers=tuple(front.approvers),
        temperature=front.temperature,
        top_p=front.top_p,
        reasoning_effort=front.reasoning_effort,
        reasoning_summary=front.reasoning_summary,
        response_format=_format_of(front.response_format),
        tool_choice=front.tool_choice,
        max_output_tokens=front.max_output_tokens,
        truncation=front.truncation,
        fallback_models=tuple(front.fallback_models),
        moderation=front.moderation,
        suggested_prompts=tuple(SuggestedPrompt(p.title, p.message) for p in front.suggested_prompts),
        icon=front.icon,
        source=source,
    )


def _wrong_together(front: _FrontMatter, node: yaml.Node, source: str) -> Iterator[str]:
    """What is right by itself and wrong beside the rest, in the order of the file."""
    found = [*_twice(front), *_without_what_they_need(front)]
    lines = [(line_of(location, node), location, said) for location, said in found]
    for line, location, said in sorted(lines, key=lambda each: each[0]):
        yield f"{source}, line {line}: {name_of(location)}: {said}."


def _twice(front: _FrontMatter) -> Iterator[tuple[tuple[int | str, ...], str]]:
    for place, name in enumerate(front.tools):
        if name in front.tools[:place]:
            yield ("tools", place), f"{name} is listed a second time"
    labels = [server.label for server in front.hosted_mcp]
    for place, label in enumerate(labels):
        if label in labels[:place]:
            yield ("hosted_mcp", place, "label"), f"{label} is another server's label too"


def _without_what_they_need(front: _FrontMatter) -> Iterator[tuple[tuple[int | str, ...], str]]:
    if front.files and "file_search" not in front.tools:
        yield ("files",), "they need file_search among the tools"
    for place, name in enumerate(front.optional_tools):
        if name not in front.tools:
            yield ("optional_tools", place), f"{name} is not among the tools"
        elif name not in HOSTED_TOOLS:
            yield (
                ("optional_tools", place),
                f"{name} is there wherever Bobbin is; only the provider's tools may be missing",
            )
    choice = front.tool_choice
    if choice in front.optional_tools:
        yield ("tool_choice",), f"{choice} may be missing (optional_tools), so it cannot be what is always chosen"
    if choice and choice not in (*_CHOICES, *front.tools) and not any(_of(each, choice) for each in front.mcp_servers):
        tools = ", ".join([*front.tools, *(f"{server}__…" for server in front.mcp_servers)]) or "none"
        yield ("tool_choice",), f"{choice} is none of its tools ({tools}), nor {', '.join(_CHOICES)}"


def _of(server: str, tool: str) -> bool:
    """Whether an MCP server could have a tool of this name; which it has, only the server knows. The names are made
    in bot/tools/mcp_names.py."""
    return "__" in tool and tool.startswith(re.sub(r"[^a-zA-Z0-9_-]", "_", server)[:40])


def _wrong_instructions(instructions: str, text: str, source: str) -> Iterator[str]:
    if not instructions:
        last = len(text.rstrip().splitlines())
        yield f"{source}, line {last}: the instructions below the second --- are empty."
    if len(instructions) > _INSTRUCTIONS_LIMIT:
        yield f"{source}: the instructions have {len(instructions):,} characters; {_INSTRUCTIONS_LIMIT:,} are allowed."


def _refused(mistakes: Iterable[str]) -> AssistantFileError:
    # What fits none of several forms is refused once for each of them.
    first, *more = dict.fromkeys(mistakes)
    return AssistantFileError(first, tuple(more))


def _format_of(value: str | _JsonSchema | None) -> str | Mapping[str, Any] | None:
    """What a file does not say of its schema is left out: models have ways of their own."""
    return value.model_dump(by_alias=True, exclude_none=True) if isinstance(value, _JsonSchema) else value


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
    try:
        loader = yaml.SafeLoader(header)
    except yaml.YAMLError as error:
        raise AssistantFileError(f"{source}: {' '.join(str(error).split())}.") from error
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise AssistantFileError(f"{source}, line 2: expected settings such as `name: Math tutor`.")
        _check_twice(node, source)
        values = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        raise broken_yaml(error, source) from error
    except (LookupError, AttributeError) as error:
        # What PyYAML makes of a tag that does not fit its value: !!int "", !!bool maybe, !!timestamp soon.
        raise AssistantFileError(f"{source}: a value is not what its YAML tag (!!…) says.") from error
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        # A date that is none, a number beyond all bounds.
        raise AssistantFileError(f"{source}: {' '.join(str(error).split())}.") from error
    finally:
        loader.dispose()
    if not isinstance(values, dict):  # with a tag, such as !!set
        raise AssistantFileError(f"{source}, line 2: expected settings such as `name: Math tutor`.")
    return node, values


def _check_twice(node: yaml.MappingNode, source: str) -> None:
    """YAML's loader lets the last of two win, silently."""
    seen: set[str] = set()
    for key, _ in node.value:
        if str(key.value) in seen:
            raise AssistantFileError(
                f"{source}, line {file_line(key.start_mark.line)}: {one_line(key.value)}: is given a second time."
            )
        seen.add(str(key.value))

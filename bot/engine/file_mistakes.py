"""What is wrong with an assistant's file, in words for whoever wrote it, with the line of each mistake."""

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import yaml
from pydantic import ValidationError

from bot.errors import AssistantFileError

#: What a setting is, where pydantic's own words would be a regular expression, a class or a list of types. Places in
#: lists are left out of the names.
_WANTED = {
    "icon": 'it is an emoji\'s name between colons, in quotes, such as ":books:"',
    "approvers": "they are ids of Slack users, such as U012AB3CD",
    "response_format": "it is text, json_object, or a name and a JSON schema",
    "response_format.name": "it has letters, digits, _ and -, at most 64 of them",
    "hosted_mcp": "it is a list; each has a label and a url",
    "hosted_mcp.label": "it begins with a letter, and has letters, digits, _ and -, at most 64 of them",
    "hosted_mcp.url": "it is a URL such as https://wiki.example.org/mcp",
    "hosted_mcp.authorization": "it is ${NAME}, the name of a token in the environment or in .env; the token itself "
    "has no place in the file",
    "suggested_prompts": "it is a list of at most four; each has a title and a message",
}
#: What people write above the instructions, and belongs elsewhere.
_ELSEWHERE = {"instructions": "it is no setting; the instructions stand below the second ---"}
#: What PyYAML says, and what to do about it.
_YAML_ADVICE = {
    "mapping values are not allowed": 'a text with a colon in it goes in quotes, such as ":books:"',
    "'\\t' that cannot start any token": "indent with spaces, not with tabs",
    "cannot start any token": "a text that begins with such a character goes in quotes",
    "undefined alias": "a text that begins with * goes in quotes",
    "expected alphabetic or numeric character": "a text that begins with * or & goes in quotes",
}


def broken_yaml(error: yaml.MarkedYAMLError, source: str) -> AssistantFileError:
    """Settings that are no YAML, and what may have been meant."""
    problem = " ".join((error.problem or "not YAML").split())
    advice = next((advice for words, advice in _YAML_ADVICE.items() if words in problem), None)
    line = file_line(error.problem_mark.line) if error.problem_mark else 2
    return AssistantFileError(f"{source}, line {line}: {problem}{f'; {advice}' if advice else ''}.")


def wrong_settings(
    error: ValidationError, node: yaml.Node, source: str, known: Mapping[str, Collection[str]]
) -> Iterator[str]:
    """Each wrong setting, in the order of the file. `known` are the names that may stand at the top ("") and in each
    setting that has more of them."""
    found = [(_written(each["loc"]), each) for each in error.errors(include_url=False)]
    lines = [(line_of(location, node), location, _said(location, each, known)) for location, each in found]
    for line, location, said in sorted(lines, key=lambda each: each[0]):
        yield f"{source}, line {line}: {name_of(location)}: {said}."


def _written(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """A place as it is in the file: which of its two forms a response format has is not written there."""
    setting, *below = location
    return (setting, *below[1:]) if setting == "response_format" else location


def _said(location: tuple[int | str, ...], error: Mapping[str, Any], known: Mapping[str, Collection[str]]) -> str:
    if error["type"] == "extra_forbidden":
        return _no_setting(str(location[-1]), known[_setting(location[:-1])])
    if error["type"] == "missing":
        return "it is missing"
    message = str(error["msg"]).replace("Input should", "it should")
    return _WANTED.get(_setting(location)) or message[:1].lower() + message[1:]


def _setting(location: tuple[int | str, ...]) -> str:
    return ".".join(part for part in location if isinstance(part, str))


def _no_setting(name: str, known: Collection[str]) -> str:
    """What may have been meant by a name that means nothing here."""
    if name in _ELSEWHERE:
        return _ELSEWHERE[name]
    close = difflib.get_close_matches(name, known, n=1)
    return f"it is no setting; did you mean {close[0]}?" if close else "it is no setting (docs/assistants.md has them)"


def name_of(location: tuple[int | str, ...]) -> str:
    """A setting's name. Places in a list are counted from 1."""
    return ".".join(str(part + 1) if isinstance(part, int) else one_line(part) for part in location)


def one_line(name: object) -> str:
    return " ".join(str(name).split())


def line_of(location: tuple[int | str, ...], node: yaml.Node) -> int:
    """The line in the file of the deepest part of a setting that is there."""
    line = node.start_mark.line
    for part in location:
        child = _child(node, part)
        if child is None:
            break
        node, line = child
    return file_line(line)


def _child(node: yaml.Node, part: int | str) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return value, key.start_mark.line
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part].start_mark.line
    return None


def file_line(line: int) -> int:
    """YAML counts from 0, below the first dashes; people count from 1, from the top of the file."""
    return line + 2

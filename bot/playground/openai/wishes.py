"""What a post asks for by name: a function that the run was offered, or a file that can be searched."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from bot.playground.openai.brain import FileCitation, FileSearch, FoundPassage, FunctionCall, Piece, Question, words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WORDS = re.compile(r"[^a-z0-9]+")
#: What may stand between the words of a name, as in "search the channel".
_BETWEEN = r"[\s_-]+(?:(?:the|this|a|my|our)\s+)?"
#: What leads from a name to its argument, and what ends a sentence.
_LEAD = re.compile(r"^(?:[\s:,]|(?:for|about|among|between|of|with|in|to|from)\b)+", re.IGNORECASE)
_END = " \t\n.?!\"'`“”"
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_LIST = re.compile(r"\s*(?:,|;|\band\b|\bor\b)\s*", re.IGNORECASE)


def wished_call(question: Question, text: str) -> FunctionCall | None:
    """The call of the function that a text names, such as "draw lots among Ada and Grace" for draw_lots."""
    for name, schema in question.functions.items():
        if found := _named(name, text):
            return FunctionCall(name, json.dumps(_arguments(schema, text[found.end() :])))
    return None


def told_outputs(question: Question) -> str | None:
    """What the functions that were just called came to; None where none was."""
    outputs: list[str] = []
    for role, text in reversed(question.messages):
        if role != "tool":
            break
        outputs.insert(0, text)
    quoted = ("\n".join(f"> {line}" for line in output[:2_000].splitlines()) for output in outputs)
    return "This is what came of it:\n\n" + "\n\n".join(quoted) if outputs else None


def wished_source(question: Question, text: str) -> Sequence[Piece]:
    """A search, and an answer that cites the searched file that a text names by the last word of its name; nothing
    without one."""
    for file in question.files:
        stem = file.name.rpartition(".")[0] or file.name
        if file.kind == "searched" and _named(_WORDS.split(stem.lower())[-1], text):
            search = FileSearch((text[:100],), (FoundPassage(file.name, ""),))
            said = "I cannot read, so this only shows how a source is cited: your answer would stand in this file"
            return (search, *words(said), FileCitation(file.name), ".")
    return ()


def _named(name: str, text: str) -> re.Match[str] | None:
    words = [re.escape(word) for word in _WORDS.split(name.lower()) if word]
    return re.search(rf"\b{_BETWEEN.join(words)}\b", text, re.IGNORECASE) if words else None


def _arguments(schema: Mapping[str, Any], rest: str) -> dict[str, Any]:
    """Only what has to be said, made of what follows the name."""
    rest = _LEAD.sub("", rest).strip(_END)
    properties = schema.get("properties") or {}
    return {name: _argument(properties.get(name) or {}, rest) for name in schema.get("required") or ()}


def _argument(schema: Mapping[str, Any], rest: str) -> Any:
    if choices := schema.get("enum"):
        return next((each for each in choices if str(each).lower() in rest.lower()), choices[0])
    number = _NUMBER.search(rest)
    meant = {
        "array": [part for part in _LIST.split(rest) if part],
        "integer": int(float(number[0])) if number else 1,
        "number": float(number[0]) if number else 1.0,
        "boolean": True,
        "object": {},
    }
    return meant.get(str(schema.get("type")), rest)

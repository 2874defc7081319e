"""Brains: what answers a run. The server asks a brain, and puts its pieces on the wire."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio


@dataclass(frozen=True, slots=True)
class SeenFile:
    """An image or a file that the model was given. `message` is its message's place in `Question.messages`; None for
    one that belongs to a tool. What was given by its URL has that for a name, and no size."""

    name: str
    media_type: str
    size: int
    kind: str
    """image, file, or searched: what lies ready in a vector store."""
    message: int | None


@dataclass(frozen=True, slots=True)
class Question:
    """What a run is to answer.

    `messages` are (role, text) pairs, oldest first; the roles are user, assistant, system, developer, and tool for
    the output of a function call and for "approved" or "denied" of an MCP call. `instructions` include the run's
    additional instructions. `functions` are those of the tools that the caller runs, with the JSON schemas of their
    arguments.
    """

    instructions: str
    messages: tuple[tuple[str, str], ...]
    tools: tuple[str, ...]
    model: str
    files: tuple[SeenFile, ...] = ()
    functions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def last(self) -> str:
        """The newest message's text, or nothing."""
        return self.messages[-1][1] if self.messages else ""


def functions_of(tools: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The functions among a request's tools, for `Question.functions`."""
    functions = (tool.get("function", tool) for tool in tools if tool["type"] == "function")
    return {str(each["name"]): each.get("parameters") or {} for each in functions}


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A file that code made. An image is also shown by itself, as a plot is."""

    name: str
    content: bytes = field(repr=False)
    media_type: str

    @property
    def is_image(self) -> bool:
        """Whether the API shows it as an image."""
        return self.media_type in {"image/png", "image/jpeg", "image/gif", "image/webp"}


@dataclass(frozen=True, slots=True)
class CodeInterpreterCall:
    """Code that the brain ran, what the code printed, and the files that it left behind.

    Whether the answer points to a file is for a `FileLink` to say: a file without one is made, but not cited.
    """

    code: str
    logs: str
    files: tuple[MadeFile, ...] = ()


@dataclass(frozen=True, slots=True)
class FileLink:
    """A link in the answer to a file that code made: `[name](sandbox:/mnt/data/name)`, with its annotation.

    With `text` False the file is cited without any text, as the Responses API does with a plot.
    """

    name: str
    text: bool = True


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """What a search found in a file of one of the vector stores."""

    filename: str
    text: str
    score: float = 0.9


@dataclass(frozen=True, slots=True)
class FileSearch:
    """A search in the vector stores that the run was given."""

    queries: tuple[str, ...]
    passages: tuple[FoundPassage, ...] = ()


@dataclass(frozen=True, slots=True)
class FileCitation:
    """A file of a vector store, cited here. The Assistants API writes a mark into the text, such as 【4:0†a.pdf】."""

    filename: str


@dataclass(frozen=True, slots=True)
class WebSearch:
    """A search on the web, and the pages that it looked at."""

    query: str
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UrlCitation:
    """A web page, cited here: `([title](url))`, with its annotation."""

    url: str
    title: str


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    """An image that the brain made by itself, without code."""

    content: bytes = field(repr=False)
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Reasoning:
    """The brain thought. Its summary, in parts, is shown to who asked for one."""

    summary: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class McpTools:
    """The tools of an MCP server were listed, (name, description) each; with `error` that failed."""

    server_label: str
    tools: tuple[tuple[str, str], ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class McpCall:
    """A call of an MCP server's tool, and what came of it; `arguments` is JSON.

    Where the call needs an approval that it does not have yet, the response asks for it instead, and ends. Asked
    again once it is approved, the brain makes the same call again.
    """

    server_label: str
    name: str
    arguments: str
    output: str = ""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A function that the caller is asked to run; `arguments` is JSON."""

    name: str
    arguments: str


Piece = (
    str
    | CodeInterpreterCall
    | FileLink
    | FileSearch
    | FileCitation
    | WebSearch
    | UrlCitation
    | GeneratedImage
    | Reasoning
    | McpTools
    | McpCall
    | FunctionCall
)


class Brain(Protocol):
    """Answers questions piece by piece: text deltas, tools that it used, functions that it wants run."""

    def answer(self, question: Question) -> AsyncIterator[Piece]:
        """The pieces of one answer, in order. After a `FunctionCall` no text may follow."""
        ...


Answer = str | FunctionCall | AsyncIterator[str] | AsyncIterator[Piece]


class ScriptedBrain:
    """A brain for tests that says what it was told to say."""

    def __init__(
        self,
        answers: Mapping[str, str] | Callable[[Question], Answer],
        *,
        gate: asyncio.Event | None = None,
        open_words: int = 1,
    ) -> None:
        """`answers` maps the newest message (or a part of it) to its answer, or computes the answer.

        With a `gate`, each text answer stops after `open_words` words until the gate is set: a run in mid-air.
        A question that the mapping does not cover raises `LookupError`, which fails its run.
        """
        self._answers = answers
        self._gate = gate
        self._open_words = open_words

    async def answer(self, question: Question) -> AsyncIterator[Piece]:
        """The scripted answer, its text cut into words."""
        answer = self._find(question)
        if isinstance(answer, FunctionCall):
            yield answer
        elif isinstance(answer, str):
            for number, word in enumerate(words(answer)):
                if self._gate is not None and number == self._open_words:
                    await self._gate.wait()
                yield word
        else:
            async for piece in answer:
                yield piece

    def _find(self, question: Question) -> Answer:
        if not isinstance(self._answers, Mapping):
            return self._answers(question)
        if question.last in self._answers:
            return self._answers[question.last]
        for part, answer in self._answers.items():
            if part in question.last:
                return answer
        raise LookupError(f"the script has no answer to {question.last!r}")


def words(text: str) -> list[str]:
    """The text cut into word-sized deltas that join to the same text."""
    return re.findall(r"\s*\S+|\s+$", text)

"""A response's output items besides its text: what tools do, what the answer rests on, which files there are.

https://platform.openai.com/docs/api-reference/responses/object
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from openai.types import responses as types

from bot.engine.ports import Source, Task, TaskStatus, ToolCall

#: Characters of a task's title and details; Slack takes 256.
_LINE = 200
_TITLES = {
    "code_interpreter_call": "Runs code",
    "file_search_call": "Searches its files",
    "web_search_call": "Searches the web",
    "image_generation_call": "Draws a picture",
}
#: How OpenAI's ids of requests for approval begin.
_APPROVAL = "mcpr"
_FAILED = frozenset({"failed", "incomplete"})


@dataclass(frozen=True, slots=True)
class ContainerFile:
    """A file in a code interpreter's container, which dies after twenty idle minutes."""

    container: str
    file: str
    name: str


def begun_task(item: Any, key: str) -> Task | None:
    """What a tool that was just begun does, if the item is a tool's; `key` is the task's id."""
    title = _title(item)
    return Task(key, title, TaskStatus.IN_PROGRESS, details=_details(item)) if title else None


def ended_task(item: Any, key: str, *, summaries: bool) -> Task | None:
    """What came of a tool; with `summaries`, what the model says of its reasoning."""
    if item.type == "reasoning":
        said = " ".join(part.text for part in item.summary or [])
        return Task(key, "Thinks", TaskStatus.COMPLETE, output=_line(said)) if summaries and said else None
    title = _title(item)
    if not title:
        return None
    error = getattr(item, "error", None)
    failed = bool(error) or getattr(item, "status", None) in _FAILED
    return Task(
        key,
        title,
        TaskStatus.ERROR if failed else TaskStatus.COMPLETE,
        details=_details(item),
        output=_line(_words_of(error)) if error else _found(item),
    )


def sources_of(message: types.ResponseOutputMessage) -> Iterator[tuple[str, Source]]:
    """What a message cites: a key by which the same source is known again, and the source."""
    for note in _annotations(message):
        if note.type == "url_citation":
            yield note.url, Source(note.title or note.url, note.url)
        elif note.type == "file_citation":
            yield note.file_id, Source(getattr(note, "filename", None) or note.file_id)


def cited_files(message: types.ResponseOutputMessage) -> Iterator[ContainerFile]:
    """The files that a message speaks of."""
    for note in _annotations(message):
        if note.type == "container_file_citation":
            yield ContainerFile(note.container_id, note.file_id, note.filename or note.file_id)


def wanted_calls(output: Sequence[Any]) -> tuple[ToolCall, ...]:
    """The functions that a response wants called, and the provider's own calls that it wants approved."""
    return tuple(
        ToolCall(item.call_id, item.name, item.arguments)
        if item.type == "function_call"
        else ToolCall(approval_call(item.id), item.name, item.arguments, server=item.server_label)
        for item in output
        if item.type in ("function_call", "mcp_approval_request")
    )


def approval_call(request: str) -> str:
    """The call for which a request for approval with this id stands: one can tell by it what is to be answered."""
    return request if request.startswith(_APPROVAL) else f"{_APPROVAL}:{request}"


def approval_request(call: str) -> str | None:
    """The id of the request for approval for which a call stands; None where it is a function's."""
    return call.removeprefix(f"{_APPROVAL}:") if call.startswith(_APPROVAL) else None


def _annotations(message: types.ResponseOutputMessage) -> Iterator[Any]:
    for part in message.content or []:
        if part.type == "output_text":
            yield from part.annotations or []


def _title(item: Any) -> str | None:
    if item.type == "mcp_call":
        return _line(f"Asks {item.server_label}: {item.name}")
    if item.type == "mcp_list_tools":  # no news, unless it failed
        return _line(f"Asks {item.server_label} for its tools") if item.error else None
    return _TITLES.get(item.type)


def _details(item: Any) -> str:
    if item.type == "code_interpreter_call":
        return _line(next((line for line in (item.code or "").splitlines() if line.strip()), ""))
    if item.type == "file_search_call":
        return _line(", ".join(item.queries or []))
    return _line(item.arguments or "") if item.type == "mcp_call" else ""


def _found(item: Any) -> str:
    if item.type == "web_search_call":
        return _line(str(getattr(item.action, "query", None) or ""))
    if item.type == "file_search_call":
        return _line(", ".join(item.queries or []))
    return ""


def _words_of(error: Any) -> str:
    """What an MCP server's error says: it is a sentence, or has one, or a list of them."""
    said = getattr(error, "message", None) or getattr(error, "content", None) or error
    if not isinstance(said, list):
        return str(said)
    return " ".join(str(part.get("text", "") if isinstance(part, dict) else part) for part in said)


def _line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LINE else text[: _LINE - 1] + "…"

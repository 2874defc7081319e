"""Output items of tools that the server's side ran: how each begins, what its stream tells, how it ends."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.playground.openai.records import Json, new_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.playground.openai.brain import CodeInterpreterCall, FileSearch, FoundPassage, FunctionCall
    from bot.playground.openai.records import File


@dataclass(frozen=True, slots=True)
class ToolItem:
    """An output item: as it is added, the events between, and as it is done."""

    begun: Json
    events: Sequence[tuple[str, Json]]
    """Kind below `response.`, and its fields besides the item's place."""
    ended: Json

    @property
    def done(self) -> Json:
        """The whole item at its end."""
        return {**self.begun, **self.ended}


def function_call(call: FunctionCall) -> ToolItem:
    """A call for the client to make."""
    return ToolItem(
        {
            "id": new_id("fc_"),
            "type": "function_call",
            "status": "in_progress",
            "call_id": new_id("call_"),
            "name": call.name,
            "arguments": "",
        },
        [
            ("function_call_arguments.delta", {"delta": call.arguments}),
            ("function_call_arguments.done", {"name": call.name, "arguments": call.arguments}),
        ],
        {"status": "completed", "arguments": call.arguments},
    )


def code_interpreter_call(call: CodeInterpreterCall, container_id: str) -> ToolItem:
    """Code that was run: its lines, then what it printed and the images that it made."""
    kind = "code_interpreter_call"
    logs: list[Json] = [{"type": "logs", "logs": call.logs}] if call.logs else []
    images = [
        {"type": "image", "url": f"data:{each.media_type};base64,{base64.b64encode(each.content).decode()}"}
        for each in call.files
        if each.is_image
    ]
    return ToolItem(
        {
            "id": new_id("ci_"),
            "type": kind,
            "status": "in_progress",
            "code": "",
            "container_id": container_id,
            "outputs": None,
        },
        [
            (f"{kind}.in_progress", {}),
            *((f"{kind}_code.delta", {"delta": line}) for line in call.code.splitlines(keepends=True)),
            (f"{kind}_code.done", {"code": call.code}),
            (f"{kind}.interpreting", {}),
            (f"{kind}.completed", {}),
        ],
        {"status": "completed", "code": call.code, "outputs": logs + images},
    )


def file_search_call(search: FileSearch, found: Sequence[tuple[File, FoundPassage]]) -> ToolItem:
    """A search in vector stores; its results are only there for who includes them."""
    kind = "file_search_call"
    results = [
        {
            "attributes": {},
            "file_id": file.id,
            "filename": file.filename,
            "score": passage.score,
            "text": passage.text,
        }
        for file, passage in found
    ]
    return ToolItem(
        {"id": new_id("fs_"), "type": kind, "status": "in_progress", "queries": [], "results": None},
        [(f"{kind}.{state}", {}) for state in ("in_progress", "searching", "completed")],
        {"status": "completed", "queries": list(search.queries), "results": results},
    )

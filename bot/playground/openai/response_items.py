"""Output items of tools that the server's side ran: how each begins, what its stream tells, how it ends."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.playground.openai.brain import words
from bot.playground.openai.records import Json, new_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.playground.openai.brain import (
        CodeInterpreterCall,
        FileSearch,
        FoundPassage,
        FunctionCall,
        GeneratedImage,
        McpCall,
        McpTools,
        Reasoning,
        WebSearch,
    )
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


def web_search_call(search: WebSearch) -> ToolItem:
    """A search on the web; its query is told when it is done."""
    kind = "web_search_call"
    sources = [{"type": "url", "url": each} for each in search.sources]
    action = {"type": "search", "query": search.query, "queries": [search.query], "sources": sources}
    return ToolItem(
        {"id": new_id("ws_"), "type": kind, "status": "in_progress", "action": {"type": "search", "query": ""}},
        [(f"{kind}.{state}", {}) for state in ("in_progress", "searching", "completed")],
        {"status": "completed", "action": action},
    )


def image_generation_call(image: GeneratedImage, tool: Json) -> ToolItem:
    """An image, whole at once: no partial images are sent."""
    kind = "image_generation_call"
    size = tool.get("size") or "auto"
    return ToolItem(
        {"id": new_id("ig_"), "type": kind, "status": "in_progress", "result": None},
        [(f"{kind}.{state}", {}) for state in ("in_progress", "generating", "completed")],
        {
            "status": "completed",
            "result": base64.b64encode(image.content).decode(),
            "revised_prompt": image.prompt,
            "action": "generate",
            "output_format": tool.get("output_format") or "png",
            "size": "1024x1024" if size == "auto" else size,
            "background": "opaque",
            "quality": "high",
        },
    )


def reasoning(thought: Reasoning, *, summarized: bool) -> ToolItem:
    """A thought; its summary is there only for who asked for one."""
    key = new_id("rs_")
    events: list[tuple[str, Json]] = []
    parts = [{"type": "summary_text", "text": text} for text in thought.summary if summarized]
    for index, part in enumerate(parts):
        at = {"summary_index": index}
        events += [
            ("reasoning_summary_part.added", {**at, "part": {**part, "text": ""}}),
            *(("reasoning_summary_text.delta", {**at, "delta": word}) for word in words(part["text"])),
            ("reasoning_summary_text.done", {**at, "text": part["text"]}),
            ("reasoning_summary_part.done", {**at, "part": part}),
        ]
    hidden = base64.b64encode(key.encode()).decode()
    return ToolItem(
        {"id": key, "type": "reasoning", "status": "in_progress", "summary": [], "encrypted_content": hidden},
        events,
        {"status": "completed", "summary": parts},
    )


def mcp_list_tools(listed: McpTools) -> ToolItem:
    """The tools of an MCP server."""
    tools = [
        {"name": name, "description": description, "input_schema": {"type": "object"}, "annotations": None}
        for name, description in listed.tools
    ]
    end = "completed" if listed.error is None else "failed"
    return ToolItem(
        {
            "id": new_id("mcpl_"),
            "type": "mcp_list_tools",
            "server_label": listed.server_label,
            "tools": [],
            "error": None,
        },
        [(f"mcp_list_tools.{state}", {}) for state in ("in_progress", end)],
        {"tools": tools, "error": listed.error},
    )


def mcp_approval_request(call: McpCall) -> ToolItem:
    """A call that is to be approved first."""
    item = {
        "id": new_id("mcpr_"),
        "type": "mcp_approval_request",
        "server_label": call.server_label,
        "name": call.name,
        "arguments": call.arguments,
    }
    return ToolItem(item, [], {})


def mcp_call(call: McpCall, approval: str | None) -> ToolItem:
    """A call that was made; `approval` is the id of the request by which it was approved."""
    failed = call.error is not None
    end = "failed" if failed else "completed"
    content = [{"type": "text", "text": call.error}]
    return ToolItem(
        {
            "id": new_id("mcp_"),
            "type": "mcp_call",
            "status": "in_progress",
            "server_label": call.server_label,
            "name": call.name,
            "arguments": "",
            "approval_request_id": approval,
            "output": None,
            "error": None,
        },
        [
            ("mcp_call.in_progress", {}),
            ("mcp_call_arguments.delta", {"delta": call.arguments}),
            ("mcp_call_arguments.done", {"arguments": call.arguments}),
            (f"mcp_call.{end}", {}),
        ],
        {
            "status": end,
            "arguments": call.arguments,
            "output": None if failed else call.output,
            "error": {"type": "mcp_tool_execution_error", "content": content} if failed else None,
        },
    )

"""What is asked of a response.

https://platform.openai.com/docs/api-reference/responses/create
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.backends.responses.items import approval_request
from bot.engine.ports import Assistant, HostedMcp, RunRequest, ToolOutput, ToolSpec

#: Tools of the provider's that may be chosen by their type alone (openai/types/responses/tool_choice_types_param.py).
_CHOSEN_BY_TYPE = frozenset({"code_interpreter", "file_search", "image_generation"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What one response is asked: items, the vector stores that file search looks into, files only code can open.

    `names` are what the files among the items are called, by their ids. `unused` are files without which it is asked,
    each a name, a colon and why, as far as people were not told; `refused` says that the API refused it with some.
    """

    items: Sequence[Any]
    stores: Sequence[str] = ()
    files: Sequence[str] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    refused: bool = False


def parameters_of(request: RunRequest, asked: Asked, model: str, *, background: bool) -> dict[str, Any]:
    """The parameters of the response that answers what was asked; all that a run needs goes with it."""
    assistant = request.assistant
    parameters: dict[str, Any] = {
        "model": model,
        "conversation": request.backend_thread,
        "instructions": f"{assistant.instructions}\n\n{request.context}",
        "store": True,
        # The Assistants API left the oldest out by itself; Responses refuses by default.
        "truncation": assistant.truncation or "auto",
        "safety_identifier": request.asker,
        "metadata": {"bobbin_run": request.run},
        **_settings(assistant),
    }
    if asked.items:
        parameters["input"] = list(asked.items)
    if tools := tools_of(request, asked.stores, asked.files):
        parameters["tools"] = tools
        if assistant.tool_choice is not None:
            # Whoever has called what it was told to call may answer now; else it would call for ever.
            obeyed = bool(request.outputs) and assistant.tool_choice != "none"
            parameters["tool_choice"] = "auto" if obeyed else _choice(assistant.tool_choice, tools)
    if background:
        parameters["background"] = True
    return parameters


def tools_of(request: RunRequest, stores: Sequence[str], files: Sequence[str]) -> list[dict[str, Any]]:
    """The tools of one run: the provider's own, MCP servers that it calls, and functions."""
    assistant = request.assistant
    hosted: Mapping[str, dict[str, Any]] = {
        "code_interpreter": {"container": {"type": "auto", **({"file_ids": list(files)} if files else {})}},
        "file_search": {"vector_store_ids": list(stores)},
        "web_search": {},
        "image_generation": {},
    }
    # Without files of the assistant's own there is nothing to search: posts go along whole.
    searchable = [name for name in assistant.tools if name != "file_search" or stores]
    tools = [{"type": name, **hosted[name]} for name in searchable if name in hosted]
    return [*tools, *map(_server, assistant.hosted_mcp), *map(_function, request.functions)]


def output_item(output: ToolOutput) -> dict[str, Any]:
    """What a call came to, as an item for the API."""
    request = approval_request(output.call)
    if request is not None:
        approve = bool(output.approved)
        return {"type": "mcp_approval_response", "approval_request_id": request, "approve": approve}
    text = f"Error: {output.text}" if output.failed else output.text
    return {"type": "function_call_output", "call_id": output.call, "output": text}


def _settings(assistant: Assistant) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "temperature": assistant.temperature,
        "top_p": assistant.top_p,
        "max_output_tokens": assistant.max_output_tokens,
        "text": {"format": format_of(assistant.response_format)} if assistant.response_format else None,
        "reasoning": _reasoning(assistant) or None,
    }
    return {name: value for name, value in settings.items() if value is not None}


def _reasoning(assistant: Assistant) -> dict[str, Any]:
    effort = {"effort": assistant.reasoning_effort} if assistant.reasoning_effort else {}
    return effort | ({"summary": "auto"} if assistant.reasoning_summary else {})


def format_of(wanted: str | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(wanted, str):
        return {"type": wanted}
    return {"type": "json_schema", **wanted}


def _choice(wanted: str, tools: Sequence[Mapping[str, Any]]) -> str | dict[str, Any]:
    """none, auto, required, a function's name, or a tool of the provider's; auto where that tool is not offered now,
    because its server is down."""
    if wanted in ("none", "auto", "required"):
        return wanted
    if any(tool.get("name") == wanted for tool in tools):
        return {"type": "function", "name": wanted}
    if not any(tool["type"] == wanted for tool in tools):
        return "auto"
    if wanted in _CHOSEN_BY_TYPE:
        return {"type": wanted}
    return {"type": "allowed_tools", "mode": "required", "tools": [{"type": wanted}]}


def _server(server: HostedMcp) -> dict[str, Any]:
    return {
        "type": "mcp",
        "server_label": server.label,
        "server_url": server.url,
        "require_approval": "always" if server.approval else "never",
        **({"allowed_tools": list(server.allowed_tools)} if server.allowed_tools else {}),
        **({"authorization": server.authorization} if server.authorization else {}),
    }


def _function(spec: ToolSpec) -> dict[str, Any]:
    return {
        "type": "function",
        "name": spec.name,
        "description": spec.description,
        "parameters": dict(spec.parameters),
        # Strict schemas allow no optional arguments; what is wrong with a call is told to the model.
        "strict": False,
    }

"""What is asked of an agent: its configuration, what it is told, what its calls came to.

openai/types/beta/agents/session_create_params.py, openai/types/beta/agent_session_input_param.py
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from bot.backends.local.messages import input_of
from bot.engine.ports import Assistant, HostedMcp, Message, RunRequest, ToolOutput, ToolSpec

_MESSAGE = "agent.session.input.message"


def agent_of(request: RunRequest) -> dict[str, Any]:
    """A new session's agent. Its instructions and the form of its text are what can never be changed again."""
    wanted = request.assistant.response_format
    return {
        **settings_of(request),
        **({"text": {"format": _format(wanted)}} if wanted else {}),
        "instructions": f"{request.assistant.instructions}\n\n{request.context}",
    }


def settings_of(request: RunRequest) -> dict[str, Any]:
    """What a session can change between two turns."""
    reasoning = _reasoning(request.assistant)
    return {
        "model": request.assistant.model,
        "tools": _tools(request),
        **({"reasoning": reasoning} if reasoning else {}),
    }


def update_of(request: RunRequest) -> dict[str, Any]:
    """The settings in the form of an update, which knows no summaries; null takes the model's own effort again."""
    return {**settings_of(request), "reasoning": {"effort": request.assistant.reasoning_effort}}


def environment_of(assistant: Assistant) -> dict[str, Any]:
    """A place to run code in, closed to the network, for who may run code."""
    if "code_interpreter" in assistant.tools:
        return {"type": "openai_hosted", "network": {"access": "disabled"}}
    return {"type": "none"}


def identity_of(assistant: Assistant) -> str:
    """Stands for what a session cannot change: another assistant needs another session."""
    fixed = [
        assistant.key,
        assistant.instructions,
        environment_of(assistant),
        assistant.reasoning_summary,
        assistant.response_format,
    ]
    return digest(fixed)


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


async def content_of(message: Message) -> list[dict[str, Any]]:
    """A message's parts: its text, with text files in it, and its pictures."""
    content = (await input_of(message))["content"]
    if isinstance(content, str):
        return [{"type": "input_text", "text": content}]
    return [{name: value for name, value in part.items() if name != "detail"} for part in content]


async def said_event(messages: Sequence[Message], context: str | None) -> dict[str, Any]:
    """The event that tells a session what people said; `context` where it is not what the session was told last."""
    told = [_user([_text(f"(This is from Bobbin, not from a person: {context})")])] if context else []
    return {"type": _MESSAGE, "input": [*told, *[_user(await content_of(message)) for message in messages]]}


async def first_input(before: Sequence[dict[str, Any]], messages: Sequence[Message]) -> list[dict[str, Any]]:
    """What a new session begins with: `before`, the parts that tell what was said, and the messages."""
    told = [_user(list(before))] if before else []
    return [*told, *[_user(await content_of(message)) for message in messages]]


def output_event(action: Any, output: ToolOutput) -> dict[str, Any]:
    """The event that answers what a session waits for."""
    if action.type == "mcp_approval_request":
        return decision_event(action, approved=bool(output.approved))
    came = {"error": output.text} if output.failed else {"output": output.text}
    called = {"turn_id": action.turn_id, "call_id": action.call_id, "success": not output.failed}
    return {"type": "agent.session.input.tool_result", **called, **came}


def decision_event(action: Any, *, approved: bool) -> dict[str, Any]:
    """The event that approves or denies an MCP server's call."""
    return {
        "type": "agent.session.input.mcp_approval_request_result",
        "request_id": action.request_id,
        "response": {"type": "mcp_tool_call", "decision": "approve" if approved else "deny"},
    }


def _format(wanted: str | Mapping[str, Any]) -> dict[str, Any]:
    """openai/types/beta/text_format_param.py: a schema has no name here."""
    return {"type": wanted} if isinstance(wanted, str) else {"type": "json_schema", "schema": dict(wanted["schema"])}


def _tools(request: RunRequest) -> list[dict[str, Any]]:
    hosted = [{"type": "web_search"}] if "web_search" in request.assistant.tools else []
    return [*hosted, *map(_server, request.assistant.hosted_mcp), *map(_function, request.functions)]


def _reasoning(assistant: Assistant) -> dict[str, Any]:
    effort = {"effort": assistant.reasoning_effort} if assistant.reasoning_effort else {}
    return effort | ({"summary": "auto"} if assistant.reasoning_summary else {})


def _server(server: HostedMcp) -> dict[str, Any]:
    allowed = {"allowed_tools": list(server.allowed_tools)} if server.allowed_tools else {}
    transport = {"type": "http", "server_url": server.url}
    if server.authorization:
        transport["authorization"] = server.authorization
    return {"type": "mcp", "server_label": server.label, "transport": transport, **allowed}


def _function(spec: ToolSpec) -> dict[str, Any]:
    named = {"name": spec.name, "description": spec.description}
    return {"type": "function", **named, "parameters": dict(spec.parameters)}


def _user(content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"role": "user", "content": content}


def _text(text: str) -> dict[str, Any]:
    return {"type": "input_text", "text": text}

"""What the requests of the Agents API may hold: openai 3.54, types/beta/agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.playground.openai import limits
from bot.playground.openai.parameters import (
    anything,
    array,
    boolean,
    either,
    mapping,
    metadata,
    missing,
    one_of,
    pattern,
    shape,
    tagged,
    text,
)
from bot.playground.openai.schemas import EFFORT
from bot.playground.openai.seen_files import check_image_url
from bot.playground.openai.tool_schemas import NAME

if TYPE_CHECKING:
    from bot.playground.openai.records import Json

_KIND = {"type": text()}
_TOOL = tagged(
    {
        "function": shape(
            {**_KIND, "name": NAME, "description": text(), "parameters": mapping},
            {"async": boolean, "defer_loading": boolean},
        ),
        "mcp": shape(
            {
                **_KIND,
                "server_label": NAME,
                "transport": tagged(
                    {
                        "http": shape(
                            {**_KIND, "server_url": pattern(r"^https?://\S+$")},
                            {"authorization": text(), "headers": mapping},
                        ),
                        "stdio": mapping,
                    }
                ),
            },
            {
                "allowed_tools": array(text()),
                "connection_origin": one_of("service", "environment"),
                "credential_id": text(),
                "request_metadata": mapping,
                "required": boolean,
            },
        ),
        "web_search": shape(
            _KIND,
            {
                "allowed_domains": array(text()),
                "context_size": one_of("low", "medium", "high"),
                "location": mapping,
                "mode": one_of("disabled", "cached", "live"),
            },
        ),
        **dict.fromkeys(("tool_search", "programmatic_tool_calling", "computer_use", "automations"), mapping),
    }
)
_REASONING = shape(optional={"effort": EFFORT, "summary": one_of("concise", "detailed", "auto")})
_TIER = one_of("auto", "default", "flex", "priority", "fast", "ultrafast")
_AGENT = shape(
    {"model": text(minimum=1)},
    {
        "compaction": mapping,
        "experimental": mapping,
        "instructions": text(limits.INSTRUCTIONS),
        "multi_agent": mapping,
        "reasoning": _REASONING,
        "service_tier": _TIER,
        "text": shape(
            optional={
                "format": tagged({"text": shape(_KIND), "json_schema": shape({**_KIND, "schema": mapping})}),
                "verbosity": one_of("low", "medium", "high"),
            }
        ),
        "tools": array(_TOOL),
    },
)
_PLACE = pattern(r"^/workspace/(?!outputs$|\.codex/|\.managed-agents)[^/\\]+(/[^/\\]+)*$")
HOSTED_FILE = tagged(
    {
        "file_id": shape({**_KIND, "file_id": text(minimum=1), "path": _PLACE}),
        "inline": shape({**_KIND, "data": text(), "path": _PLACE}),
    }
)
_ENVIRONMENT = tagged(
    {
        "none": shape(_KIND),
        "openai_hosted": shape(
            _KIND,
            {
                "container_size": one_of("small", "medium", "large"),
                "network": shape(
                    {"access": one_of("enabled", "disabled", "restricted")},
                    {"allowed_domains": array(text()), "blocked_domains": array(text())},
                ),
                "files": array(HOSTED_FILE),
                **dict.fromkeys(
                    ("capability_directories", "desktop", "env", "packages", "plugins", "setup_commands"), anything
                ),
                "skills": anything,
            },
        ),
    }
)


def _image(value: Any, path: str) -> None:
    shape({**_KIND, "image_url": text(minimum=1)})(value, path)
    check_image_url(value["image_url"], f"{path}.image_url")


_CONTENT = array(tagged({"input_text": shape({**_KIND, "text": text()}), "input_image": _image}), minimum=1)
_MESSAGE = shape({"role": one_of("user"), "content": _CONTENT}, {"type": one_of("message")})
_MESSAGES = array(_MESSAGE, minimum=1)

_SESSION = shape(
    {"environment": _ENVIRONMENT, "agent": _AGENT},
    {
        "input": either(text(minimum=1), _MESSAGES),
        "metadata": metadata,
        "prompt_cache_options": mapping,
        "review": one_of("none", "auto_review"),
        "spend_control": mapping,
        "stream": boolean,
        "stream_options": shape(optional={"include_obfuscation": boolean}),
        "vault_ids": array(text()),
    },
)
"""Saved agents are not served, so every session brings its own."""

SESSION_UPDATE = shape(
    optional={
        "agent": shape(
            optional={
                "model": text(minimum=1),
                "reasoning": shape(optional={"effort": EFFORT}),
                "service_tier": _TIER,
                "tools": array(_TOOL),
            }
        ),
        "metadata": metadata,
    }
)


def _tool_result(value: Any, path: str) -> None:
    shape(
        {**_KIND, "turn_id": text(), "call_id": text(), "success": boolean},
        {"output": either(text(), _CONTENT), "error": text()},
    )(value, path)
    wanted = "output" if value["success"] else "error"
    if value.get(wanted) is None:
        raise missing(f"{path}.{wanted}")


_EVENT = tagged(
    {
        "agent.session.input.message": shape({**_KIND, "input": _MESSAGES}),
        "agent.session.input.cancel": shape(_KIND),
        "agent.session.input.tool_result": _tool_result,
        "agent.session.input.mcp_approval_request_result": shape(
            {
                **_KIND,
                "request_id": text(),
                "response": shape({"type": one_of("mcp_tool_call"), "decision": one_of("approve", "deny", "cancel")}),
            }
        ),
    }
)
SESSION_EVENTS = shape({"events": array(_EVENT, minimum=1)})


def session_create(value: Any, path: str) -> None:
    """A session; without an environment, or streamed, it needs something to do."""
    _SESSION(value, path)
    needs: Json = value
    if not needs.get("input") and (needs.get("stream") or needs["environment"]["type"] == "none"):
        raise missing("input")

"""What a run asks of a server, besides the conversation: only what all of them know.

https://docs.ollama.com/api/openai-compatibility, openai/types/responses/function_tool_param.py
"""

import json
from collections.abc import Sequence
from typing import Any

from bot.backends.limits import CHARACTERS_PER_TOKEN
from bot.engine.ports import RunRequest, ToolSpec

#: Tokens that are left for the answer where the assistant does not say how many it may have.
ANSWER_TOKENS = 2_000


def settings_of(request: RunRequest) -> dict[str, Any]:
    """All parameters of a run but the model and the conversation."""
    assistant = request.assistant
    choice, functions = _choice(request)
    wanted = {
        "instructions": f"{assistant.instructions}\n\n{request.context}",
        "store": False,
        "tools": [_function(spec) for spec in functions] or None,
        "tool_choice": choice if functions else None,
        "temperature": assistant.temperature,
        "top_p": assistant.top_p,
        "max_output_tokens": assistant.max_output_tokens,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def room_of(settings: dict[str, Any], context_tokens: int, halvings: int = 0) -> int:
    """The tokens that are left for the conversation, beside the settings and the answer; `halvings` is how often a
    server said that it was too much."""
    told = len(settings["instructions"]) + len(json.dumps(settings.get("tools", [])))
    read: int = context_tokens - settings.get("max_output_tokens", ANSWER_TOKENS)
    return (read >> halvings) - told // CHARACTERS_PER_TOKEN


def _function(spec: ToolSpec) -> dict[str, Any]:
    # llama.cpp takes a function that does not say `strict` for a strict one.
    described = {"name": spec.name, "description": spec.description, "parameters": dict(spec.parameters)}
    return {"type": "function", **described, "strict": False}


def _choice(request: RunRequest) -> tuple[str | None, Sequence[ToolSpec]]:
    """What is asked of the model's choice, in a word, because LM Studio refuses objects, and the functions it has to
    choose from: one that it is told to call is offered alone. Whoever has called what it was told to call may answer
    now, else it would call for ever; and a tool whose server is down cannot be called."""
    wanted, offered = request.assistant.tool_choice, request.functions
    if wanted in (None, "none", "auto"):
        return wanted, offered
    if request.outputs:
        return "auto", offered
    if wanted == "required":
        return wanted, offered
    named = [spec for spec in offered if spec.name == wanted]
    return ("required", named) if named else ("auto", offered)

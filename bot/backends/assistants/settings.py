"""What is said of one run and not of its assistant.

https://platform.openai.com/docs/api-reference/runs/createRun
"""

from typing import Any

from bot.backends.assistants.functions import HOSTED, run_tools
from bot.backends.limits import THREAD_MESSAGES
from bot.engine.ports import Assistant, RunRequest


def run_settings(request: RunRequest, model: str) -> dict[str, Any]:
    """The parameters of a run by this model, as far as the assistant's file sets them."""
    assistant = request.assistant
    settings = {
        # Functions come and go with the servers that have them: the assistant on the server is left as it is.
        "tools": run_tools(assistant, request.functions) if request.functions else None,
        "model": model if model != assistant.model else None,
        "tool_choice": _tool_choice(request),
        "max_completion_tokens": assistant.max_output_tokens,
        "truncation_strategy": _truncation(assistant),
    }
    return {name: value for name, value in settings.items() if value is not None}


def _tool_choice(request: RunRequest) -> str | dict[str, Any] | None:
    """none, auto, required, or the name of a tool; auto where that is not offered now, because its server is down."""
    wanted = request.assistant.tool_choice
    if wanted is None or wanted in ("none", "auto", "required"):
        return wanted
    if wanted in HOSTED:
        return {"type": wanted}
    offered = any(spec.name == wanted for spec in request.functions)
    return {"type": "function", "function": {"name": wanted}} if offered else "auto"


def _truncation(assistant: Assistant) -> dict[str, Any] | None:
    match assistant.truncation:
        case "disabled":
            # The API cannot be told to leave nothing out, only how many messages to keep: all that a thread can have.
            return {"type": "last_messages", "last_messages": THREAD_MESSAGES}
        case "auto":
            return {"type": "auto"}
    return None

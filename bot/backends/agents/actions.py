"""What sessions wait for: calls of functions, and approvals.

openai/types/beta/agent_session.py, `required_actions`
"""

from collections.abc import Sequence
from typing import Any

from bot.backends.agents.events import id_of
from bot.backends.agents.parameters import decision_event, output_event
from bot.engine.ports import RunRequest


def wanted(request: RunRequest, actions: Sequence[Any]) -> list[Any]:
    """What nobody has answered yet, and somebody here can."""
    answered = {output.call for output in request.outputs}
    free = _free(request)
    return [
        action
        for action in actions
        if (action.type == "function_call" and action.call_id not in answered)
        or (
            action.type == "mcp_approval_request"
            and action.request_id not in answered
            and action.request.server_label not in free
        )
    ]


def answers(request: RunRequest, actions: Sequence[Any]) -> list[dict[str, Any]]:
    """The events for what needs nobody any more: calls that were made, and servers that may do all."""
    outputs = {output.call: output for output in request.outputs}
    free = _free(request)
    ready = []
    for action in actions:
        if id_of(action) in outputs:
            ready.append(output_event(action, outputs[id_of(action)]))
        elif action.type == "mcp_approval_request" and action.request.server_label in free:
            ready.append(decision_event(action, approved=True))
    return ready


def _free(request: RunRequest) -> set[str]:
    return {server.label for server in request.assistant.hosted_mcp if not server.approval}

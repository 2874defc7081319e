"""What is asked of a response.

https://platform.openai.com/docs/api-reference/responses/create
"""

from collections.abc import Sequence
from typing import Any

from bot.backends.conversations import item_of
from bot.engine.ports import Message, RunRequest


def parameters_of(request: RunRequest, messages: Sequence[Message], *, background: bool) -> dict[str, Any]:
    """The parameters of the response that answers `messages`; all that a run needs goes with it."""
    assistant = request.assistant
    parameters: dict[str, Any] = {
        "model": assistant.model,
        "conversation": request.backend_thread,
        "instructions": f"{assistant.instructions}\n\n{request.context}",
        "store": True,
        # The Assistants API left the oldest out by itself; Responses refuses by default.
        "truncation": "auto",
        "safety_identifier": request.asker,
        "metadata": {"bobbin_run": request.run},
    }
    if messages:
        parameters["input"] = [item_of(message) for message in messages]
    if assistant.tools:
        parameters["tools"] = [_tool(tool) for tool in assistant.tools]
    if assistant.temperature is not None:
        parameters["temperature"] = assistant.temperature
    if assistant.reasoning_effort is not None:
        parameters["reasoning"] = {"effort": assistant.reasoning_effort}
    if background:
        parameters["background"] = True
    return parameters


def _tool(name: str) -> dict[str, Any]:
    return {"type": name, "container": {"type": "auto"}} if name == "code_interpreter" else {"type": name}

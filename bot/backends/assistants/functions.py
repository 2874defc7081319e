"""Functions on an Assistants server: offered to a run, asked for by it, answered.

https://platform.openai.com/docs/assistants/tools/function-calling
"""

from collections.abc import Sequence
from typing import Any

from openai.types.beta import threads

from bot.backends.fields import arguments, listed, words
from bot.backends.limits import FUNCTION_DESCRIPTION
from bot.engine.ports import Assistant, ToolCall, ToolOutput, ToolSpec

#: The tools that the server itself carries out.
HOSTED = ("code_interpreter", "file_search")


def hosted_tools(assistant: Assistant) -> list[dict[str, Any]]:
    """The server's own tools among an assistant's."""
    return [{"type": tool} for tool in assistant.tools if tool in HOSTED]


def run_tools(assistant: Assistant, functions: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    """All the tools of one run, as the API takes them."""
    return [*hosted_tools(assistant), *(_function(spec) for spec in functions)]


def calls_wanted(run: threads.Run, functions: Sequence[ToolSpec]) -> tuple[ToolCall, ...]:
    """The calls that a run waits for and that somebody here can make; of the others `all_answered` tells the model."""
    known = {spec.name for spec in functions}
    return tuple(
        ToolCall(words(call, "id"), words(call, "function", "name"), arguments(call, "function", "arguments"))
        for call in waiting(run)
        if words(call, "function", "name") in known
    )


def waits_for(run: threads.Run, outputs: Sequence[ToolOutput]) -> bool:
    """Whether the run still waits for one of these outputs."""
    return bool({words(call, "id") for call in waiting(run)} & {output.call for output in outputs})


def all_answered(run: threads.Run, outputs: Sequence[ToolOutput]) -> list[dict[str, str]]:
    """An output for every call that the run waits for, as the API takes them: it wants all of them at once."""
    given = {output.call: output for output in outputs}
    ids = [(call, words(call, "id")) for call in waiting(run)]
    return [{"tool_call_id": call_id, "output": _said(call, given.get(call_id))} for call, call_id in ids]


def waiting(run: threads.Run) -> list[Any]:
    """The calls that a run waits for, as the server names them."""
    if run.status != "requires_action":
        return []
    calls = listed(run, "required_action", "submit_tool_outputs", "tool_calls")
    return [call for call in calls if words(call, "id")]


def _said(call: object, output: ToolOutput | None) -> str:
    if output is None:
        name = words(call, "function", "name") or "this"
        return f"Error: there is no such tool as {name}. Nothing was done."
    return f"Error: {output.text}" if output.failed else output.text


def _function(spec: ToolSpec) -> dict[str, Any]:
    described = {"description": spec.description[:FUNCTION_DESCRIPTION]} if spec.description else {}
    return {"type": "function", "function": {"name": spec.name, **described, "parameters": dict(spec.parameters)}}

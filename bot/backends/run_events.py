"""The Assistants protocol's stream, as run events.

https://platform.openai.com/docs/api-reference/assistants-streaming/events
"""

from collections.abc import AsyncGenerator, AsyncIterator

from openai.types import beta
from openai.types.beta import threads

from bot.backends.failures import cut_off, reason
from bot.engine.ports import RunEnded, RunEvent, RunStarted, RunStatus, TextDelta, TextDone

_RUN_ENDS = {f"thread.run.{status}" for status in RunStatus if status.ended or status is RunStatus.REQUIRES_ACTION}


async def read_stream(stream: AsyncIterator[beta.AssistantStreamEvent]) -> AsyncGenerator[RunEvent, None]:
    """The events of one run. Its messages are one text, with a blank line between them."""
    done: list[str] = []
    growing = False
    async for event in stream:
        if event.event == "thread.run.created":
            yield RunStarted(event.data.id)
        elif event.event == "thread.message.delta":
            text = _delta_text(event.data)
            if text:
                yield TextDelta(("\n\n" if done and not growing else "") + text)
                growing = True
        elif event.event in ("thread.message.completed", "thread.message.incomplete"):
            growing = False
            done += [text for text in [message_text(event.data)] if text]
            yield TextDone("\n\n".join(done))
        elif event.event in _RUN_ENDS:
            assert isinstance(event.data, threads.Run)
            yield ended_event(event.data)


def message_text(message: threads.Message) -> str:
    """What a message says: its texts and refusals."""
    parts = []
    for part in message.content:
        if part.type == "text":
            parts.append(part.text.value)
        elif part.type == "refusal":
            parts.append(part.refusal)
    return "\n\n".join(part for part in parts if part)


def ended_event(run: threads.Run) -> RunEnded:
    """How a run ended, with a sentence where it did not complete."""
    status = RunStatus(run.status)
    usage = run.usage.to_dict() if run.usage else {}
    counts = {name: value for name, value in usage.items() if isinstance(value, int)}
    return RunEnded(status, _reason(run, status), counts)


def _reason(run: threads.Run, status: RunStatus) -> str | None:
    match status:
        case RunStatus.COMPLETED:
            return None
        case RunStatus.INCOMPLETE:
            return cut_off(run.incomplete_details.reason if run.incomplete_details else None)
        case RunStatus.EXPIRED:
            return "The server gave up on this answer: it took too long there. Please try again."
        case RunStatus.CANCELLED:
            return "This answer was cancelled on the server."
        case RunStatus.REQUIRES_ACTION:
            return f"The assistant asked for a tool that Bobbin does not have ({_tools(run)})."
        case _:
            return reason(run.last_error.code if run.last_error else None)


def _tools(run: threads.Run) -> str:
    action = run.required_action
    calls = action.submit_tool_outputs.tool_calls if action else []
    return ", ".join(call.function.name for call in calls) or "unnamed"


def _delta_text(delta: threads.MessageDeltaEvent) -> str:
    parts = []
    for part in delta.delta.content or []:
        if part.type == "text" and part.text:
            parts.append(part.text.value or "")
        elif part.type == "refusal":
            parts.append(part.refusal or "")
    return "".join(parts)

"""The Assistants protocol's stream, as run events.

https://platform.openai.com/docs/api-reference/assistants-streaming/events
"""

from collections.abc import AsyncGenerator, AsyncIterator

from openai.types import beta
from openai.types.beta import threads

from bot.backends.failures import cut_off, missing_tool, raised_in_run
from bot.backends.thread_messages import message_text
from bot.backends.transcript import Transcript
from bot.backends.usage import counted
from bot.engine.ports import RunEnded, RunEvent, RunStarted, RunStatus, TextDelta, TextDone

_ENDS = frozenset(f"thread.run.{status}" for status in RunStatus if status.ended or status == "requires_action")
_EXPIRED = "The server gave up on this answer: it took too long there. Please try again."
_MESSAGE_ENDS = frozenset({"thread.message.completed", "thread.message.incomplete"})


class RunProgress:
    """What is known of a run: its id, its text, and the run as it ended, each as soon as the server says so."""

    def __init__(self, run_id: str | None = None) -> None:
        self.run_id = run_id
        self.transcript = Transcript()
        self.ended: threads.Run | None = None


async def read_stream(
    stream: AsyncIterator[beta.AssistantStreamEvent], progress: RunProgress
) -> AsyncGenerator[RunEvent, None]:
    """The events of one run but for its end, which `progress` has then. Raises what breaks the stream."""
    async for event in stream:
        # A server's own kinds of event come without a name.
        name = getattr(event, "event", None)
        data = getattr(event, "data", None)
        if name == "thread.run.created" and isinstance(data, threads.Run):
            progress.run_id = data.id
            yield RunStarted(data.id)
        elif isinstance(data, threads.MessageDeltaEvent):
            text = progress.transcript.grow(_delta_text(data))
            if text:
                yield TextDelta(text)
        elif name in _MESSAGE_ENDS and isinstance(data, threads.Message):
            yield TextDone(progress.transcript.close(message_text(data)))
        elif name in _ENDS and isinstance(data, threads.Run):
            progress.ended = data
            return


def ended_event(run: threads.Run) -> RunEnded:
    """How a run ended, with a sentence where it did not complete. One that waits for a tool has failed."""
    counts = counted(run.usage, input_tokens="prompt_tokens", output_tokens="completion_tokens")
    match run.status:
        case "completed":
            return RunEnded(RunStatus.COMPLETED, None, counts)
        case "incomplete":
            why = run.incomplete_details.reason if run.incomplete_details else None
            return RunEnded(RunStatus.INCOMPLETE, cut_off(why), counts)
        case "expired":
            return RunEnded(RunStatus.EXPIRED, _EXPIRED, counts)
        case "cancelled":
            return RunEnded(RunStatus.CANCELLED, "This answer was cancelled on the server.", counts)
        case "requires_action":
            return RunEnded(RunStatus.FAILED, missing_tool(_tools(run)), counts)
        case _:
            error = run.last_error
            failure = raised_in_run(error.code, error.message) if error else raised_in_run(None, None)
            return RunEnded(RunStatus.FAILED, failure.sentence, counts)


def _tools(run: threads.Run) -> list[str]:
    action = run.required_action
    return [call.function.name for call in action.submit_tool_outputs.tool_calls] if action else []


def _delta_text(delta: threads.MessageDeltaEvent) -> str:
    parts = []
    for part in delta.delta.content or []:
        if part.type == "text" and part.text:
            parts.append(part.text.value or "")
        elif part.type == "refusal":
            parts.append(part.refusal or "")
    return "".join(parts)

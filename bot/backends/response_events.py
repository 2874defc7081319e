"""A response's stream, as run events.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

from collections.abc import AsyncGenerator, AsyncIterator

from openai.types import responses as types

from bot.backends.failures import cut_off, missing_tool, raised_in_run
from bot.backends.transcript import Transcript
from bot.backends.usage import counted
from bot.engine.ports import RunEnded, RunEvent, RunStarted, RunStatus, TextDelta, TextDone
from bot.errors import BackendError


class ResponseProgress:
    """What is known of a response: its id, its text, the last event's number, and the response as it ended or the
    error that its stream ended with, each as soon as the server says so. `broke` says that a stream was cut."""

    def __init__(self, response_id: str | None = None) -> None:
        self.response_id = response_id
        self.cursor: int | None = None
        self.broke = False
        self.transcript = Transcript()
        self.ended: types.Response | None = None
        self.error: BackendError | None = None


async def read_stream(
    stream: AsyncIterator[types.ResponseStreamEvent], progress: ResponseProgress
) -> AsyncGenerator[RunEvent, None]:
    """The events of one response but for its end, which `progress` has then. Raises what breaks the stream.

    The stream may end without an end of the response: with an `error` (here the flat form; the SDK raises the nested
    one), or with nothing at all.
    """
    async for event in stream:
        if event.type == "error":
            progress.error = raised_in_run(event.code, event.message)
            return
        # A server's own kinds of event come without a number.
        progress.cursor = getattr(event, "sequence_number", progress.cursor)
        if event.type in ("response.completed", "response.incomplete", "response.failed"):
            progress.ended = event.response
            return
        for out in _translated(event, progress):
            yield out


def _translated(event: types.ResponseStreamEvent, progress: ResponseProgress) -> list[RunEvent]:
    if event.type in ("response.created", "response.queued") and progress.response_id is None:
        progress.response_id = event.response.id
        return [RunStarted(event.response.id)]
    if event.type in ("response.output_text.delta", "response.refusal.delta"):
        text = progress.transcript.grow(event.delta)
        return [TextDelta(text, event.sequence_number)] if text else []
    if event.type == "response.output_item.done" and event.item.type == "message":
        return [TextDone(progress.transcript.close(said(event.item)))]
    return []


def said(message: types.ResponseOutputMessage) -> str:
    """What an output message says: its texts and refusals."""
    return "".join(part.text if part.type == "output_text" else part.refusal for part in message.content)


def answer_of(response: types.Response) -> list[str]:
    """What a response's messages say, oldest first."""
    return [said(item) for item in response.output if item.type == "message"]


def function_calls(response: types.Response) -> list[types.ResponseFunctionToolCall]:
    """The functions that a response wants called."""
    return [item for item in response.output if item.type == "function_call"]


def ended_event(response: types.Response) -> RunEnded:
    """How a response ended, with a sentence where it did not complete. One that waits for a tool has failed."""
    counts = counted(response.usage, input_tokens="input_tokens", output_tokens="output_tokens")
    match response.status:
        case "completed":
            calls = [call.name for call in function_calls(response)]
            if calls:
                return RunEnded(RunStatus.FAILED, missing_tool(calls), counts)
            return RunEnded(RunStatus.COMPLETED, None, counts)
        case "incomplete":
            why = response.incomplete_details.reason if response.incomplete_details else None
            return RunEnded(RunStatus.INCOMPLETE, cut_off(why), counts)
        case "cancelled":
            return RunEnded(RunStatus.CANCELLED, "This answer was cancelled on the server.", counts)
        case _:
            return RunEnded(RunStatus.FAILED, failure_of(response).sentence, counts)


def failure_of(response: types.Response) -> BackendError:
    """Why a response failed."""
    error = response.error
    return raised_in_run(error.code, error.message) if error else raised_in_run(None, None)

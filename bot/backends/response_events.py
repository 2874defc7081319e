"""A response's stream, as run events.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

from collections.abc import AsyncGenerator, AsyncIterator

from openai.types import responses as types

from bot.backends.failures import cut_off, raised_in_run, reason
from bot.engine.ports import RunEnded, RunEvent, RunStarted, RunStatus, TextDelta, TextDone
from bot.errors import ContextOverflow

_STATUSES = {
    "completed": RunStatus.COMPLETED,
    "failed": RunStatus.FAILED,
    "cancelled": RunStatus.CANCELLED,
    "incomplete": RunStatus.INCOMPLETE,
}


async def read_stream(stream: AsyncIterator[types.ResponseStreamEvent]) -> AsyncGenerator[RunEvent, None]:
    """The events of one response. Ends without RunEnded where the stream does. Raises BackendError for `error`.

    Output messages are one text, with a blank line between them.
    """
    shown = False
    separator = ""
    async for event in stream:
        if event.type == "response.created":
            yield RunStarted(event.response.id)
        elif event.type == "response.output_item.added":
            separator = "\n\n" if shown and event.item.type == "message" else ""
        elif event.type in ("response.output_text.delta", "response.refusal.delta"):
            yield TextDelta(separator + event.delta, event.sequence_number)
            shown, separator = True, ""
        elif event.type in ("response.completed", "response.incomplete", "response.failed"):
            for out in _ended(event.response, shown=shown):
                yield out
            return
        elif event.type == "error":
            # The flat form; the nested one is raised by the SDK.
            raise raised_in_run(event.code, event.message)


def _ended(response: types.Response, *, shown: bool) -> list[RunEvent]:
    error = response.error
    if error is not None and not shown:
        failure = raised_in_run(error.code, error.message)
        if isinstance(failure, ContextOverflow):
            raise failure
    text = output_text(response)
    return [TextDone(text), ended_event(response)] if text else [ended_event(response)]


def output_text(response: types.Response) -> str:
    """What a response says: its messages' texts and refusals."""
    messages = []
    for item in response.output:
        if item.type == "message":
            parts = [part.text if part.type == "output_text" else part.refusal for part in item.content]
            messages.append("".join(parts))
    return "\n\n".join(message for message in messages if message)


def ended_event(response: types.Response) -> RunEnded:
    """How a response ended, with a sentence where it did not complete."""
    status = _STATUSES.get(response.status or "", RunStatus.FAILED)
    usage = response.usage
    counts = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens} if usage else {}
    return RunEnded(status, _reason(response, status), counts)


def _reason(response: types.Response, status: RunStatus) -> str | None:
    match status:
        case RunStatus.COMPLETED:
            return None
        case RunStatus.INCOMPLETE:
            return cut_off(response.incomplete_details.reason if response.incomplete_details else None)
        case RunStatus.CANCELLED:
            return "This answer was cancelled on the server."
        case _:
            return reason(response.error.code if response.error else None)

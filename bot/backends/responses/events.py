"""A response's stream, as run events.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

from openai.types import responses as types

from bot.backends.failures import cut_off, raised_in_run, run_needs_other_model
from bot.backends.responses.items import ContainerFile, begun_task, cited_files, ended_task, sources_of
from bot.backends.transcript import Transcript
from bot.backends.usage import counted, detailed
from bot.engine.ports import RunEnded, RunEvent, RunStarted, RunStatus, Source, Sources, Spent, TextDelta, TextDone
from bot.errors import BackendError


class ResponseProgress:
    """What is known of a response: its id, its text, the last event's number, and the response as it ended or the
    error that its stream ended with, each as soon as the server says so. `broke` says that a stream was cut."""

    def __init__(self, response_id: str | None = None, *, summaries: bool = False) -> None:
        """`summaries` says whether what the model says of its reasoning is shown."""
        self.response_id = response_id
        self.summaries = summaries
        self.cursor: int | None = None
        self.broke = False
        self.transcript = Transcript()
        self.ended: types.Response | None = None
        self.error: BackendError | None = None
        #: The server's own words for that, or for what broke its stream.
        self.words = ""
        #: The items that are whole.
        self.items: list[types.ResponseOutputItem] = []
        #: What the answer rests on; the items that were told, the files that are to be fetched and that were.
        self.sources: dict[str, Source] = {}
        self.told: set[str] = set()
        self.files: list[ContainerFile] = []
        self.fetched: set[str] = set()
        self.pictures: list[str] = []
        self.drawn = 0
        self.containers: set[str] = set()


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
            progress.words = event.message or ""
            return
        # A server's own kinds of event come without a number.
        progress.cursor = getattr(event, "sequence_number", progress.cursor)
        if event.type in ("response.completed", "response.incomplete", "response.failed"):
            progress.ended = event.response
            if progress.ended and not progress.ended.output:
                # Some servers end with no more than a status: then the output is what was told of it.
                progress.ended.output = progress.items
            return
        for out in _translated(event, progress):
            yield out


def _translated(event: types.ResponseStreamEvent, progress: ResponseProgress) -> list[RunEvent]:
    # `response.created` comes first, unless something on the way swallows it.
    begun: str | None = getattr(getattr(event, "response", None), "id", None)
    if begun and progress.response_id is None:
        progress.response_id = begun
        return [RunStarted(begun)]
    if event.type in ("response.output_text.delta", "response.refusal.delta"):
        text = progress.transcript.grow(event.delta or "")
        return [TextDelta(text, event.sequence_number)] if text else []
    if event.type == "response.output_item.added" and event.item:
        task = begun_task(event.item)
        return [task] if task else []
    if event.type == "response.output_item.done" and event.item:
        progress.items.append(event.item)
        text_done = [TextDone(progress.transcript.close(said(event.item)))] if event.item.type == "message" else []
        return [*text_done, *ended_item(event.item, progress)]
    return []


def ended_item(item: Any, progress: ResponseProgress) -> list[RunEvent]:
    """What an item that is whole tells besides its text, once; files are noted in `progress`."""
    if item.id in progress.told:
        return []
    progress.told.add(item.id)
    if item.type == "code_interpreter_call":
        progress.containers.add(item.container_id)
    if item.type == "image_generation_call" and item.result:
        progress.pictures.append(item.result)
    if item.type == "message":
        progress.files += cited_files(item)
        return _sources(item, progress)
    task = ended_task(item, summaries=progress.summaries)
    return [task] if task else []


def _sources(message: types.ResponseOutputMessage, progress: ResponseProgress) -> list[RunEvent]:
    before = len(progress.sources)
    for key, source in sources_of(message):
        progress.sources.setdefault(key, source)
    return [Sources(tuple(progress.sources.values()))] if len(progress.sources) > before else []


def said(message: types.ResponseOutputMessage) -> str:
    """What an output message says: its texts and refusals. Servers leave out what is empty."""
    texts = (part.text if part.type == "output_text" else part.refusal for part in message.content or [])
    return "".join(text or "" for text in texts)


def answer_of(response: types.Response) -> list[str]:
    """What a response's messages say, oldest first."""
    return [said(item) for item in output_of(response) if item.type == "message"]


def output_of(response: types.Response) -> Sequence[types.ResponseOutputItem]:
    """A response's items, oldest first; some servers say nothing where there are none."""
    return response.output or []


def ended_event(response: types.Response) -> RunEnded:
    """How a response ended, with a sentence where it did not complete. One that waits for a tool has failed."""
    counts, model = usage_of(response), response.model
    match response.status:
        case "completed":
            return RunEnded(RunStatus.COMPLETED, None, counts, model)
        case "incomplete":
            why = response.incomplete_details.reason if response.incomplete_details else None
            return RunEnded(RunStatus.INCOMPLETE, cut_off(why), counts, model)
        case "cancelled":
            return RunEnded(RunStatus.CANCELLED, "This answer was cancelled on the server.", counts, model)
        case _:
            return RunEnded(RunStatus.FAILED, failure_of(response).sentence, counts, model)


def usage_of(response: types.Response) -> dict[str, int]:
    """The tokens that a response used."""
    return {
        **counted(response.usage, input_tokens="input_tokens", output_tokens="output_tokens"),
        **detailed(response.usage, "input_tokens_details", cached_tokens="cached_tokens"),
        **detailed(response.usage, "output_tokens_details", reasoning_tokens="reasoning_tokens"),
    }


def spent(response: types.Response | None) -> list[Spent]:
    """What a response used that another takes the place of; nothing where no server counts."""
    used = usage_of(response) if response is not None else {}
    return [Spent(used, response.model or None)] if response is not None and used else []


def failure_of(response: types.Response) -> BackendError:
    """Why a response failed."""
    error = response.error
    return raised_in_run(error.code, error.message) if error else raised_in_run(None, None)


def failed_for_its_model(progress: ResponseProgress) -> bool:
    """Whether a response failed, before its first word, for a reason for which another model may not."""
    response = progress.ended
    if response is None or response.status != "failed" or progress.transcript.text or progress.told:
        return False
    return response.error is not None and run_needs_other_model(response.error.code, response.error.message)

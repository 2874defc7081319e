"""Responses: made once, then followed by their stream, by streaming them again, or by looking at them.

https://platform.openai.com/docs/api-reference/responses, https://platform.openai.com/docs/guides/background
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial

import openai
import structlog
from openai.types import responses as types

from bot.backends.failures import needs_other_model, raised_in_run
from bot.backends.responses.conversations import Conversations, answer_to, has_unanswered
from bot.backends.responses.events import (
    ResponseProgress,
    answer_of,
    ended_event,
    ended_item,
    failed_for_its_model,
    failure_of,
    output_of,
    read_stream,
    spent,
    usage_of,
)
from bot.backends.responses.files import ResponseFiles, picture
from bot.backends.responses.items import wanted_calls
from bot.backends.responses.parameters import Asked, parameters_of
from bot.backends.retries import Patience, patiently
from bot.backends.streaming import BREAKS, StreamedCall, stream_timeout
from bot.backends.transcript import joined
from bot.engine.ports import CallsWanted, Message, RunEnded, RunEvent, RunRequest, RunStarted, RunStatus, TextDone
from bot.errors import ContextOverflow, RunBroken

_log = structlog.get_logger()

_BROKE = "The connection to the model server broke in the middle of the answer. Please try again."
_GOING = frozenset({"queued", "in_progress"})
#: OpenAI's words for a conversation that has a call without an output.
_DANGLING = "No tool output found"

Stream = openai.AsyncStream[types.ResponseStreamEvent]


@dataclass(frozen=True, slots=True)
class Found:
    """An answer that was found in its conversation: the call that made it had gone through after all."""

    text: str


class ResponseRuns:
    """Makes and follows responses. Every method raises openai.APIError."""

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        patience: Patience,
        conversations: Conversations,
        files: ResponseFiles,
        *,
        background: bool,
        poll: float,
        silence: float,
    ) -> None:
        """`background` has the server go on with a response that nobody listens to. In seconds: `poll` between two
        looks at a response, `silence` without an event after which a stream counts as broken."""
        self._client = client
        self._patience = patience
        self._conversations = conversations
        self._files = files
        self._background = background
        self._poll = poll
        self._silence = stream_timeout(silence)
        self._streamed: StreamedCall[types.ResponseStreamEvent] = StreamedCall()

    async def make(
        self, request: RunRequest, asked: Asked, messages: Sequence[Message], after: str
    ) -> AsyncGenerator[RunEvent, None]:
        """Make a response to what is `asked`, once, and follow it; `messages` are those among it, `after` is the
        conversation's newest item before it.

        Raises ThreadLocked, RunBroken, ContextOverflow.
        """

        async def found() -> Found | None:
            return await self.find(request, messages, after)

        models = deque(dict.fromkeys([request.assistant.model, *request.assistant.fallback_models]))
        while True:
            opened = await self._opened(request, asked, models, found)
            progress = ResponseProgress(summaries=request.assistant.reasoning_summary)
            answer = opened if isinstance(opened, Found) else None
            if isinstance(opened, types.Response):
                progress.response_id = opened.id
                progress.ended = None if opened.status in _GOING else opened
                yield RunStarted(opened.id)
            elif isinstance(opened, openai.AsyncStream):
                async with aclosing(self._stream(request, opened, progress)) as events:
                    async for event in events:
                        yield event
            if answer is None and progress.ended is None:
                answer = await self._look(progress, found)
            if not (models and failed_for_its_model(progress)):
                break
            _log.warning("model-passed-over", model=progress.ended and progress.ended.model, run=request.run)
            for used in spent(progress.ended):
                yield used
            asked = await self._still_asked(request, asked, messages, after)
        async with aclosing(_told(answer) if answer else self._concluded(request, progress)) as last:
            async for event in last:
                yield event

    async def _opened(
        self,
        request: RunRequest,
        asked: Asked,
        models: deque[str],
        found: Callable[[], Awaitable[Found | None]],
    ) -> Stream | types.Response | Found:
        """The response, by the first model that there is and that has time for it; `models` are those left then."""
        while True:
            model = models.popleft()
            create = partial(self._create, request, asked, model)
            try:
                patience = self._patience.in_haste if models else self._patience
                return await self._conversations.unlocked(partial(patiently, create, patience, done=found), found)
            except openai.APIStatusError as error:
                if not models or not needs_other_model(error):
                    raise
                _log.warning("model-passed-over", model=model, code=error.code, status=error.status_code)

    async def _still_asked(self, request: RunRequest, asked: Asked, messages: Sequence[Message], after: str) -> Asked:
        """What is asked of another model: without what the conversation has kept of the response that failed."""
        newer = await self._conversations.items_after(request.backend_thread, after, messages=len(messages))
        if not has_unanswered([message.text for message in messages], newer):
            return asked
        return replace(asked, items=[item for item in asked.items if item.get("type") != "message"])

    async def take_up(self, request: RunRequest, response: types.Response) -> AsyncGenerator[RunEvent, None]:
        """Follow a response that was made by an earlier attempt."""
        progress = ResponseProgress(response.id, summaries=request.assistant.reasoning_summary)
        yield RunStarted(response.id)
        if response.status in _GOING and response.background:
            # From its first event on: the deltas before `request.cursor` went to a process that is gone.
            async with aclosing(self._read_on(request, progress)) as events:
                async for event in events:
                    yield event
        progress.ended = progress.ended or await self.ended(response.id)
        if progress.ended is None:
            raise RunBroken("The model server no longer has this answer.")
        async with aclosing(self._concluded(request, progress)) as last:
            async for event in last:
                yield event

    async def find(self, request: RunRequest, messages: Sequence[Message], after: str) -> Found | None:
        """The answer to `messages`, if the conversation has one after the item `after`."""
        items = await self._conversations.items_after(request.backend_thread, after, messages=len(messages))
        answer = answer_to([message.text for message in messages], items)
        return Found(joined(answer)) if answer else None

    async def retrieve(self, response_id: str) -> types.Response | None:
        """A response as it is now; None where the server does not have it."""
        try:
            return await patiently(
                lambda: self._client.responses.retrieve(response_id), self._patience, repeatable=True
            )
        except openai.NotFoundError:
            return None

    async def ended(self, response_id: str) -> types.Response | None:
        """Look at a response until it has ended; None where the server does not have it. The engine's deadline
        ends this, if the response does not."""
        while True:
            response = await self.retrieve(response_id)
            if response is None or response.status not in _GOING:
                return response
            await asyncio.sleep(self._poll)

    async def cancel(self, response_id: str) -> RunEnded | None:
        """End a response in the background, if it is still going; the others end with their stream, and nobody tells
        what those used."""
        if not self._background:
            return None
        try:
            ended: types.Response | None = await self._client.responses.cancel(response_id)
        except (openai.BadRequestError, openai.NotFoundError):
            _log.debug("response-had-ended", response=response_id)
            ended = await self.retrieve(response_id)
        return ended_event(ended) if ended is not None else None

    async def _create(self, request: RunRequest, asked: Asked, model: str) -> Stream | types.Response:
        parameters = parameters_of(request, asked, model, background=self._background)
        create = partial(self._client.responses.with_raw_response.create, **parameters, timeout=self._silence)
        try:
            made = await self._streamed.make(create)
        except openai.BadRequestError as error:
            # A call of an earlier run that was left without its output makes every request fail.
            if _DANGLING not in str(error.message) or not await self._conversations.answer_calls(
                request.backend_thread, except_for={output.call for output in request.outputs}
            ):
                raise
            made = await self._streamed.make(create)
        if isinstance(made, openai.AsyncStream):
            return made
        if "id" not in made:
            raise RunBroken("The model server's answer cannot be read. Please try again.")
        return types.Response.construct(**made)

    async def _look(self, progress: ResponseProgress, found: Callable[[], Awaitable[Found | None]]) -> Found | None:
        """Find out how a response ended whose stream did not say: `progress` has it then, or else the result.

        Raises RunBroken, or the error that the stream ended with, where the server cannot tell.
        """
        response = await self.ended(progress.response_id) if progress.response_id else None
        # A cut is what cancels a response in the foreground: then the conversation may have the answer all the same.
        if response is not None and not (progress.broke and response.status == "cancelled"):
            progress.ended = response
            return None
        answer = await found()
        if answer is None:
            raise progress.error or RunBroken(_BROKE)
        return answer

    async def _stream(
        self, request: RunRequest, stream: Stream, progress: ResponseProgress
    ) -> AsyncGenerator[RunEvent, None]:
        """A new response's events, streamed as long as may be."""
        async with aclosing(self._read(request, stream, progress)) as events:
            async for event in events:
                yield event
        async with aclosing(self._read_on(request, progress)) as events:
            async for event in events:
                yield event

    async def _read(
        self, request: RunRequest, stream: Stream, progress: ResponseProgress
    ) -> AsyncGenerator[RunEvent, None]:
        """A stream's events, until it ends or breaks."""
        try:
            async for event in read_stream(stream, progress):
                yield event
                if progress.files or progress.pictures:
                    async with aclosing(self._made(request, progress)) as files:
                        async for file in files:
                            yield file
        except BREAKS as error:
            _log.info("stream-broke", run=request.run, error=type(error).__name__)
            progress.broke = True
            if isinstance(error, openai.APIError) and not isinstance(error, openai.APIConnectionError):
                progress.error = raised_in_run(error.code, error.message)
        finally:
            await stream.close()

    async def _read_on(self, request: RunRequest, progress: ResponseProgress) -> AsyncGenerator[RunEvent, None]:
        """The rest of a response in the background, streamed again for as long as that brings anything new."""
        brought = self._background and progress.response_id is not None and progress.error is None
        while brought and progress.ended is None:
            before = progress.cursor
            try:
                stream = await self._resumed(progress)
            except openai.APIError as error:
                # More than five minutes old, or no server for this: looked at instead.
                _log.info("stream-not-resumed", run=request.run, error=type(error).__name__)
                return
            async with aclosing(self._read(request, stream, progress)) as events:
                async for event in events:
                    yield event
            brought = progress.cursor != before and progress.error is None

    async def _resumed(self, progress: ResponseProgress) -> Stream:
        assert progress.response_id is not None
        after = openai.omit if progress.cursor is None else progress.cursor
        return await self._client.responses.retrieve(
            progress.response_id, stream=True, starting_after=after, timeout=self._silence
        )

    async def _concluded(self, request: RunRequest, progress: ResponseProgress) -> AsyncGenerator[RunEvent, None]:
        """The last events of a response that has ended."""
        response, shown = progress.ended, progress.transcript.text
        assert response is not None
        if response.status == "failed" and not shown:
            failure = failure_of(response)
            if isinstance(failure, ContextOverflow):
                raise failure
        text = progress.transcript.settle(answer_of(response), final=response.status == "completed")
        if text is not None:
            yield TextDone(text)
        for item in output_of(response):
            for event in ended_item(item, progress):
                yield event
        async with aclosing(self._made(request, progress, final=True)) as files:
            async for file in files:
                yield file
        calls = wanted_calls(output_of(response))
        if calls and response.status == "completed":
            yield CallsWanted(calls, usage_of(response), response.model)
        else:
            yield ended_event(response)

    async def _made(
        self, request: RunRequest, progress: ResponseProgress, *, final: bool = False
    ) -> AsyncGenerator[RunEvent, None]:
        """The files that are known by now, fetched at once: containers die. At the end, those too of which the answer
        does not speak."""
        if request.folder is None:
            return
        if final and progress.ended is not None:
            known = {file.file for file in progress.files} | progress.fetched
            for container in progress.containers:
                progress.files += await self._files.uncited(container, progress.ended.created_at, known)
        due = {file.file: file for file in progress.files if file.file not in progress.fetched}
        progress.fetched |= due.keys()
        progress.files = []
        pictures, progress.pictures = progress.pictures, []
        for result in pictures:
            progress.drawn += 1
            drawn = await picture(result, request.folder, progress.drawn)
            if drawn is not None:
                yield drawn
        async with aclosing(self._files.fetched(list(due.values()), request.folder)) as fetched:
            async for file in fetched:
                yield file


async def _told(found: Found) -> AsyncGenerator[RunEvent, None]:
    yield TextDone(found.text)
    yield RunEnded(RunStatus.COMPLETED)

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

from bot.backends.failures import needs_other_model, run_needs_other_model
from bot.backends.responses.conversations import Conversations, answer_to, unanswered
from bot.backends.responses.events import (
    ResponseProgress,
    answer_of,
    ended_event,
    ended_item,
    failure_before_words,
    failure_of,
    output_of,
    read_stream,
    spent,
    usage_of,
)
from bot.backends.responses.files import ResponseFiles, picture
from bot.backends.responses.items import wanted_calls
from bot.backends.responses.parameters import Asked, parameters_of
from bot.backends.responses.refusals import without_refused
from bot.backends.retries import Patience, patiently
from bot.backends.streaming import BREAKS, StreamedCall, stream_timeout
from bot.backends.transcript import joined
from bot.engine.ports import (
    CallsWanted,
    FilesUnused,
    Message,
    RunEnded,
    RunEvent,
    RunRequest,
    RunStarted,
    RunStatus,
    Task,
    TextDone,
)
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
        lingering: float,
    ) -> None:
        """`background` has the server go on with a response that nobody listens to. In seconds: `poll` between two
        looks at a response, `silence` without an event after which a stream counts as broken, `lingering` until a
        response in the foreground is given up whose stream is over."""
        self._client = client
        self._patience = patience
        self._conversations = conversations
        self._files = files
        self._background = background
        self._poll = poll
        self._lingering = lingering
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
            asked, opened = await self._opened(request, asked, models, found)
            if asked.unused:
                yield FilesUnused(asked.unused)
                asked = replace(asked, unused=())
            progress = ResponseProgress(summaries=request.assistant.reasoning_summary)
            answer = opened if isinstance(opened, Found) else None
            if not isinstance(opened, Found):
                async with aclosing(self._followed(request, opened, progress)) as events:
                    async for event in events:
                        yield event
            if answer is None and progress.ended is None:
                answer = await self._look(progress, found)
            other = None if answer else self._otherwise(request, asked, models, progress)
            if other is None:
                break
            for used in spent(progress.ended):
                yield used
            asked = await self._still_asked(request, other, messages, after)
        async with aclosing(_told(answer) if answer else self._concluded(request, progress)) as last:
            async for event in last:
                yield event

    async def _opened(
        self,
        request: RunRequest,
        asked: Asked,
        models: deque[str],
        found: Callable[[], Awaitable[Found | None]],
    ) -> tuple[Asked, Stream | types.Response | Found]:
        """The response, and what it was asked: by the first of `models` that there is and that has time for it, and
        without files that the server refuses."""
        while True:
            create = partial(self._create, request, asked, models[0])
            try:
                patience = self._patience.in_haste if len(models) > 1 else self._patience
                opening = self._conversations.unlocked(partial(patiently, create, patience, done=found), found)
                return asked, await opening
            except openai.APIStatusError as error:
                if len(models) > 1 and needs_other_model(error):
                    _log.warning("model-passed-over", model=models.popleft(), code=error.code, status=error.status_code)
                    continue
                less = without_refused(asked, error.code, error.message, error.param) if _is_refusal(error) else None
                if less is None:
                    raise
                _log.info("files-refused", run=request.run, code=error.code, param=error.param)
                asked = less

    def _otherwise(
        self, request: RunRequest, asked: Asked, models: deque[str], progress: ResponseProgress
    ) -> Asked | None:
        """What to ask instead after a response that failed before its first word: the same, of another model, or less
        of this one."""
        failure = failure_before_words(progress)
        if failure is None:
            return None
        if len(models) > 1 and run_needs_other_model(*failure):
            _log.warning("model-passed-over", model=models.popleft(), code=failure[0], run=request.run)
            return asked
        return without_refused(asked, *failure)

    async def _still_asked(self, request: RunRequest, asked: Asked, messages: Sequence[Message], after: str) -> Asked:
        """What is asked then: without what the conversation has kept of the response that failed."""
        newer = await self._conversations.items_after(request.backend_thread, after, messages=len(messages))
        if not unanswered([message.text for message in messages], newer):
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
        """Look at a response until it has ended; None where the server does not have it. One in the background ends
        at the engine's deadline at the latest. One in the foreground ends with its stream: None where it goes on all
        the same for longer than it is waited for."""
        until = asyncio.get_running_loop().time() + self._lingering
        while True:
            response = await self.retrieve(response_id)
            if response is None or response.status not in _GOING:
                return response
            in_background = self._background or response.background
            if not in_background and asyncio.get_running_loop().time() > until:
                _log.warning("response-never-ended", response=response_id)
                return None
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
        """Find out how a response ended whose stream did not say: `progress` has it then, or else the result. Neither,
        where the server cannot tell."""
        response = await self.ended(progress.response_id) if progress.response_id else None
        # A cut is what cancels a response in the foreground: then the conversation may have the answer all the same.
        if response is not None and not (progress.broke and response.status == "cancelled"):
            progress.ended = response
            return None
        return await found()

    async def _followed(
        self, request: RunRequest, opened: Stream | types.Response, progress: ResponseProgress
    ) -> AsyncGenerator[RunEvent, None]:
        """A new response's events, streamed as long as may be."""
        if isinstance(opened, types.Response):
            progress.response_id = opened.id
            progress.ended = None if opened.status in _GOING else opened
            yield RunStarted(opened.id)
            return
        async with aclosing(self._read(request, opened, progress)) as events:
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
                progress.fail(error.code, error.message)
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
        """The last events of a response that has ended. Raises what broke it where nobody knows how."""
        response, shown = progress.ended, progress.transcript.text
        if response is None:
            raise progress.error or RunBroken(_BROKE)
        if response.status == "failed" and not shown:
            failure = failure_of(response)
            if isinstance(failure, ContextOverflow):
                raise failure
        text = progress.transcript.settle(answer_of(response), final=response.status == "completed")
        if text is not None:
            yield TextDone(text)
        for place, item in enumerate(output_of(response)):
            for event in ended_item(item, place, progress):
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
                found = await self._files.uncited(container, progress.ended.created_at, known)
                if isinstance(found, Task):
                    yield found
                else:
                    progress.files += found
        due = {file.file: file for file in progress.files if file.file not in progress.fetched}
        progress.fetched |= due.keys()
        progress.files = []
        pictures, progress.pictures = progress.pictures, {}
        for item, result in pictures.items():
            yield await picture(result, request.folder, item)
        async with aclosing(self._files.fetched(list(due.values()), request.folder)) as fetched:
            async for file in fetched:
                yield file


def _is_refusal(error: openai.APIStatusError) -> bool:
    """Nothing was made."""
    return error.status_code in (400, 404, 413, 415, 422)


async def _told(found: Found) -> AsyncGenerator[RunEvent, None]:
    yield TextDone(found.text)
    yield RunEnded(RunStatus.COMPLETED)

"""Responses: made once, then followed by their stream, by streaming them again, or by looking at them.

https://platform.openai.com/docs/api-reference/responses, https://platform.openai.com/docs/guides/background
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

import openai
import structlog
from openai.types import responses as types

from bot.backends.conversations import Conversations, answer_to
from bot.backends.failures import raised_in_run
from bot.backends.response_events import (
    ResponseProgress,
    answer_of,
    ended_event,
    failure_of,
    function_calls,
    read_stream,
)
from bot.backends.response_parameters import parameters_of
from bot.backends.retries import Patience, patiently
from bot.backends.streaming import BREAKS, StreamedCall, stream_timeout
from bot.backends.transcript import joined
from bot.engine.ports import Message, RunEnded, RunEvent, RunRequest, RunStarted, RunStatus, TextDone
from bot.errors import ContextOverflow, RunBroken

_log = structlog.get_logger()

_BROKE = "The connection to the model server broke in the middle of the answer. Please try again."
_GOING = frozenset({"queued", "in_progress"})

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
        self._background = background
        self._poll = poll
        self._silence = stream_timeout(silence)
        self._streamed: StreamedCall[types.ResponseStreamEvent] = StreamedCall()

    async def make(
        self, request: RunRequest, messages: Sequence[Message], after: str
    ) -> AsyncGenerator[RunEvent, None]:
        """Make a response to `messages`, once, and follow it; `after` is the conversation's newest item before it.

        Raises ThreadLocked, RunBroken, ContextOverflow.
        """

        async def found() -> Found | None:
            return await self.find(request, messages, after)

        opened = await self._conversations.unlocked(
            lambda: patiently(partial(self._create, request, messages), self._patience, done=found), found
        )
        progress = ResponseProgress()
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
        for event in _answered(answer) if answer else await self._concluded(request, progress):
            yield event

    async def take_up(self, request: RunRequest, response: types.Response) -> AsyncGenerator[RunEvent, None]:
        """Follow a response that was made by an earlier attempt."""
        progress = ResponseProgress(response.id)
        yield RunStarted(response.id)
        if response.status in _GOING and response.background:
            # From its first event on: the deltas before `request.cursor` went to a process that is gone.
            async with aclosing(self._read_on(request, progress)) as events:
                async for event in events:
                    yield event
        progress.ended = progress.ended or await self.ended(response.id)
        if progress.ended is None:
            raise RunBroken("The model server no longer has this answer.")
        for event in await self._concluded(request, progress):
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

    async def cancel(self, response_id: str) -> None:
        """End a response in the background, if it is still going; the others end with their stream."""
        if not self._background:
            return
        try:
            await self._client.responses.cancel(response_id)
        except (openai.BadRequestError, openai.NotFoundError):
            _log.debug("response-had-ended", response=response_id)

    async def _create(self, request: RunRequest, messages: Sequence[Message]) -> Stream | types.Response:
        made = await self._streamed.make(
            partial(
                self._client.responses.with_raw_response.create,
                **parameters_of(request, messages, background=self._background),
                timeout=self._silence,
            )
        )
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

    async def _concluded(self, request: RunRequest, progress: ResponseProgress) -> list[RunEvent]:
        """The last events of a response that has ended."""
        response, shown = progress.ended, progress.transcript.text
        assert response is not None
        if response.status == "failed" and not shown:
            failure = failure_of(response)
            if isinstance(failure, ContextOverflow):
                raise failure
        calls = function_calls(response)
        if calls and response.status == "completed":
            # Left without outputs, they would make every later request in this conversation fail.
            await self._conversations.add(request.backend_thread, [_no_such_tool(call) for call in calls])
        text = progress.transcript.settle(answer_of(response), final=response.status == "completed")
        return [*([] if text is None else [TextDone(text)]), ended_event(response)]


def _answered(found: Found) -> list[RunEvent]:
    return [TextDone(found.text), RunEnded(RunStatus.COMPLETED)]


def _no_such_tool(call: types.ResponseFunctionToolCall) -> Any:
    output = "Error: there is no such tool. Answer without it."
    return {"type": "function_call_output", "call_id": call.call_id, "output": output}

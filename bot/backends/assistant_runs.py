"""Runs on an Assistants server: started once, then followed by their stream or by looking at them.

https://platform.openai.com/docs/api-reference/runs
"""

import asyncio
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

import openai
import structlog
from openai.types import beta
from openai.types.beta import threads

from bot.backends.limits import PAGE
from bot.backends.retries import Patience, patiently
from bot.backends.run_events import RunProgress, ended_event, read_stream
from bot.backends.streaming import BREAKS, StreamedCall, stream_timeout
from bot.backends.thread_lock import ThreadLock
from bot.backends.thread_messages import ThreadMessages
from bot.engine.ports import RunEvent, RunRequest, RunStarted, TextDone
from bot.errors import RunBroken

_log = structlog.get_logger()

#: Metadata by which a run is recognised after a call whose outcome nobody knows.
_RUN = "bobbin_run"

_GOING = frozenset({"queued", "in_progress", "cancelling"})

Stream = openai.AsyncStream[beta.AssistantStreamEvent]


class AssistantRuns:
    """Starts and follows runs. Every method raises openai.APIError."""

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        patience: Patience,
        lock: ThreadLock,
        messages: ThreadMessages,
        *,
        poll: float,
        silence: float,
    ) -> None:
        """In seconds: `poll` between two looks at a run where the server does not say, `silence` without an event
        after which a stream counts as broken."""
        self._client = client
        self._patience = patience
        self._lock = lock
        self._messages = messages
        self._poll = poll
        self._silence = stream_timeout(silence)
        self._streamed: StreamedCall[beta.AssistantStreamEvent] = StreamedCall()

    async def find(self, request: RunRequest) -> str | None:
        """The id of the server's run for this request, if it was started."""
        if request.backend_run:
            return request.backend_run
        return await patiently(lambda: self._find(request), self._patience, repeatable=True)

    async def start(self, request: RunRequest, assistant_id: str) -> Stream | str:
        """Start the run, once, as soon as no other holds the thread. Returns its stream, or its id where the server
        does not stream or the run was found to be started already. Raises ThreadLocked, RunBroken."""
        found = partial(self.find, request)
        return await self._lock.freed(
            request.backend_thread,
            lambda: patiently(partial(self._create, request, assistant_id), self._patience, done=found),
            found,
        )

    async def follow(self, request: RunRequest, opened: Stream | str) -> AsyncGenerator[RunEvent, None]:
        """A run's events, whatever becomes of its stream. `opened` is what `start` or `find` returned."""
        progress = RunProgress()
        if isinstance(opened, str):
            progress.run_id = opened
            yield RunStarted(opened)
        else:
            try:
                async for event in read_stream(opened, progress):
                    yield event
            except BREAKS as error:
                _log.info("stream-broke", run=request.run, error=type(error).__name__)
            finally:
                await opened.close()
        if progress.ended is None:
            async for event in self._look(request, progress):
                yield event
        assert progress.ended is not None
        if progress.ended.status == "requires_action":
            # It would hold the thread's lock until it expires.
            await self.cancel(request.backend_thread, progress.ended.id)
        yield ended_event(progress.ended)

    async def cancel(self, thread: str, run_id: str) -> None:
        """End a run, if it is still going."""
        try:
            await self._client.beta.threads.runs.cancel(run_id, thread_id=thread)
        except (openai.BadRequestError, openai.NotFoundError):
            _log.debug("run-had-ended", run=run_id)

    async def _find(self, request: RunRequest) -> str | None:
        # One thread has one run at a time: an earlier attempt's is among the latest.
        page = await self._client.beta.threads.runs.list(request.backend_thread, limit=PAGE, order="desc")
        return next((run.id for run in page.data if (run.metadata or {}).get(_RUN) == request.run), None)

    async def _create(self, request: RunRequest, assistant_id: str) -> Stream | str:
        made = await self._streamed.make(
            partial(
                self._client.beta.threads.runs.with_raw_response.create,
                request.backend_thread,
                assistant_id=assistant_id,
                additional_instructions=request.context,
                metadata={_RUN: request.run},
                timeout=self._silence,
            )
        )
        if isinstance(made, openai.AsyncStream):
            return made
        run_id = _id_of(made) or await self.find(request)
        if run_id is None:
            raise RunBroken("The model server did not say whether it began to answer. Please try again.")
        return run_id

    async def _look(self, request: RunRequest, progress: RunProgress) -> AsyncGenerator[RunEvent, None]:
        """The rest of a run that is not, or no longer, streamed."""
        if progress.run_id is None:
            progress.run_id = await self.find(request)
            if progress.run_id is None:
                raise RunBroken("The connection to the model server broke before the answer began. Please try again.")
            yield RunStarted(progress.run_id)
        progress.ended = run = await self._ended(request.backend_thread, progress.run_id)
        messages = await self._messages.answer(request.backend_thread, run.id)
        text = progress.transcript.settle(messages, final=run.status == "completed")
        if text is not None:
            yield TextDone(text)

    async def _ended(self, thread: str, run_id: str) -> threads.Run:
        """Look at a run until it has ended. The engine's deadline ends this, if the run does not."""
        runs = self._client.beta.threads.runs.with_raw_response
        while True:
            raw = await patiently(partial(runs.retrieve, run_id, thread_id=thread), self._patience, repeatable=True)
            run = raw.parse()
            if run.status not in _GOING:
                return run
            await asyncio.sleep(_poll_after(raw.headers.get("openai-poll-after-ms"), self._poll))


def _id_of(made: dict[str, Any]) -> str | None:
    run_id = made.get("id")
    return run_id if isinstance(run_id, str) and run_id else None


def _poll_after(header: str | None, default: float) -> float:
    """Seconds to wait, from the server's `openai-poll-after-ms`."""
    return int(header) / 1000 if header and header.isdecimal() else default

"""The Assistants protocol: threads, messages and runs on a server that keeps them.

https://platform.openai.com/docs/api-reference/runs; what its servers do beyond that is in docs/backends.md.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import httpx2
import openai
import structlog
from openai.types import beta
from openai.types.beta import threads

from bot.backends.checks import check_models
from bot.backends.definitions import Definitions
from bot.backends.failures import translated
from bot.backends.limits import ASSISTANTS_FIRST_MESSAGES, ASSISTANTS_MESSAGE, PAGE
from bot.backends.retries import Attempts, Patience, patiently
from bot.backends.run_events import ended_event, message_text, read_stream
from bot.engine.ports import (
    Check,
    Message,
    RunEnded,
    RunEvent,
    RunRequest,
    RunStarted,
    RunStatus,
    TextDone,
    ThreadKey,
)
from bot.errors import BackendError, BackendUnsupported, RunBroken, ThreadGone, ThreadLocked

_log = structlog.get_logger()
T = TypeVar("T")

#: Metadata by which a message and a run are recognised after a call whose outcome nobody knows.
_POST, _RUN = "slack_ts", "bobbin_run"
#: A locked thread answers 400 without a code; only the sentence names the run that holds it.
_LOCKED = re.compile(r"(?:while a run|already has an active run) (run_\w+)")
#: Seconds between two looks at a run where the server does not say (openai/lib/_assistants_runs.py).
_POLL = 1.0

Run = threads.Run
Stream = openai.AsyncStream[beta.AssistantStreamEvent]
Opened = Stream | Run


class AssistantsBackend:
    """Each Slack thread is a thread on the server, each assistant an object there."""

    name = "assistants"
    message_limit = ASSISTANTS_MESSAGE

    def __init__(self, client: openai.AsyncOpenAI, *, patience: Patience | None = None, poll: float = _POLL) -> None:
        """`client` must have `max_retries=0`; `poll` is in seconds."""
        self._client = client
        self._patience = patience or Patience()
        self._poll = poll
        self._definitions = Definitions(client, self._patience)
        self._streams = True

    async def close(self) -> None:
        await self._client.close()

    async def check(self, models: Sequence[str]) -> Sequence[Check]:
        """What `bobbin doctor` asks."""
        try:
            await self._client.beta.assistants.list(limit=1)
        except openai.APIError as error:
            sentence = (await self._explained(error, "", "")).sentence
            return [Check("backend assistants", sentence)]
        return [Check("backend assistants", None), *await check_models(self._client, models)]

    # Threads

    async def create_thread(self, key: ThreadKey, history: Sequence[Message]) -> str:
        first, rest = history[:ASSISTANTS_FIRST_MESSAGES], history[ASSISTANTS_FIRST_MESSAGES:]
        metadata = {"slack_team": key.team, "slack_channel": key.channel, "slack_ts": key.ts}
        try:
            thread = await patiently(
                lambda: self._client.beta.threads.create(
                    messages=[
                        {"role": m.role, "content": m.text[:ASSISTANTS_MESSAGE], "metadata": {_POST: m.id}}
                        for m in first
                    ],
                    metadata=metadata,
                ),
                self._patience,
                # A thread that nobody points at costs nothing and is never answered.
                repeatable=True,
            )
            for message in rest:
                await self._forward(thread.id, message)
        except openai.APIError as error:
            raise await self._explained(error, "", "") from error
        return thread.id

    # Runs

    async def run(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        try:
            begun = await self._begun_before(request)
            if begun is None:
                await self._forward_new(request)
            following = self._follow_by_looking(request, begun.id) if begun else self._start(request)
            async with aclosing(following) as events:
                async for event in events:
                    yield event
        except openai.APIError as error:
            raise await self._explained(error, request.backend_thread, request.assistant.model) from error

    async def cancel(self, request: RunRequest) -> None:
        try:
            run_id = request.backend_run or getattr(await self._find_run(request), "id", None)
            if run_id:
                await self._client.beta.threads.runs.cancel(run_id, thread_id=request.backend_thread)
        except openai.BadRequestError:
            _log.debug("run-had-ended", run=request.run)
        except openai.APIError as error:
            raise translated(error) from error

    async def _begun_before(self, request: RunRequest) -> Run | None:
        """The server's run for this request, if an earlier attempt got that far."""
        if request.attempt == 1:
            return None
        return await patiently(lambda: self._find_run(request), self._patience, repeatable=True)

    async def _find_run(self, request: RunRequest) -> Run | None:
        page = await self._client.beta.threads.runs.list(request.backend_thread, limit=PAGE, order="desc")
        return next((run for run in page.data if (run.metadata or {}).get(_RUN) == request.run), None)

    # Messages

    async def _forward_new(self, request: RunRequest) -> None:
        known: set[str] = set()
        if request.attempt > 1:
            known = await patiently(lambda: self._forwarded(request.backend_thread), self._patience, repeatable=True)
        for message in request.messages:
            if message.id not in known:
                await self._unlocked(request.backend_thread, partial(self._forward, request.backend_thread, message))

    async def _forward(self, thread: str, message: Message) -> bool:
        """Add one message, once. Raises openai.APIError."""

        async def add() -> bool:
            await self._client.beta.threads.messages.create(
                thread, role=message.role, content=message.text, metadata={_POST: message.id}
            )
            return True

        async def added() -> bool | None:
            return message.id in await self._forwarded(thread) or None

        return await patiently(add, self._patience, done=added)

    async def _forwarded(self, thread: str) -> set[str]:
        """The Slack timestamps of the thread's latest messages."""
        page = await self._client.beta.threads.messages.list(thread, limit=PAGE, order="desc")
        return {str((message.metadata or {}).get(_POST)) for message in page.data}

    async def _unlocked(self, thread: str, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call, after the run that holds the thread's lock has ended."""
        attempts = Attempts(self._patience)
        while True:
            try:
                return await call()
            except openai.BadRequestError as error:
                holder = _LOCKED.search(str(error.message))
                if holder is None:
                    raise
                _log.info("thread-locked", thread=thread, run=holder[1])
                run = await self._client.beta.threads.runs.retrieve(holder[1], thread_id=thread)
                if run.status == "requires_action":
                    # Nobody will hand in what it waits for; it would hold the lock until it expires.
                    await self._client.beta.threads.runs.cancel(run.id, thread_id=thread)
                if not await attempts.pause():
                    raise ThreadLocked(
                        "An earlier answer in this conversation has not ended on the server. Please try again later."
                    ) from error

    # Starting and following

    async def _start(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        opened = await self._open_with_assistant(request)
        if isinstance(opened, Run):
            async for event in self._follow_by_looking(request, opened.id):
                yield event
            return
        run_id: str | None = None
        async with aclosing(self._read(request, opened)) as events:
            async for event in events:
                run_id = event.backend_run if isinstance(event, RunStarted) else run_id
                yield event
                if isinstance(event, RunEnded):
                    return
        # The stream ended before the run did: the run itself tells the rest.
        if run_id is None:
            found = await patiently(lambda: self._find_run(request), self._patience, repeatable=True)
            if found is None:
                raise RunBroken("The connection to the model server broke before the answer began. Please try again.")
            run_id = found.id
        async for event in self._follow_by_looking(request, run_id):
            yield event

    async def _read(self, request: RunRequest, stream: Stream) -> AsyncGenerator[RunEvent, None]:
        """A stream's events, until it ends or breaks."""
        run_id: str | None = None
        try:
            async for event in read_stream(stream):
                run_id = event.backend_run if isinstance(event, RunStarted) else run_id
                if isinstance(event, RunEnded) and event.status is RunStatus.REQUIRES_ACTION:
                    await self.cancel(replace(request, backend_run=run_id))
                yield event
        except (openai.APIError, httpx2.HTTPError) as error:
            _log.info("stream-broke", run=request.run, error=type(error).__name__)
        finally:
            await stream.close()

    async def _open_with_assistant(self, request: RunRequest) -> Opened:
        assistant_id = await self._definitions.ensure(request.assistant)
        try:
            return await self._open(request, assistant_id)
        except openai.NotFoundError as error:
            if assistant_id not in str(error.message):
                raise
        self._definitions.forget(request.assistant)
        return await self._open(request, await self._definitions.ensure(request.assistant))

    async def _open(self, request: RunRequest, assistant_id: str) -> Opened:
        """Start the run, once: its stream, or the run where the server does not stream."""

        async def create() -> Opened:
            return await self._create(request.backend_thread, run_parameters(request, assistant_id))

        async def created() -> Opened | None:
            return await self._find_run(request)

        return await self._unlocked(request.backend_thread, lambda: patiently(create, self._patience, done=created))

    async def _create(self, thread: str, parameters: dict[str, Any]) -> Opened:
        runs = self._client.beta.threads.runs
        if self._streams:
            try:
                raw = await runs.with_raw_response.create(thread, **parameters, stream=True)
            except openai.BadRequestError as error:
                if "stream" not in str(error.message).lower():
                    raise
            else:
                if raw.headers.get("content-type", "").startswith("text/event-stream"):
                    stream: Stream = raw.parse()
                    return stream
                self._streams = False
                return Run.model_validate_json(await raw.http_response.aread())
            self._streams = False
        run: Run = await runs.create(thread, **parameters)
        return run

    async def _follow_by_looking(self, request: RunRequest, run_id: str) -> AsyncGenerator[RunEvent, None]:
        yield RunStarted(run_id)
        run = await self._ended(request, run_id)
        text = await self._text(request, run_id)
        if text:
            yield TextDone(text)
        ended = ended_event(run)
        if ended.status is RunStatus.REQUIRES_ACTION:
            await self.cancel(replace(request, backend_run=run_id))
        yield ended

    async def _ended(self, request: RunRequest, run_id: str) -> Run:
        """Look at a run until it has ended. The engine's deadline ends this, if the run does not."""
        while True:
            raw = await patiently(
                lambda: self._client.beta.threads.runs.with_raw_response.retrieve(
                    run_id, thread_id=request.backend_thread
                ),
                self._patience,
                repeatable=True,
            )
            run = raw.parse()
            status = RunStatus(run.status)
            if status.ended or status is RunStatus.REQUIRES_ACTION:
                return run
            await asyncio.sleep(_poll_after(raw.headers.get("openai-poll-after-ms"), self._poll))

    async def _text(self, request: RunRequest, run_id: str) -> str:
        messages = await patiently(
            lambda: self._client.beta.threads.messages.list(
                request.backend_thread, run_id=run_id, order="asc", limit=PAGE
            ),
            self._patience,
            repeatable=True,
        )
        texts = [message_text(message) for message in messages.data if message.role == "assistant"]
        return "\n\n".join(text for text in texts if text)

    async def _explained(self, error: openai.APIError, thread: str, model: str) -> BackendError:
        """What a refusal means: a 404 can be the thread's, the model's, or the whole protocol's."""
        if not isinstance(error, openai.NotFoundError) or error.code == "model_not_found":
            return translated(error, model)
        try:
            await self._client.beta.assistants.list(limit=1)
        except openai.NotFoundError:
            return BackendUnsupported("this server no longer offers the Assistants API; set BOBBIN_BACKEND=responses")
        except openai.APIError as second:
            return translated(second)
        if "model" in str(error.message).lower() and thread not in str(error.message):
            return translated(error, model)
        return ThreadGone("The conversation is gone from the server.")


def run_parameters(request: RunRequest, assistant_id: str) -> dict[str, Any]:
    return {
        "assistant_id": assistant_id,
        "additional_instructions": request.context,
        "metadata": {_RUN: request.run},
    }


def _poll_after(header: str | None, default: float) -> float:
    """Seconds to wait, from the server's `openai-poll-after-ms`."""
    return int(header) / 1000 if header and header.isdecimal() else default

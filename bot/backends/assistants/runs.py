"""Runs on an Assistants server: started once, then followed by their stream or by looking at them.

https://platform.openai.com/docs/api-reference/runs
"""

import asyncio
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any

import openai
import structlog
from openai.types import beta
from openai.types.beta import threads
from openai.types.beta.threads import runs

from bot.backends.assistants.events import RunProgress, ended_event, read_stream
from bot.backends.assistants.functions import all_answered, calls_wanted, hosted_tools, waiting, waits_for
from bot.backends.assistants.lock import ThreadLock
from bot.backends.assistants.made_files import FileNames, RunFiles
from bot.backends.assistants.messages import ThreadMessages
from bot.backends.assistants.settings import run_settings
from bot.backends.assistants.steps import before_outputs, left_waiting, messages_of
from bot.backends.failures import run_needs_other_model
from bot.backends.limits import PAGE
from bot.backends.retries import Patience, patiently, poll_after
from bot.backends.streaming import BREAKS, StreamedCall, stream_timeout
from bot.engine.ports import Assistant, CallsWanted, RunEnded, RunEvent, RunRequest, RunStarted, Spent
from bot.errors import RunBroken

_log = structlog.get_logger()

#: Metadata by which a run is recognised after a call whose outcome nobody knows.
_RUN = "bobbin_run"

_GOING = frozenset({"queued", "in_progress", "cancelling"})
#: How often a cancelled run is looked at for what it used.
_LOOKS_AFTER_CANCEL = 3

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
        self._names = FileNames(client, patience)
        self._streamed: StreamedCall[beta.AssistantStreamEvent] = StreamedCall()

    async def find(self, request: RunRequest) -> str | None:
        """The id of the server's run for this request, if it was started."""
        if request.backend_run:
            return request.backend_run
        return await patiently(lambda: self._find(request), self._patience, repeatable=True)

    async def start(self, request: RunRequest, assistant_id: str, model: str) -> Stream | str:
        """Start the run, once, as soon as no other holds the thread. Returns its stream, or its id where the server
        does not stream or the run was found to be started already. Raises ThreadLocked, RunBroken."""
        found = partial(self.find, request)
        # Where another model stands in, nobody waits long for this one.
        patience = self._patience if model == models_of(request.assistant)[-1] else self._patience.in_haste
        return await self._lock.freed(
            request.backend_thread,
            lambda: patiently(partial(self._create, request, assistant_id, model), patience, done=found),
            found,
        )

    async def resume(self, request: RunRequest, run_id: str) -> Stream | str:
        """Hand in the request's outputs, if the run still waits for them: an earlier attempt may have done so.

        Returns the run's stream, or its id.
        """
        if request.outputs:
            run = await self._retrieve(request.backend_thread, run_id)
            if waits_for(run, request.outputs):
                return await self._submit(request, run, run_id)
        return run_id

    async def follow(self, request: RunRequest, opened: Stream | str) -> AsyncGenerator[RunEvent, None]:
        """A run's events, whatever becomes of its stream. `opened` is what `start` or `resume` returned."""
        progress = self._new_progress(request)
        if request.outputs and hosted_tools(request.assistant):
            await self._skip_earlier(request, progress)
        tried: set[str] = set()
        while True:
            async with aclosing(self._leg(request, opened, progress)) as events:
                async for event in events:
                    yield event
            run, run_id = progress.ended, progress.run_id
            assert run is not None
            assert run_id is not None
            if run.status == "requires_action":
                calls = calls_wanted(run, request.functions)
                if calls:
                    yield CallsWanted(calls)
                    return
                opened, progress.ended = await self._none_wanted(request, run, run_id, opened), None
                continue
            model = None if request.outputs or progress.transcript.text else _other_model(request, run, tried)
            if model is None:
                break
            _log.info("model-replaced", run=request.run, instead_of=run.model, model=model)
            failed = ended_event(run)
            if failed.usage:
                yield Spent(failed.usage, failed.model)
            tried.add(model)
            progress = self._new_progress(replace(request, backend_run=None))
            opened = await self._start_other(request, run, model)
        for task in progress.tasks.close(well=run.status == "completed"):
            yield task
        waited = run.status == "expired" and await self._left_waiting(request.backend_thread, run_id)
        yield ended_event(run, waited=waited)

    async def cancel(self, thread: str, run_id: str) -> RunEnded | None:
        """End a run, if it is still going; that frees its thread. Returns how it ended, if it does so soon."""
        cancel = partial(self._client.beta.threads.runs.cancel, run_id, thread_id=thread)
        try:
            await patiently(cancel, self._patience, repeatable=True)
        except openai.NotFoundError:
            return None
        except openai.BadRequestError:
            _log.debug("run-had-ended", run=run_id)
        for _ in range(_LOOKS_AFTER_CANCEL):
            run = await self._retrieve(thread, run_id)
            if run.status not in _GOING:
                return ended_event(run)
            await asyncio.sleep(self._poll)
        return None

    async def _none_wanted(
        self, request: RunRequest, run: threads.Run, run_id: str, opened: Stream | str
    ) -> Stream | str:
        """How a run that waits goes on where no call is wanted of anybody here. Raises RunBroken."""
        if waiting(run):
            _log.info("unknown-functions-called", run=request.run)
            return await self._submit(request, run, run_id)
        if not isinstance(opened, str):
            return run_id  # a look may tell more than the stream did
        await self.cancel(request.backend_thread, run_id)
        raise RunBroken("The model server waits for tools, and does not say for which. Please try again.")

    async def _start_other(self, request: RunRequest, failed: threads.Run, model: str) -> Stream | str:
        """Start the run again, with another model, unless an earlier attempt has done that."""
        anew = replace(request, backend_run=None)
        latest = await self.find(anew) if request.attempt > 1 else None
        return latest if latest not in (None, failed.id) else await self.start(anew, failed.assistant_id, model)

    def _new_progress(self, request: RunRequest) -> RunProgress:
        progress = RunProgress(RunFiles(self._client, self._names, request.folder), self._names)
        progress.run_id = request.backend_run
        return progress

    async def _leg(
        self, request: RunRequest, opened: Stream | str, progress: RunProgress
    ) -> AsyncGenerator[RunEvent, None]:
        """The events until the run ends, or waits for functions; `progress` has the run then."""
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

    async def _find(self, request: RunRequest) -> str | None:
        # One thread has one run at a time: an earlier attempt's is among the latest.
        page = await self._client.beta.threads.runs.list(request.backend_thread, limit=PAGE, order="desc")
        return next((run.id for run in page.data if (run.metadata or {}).get(_RUN) == request.run), None)

    async def _create(self, request: RunRequest, assistant_id: str, model: str) -> Stream | str:
        made = await self._streamed.make(
            partial(
                self._client.beta.threads.runs.with_raw_response.create,
                request.backend_thread,
                assistant_id=assistant_id,
                additional_instructions=request.context,
                metadata={_RUN: request.run},
                timeout=self._silence,
                **run_settings(request, model),
            )
        )
        if isinstance(made, openai.AsyncStream):
            return made
        run_id = _id_of(made) or await self.find(request)
        if run_id is None:
            raise RunBroken("The model server did not say whether it began to answer. Please try again.")
        return run_id

    async def _submit(self, request: RunRequest, run: threads.Run, run_id: str) -> Stream | str:
        """Hand in an output for every call that the run waits for, once."""
        taken = partial(self._taken, request.backend_thread, run_id, run)
        submit = partial(
            self._streamed.make,
            partial(
                self._client.beta.threads.runs.with_raw_response.submit_tool_outputs,
                run_id,
                thread_id=request.backend_thread,
                tool_outputs=all_answered(run, request.outputs),
                timeout=self._silence,
            ),
        )
        try:
            made = await patiently(submit, self._patience, done=taken)
        except openai.BadRequestError:
            # It was cancelled, or expired, in between: then that is what there is to tell.
            if await taken() is None:
                raise
            return run_id
        return made if isinstance(made, openai.AsyncStream) else run_id

    async def _taken(self, thread: str, run_id: str, run: threads.Run) -> dict[str, Any] | None:
        """None where the run still waits for the same calls."""
        now = await self._retrieve(thread, run_id)
        return None if now.status == run.status and waiting(now) == waiting(run) else {}

    async def _look(self, request: RunRequest, progress: RunProgress) -> AsyncGenerator[RunEvent, None]:
        """The rest of a run that is not, or no longer, streamed."""
        if progress.run_id is None:
            progress.run_id = await self.find(request)
            if progress.run_id is None:
                raise RunBroken("The connection to the model server broke before the answer began. Please try again.")
            yield RunStarted(progress.run_id)
        async for event in self._watch(request, progress.run_id, progress):
            yield event
        run = progress.ended
        assert run is not None
        messages = await self._messages.answer(request.backend_thread, progress.run_id)
        if request.outputs:
            steps = await self._steps(request.backend_thread, progress.run_id)
            earlier = messages_of(before_outputs(steps, request.outputs))
            messages = [message for message in messages if message.id not in earlier]
        async for event in progress.settle(messages, final=run.status == "completed"):
            yield event

    async def _watch(self, request: RunRequest, run_id: str, progress: RunProgress) -> AsyncGenerator[RunEvent, None]:
        """Look at a run until it goes no further. The engine's deadline ends this, if the run does not."""
        calls = self._client.beta.threads.runs.with_raw_response
        retrieve = partial(calls.retrieve, run_id, thread_id=request.backend_thread)
        while True:
            raw = await patiently(retrieve, self._patience, repeatable=True)
            run = raw.parse()
            if hosted_tools(request.assistant):
                steps = await self._steps(request.backend_thread, run_id)
                for step in steps[len(before_outputs(steps, request.outputs)) :]:
                    async for event in progress.step(step):
                        yield event
            if run.status not in _GOING:
                progress.ended = run
                return
            await asyncio.sleep(poll_after(raw.headers, self._poll))

    async def _skip_earlier(self, request: RunRequest, progress: RunProgress) -> None:
        """What the run said and made before it waited was told when `run` was called before."""
        if progress.run_id is None:
            return
        steps = before_outputs(await self._steps(request.backend_thread, progress.run_id), request.outputs)
        earlier = messages_of(steps)
        messages = await self._messages.answer(request.backend_thread, progress.run_id)
        progress.skip([message for message in messages if message.id in earlier], steps)

    async def _left_waiting(self, thread: str, run_id: str) -> bool:
        """Whether a function's output never came."""
        steps = await self._steps(thread, run_id)
        return bool(steps) and left_waiting(steps[-1])

    async def _steps(self, thread: str, run_id: str) -> list[runs.RunStep]:
        """A run's steps, oldest first; none where the server does not keep them."""
        try:
            return await patiently(partial(self._list_steps, thread, run_id), self._patience, repeatable=True)
        except openai.NotFoundError:
            return []

    async def _list_steps(self, thread: str, run_id: str) -> list[runs.RunStep]:
        listed = self._client.beta.threads.runs.steps.list(run_id, thread_id=thread, order="asc", limit=PAGE)
        return [step async for step in listed]

    async def _retrieve(self, thread: str, run_id: str) -> threads.Run:
        retrieve = partial(self._client.beta.threads.runs.retrieve, run_id, thread_id=thread)
        return await patiently(retrieve, self._patience, repeatable=True)


def models_of(assistant: Assistant) -> tuple[str, ...]:
    """The models that may answer, in order of preference."""
    return tuple(dict.fromkeys((assistant.model, *assistant.fallback_models)))


def _other_model(request: RunRequest, run: threads.Run, tried: Collection[str]) -> str | None:
    """The model to try after this run, None where its failure is nothing that another would mend."""
    error = run.last_error
    if run.status != "failed" or error is None or not run_needs_other_model(error.code, error.message):
        return None
    models = models_of(request.assistant)
    # Servers may call a model by its full name, such as gpt-6-luna-2026-06-18.
    place = next((place for place, model in enumerate(models) if _is(run.model or "", model)), 0)
    return next((model for model in models[place + 1 :] if model not in tried), None)


def _is(full: str, model: str) -> bool:
    return full == model or full.startswith(f"{model}-20")


def _id_of(made: dict[str, Any]) -> str | None:
    run_id = made.get("id")
    return run_id if isinstance(run_id, str) and run_id else None

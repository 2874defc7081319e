"""OpenAI's Agents API, a beta: a session for each assistant in a thread, a turn for each run.

https://developers.openai.com/api/docs/guides/agents-api
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import openai
import structlog

from bot.backends.agents.actions import answers, wanted
from bot.backends.agents.events import ENDED, TurnProgress, calls_of, ended_event, failure_of
from bot.backends.agents.files import REFUSED, Placed, SandboxFiles, file_problem, without_files
from bot.backends.agents.parameters import digest, identity_of, said_event
from bot.backends.agents.sessions import Histories, Kept, Sessions, Stream, says
from bot.backends.checks import check_models, unreachable
from bot.backends.failures import lacks_model, translated
from bot.backends.guarded import guarded
from bot.backends.limits import AGENTS_MESSAGE, AUDIO_BYTES
from bot.backends.moderation import Moderation
from bot.backends.retries import LOCK_PATIENCE, Patience
from bot.backends.streaming import BREAKS, stream_timeout
from bot.backends.transcription import transcribed
from bot.engine.ports import (
    Ability,
    Assistant,
    Attachment,
    CallsWanted,
    Check,
    FilesUnused,
    Message,
    RunEnded,
    RunEvent,
    RunRequest,
    RunStarted,
    ThreadKey,
)
from bot.errors import BackendError, BackendUnsupported, ContextOverflow, RunBroken, ThreadGone

_log = structlog.get_logger()

#: Seconds between two looks at a turn whose stream is broken.
_POLL = 1.0
#: Seconds of silence after which a stream counts as broken; the turn goes on without it.
_SILENCE = 300.0
#: How often an idle session is looked at for a turn that it accepted.
_LOOKS = 10


@dataclass(frozen=True, slots=True)
class _Mark:
    """How far a run got: its session, the turn before its own, and its own, each empty until it is known."""

    session: str = ""
    after: str = ""
    turn: str = ""

    @classmethod
    def of(cls, request: RunRequest) -> "_Mark | None":
        if request.backend_run is None:
            return None
        return cls(*request.backend_run.split("/"))

    @property
    def started(self) -> RunStarted:
        return RunStarted(f"{self.session}/{self.after}/{self.turn}")


class AgentsBackend:
    """A thread is a list of the sessions that it was in, a run a turn of the last one.

    A turn goes on whether anybody listens or not, and its outcome is the turn's, never the session's being idle.
    """

    name = "agents"
    message_limit = AGENTS_MESSAGE
    recording_limit = AUDIO_BYTES
    abilities = frozenset(
        {
            Ability.CODE_INTERPRETER,
            Ability.WEB_SEARCH,
            Ability.HOSTED_MCP,
            Ability.FUNCTIONS,
            Ability.REASONING_EFFORT,
            Ability.REASONING_SUMMARY,
            Ability.RESPONSE_FORMAT,
            Ability.MODERATION,
        }
    )

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        histories: Histories,
        *,
        patience: Patience | None = None,
        lock_patience: Patience = LOCK_PATIENCE,
        poll: float = _POLL,
        silence: float = _SILENCE,
    ) -> None:
        """`client` must have `max_retries=0`; in seconds: `poll` between two looks at a turn, `silence` after which
        a stream counts as broken."""
        self._client = client
        self._patience = patience or Patience()
        self._poll = poll
        self._moderation = Moderation(client, self._patience)
        self._files = SandboxFiles(client, self._patience)
        self._sessions = Sessions(client, histories, self._patience, lock_patience, stream_timeout(silence))

    async def close(self) -> None:
        await self._client.close()

    async def check(self, models: Sequence[str]) -> Sequence[Check]:
        """Whether the server is there, accepts the key, speaks the protocol, and has these models."""
        name = f"backend {self.name}"
        try:
            await self._client.beta.agents.sessions.list(limit=1)
        except openai.APIConnectionError as error:
            return [Check(name, unreachable(self._client, error))]
        except openai.APIError as error:
            return [Check(name, _explained(error).sentence)]
        return [Check(name, None), *await check_models(self._client, models)]

    def file_problem(self, assistant: Assistant, name: str, media_type: str, size: int, before: int = 0) -> str | None:  # noqa: ARG002
        return file_problem(assistant, media_type, size)

    async def transcribe(self, audio: Attachment) -> str:
        try:
            return await transcribed(self._client, self._patience, audio)
        except openai.APIError as error:
            raise translated(error) from error

    async def create_thread(self, key: ThreadKey, history: Sequence[Message], assistant: Assistant) -> str:  # noqa: ARG002
        try:
            said = await self._moderation.allowed(history) if assistant.moderation else history
        except openai.APIError as error:
            raise translated(error) from error
        prepared = await self._files.prepared(assistant, said, lenient=True)
        return await self._sessions.create_thread(prepared.messages, prepared.files)

    def run(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        async def explained(error: openai.APIError) -> BackendError:
            return _explained(error, request.assistant)

        events = self._moderation.around(request, self._events(request))
        return guarded(request, self.message_limit, events, explained)

    async def cancel(self, request: RunRequest, shown: str = "") -> RunEnded | None:  # noqa: ARG002 - the session has them
        """The turn is ended with what it waits for; its session keeps what was asked and said."""
        mark = _Mark.of(request)
        if mark is None:
            return None
        try:
            session = mark.session or await self._sessions.find(request.run)
            if not session:
                return None
            await self._sessions.cancel(session, await self._left_to_say(request, session, mark))
            turn = await self._sessions.own_turn(session, mark.turn, mark.after)
        except openai.NotFoundError:
            return None  # with its session, the turn is gone
        except openai.APIError as error:
            raise translated(error) from error
        ended = turn is not None and turn.status in ENDED
        return ended_event(turn, turn.usage, request.assistant.model) if turn is not None and ended else None

    async def _left_to_say(self, request: RunRequest, session: str, mark: _Mark) -> list[dict[str, Any]]:
        """What the calls of a turn that waits came to: whoever goes on in the session knows then."""
        if not request.outputs:
            return []
        turn = await self._sessions.own_turn(session, mark.turn, mark.after)
        if turn is None or turn.status != "waiting":
            return []
        progress = TurnProgress(turn.id)
        progress.look(await self._sessions.retrieve(session))
        return answers(request, progress.required)

    async def _events(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        mark = await self._earlier(request)
        events = self._begin(request) if mark is None else self._follow(request, mark)
        async with aclosing(events):
            async for event in events:
                yield event

    async def _earlier(self, request: RunRequest) -> _Mark | None:
        """Where an earlier attempt's turn is; None where it left none, so that the turn may be begun."""
        mark = _Mark.of(request)
        session = mark and (mark.session or await self._sessions.find(request.run))
        if mark is None or not session:
            return None
        await self._sessions.remember(request, session)
        turn = await self._sessions.own_turn(session, mark.turn, mark.after)
        if turn is None:
            # A session is made with its first turn, which may take a moment to be there.
            new = not mark.after and await self._sessions.made_for(session, request.run)
            return _Mark(session) if new else None
        if turn.status == "cancelled" and request.attempt > 1:
            return None
        return _Mark(session, mark.after, turn.id)

    async def _begin(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        """Tell the thread's session what was said, or a new one."""
        prepared = await self._files.prepared(request.assistant, [each for each in request.messages if says(each)])
        if prepared.unused:
            yield FilesUnused(prepared.unused)
        await self._sessions.keep_files(request.backend_thread, prepared.files)
        kept = await self._sessions.kept(request.backend_thread)
        if kept is not None and await self._goes_on(request, kept, prepared.files):
            news = None if kept.context == digest(request.context) else request.context
            events = self._begin_turn(request, kept.session, await said_event(prepared.messages, news))
        else:
            events = self._begin_session(request, prepared.messages)
        async with aclosing(events):
            async for event in events:
                yield event

    async def _goes_on(self, request: RunRequest, kept: Kept, files: Sequence[Placed]) -> bool:
        """Whether a session takes what is said next, and has these files then."""
        if kept.identity != identity_of(request.assistant) or not await self._sessions.ready(request, kept):
            return False
        if not files:
            return True
        environment: Any = (await self._sessions.retrieve(kept.session)).environment
        return await self._files.place(environment.id, files)

    async def _begin_session(self, request: RunRequest, messages: Sequence[Message]) -> AsyncGenerator[RunEvent, None]:
        yield _Mark().started
        try:
            made = await self._sessions.create(request, messages)
        except openai.APIStatusError as error:
            files = await self._sessions.files(request)
            if not files or error.status_code not in REFUSED or lacks_model(error):
                raise
            prepared = without_files(messages, files)
            made = await self._sessions.create(request, prepared.messages, with_files=False)
            yield FilesUnused(prepared.unused)
        stream = None if isinstance(made, str) else made
        try:
            session = made if isinstance(made, str) else await self._session_of(request, made)
            await self._sessions.remember(request, session)
        except BaseException:
            if stream is not None:
                await stream.close()
            raise
        async with aclosing(self._follow(request, _Mark(session), stream)) as events:
            async for event in events:
                yield event

    async def _session_of(self, request: RunRequest, stream: Stream) -> str:
        """The id of the session that a stream begins with."""
        try:
            first: Any = await anext(stream, None)
        except BREAKS as error:
            _log.info("stream-broke", run=request.run, error=type(error).__name__)
            first = None
        session = getattr(first, "session", None)
        found = session.id if session is not None else await self._sessions.find(request.run)
        if found is None:
            raise RunBroken("The model server did not say what became of this. Please try again.")
        return str(found)

    async def _begin_turn(
        self, request: RunRequest, session: str, said: dict[str, Any]
    ) -> AsyncGenerator[RunEvent, None]:
        mark = _Mark(session, await self._sessions.last_turn(session))
        yield mark.started
        # Before anything is said: a stream tells only what happens from then on.
        stream = await self._sessions.listen(session)
        try:
            await self._sessions.send(session, [said], f"{request.run}-{mark.after}")
            await self._sessions.remember(request, session)
        except BaseException:
            await stream.close()
            raise
        async with aclosing(self._follow(request, mark, stream)) as events:
            async for event in events:
                yield event

    async def _follow(
        self, request: RunRequest, mark: _Mark, stream: Stream | None = None
    ) -> AsyncGenerator[RunEvent, None]:
        """A turn, to its end or to what it waits for. Without a `stream`, what was missed is read first."""
        progress = TurnProgress(mark.turn or None)
        looks = 0
        try:
            yield mark.started
            while not self._over(request, progress):
                if stream is None:
                    stream = await self._sessions.listen(mark.session)
                    for event in await self._caught_up(request, mark, progress):
                        yield event
                    looks = 0 if progress.turn else looks + 1
                if progress.error is None and not self._over(request, progress):
                    async with aclosing(self._read(request, mark, stream, progress)) as events:
                        async for event in events:
                            yield event
                await stream.close()
                stream = None
                if not self._over(request, progress):
                    await self._pause(mark, progress, looks)
        finally:
            if stream is not None:
                await stream.close()
        async with aclosing(self._concluded(request, mark, progress)) as events:
            async for event in events:
                yield event

    async def _pause(self, mark: _Mark, progress: TurnProgress, looks: int) -> None:
        """Wait before the next look, unless nothing can come of it: then raises why."""
        if progress.stuck:
            await self._sessions.cancel(mark.session)
        if progress.error is not None:
            raise progress.error
        if looks > _LOOKS:
            raise RunBroken("The model server accepted this and did nothing. Please try again.")
        await asyncio.sleep(self._poll)

    def _over(self, request: RunRequest, progress: TurnProgress) -> bool:
        return progress.ended is not None or bool(wanted(request, progress.required))

    async def _caught_up(self, request: RunRequest, mark: _Mark, progress: TurnProgress) -> list[RunEvent]:
        """Read what a turn came to so far; hand in what it waits for, where that is known."""
        turn = await self._sessions.own_turn(mark.session, progress.turn or "", mark.after)
        if turn is None:
            progress.look(await self._sessions.retrieve(mark.session))
            return []
        begun: list[RunEvent] = [] if progress.turn else [replace(mark, turn=turn.id).started]
        progress.turn = turn.id
        told = progress.catch_up(await self._sessions.items(mark.session, turn.id))
        if turn.status in ENDED:
            progress.ended, progress.usage = turn, turn.usage
        else:
            # A session can fail, or wait for what nobody here has, while its turn says that it goes on.
            progress.look(await self._sessions.retrieve(mark.session))
            await self._hand_in(request, mark, progress)
        return [*begun, *told]

    async def _hand_in(self, request: RunRequest, mark: _Mark, progress: TurnProgress) -> None:
        """Answer what is asked of the turn and needs nobody any more: made calls, and servers that may do all."""
        ready = answers(request, progress.required)
        if ready:
            await self._sessions.send(mark.session, ready, f"{request.run}-{digest(ready)[:32]}")

    async def _read(
        self, request: RunRequest, mark: _Mark, stream: Stream, progress: TurnProgress
    ) -> AsyncGenerator[RunEvent, None]:
        """A stream's events, until the turn is over or the stream breaks."""
        try:
            async for event in stream:
                known = progress.turn
                for out in progress.hear(event):
                    yield out
                if progress.turn != known:
                    yield replace(mark, turn=progress.turn or "").started
                if event.type == "agent.session.requires_action":
                    await self._hand_in(request, mark, progress)
                if progress.error is not None or self._over(request, progress):
                    return
        except BREAKS as error:
            if isinstance(error, openai.APIStatusError):
                raise
            _log.info("stream-broke", run=request.run, error=type(error).__name__)

    async def _concluded(
        self, request: RunRequest, mark: _Mark, progress: TurnProgress
    ) -> AsyncGenerator[RunEvent, None]:
        """The last events of a turn that ended, or that waits."""
        turn = progress.ended
        if turn is None:
            yield CallsWanted(calls_of(wanted(request, progress.required)))
            return
        if turn.status == "failed" and not progress.text:
            failure = failure_of(turn)
            if isinstance(failure, ContextOverflow):
                raise failure
        for event in progress.catch_up(await self._sessions.items(mark.session, turn.id)):
            yield event
        made = "code_interpreter" in request.assistant.tools and turn.status == "completed"
        if made and request.folder is not None:
            async with aclosing(self._files.published(mark.session, turn.id, request.folder)) as files:
                async for file in files:
                    yield file
        yield ended_event(turn, progress.usage, request.assistant.model)


def _explained(error: openai.APIError, assistant: Assistant | None = None) -> BackendError:
    """What a refusal means: a 404 can be the model's, the session's, or the whole protocol's."""
    if not isinstance(error, openai.NotFoundError) or lacks_model(error):
        return translated(error, assistant)
    if "/agents/sessions/" in error.request.url.path:
        return ThreadGone("The session is gone from the server.")
    return BackendUnsupported("This server does not offer the Agents API. An admin can set BOBBIN_BACKEND to another.")

"""The local assistants server: Assistants, Responses, Conversations, Agents and models on a loopback port."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, Self

from aiohttp import web

from bot.playground.openai import limits
from bot.playground.openai.agents import AgentEndpoints
from bot.playground.openai.assistants import AssistantEndpoints, ModelEndpoints
from bot.playground.openai.containers import ContainerEndpoints, expire_idle
from bot.playground.openai.conversations import ConversationEndpoints
from bot.playground.openai.errors import not_found
from bot.playground.openai.files import FileEndpoints
from bot.playground.openai.gateway import PREFIX, Gateway, RecordedRequest
from bot.playground.openai.moderations import ModerationEndpoints
from bot.playground.openai.offline import OfflineBrain
from bot.playground.openai.records import (
    Assistant,
    Container,
    ContainerFile,
    Conversation,
    File,
    Json,
    Message,
    Response,
    Run,
    RunStep,
    Thread,
    Upload,
    VectorStore,
    VectorStoreFile,
    new_id,
)
from bot.playground.openai.responses import ResponseEndpoints
from bot.playground.openai.runs import RunEndpoints
from bot.playground.openai.state import Options, State
from bot.playground.openai.switches import Switches
from bot.playground.openai.threads import MessageEndpoints, ThreadEndpoints
from bot.playground.openai.transcriptions import TranscriptionEndpoints
from bot.playground.openai.vector_store_files import settle_indexing
from bot.playground.openai.vector_stores import FileBatchEndpoints, VectorStoreEndpoints, VectorStoreFileEndpoints
from bot.playground.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from bot.playground.openai.brain import Brain
    from bot.playground.openai.faults import Faults
    from bot.playground.openai.router import Route

MODELS = (
    "gpt-6.1-terra",
    "gpt-6.2-astra",
    "gpt-6.2-sol",
    "gpt-6.1-sol",
    "gpt-6-astra",
    "gpt-6-sol",
    "gpt-6-luna",
    "gpt-5.6-sol",
    "gpt-5.6-terra",
    "gpt-5.6-luna",
)
"""What the server offers unless told otherwise: the names of the openai package 3.54, types/shared/chat_model.py."""


class LocalOpenAI:
    """An OpenAI-like server for one process: the playground's backend without a key, and the tests' double."""

    def __init__(  # noqa: PLR0913 -- each is one knob of a test double, given by name
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        brain: Brain | None = None,
        api_key: str | None = "sk-local",
        assistants_api: bool = True,
        streaming: bool | Literal["refuse"] = True,
        poll_after_ms: int | None = None,
        token_delay: float = 0.0,
        models: Sequence[str] = MODELS,
        state_file: Path | None = None,
        clock: Callable[[], float] = time.time,
        run_expiry: float = limits.RUN_EXPIRY_SECONDS,
        background_allowed: bool = True,
        context_characters: int | None = None,
        foreground_survives_disconnect: bool = False,
    ) -> None:
        """Sets the server up; `start` opens its port.

        Args:
            host: an address of this machine; there is no encryption, so keep it on loopback.
            port: 0 takes a free one.
            brain: what answers; the offline brain when not given.
            api_key: the only key accepted; None accepts any.
            assistants_api: False answers 404 on /assistants and /threads, as OpenAI does since 2026-08-26.
            streaming: False ignores `stream` and answers with plain JSON; "refuse" does not know it, and answers 400.
            poll_after_ms: sent as `openai-poll-after-ms` when a run is retrieved.
            token_delay: seconds between the pieces of an answer.
            models: the models offered; any other is refused with 404.
            state_file: keeps everything across restarts.
            clock: the time, in Unix seconds.
            run_expiry: seconds until a run that has not ended expires.
            background_allowed: False refuses background responses.
            context_characters: how much a response may hear before it is refused or, with `truncation` auto, cut.
            foreground_survives_disconnect: True completes a foreground response whose client went away.
        """
        self._address = (host, port)
        self._state = State(clock)
        #: What a test sets while the server runs.
        self.switches = Switches()
        options = Options(
            models=tuple(models),
            switches=self.switches,
            streaming=streaming,
            poll_after_ms=poll_after_ms,
            token_delay=token_delay,
            run_expiry=run_expiry,
            background_allowed=background_allowed,
            context_characters=context_characters,
            foreground_survives_disconnect=foreground_survives_disconnect,
        )
        # A brain that was given belongs to the giver; only our own is ours to close.
        self._own_brain = OfflineBrain()
        brain = brain or self._own_brain
        self._options = options
        self._threads = ThreadEndpoints(self._state)
        self._runs = RunEndpoints(self._state, options, brain, self._threads)
        self._responses = ResponseEndpoints(self._state, options, brain)
        self._agents = AgentEndpoints(self._state, options, brain)
        self._gateway = Gateway(self._state, api_key, assistants_api=assistants_api, before_each=self._settle)
        self._snapshot = None if state_file is None else Snapshot(state_file, self._state.dump)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Takes up the saved state and opens the port; after a `stop` the same port again.

        Raises `OSError` when the port is in use, `ValueError` when the state file is not one.
        """
        if self._snapshot is not None:
            saved = await asyncio.to_thread(self._snapshot.load)
            if saved is not None:
                self._state.restore(saved)
            self._state.on_change = self._snapshot.changed
        # With handler_cancellation a handler learns at once that its client went away, not at its next write.
        runner = web.AppRunner(self._application(), handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, *self._address).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self._address = runner.addresses[0][:2]
        self._gateway.stopping.clear()

    async def stop(self) -> None:
        """Closes the port, fails what is under way, and writes the state file."""
        if self._runner is None:
            return
        self._gateway.stopping.set()
        await self._runner.cleanup()
        self._runner = None
        await self._runs.stop()
        await self._responses.stop()
        await self._agents.stop()
        await self._own_brain.close()
        self._state.settle()
        if self._snapshot is not None:
            await self._snapshot.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """The base URL for a client, which ends in /v1. Only while the server runs."""
        assert self._runner is not None, "the server is not running"
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}{PREFIX}"

    @property
    def faults(self) -> Faults:
        """What the server is to do wrong."""
        return self._gateway.faults

    @property
    def requests(self) -> Sequence[RecordedRequest]:
        """The requests so far, oldest first; of very many the latest 10,000."""
        return tuple(self._gateway.requests.values())

    @property
    def assistants(self) -> Mapping[str, Assistant]:
        """By id, oldest first."""
        return MappingProxyType(self._state.assistants)

    @property
    def threads(self) -> Mapping[str, Thread]:
        """By id, oldest first."""
        return MappingProxyType(self._state.threads)

    @property
    def runs(self) -> Mapping[str, Run]:
        """By id, oldest first."""
        return MappingProxyType(self._state.runs)

    @property
    def conversations(self) -> Mapping[str, Conversation]:
        """By id, oldest first."""
        return MappingProxyType(self._state.conversations)

    @property
    def responses(self) -> Mapping[str, Response]:
        """By id, oldest first; those that were not to be stored, too."""
        return MappingProxyType(self._state.responses)

    @property
    def agent_sessions(self) -> Mapping[str, Json]:
        """By id, oldest first."""
        return MappingProxyType(self._state.agent_sessions)

    @property
    def containers(self) -> Mapping[str, Container]:
        """By id, oldest first."""
        return MappingProxyType(self._state.containers)

    @property
    def files(self) -> Mapping[str, File]:
        """What was uploaded, and what runs made for the Assistants API; by id, oldest first."""
        return MappingProxyType(self._state.files)

    @property
    def vector_stores(self) -> Mapping[str, VectorStore]:
        """By id, oldest first."""
        return MappingProxyType(self._state.vector_stores)

    @property
    def recordings(self) -> Sequence[Upload]:
        """What was sent to be transcribed, oldest first."""
        return tuple(self._state.recordings)

    def vector_store_files(self, store_id: str) -> Sequence[VectorStoreFile]:
        """What lies in the vector store, oldest first."""
        return tuple(self._state.vector_store_files[store_id].values())

    def container_files(self, container_id: str) -> Sequence[ContainerFile]:
        """What lies in the container, oldest first."""
        return tuple(self._state.container_files[container_id].values())

    def messages(self, thread_id: str) -> Sequence[Message]:
        """The thread's messages, oldest first."""
        return tuple(self._state.messages[thread_id].values())

    def steps(self, run_id: str) -> Sequence[RunStep]:
        """The run's steps, oldest first."""
        return tuple(self._state.steps[run_id].values())

    def items(self, conversation_id: str) -> Sequence[Json]:
        """The conversation's items, oldest first."""
        return tuple(self._state.items[conversation_id].values())

    def agent_items(self, session_id: str) -> Sequence[Json]:
        """The session's items, oldest first."""
        return tuple(self._state.agent_items[session_id].values())

    def agent_turns(self, session_id: str) -> Sequence[Json]:
        """The session's turns, oldest first."""
        return tuple(self._state.agent_turns[session_id].values())

    async def wait_for(
        self,
        predicate: Callable[[LocalOpenAI], object],
        timeout: float = 30.0,  # noqa: ASYNC109 -- the message needs to know it
    ) -> None:
        """Returns once `predicate(server)` is true; it is asked again after every change.

        Raises `TimeoutError`, with the latest requests, after `timeout` seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                while not predicate(self):
                    await self._state.change.wait()
        except TimeoutError as error:
            latest = [(each.method, each.path, each.status) for each in self.requests[-5:]]
            raise TimeoutError(f"not so within {timeout} s; the latest requests: {latest}") from error

    def lock(self, key: str) -> str:
        """Makes somebody else operate on the thread or conversation with this id.

        Returns what holds the lock: for a thread the id of a run in progress, else `key`.
        """
        if key in self._state.conversations:
            self._state.locked.add(key)
            return key
        if key not in self._state.threads:
            raise not_found("thread", key)
        run = Run(
            id=new_id("run_"),
            created_at=self._state.now,
            started_at=self._state.now,
            thread_id=key,
            assistant_id=new_id("asst_"),
            model=self._options.models[0],
            instructions="",
            status="in_progress",
        )
        self._state.runs[run.id] = run
        self._state.steps[run.id] = {}
        self._state.changed()
        return run.id

    def unlock(self, key: str) -> None:
        """Ends what `lock` started."""
        self._state.locked.discard(key)
        run = self._state.active_run(key)
        if run is not None:
            self._state.runs[run.id] = replace(run, status="completed", completed_at=self._state.now)
        self._state.changed()

    def expire_containers(self) -> None:
        """Ends all containers at once, as 20 idle minutes would; the files in them are lost."""
        expire_idle(self._state, at_once=True)
        self._state.changed()

    def _settle(self) -> None:
        expire_idle(self._state)
        settle_indexing(self._state, self.switches)
        self._runs.expire_overdue()
        self._responses.forget_finished()

    def _application(self) -> web.Application:
        app = self._gateway.application()
        for method, path, endpoint in self._routes():
            app.router.add_route(method, PREFIX + path, self._gateway.handler(endpoint))
        return app

    def _routes(self) -> Sequence[Route]:
        state, options = self._state, self._options
        return [
            *ModelEndpoints(options).routes(),
            *FileEndpoints(state).routes(),
            *ContainerEndpoints(state).routes(),
            *ModerationEndpoints(self.switches).routes(),
            *TranscriptionEndpoints(state, self.switches).routes(),
            *VectorStoreEndpoints(state).routes(),
            *VectorStoreFileEndpoints(state, options).routes(),
            *FileBatchEndpoints(state, options).routes(),
            *AssistantEndpoints(state, options).routes(),
            # /threads/runs comes before /threads/{thread}.
            *self._runs.routes(),
            *self._threads.routes(),
            *MessageEndpoints(state).routes(),
            *ConversationEndpoints(state).routes(),
            *self._responses.routes(),
            *self._agents.routes(),
        ]

"""`bobbin assistants try`: one question to one assistant, in the terminal, through the configured backend."""

import asyncio
import tempfile
import time
import uuid
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from pathlib import Path

from bot.app import connect_backend
from bot.engine.answer import MOST_LEGS
from bot.engine.assistants import fitted, load_assistants, problems_of, told_left_out, with_its_tokens
from bot.engine.ports import (
    Assistant,
    Backend,
    CallsWanted,
    FileMade,
    Message,
    RunEnded,
    RunEvent,
    RunRequest,
    RunStarted,
    RunStatus,
    Source,
    Sources,
    Task,
    TextDelta,
    TextDone,
    ThreadKey,
    Toolbox,
    ToolCall,
    ToolOutput,
    ToolScene,
)
from bot.errors import AssistantFileError, BackendError, BobbinError, RunBroken
from bot.settings import Settings, environment
from bot.terminal import Terminal
from bot.tools.toolbox import CombinedToolbox, open_toolbox
from storage.sqlite import SqliteStorage

_PLACE = ThreadKey("terminal", "terminal", "1.000000")
#: Seconds to end a run at the backend, for whoever pressed Ctrl-C.
_CANCEL_PATIENCE = 10.0
#: What a model is told where a call needs a person and there is none.
_NOBODY = "This needs approval, and nobody could be asked."


async def attempt(settings: Settings, key: str, question: str, terminal: Terminal) -> None:
    """Ask one question. Raises BobbinError with the sentence that a person in Slack would read."""
    if not question.strip():
        raise BobbinError("The question is empty.")
    question = question.encode("utf-8", "replace").decode()  # a terminal hands on any bytes
    assistants = load_assistants(settings.bobbin_assistants, settings.bobbin_default_assistant)
    # Only its own: what another lacks is no reason not to try this one.
    assistant = with_its_tokens(assistants.get(key), environment())
    async with AsyncExitStack() as stack:
        # Nothing of it is kept.
        storage = await SqliteStorage.open("sqlite:///:memory:")
        stack.push_async_callback(storage.close)
        backend = connect_backend(settings, storage)
        stack.push_async_callback(backend.close)
        toolbox = open_toolbox(settings.bobbin_tools, settings.bobbin_mcp, environment(), None)
        stack.push_async_callback(toolbox.close)
        _check(assistant, backend, toolbox)
        if without := told_left_out(assistant, backend.name, backend.abilities):
            terminal.note(without)
        assistant = fitted(assistant, backend.abilities)
        for server in await toolbox.check(assistant.mcp_servers):
            if server.problem:
                terminal.note(f"{server.name}: {server.problem}")
        # Asked first, because a run would wait a minute for a server that is not there, and not say where that is.
        server, *_ = await backend.check([])
        if server.problem:
            raise BobbinError(f"{server.name}: {server.problem}")
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bobbin-")))
        deadline = asyncio.timeout(settings.bobbin_run_timeout)
        try:
            async with deadline:
                request = await _request(assistant, question, backend, toolbox, folder)
                await _Trial(backend, toolbox, request, terminal, deadline).carry_out()
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise BobbinError(
                f"This took longer than {settings.bobbin_run_timeout:g} seconds (BOBBIN_RUN_TIMEOUT), so I ended it."
            ) from error


async def _request(
    assistant: Assistant, question: str, backend: Backend, toolbox: CombinedToolbox, folder: Path
) -> RunRequest:
    """The run that answers the question, in a new thread."""
    return RunRequest(
        run=uuid.uuid4().hex,
        assistant=assistant,
        backend_thread=await backend.create_thread(_PLACE, (), assistant),
        messages=(Message(f"{time.time():.6f}", "user", question),),
        context="You answer in a terminal. Write Markdown.",
        asker="terminal",
        functions=await toolbox.functions(assistant),
        folder=folder,
    )


def _check(assistant: Assistant, backend: Backend, toolbox: CombinedToolbox) -> None:
    """Raises AssistantFileError for the first thing that it wants and cannot have here."""
    for problem in problems_of(assistant, backend.name, backend.abilities, toolbox.known(), toolbox.servers()):
        raise AssistantFileError(problem)


class _Trial:
    """One run, from wait to wait for tools."""

    def __init__(
        self, backend: Backend, toolbox: Toolbox, request: RunRequest, terminal: Terminal, deadline: asyncio.Timeout
    ) -> None:
        """`deadline` is the run's; it stands still while a person is asked."""
        self._backend = backend
        self._toolbox = toolbox
        self._request = request
        self._terminal = terminal
        self._deadline = deadline
        self._sources: tuple[Source, ...] = ()
        self._ended: RunEnded | None = None

    async def carry_out(self) -> None:
        """Follow the run to its end. Broken off, it is ended at the backend too."""
        try:
            await self._legs()
        except BaseException as error:
            # A backend that fails has done what it could.
            if self._ended is None and not isinstance(error, BackendError):
                await self._cancel()
            self._terminal.end()
            if isinstance(error, BackendError) and isinstance(error.__cause__, Exception):
                # Who tries an assistant is who mends it: here the server's own words are to the point.
                self._terminal.note(f"the server said: {error.__cause__}")
            raise
        self._terminal.end(self._sources)
        ended = self._ended
        if ended is not None and ended.status is not RunStatus.COMPLETED:
            # What was cut off will be cut off again; what failed may not fail again.
            kind = BobbinError if ended.status is RunStatus.INCOMPLETE else RunBroken
            raise kind(ended.reason or f"The run ended as {ended.status}.")

    async def _legs(self) -> None:
        for _ in range(MOST_LEGS):
            wanted = await self._follow()
            if wanted is None:
                return
            self._terminal.leg()
            outputs = [await self._output(call) for call in wanted.calls]
            self._request = replace(self._request, outputs=tuple(outputs))
        raise BobbinError("The assistant went on calling tools without an end.")

    async def _follow(self) -> CallsWanted | None:
        """The run's events, until it has ended, or to what it waits for."""
        async with aclosing(self._backend.run(self._request)) as events:
            async for event in events:
                if isinstance(event, CallsWanted):
                    return event
                self._hear(event)
        if self._ended is None:
            raise RunBroken("The answer broke off, and the server does not say why.")
        return None

    def _hear(self, event: RunEvent) -> None:
        match event:
            case RunStarted(backend_run):
                self._request = replace(self._request, backend_run=backend_run)
            case TextDelta(text):
                self._terminal.grow(text)
            case TextDone(text):
                self._terminal.settle(text)
            case Task():
                self._terminal.task(event)
            case Sources(sources):
                self._sources = sources
            case FileMade():
                self._terminal.file(event)
            case RunEnded():
                self._ended = event

    async def _output(self, call: ToolCall) -> ToolOutput:
        """What a call comes to: made, denied, or no tool of this assistant's."""
        if call.server is None and call.name not in {each.name for each in self._request.functions}:
            return ToolOutput(call.id, "There is no such tool. Nothing was done.", failed=True)
        if problem := self._toolbox.problem(call):
            self._terminal.note(f"{call.name}: failed {problem}")
            return ToolOutput(call.id, problem, failed=True)
        if self._toolbox.needs_approval(self._request.assistant, call):
            approved = await self._approved(call)
            if not approved:
                why = "The person denied this." if approved is not None else _NOBODY
                return ToolOutput(call.id, f"{why} Nothing was done.", failed=True, approved=False)
            if call.server is not None:  # the provider makes the call
                return ToolOutput(call.id, "Approved.", approved=True)
        self._terminal.note(f"Uses {call.name} {call.arguments}")
        output = await self._toolbox.call(call, ToolScene(_PLACE, "terminal", "im", self._request.assistant.key))
        if output.failed:
            self._terminal.note(f"{call.name}: failed {output.text}")
        return output

    async def _approved(self, call: ToolCall) -> bool | None:
        """Ask the person, for as long as they take. None where there is nobody."""
        loop = asyncio.get_running_loop()
        left = (self._deadline.when() or loop.time()) - loop.time()
        self._deadline.reschedule(None)
        try:
            return await self._terminal.approves(call)
        finally:
            self._deadline.reschedule(loop.time() + left)

    async def _cancel(self) -> None:
        try:
            async with asyncio.timeout(_CANCEL_PATIENCE):
                await self._backend.cancel(self._request)
        except (TimeoutError, BackendError):
            self._terminal.note("the server was not told that this run is over; it may go on there")

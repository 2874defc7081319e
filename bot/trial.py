"""`bobbin assistants try`: one question to one assistant, in the terminal, through the configured backend."""

import asyncio
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from pathlib import Path

from bot.app import connect_backend
from bot.engine.answer import MOST_LEGS
from bot.engine.assistants import check_abilities, load_assistants
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
    TaskStatus,
    TextDelta,
    TextDone,
    ThreadKey,
    Toolbox,
    ToolCall,
    ToolOutput,
    ToolScene,
)
from bot.errors import BobbinError
from bot.settings import Settings, environment
from bot.tools.toolbox import open_toolbox
from storage.sqlite import SqliteStorage

_PLACE = ThreadKey("terminal", "terminal", "1.000000")


class Terminal:
    """Where the answer goes: text to one stream, everything else to the other."""

    def __init__(self, say: Callable[[str], object], note: Callable[[str], object]) -> None:
        self._say = say
        self._note = note
        self._shown = ""
        self._before = ""
        self.sources: tuple[Source, ...] = ()

    def grow(self, text: str) -> None:
        self._say(text)
        self._shown += text

    def settle(self, text: str) -> None:
        """The text is whole: what was missed of it is shown."""
        if text.startswith(self._shown):
            self._say(text[len(self._shown) :])
        self._shown = text

    def leg(self) -> None:
        if self._shown:
            self._say("\n\n")
        self._shown = ""

    def task(self, task: Task) -> None:
        if task.status is TaskStatus.IN_PROGRESS:
            self._note(f"· {task.title} {task.details}".rstrip())
        elif task.status is TaskStatus.ERROR:
            self._note(f"· {task.title}: failed {task.output}".rstrip())

    def file(self, file: FileMade) -> None:
        target = _free(Path(file.name).name)
        shutil.copyfile(file.path, target)
        self._note(f"· made {target}")

    def end(self) -> None:
        self._say("\n")
        for number, source in enumerate(self.sources, 1):
            self._say(f"[{number}] {source.title} {source.url or ''}".rstrip() + "\n")

    def note(self, text: str) -> None:
        self._note(text)


async def attempt(settings: Settings, key: str, question: str, terminal: Terminal) -> None:
    """Ask one question. Raises BobbinError with the sentence that a person in Slack would read."""
    assistants = load_assistants(settings.bobbin_assistants, settings.bobbin_default_assistant)
    assistant = assistants.get(key)
    async with AsyncExitStack() as stack:
        # Nothing of it is kept.
        storage = await SqliteStorage.open("sqlite:///:memory:")
        stack.push_async_callback(storage.close)
        backend = connect_backend(settings, storage)
        stack.push_async_callback(backend.close)
        toolbox = open_toolbox(settings.bobbin_tools, settings.bobbin_mcp, environment(), None)
        stack.push_async_callback(toolbox.close)
        check_abilities(assistants, backend.name, backend.abilities, toolbox.known(), toolbox.servers())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bobbin-")))
        request = RunRequest(
            run=uuid.uuid4().hex,
            assistant=assistant,
            backend_thread=await backend.create_thread(_PLACE, ()),
            messages=(Message(f"{time.time():.6f}", "user", question),),
            context="You answer in a terminal. Write Markdown.",
            asker="terminal",
            functions=await toolbox.functions(assistant),
            folder=folder,
        )
        await _carried_out(backend, toolbox, request, terminal)


async def _carried_out(backend: Backend, toolbox: Toolbox, request: RunRequest, terminal: Terminal) -> None:
    """From wait to wait for tools, until the run has ended; broken off, it is ended at the backend too."""
    latest = [request]
    try:
        while (wanted := await _leg(backend, latest, terminal)) is not None:
            terminal.leg()
            outputs = [await _called(toolbox, request.assistant, call, terminal) for call in wanted.calls]
            latest.append(replace(latest[-1], outputs=tuple(outputs)))
            _check_legs(latest)
    except (asyncio.CancelledError, BobbinError):
        await asyncio.shield(backend.cancel(latest[-1]))
        raise


def _check_legs(latest: Sequence[RunRequest]) -> None:
    if len(latest) > MOST_LEGS:
        raise BobbinError("The assistant went on calling tools without an end.")


async def _leg(backend: Backend, latest: list[RunRequest], terminal: Terminal) -> CallsWanted | None:
    async with aclosing(backend.run(latest[-1])) as events:
        async for event in events:
            if isinstance(event, CallsWanted):
                return event
            if isinstance(event, RunStarted):
                latest[-1] = replace(latest[-1], backend_run=event.backend_run)
            await _shown(event, terminal)
    return None


async def _shown(event: RunEvent, terminal: Terminal) -> None:
    match event:
        case TextDelta(text):
            terminal.grow(text)
        case TextDone(text):
            terminal.settle(text)
        case Task():
            terminal.task(event)
        case Sources(sources):
            terminal.sources = sources
        case FileMade():
            await asyncio.to_thread(terminal.file, event)
        case RunEnded(status, reason):
            terminal.end()
            if status is not RunStatus.COMPLETED:
                raise BobbinError(reason or f"The run ended as {status}.")


async def _called(toolbox: Toolbox, assistant: Assistant, call: ToolCall, terminal: Terminal) -> ToolOutput:
    terminal.note(f"· Uses {call.name} {call.arguments}")
    if toolbox.needs_approval(assistant, call):
        approved = await asyncio.to_thread(_approved, call)
        if not approved or call.server is not None:
            text = "Approved." if approved else "The person denied this. Nothing was done."
            return ToolOutput(call.id, text, failed=not approved, approved=approved)
    return await toolbox.call(call, ToolScene(_PLACE, "terminal", "im", assistant.key))


def _approved(call: ToolCall) -> bool:
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(f"May I use {call.name} with {call.arguments}? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _free(name: str) -> Path:
    path, number = Path(name), 2
    while path.exists():
        path, number = Path(f"{Path(name).stem}-{number}{Path(name).suffix}"), number + 1
    return path

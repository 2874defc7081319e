"""A backend with a real client at a local server, and what the tests ask of both."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import openai
import pytest

from bot.backends.retries import Patience
from bot.engine.assistant_files import parse_assistant
from bot.engine.ports import (
    Assistant,
    Backend,
    Message,
    RunEnded,
    RunEvent,
    RunRequest,
    RunStarted,
    TextDelta,
    TextDone,
    ThreadKey,
)
from bot.playground.openai import LocalOpenAI, RecordedRequest, ScriptedBrain
from storage.sqlite import SqliteStorage

KEY = ThreadKey("T1", "C1", "1700000000.000100")
#: A form of answer as a file says it.
STRICT = parse_assistant(
    "verdict",
    "---\nname: V\nmodel: m\nresponse_format:\n  name: verdict\n  description: Of a case.\n"
    "  schema: {type: object}\n  strict: true\n---\nJudge.",
    "verdict.md",
).response_format
TUTOR = Assistant("tutor", "Tutor", "You teach mathematics.", "gpt-6.1-terra", tools=("code_interpreter",))
#: Short enough for tests, long enough for several tries.
PATIENCE = Patience(total=5.0, first=0.001, longest=0.01)
#: Ends at once: for what must be given up.
NO_PATIENCE = Patience(total=0.0, first=0.001, longest=0.001)


def message(number: int, text: str, role: Any = "user") -> Message:
    return Message(f"1700000000.{number:06}", role, text)


def request(thread: str, *messages: Message, **changes: Any) -> RunRequest:
    """The request for a first run; `changes` are its other fields."""
    fields: dict[str, Any] = {
        "run": "run-1",
        "assistant": TUTOR,
        "context": "The person asking is Ada.",
        "asker": "a1b2c3",
    }
    return RunRequest(backend_thread=thread, messages=messages, **(fields | changes))


def text_of(events: list[RunEvent]) -> str:
    """What the engine makes of the events: deltas are added, a whole text replaces."""
    text = ""
    for event in events:
        if isinstance(event, TextDelta):
            text += event.text
        elif isinstance(event, TextDone):
            text = event.text
    return text


def started(events: list[RunEvent]) -> str:
    """The backend's id for the run: the last it gave."""
    return [event.backend_run for event in events if isinstance(event, RunStarted)][-1]


def ended(events: list[RunEvent]) -> RunEnded:
    """How the run ended, which is the last thing said, once."""
    assert [isinstance(event, RunEnded) for event in events] == [False] * (len(events) - 1) + [True], events
    last = events[-1]
    assert isinstance(last, RunEnded)
    return last


B = TypeVar("B", bound=Backend)


@dataclass(frozen=True)
class Bench(Generic[B]):
    """A server and a backend that speaks to it."""

    server: LocalOpenAI
    backend: B
    client: openai.AsyncOpenAI
    #: Who is asked where nobody else is named.
    assistant: Assistant = TUTOR
    #: Where a backend keeps histories that the server does not.
    storage: SqliteStorage | None = None

    async def thread(self, *history: Message) -> str:
        return await self.backend.create_thread(KEY, history, self.assistant)

    async def run(self, wanted: RunRequest) -> list[RunEvent]:
        """All events of a run."""
        async with aclosing(self.backend.run(wanted)) as events:
            return [event async for event in events]

    async def broken(self, wanted: RunRequest, error: type[Exception]) -> list[RunEvent]:
        """The events of a run until it raises this error."""
        seen: list[RunEvent] = []

        async def follow() -> None:
            async with aclosing(self.backend.run(wanted)) as events:
                async for event in events:
                    seen.append(event)

        with pytest.raises(error):
            await follow()
        return seen

    async def ask(self, text: str, **changes: Any) -> list[RunEvent]:
        """The events of a run that answers one message in a new thread."""
        assistant = {"assistant": self.assistant}
        return await self.run(request(await self.thread(), message(1, text), **(assistant | changes)))

    def calls(self, method: str, path: str) -> list[RecordedRequest]:
        """The requests so far; `path` is a regular expression for the whole path."""
        return [each for each in self.server.requests if each.method == method and re.fullmatch(path, each.path)]


@asynccontextmanager
async def connected(
    kind: Callable[..., B],
    *,
    key: str = "sk-local",
    patience: Patience = PATIENCE,
    lock_patience: Patience = PATIENCE,
    timeout: float = 30.0,
    silence: float = 10.0,
    poll: float = 0.001,
    background: bool = False,
    assistant: Assistant = TUTOR,
    **server: Any,
) -> AsyncIterator[Bench[B]]:
    """In seconds: `timeout` of the client, `silence` of its streams, `poll`. `server` are LocalOpenAI's options."""
    server.setdefault("brain", ScriptedBrain(lambda _: "pong and more"))
    async with LocalOpenAI(**server) as local:
        client = openai.AsyncOpenAI(api_key=key, base_url=local.url, max_retries=0, timeout=timeout)
        extra: dict[str, Any] = {"background": True} if background else {}
        backend = kind(client, patience=patience, lock_patience=lock_patience, poll=poll, silence=silence, **extra)
        try:
            yield Bench(local, backend, client, assistant)
        finally:
            await backend.close()


@asynccontextmanager
async def remembering(make: Callable[..., B], **options: Any) -> AsyncIterator[Bench[B]]:
    """As `connected`, for a backend that keeps histories in a database: `make` gets that after the client."""
    storage = await SqliteStorage.open("sqlite:///:memory:")

    def made(client: openai.AsyncOpenAI, **told: Any) -> B:
        return make(client, storage, **told)

    try:
        async with connected(made, **options) as bench:
            yield replace(bench, storage=storage)
    finally:
        await storage.close()

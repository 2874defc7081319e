"""Sessions of OpenAI's agents, and which of them a thread is at.

https://developers.openai.com/api/docs/guides/agents-api/sessions. A session takes messages of people only, and its
instructions stay as they are: whoever else answers needs a new session, which is told what was said before.
"""

import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import openai
import structlog
from openai.types.beta import AgentSession, AgentSessionEvent
from openai.types.beta.agents.sessions import Turn

from bot.backends.agents.files import Placed
from bot.backends.agents.parameters import (
    agent_of,
    content_of,
    digest,
    environment_of,
    first_input,
    identity_of,
    settings_of,
    update_of,
)
from bot.backends.limits import AGENTS_MESSAGE, PAGE
from bot.backends.retries import Attempts, Patience, patiently
from bot.engine.ports import HistoryItem, Message, RunRequest
from bot.errors import ThreadLocked

_log = structlog.get_logger()

Stream = openai.AsyncStream[AgentSessionEvent]

#: Metadata by which a session is found again after a call whose outcome nobody knows.
_RUN = "bobbin_run"
_HISTORY, _SESSION, _FILE = "history", "session", "file"
_BEFORE = "What was said in this conversation before, oldest first:"
_WHO = {"user": "Person", "assistant": "You"}


class Histories(Protocol):
    """Where threads remember their sessions (storage.base.Storage)."""

    async def add_items(self, items: Sequence[HistoryItem]) -> None: ...

    async def items(self, thread: str) -> Sequence[HistoryItem]: ...


@dataclass(frozen=True, slots=True)
class Kept:
    """The session that a thread is at; digests of who answers in it, of its settings, of the context it was told."""

    session: str
    identity: str
    settings: str
    context: str


class Sessions:
    """Makes sessions, finds them again, and tells them what people say. Every method raises openai.APIError."""

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        histories: Histories,
        patience: Patience,
        lock_patience: Patience,
        timeout: openai.Timeout,
    ) -> None:
        """`lock_patience` is for a turn that an earlier run left behind, `timeout` for streams."""
        self._client = client
        self._histories = histories
        self._patience = patience
        self._lock_patience = lock_patience
        self._timeout = timeout

    async def create_thread(self, history: Sequence[Message], files: Sequence[Placed]) -> str:
        """A thread that begins with `history` and its files; its session is made when somebody is to answer."""
        thread = f"agents-{uuid.uuid4().hex}"
        said = [{"role": each.role, "content": await content_of(each)} for each in history if says(each)]
        await self._keep(thread, _HISTORY, said)
        await self.keep_files(thread, files)
        return thread

    async def keep_files(self, thread: str, files: Sequence[Placed]) -> None:
        """Each new session of the thread gets these files, as far as it has a sandbox."""
        if files:
            await self._keep(thread, _FILE, [asdict(file) for file in files])

    async def files(self, request: RunRequest) -> list[Placed]:
        """What a new session's sandbox begins with."""
        if environment_of(request.assistant)["type"] == "none":
            return []
        rows = [row for row in await self._histories.items(request.backend_thread) if row.exchange == _FILE]
        placed = [Placed(**json.loads(row.item)) for row in rows]
        return list({file.path: file for file in placed}.values())

    async def kept(self, thread: str) -> Kept | None:
        """The session that a thread is at."""
        rows = [json.loads(row.item) for row in await self._histories.items(thread) if row.exchange == _SESSION]
        return Kept(**rows[-1]) if rows else None

    async def remember(self, request: RunRequest, session: str) -> None:
        """The thread is at this session from now on, as the request has it."""
        new = Kept(session, identity_of(request.assistant), digest(settings_of(request)), digest(request.context))
        if new != await self.kept(request.backend_thread):
            await self._keep(request.backend_thread, _SESSION, [asdict(new)])

    async def create(
        self, request: RunRequest, messages: Sequence[Message], *, with_files: bool = True
    ) -> Stream | str:
        """A new session that is asked `messages`, once: its events, or its id where it was made unheard."""
        before = await self._before(request.backend_thread)
        files = [file.wire for file in await self.files(request)] if with_files else []
        parameters: dict[str, Any] = {
            "agent": agent_of(request),
            "environment": environment_of(request.assistant) | ({"files": files} if files else {}),
            "input": await first_input(before, messages),
            "metadata": {_RUN: request.run, "bobbin_thread": request.backend_thread},
            "stream_options": {"include_obfuscation": False},
        }

        async def create() -> Stream | str:
            stream: Stream = await self._client.beta.agents.sessions.create(
                stream=True, timeout=self._timeout, **parameters
            )
            return stream

        async def found() -> Stream | str | None:
            return await self.find(request.run)

        return await patiently(create, self._patience, done=found)

    async def find(self, run: str) -> str | None:
        """The session that was made for a run. The server's filter may lag behind; its list does not."""

        async def newest() -> Sequence[AgentSession]:
            page = await self._client.beta.agents.sessions.list(order="desc", limit=PAGE)
            return page.data

        sessions = await patiently(newest, self._patience, repeatable=True)
        return next((each.id for each in sessions if each.metadata.get(_RUN) == run), None)

    async def made_for(self, session: str, run: str) -> bool:
        """Whether a session was made for a run, so that it needs not be told what it was made with."""
        return (await self.retrieve(session)).metadata.get(_RUN) == run

    async def ready(self, request: RunRequest, kept: Kept) -> bool:
        """Have a session wait for what is said next, with the request's settings; False where it never will.
        Raises ThreadLocked."""
        if not await self._idle(kept.session):
            return False
        settings = digest(settings_of(request))
        if settings != kept.settings:
            change: Any = update_of(request)
            await patiently(
                lambda: self._client.beta.agents.sessions.update(kept.session, agent=change),
                self._patience,
                repeatable=True,
            )
            await self._keep(request.backend_thread, _SESSION, [asdict(replace(kept, settings=settings))])
        return True

    async def retrieve(self, session: str) -> AgentSession:
        return await patiently(
            lambda: self._client.beta.agents.sessions.retrieve(session), self._patience, repeatable=True
        )

    async def listen(self, session: str) -> Stream:
        """What happens in a session from now on."""
        events = self._client.beta.agents.sessions.events
        return await patiently(
            lambda: events.stream(session, include_obfuscation=False, timeout=self._timeout),
            self._patience,
            repeatable=True,
        )

    async def send(self, session: str, events: Sequence[Any], key: str) -> None:
        """Tell a session something; `key` lets the server take it once, however often it is sent."""
        create = self._client.beta.agents.sessions.events.create
        await patiently(lambda: create(session, events=events, idempotency_key=key), self._patience, repeatable=True)

    async def cancel(self, session: str, before: Sequence[Any] = ()) -> None:
        """End the turn that is going, after it was told `before`; none is no error."""
        await self.send(session, [*before, {"type": "agent.session.input.cancel"}], uuid.uuid4().hex)

    async def last_turn(self, session: str) -> str:
        """The id of the newest turn; empty where there is none."""
        turns = await self._turns(session)
        return turns[0].id if turns else ""

    async def own_turn(self, session: str, turn: str, after: str) -> Turn | None:
        """A run's turn: the one with this id or, where that is not known, the one that came right after another, the
        very first where that is empty."""
        if turn:
            turns = self._client.beta.agents.sessions.turns
            return await patiently(lambda: turns.retrieve(turn, session_id=session), self._patience, repeatable=True)
        found = None
        for each in await self._turns(session):
            if each.id == after:
                break
            found = each
        return found

    async def items(self, session: str, turn: str | None = None) -> list[Any]:
        """The items of a session, or of one of its turns, oldest first."""
        sessions = self._client.beta.agents.sessions

        async def listed() -> list[Any]:
            if turn is None:
                return [item async for item in sessions.items.list(session, order="asc", limit=PAGE)]
            listing = sessions.turns.items.list(turn, session_id=session, order="asc", limit=PAGE)
            return [item async for item in listing]

        return await patiently(listed, self._patience, repeatable=True)

    async def _turns(self, session: str) -> list[Turn]:
        """The latest turns of the agent itself, newest first."""

        async def newest() -> Sequence[Turn]:
            page = await self._client.beta.agents.sessions.turns.list(session, order="desc", limit=PAGE)
            return page.data

        turns = await patiently(newest, self._patience, repeatable=True)
        return [each for each in turns if each.subagent_id is None]

    async def _idle(self, session: str) -> bool:
        """End what an earlier run left behind: a message would only steer it."""
        attempts, cancelled = Attempts(self._lock_patience), False
        while True:
            status = (await self.retrieve(session)).status
            if status not in ("in_progress", "requires_action"):
                return status == "idle"
            if not cancelled:
                _log.info("session-busy", session=session, status=status)
                await self.cancel(session)
                cancelled = True
            elif not await attempts.pause():
                raise ThreadLocked(
                    "An earlier answer in this conversation has not ended on the server. Please try again later."
                )

    async def _before(self, thread: str) -> list[dict[str, Any]]:
        """What was said in a thread, as the parts of a message; empty where nothing was."""
        kept = await self.kept(thread)
        rows = [json.loads(row.item) for row in await self._histories.items(thread) if row.exchange == _HISTORY]
        lines = [] if kept else [f"{_WHO[row['role']]}: {_texts(row['content'])}" for row in rows]
        pictures = [] if kept else [part for row in rows for part in row["content"] if part["type"] == "input_image"]
        for item in await self.items(kept.session) if kept else ():
            if item.type == "message" and (text := "".join(getattr(part, "text", "") for part in item.content)):
                # What that session had been told of earlier ones is taken over as it is.
                again = text.startswith(_BEFORE)
                lines.append(text.removeprefix(_BEFORE).strip() if again else f"{_WHO[item.role]}: {text}")
        if not lines:
            return []
        said = "\n\n".join(lines)[-AGENTS_MESSAGE:]
        return [{"type": "input_text", "text": f"{_BEFORE}\n\n{said}"}, *pictures]

    async def _keep(self, thread: str, exchange: str, items: Sequence[Any]) -> None:
        known = await self._histories.items(thread)
        begin = known[-1].seq + 1 if known else 0
        await self._histories.add_items(
            [HistoryItem(thread, begin + place, exchange, json.dumps(item)) for place, item in enumerate(items)]
        )


def says(message: Message) -> bool:
    """Whether a message says something: servers refuse empty ones."""
    return bool(message.text.strip() or message.files)


def _texts(content: Sequence[dict[str, Any]]) -> str:
    return "".join(part.get("text", "") for part in content)

"""The server's state: every object it holds, its change signal, its form in the state file."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from bot.playground.openai import limits
from bot.playground.openai.errors import ApiError, not_found
from bot.playground.openai.events import Signal
from bot.playground.openai.records import (
    Assistant,
    Container,
    ContainerFile,
    Conversation,
    File,
    FileBatch,
    Json,
    Message,
    Record,
    Response,
    Run,
    RunStep,
    Thread,
    VectorStore,
    VectorStoreFile,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bot.playground.openai.records import Upload
    from bot.playground.openai.switches import Switches

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the server behaves; `LocalOpenAI` explains each."""

    models: tuple[str, ...]
    switches: Switches
    streaming: bool | Literal["refuse"] = True
    poll_after_ms: int | None = None
    token_delay: float = 0.0
    run_expiry: float = limits.RUN_EXPIRY_SECONDS
    background_allowed: bool = True
    context_characters: int | None = None
    foreground_survives_disconnect: bool = False

    def check_model(self, model: str) -> None:
        """Refuses a model that the server does not offer, or no longer."""
        self.switches.check_there(model)
        if model not in self.models:
            raise ApiError(
                404,
                f"The model `{model}` does not exist or you do not have access to it.",
                code="model_not_found",
            )


class State:
    """Everything the server knows. Objects are replaced, never changed."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.change = Signal()
        self.on_change: Callable[[], None] | None = None
        self.assistants: dict[str, Assistant] = {}
        self.threads: dict[str, Thread] = {}
        self.messages: dict[str, dict[str, Message]] = {}
        """By thread, then by id, oldest first."""
        self.runs: dict[str, Run] = {}
        self.steps: dict[str, dict[str, RunStep]] = {}
        """By run, then by id, oldest first."""
        self.conversations: dict[str, Conversation] = {}
        self.items: dict[str, dict[str, Json]] = {}
        """By conversation, then by id, oldest first."""
        self.responses: dict[str, Response] = {}
        self.files: dict[str, File] = {}
        self.containers: dict[str, Container] = {}
        self.container_files: dict[str, dict[str, ContainerFile]] = {}
        """By container, then by id, oldest first."""
        self.vector_stores: dict[str, VectorStore] = {}
        self.vector_store_files: dict[str, dict[str, VectorStoreFile]] = {}
        """By vector store, then by the file's id, oldest first."""
        self.file_batches: dict[str, FileBatch] = {}
        self.agent_sessions: dict[str, Json] = {}
        self.agent_turns: dict[str, dict[str, Json]] = {}
        self.agent_items: dict[str, dict[str, Json]] = {}
        self.artifacts: dict[str, dict[str, Json]] = {}
        """By session, then by id, oldest first, as the two before."""
        self.recordings: list[Upload] = []
        """What was sent to be transcribed; it is not kept over a restart."""
        self.locked: set[str] = set()
        """Conversations that somebody operates on."""

    @property
    def now(self) -> int:
        """The time as Unix seconds."""
        return int(self.clock())

    def changed(self) -> None:
        """Tells those who wait for a change, and the state file, that there was one."""
        self.change.notify()
        if self.on_change is not None:
            self.on_change()

    def find(self, objects: Mapping[str, T], key: str, kind: str) -> T:
        """The object with this id; refuses with 404 when there is none."""
        if key not in objects:
            raise not_found(kind, key)
        return objects[key]

    def active_run(self, thread_id: str) -> Run | None:
        """The run that locks the thread, if any."""
        return next((run for run in self.runs.values() if run.thread_id == thread_id and run.active), None)

    def dump(self) -> Json:
        """Everything, as JSON-able data."""
        return {
            "assistants": _rows(self.assistants),
            "threads": _rows(self.threads),
            "messages": [row for each in self.messages.values() for row in _rows(each)],
            "runs": _rows(self.runs),
            "steps": [row for each in self.steps.values() for row in _rows(each)],
            "conversations": _rows(self.conversations),
            "items": {key: list(items.values()) for key, items in self.items.items()},
            "responses": _rows(self.responses),
            "files": _rows(self.files),
            "containers": _rows(self.containers),
            "container_files": [row for each in self.container_files.values() for row in _rows(each)],
            "vector_stores": _rows(self.vector_stores),
            "vector_store_files": [row for each in self.vector_store_files.values() for row in _rows(each)],
            "file_batches": _rows(self.file_batches),
            "agent_sessions": list(self.agent_sessions.values()),
            "agent_turns": {key: list(turns.values()) for key, turns in self.agent_turns.items()},
            "agent_items": {key: list(items.values()) for key, items in self.agent_items.items()},
            "artifacts": {key: list(artifacts.values()) for key, artifacts in self.artifacts.items()},
        }

    def restore(self, saved: Json) -> None:
        """Takes up what `dump` returned. Runs and responses that were being made then have failed."""
        self.assistants = {row["id"]: Assistant(**row) for row in saved["assistants"]}
        self.threads = {row["id"]: Thread(**row) for row in saved["threads"]}
        self.messages = {key: {} for key in self.threads}
        for row in saved["messages"]:
            self.messages[row["thread_id"]][row["id"]] = _settled_message(Message(**row), self.now)
        self.runs = {row["id"]: _settled(Run(**row), self.now) for row in saved["runs"]}
        self.steps = {key: {} for key in self.runs}
        for row in saved["steps"]:
            self.steps[row["run_id"]][row["id"]] = _settled_step(RunStep(**row), self.now)
        self.conversations = {row["id"]: Conversation(**row) for row in saved["conversations"]}
        self.items = {key: {item["id"]: item for item in items} for key, items in saved["items"].items()}
        self.responses = {row["id"]: _settled_response(Response(**row)) for row in saved["responses"]}
        self.files = {row["id"]: File(**row) for row in saved["files"]}
        # A state file of an older version has none of what follows.
        self.containers = {row["id"]: Container(**row) for row in saved.get("containers", ())}
        self.container_files = {key: {} for key in self.containers}
        for row in saved.get("container_files", ()):
            self.container_files[row["container_id"]][row["id"]] = ContainerFile(**row)
        self.vector_stores = {row["id"]: VectorStore(**row) for row in saved.get("vector_stores", ())}
        self.vector_store_files = {key: {} for key in self.vector_stores}
        for row in saved.get("vector_store_files", ()):
            self.vector_store_files[row["vector_store_id"]][row["id"]] = VectorStoreFile(**row)
        self.file_batches = {row["id"]: FileBatch(**row) for row in saved.get("file_batches", ())}
        self.agent_sessions = {row["id"]: _settled_session(row) for row in saved.get("agent_sessions", ())}
        self.agent_turns = {
            key: {row["id"]: _settled_turn(row, self.now) for row in rows}
            for key, rows in saved.get("agent_turns", {}).items()
        }
        self.agent_items = _by_id(saved.get("agent_items", {}))
        self.artifacts = _by_id(saved.get("artifacts", {}))
        self.locked = set()

    def settle(self) -> None:
        """Fails what is being made: nobody makes it any more."""
        self.restore(self.dump())
        self.changed()


_RESTARTED: dict[str, Any] = {"code": "server_error", "message": "The server was restarted during the run."}


def _rows(objects: Mapping[str, Record]) -> list[Json]:
    return [each.row() for each in objects.values()]


def _by_id(rows: Mapping[str, list[Json]]) -> dict[str, dict[str, Json]]:
    return {key: {row["id"]: row for row in each} for key, each in rows.items()}


def _settled_session(session: Json) -> Json:
    return {**session, "status": "idle", "required_actions": []}


def _settled_turn(turn: Json, now: int) -> Json:
    if turn["status"] not in {"queued", "in_progress", "waiting"}:
        return turn
    return {**turn, "status": "failed", "error": _RESTARTED, "completed_at": now}


def _settled(run: Run, now: int) -> Run:
    if not run.active:
        return run
    return replace(run, status="failed", failed_at=now, required_action=None, last_error=_RESTARTED)


def _settled_message(message: Message, now: int) -> Message:
    if message.status != "in_progress":
        return message
    return replace(message, status="incomplete", incomplete_at=now, incomplete_details={"reason": "run_failed"})


def _settled_step(step: RunStep, now: int) -> RunStep:
    if step.status != "in_progress":
        return step
    return replace(step, status="failed", failed_at=now, last_error=_RESTARTED)


def _settled_response(response: Response) -> Response:
    return replace(response, status="failed", error=_RESTARTED) if response.active else response

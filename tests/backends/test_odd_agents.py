"""Agents servers that fail on the way, wait for what nobody has, or lose files."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bot.backends.agents.backend import AgentsBackend
from bot.engine.ports import FileMade, RunEvent, RunStatus, Task, TaskStatus
from bot.errors import RunBroken
from storage.sqlite import SqliteStorage
from tests.backends.bench import KEY, PATIENCE, TUTOR, ended, message, request, text_of
from tests.backends.handmade import EMPTY_LIST, Handler, answering, event, serving, streaming

SESSION: dict[str, Any] = {
    "id": "sess_1",
    "object": "agent.session",
    "status": "in_progress",
    "required_actions": [],
    "metadata": {},
    "environment": {"type": "openai_hosted", "id": "env_1"},
}
TURN: dict[str, Any] = {"id": "turn_1", "object": "agent.session.turn", "status": "in_progress", "subagent_id": None}
ANSWER = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
ITEM = {**ANSWER, "content": [{"type": "output_text", "text": "hi", "annotations": []}]}
BEGUN = (
    event("agent.session.created", session=SESSION),
    event("agent.session.turn.created", turn=TURN),
)
SESSIONS, ONE = "/agents/sessions", "/agents/sessions/sess_1"


@asynccontextmanager
async def odd(
    *told: str, session: Any = SESSION, turn: Any = TURN, items: Any = (), **routes: Handler
) -> AsyncIterator[tuple[Callable[..., Any], list[Any]]]:
    """A run at a server that tells this when a session is made, and shows this when it is asked; what it was sent."""
    sent: list[Any] = []

    async def hear(call: web.Request) -> web.Response:
        sent.append(await call.json())
        return web.Response(status=202)

    served: dict[str, Handler] = {
        f"POST {SESSIONS}": streaming(*BEGUN, *told),
        f"GET {SESSIONS}": answering({**EMPTY_LIST, "data": [session]}),
        f"GET {ONE}": answering(session),
        f"GET {ONE}/events": streaming(),
        f"POST {ONE}/events": hear,
        f"GET {ONE}/turns": answering({**EMPTY_LIST, "data": [turn] if turn else []}),
        f"GET {ONE}/turns/turn_1": answering(turn),
        f"GET {ONE}/turns/turn_1/items": answering({**EMPTY_LIST, "data": list(items)}),
        f"GET {ONE}/items": answering({**EMPTY_LIST, "data": list(items)}),
        f"GET {ONE}/artifacts": routes.get("artifacts") or answering(EMPTY_LIST),
        f"GET {ONE}/artifacts/art_1/content": routes.get("content") or answering({}, 404),
    }
    storage = await SqliteStorage.open("sqlite:///:memory:")
    async with serving(served) as client:
        backend = AgentsBackend(client, storage, patience=PATIENCE, lock_patience=PATIENCE, poll=0.001, silence=5.0)
        thread = await backend.create_thread(KEY, (), TUTOR)

        async def run(**changes: Any) -> list[RunEvent]:
            return [each async for each in backend.run(request(thread, message(1, "hello"), **changes))]

        yield run, sent
    await storage.close()


# What nobody can give


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("turn", ["waiting", "in_progress"])
@pytest.mark.parametrize(
    "action",
    [
        {"type": "environment_connection", "environment_id": "env_1"},
        {"type": "computer_use_approval_request", "request_id": "r", "turn_id": "turn_1", "request": {}},
    ],
)
async def test_a_turn_that_waits_for_what_nobody_here_has_is_ended_with_a_sentence(
    action: dict[str, Any], turn: str, streamed: bool
) -> None:
    waits = {**SESSION, "status": "requires_action", "required_actions": [action]}
    told = [event("agent.session.requires_action", session=waits)] if streamed else []
    async with odd(*told, session=waits, turn={**TURN, "status": turn}) as (run, sent):
        with pytest.raises(RunBroken, match="something that Bobbin cannot give it"):
            await run()
    assert [each["type"] for each in sent[-1]["events"]] == ["agent.session.input.cancel"]


@pytest.mark.parametrize("turn", [None, TURN])
async def test_a_session_that_failed_ends_the_run_whatever_its_turn_says(turn: Any) -> None:
    failed = {**SESSION, "status": "failed", "error": "boom"}
    told = event("error", error={"code": "server_error", "message": "boom"})
    async with odd(told, session=failed, turn=turn) as (run, _):
        with pytest.raises(RunBroken, match="failed while it answered"):
            await run()


# Files that are lost

COMPLETED = {**TURN, "status": "completed"}
ENDED = event("agent.session.turn.completed", turn=COMPLETED, turn_id="turn_1")
MADE = {"id": "art_1", "turn_id": "turn_1", "path": "/workspace/plot.png"}
CODER = replace(TUTOR, tools=("code_interpreter",))


def content(*answers: Any) -> Handler:
    """The answers to the calls for a file's content, one after the other and the last for ever: a status, "cut" for
    half a body, or the whole one."""
    left = list(answers)

    async def answer(call: web.Request) -> web.StreamResponse:
        now = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(now, int):
            return web.json_response({"error": {"message": "no"}}, status=now)
        if now != "cut":
            return web.Response(body=now)
        response = web.StreamResponse(headers={"content-length": "100"})
        await response.prepare(call)
        await response.write(b"half")
        assert call.transport is not None
        call.transport.abort()
        return response

    return answer


async def made(folder: Path, *answers: Any) -> list[RunEvent]:
    listed = answering({**EMPTY_LIST, "data": [MADE]})
    async with odd(ENDED, turn=COMPLETED, items=[ITEM], artifacts=listed, content=content(*answers)) as (run, _):
        events: list[RunEvent] = await run(folder=folder, assistant=CODER)
    assert (text_of(events), ended(events).status) == ("hi", RunStatus.COMPLETED)
    return events


@pytest.mark.parametrize("first", [500, 429, "cut"])
async def test_a_file_whose_download_breaks_is_fetched_again(first: Any, tmp_path: Path) -> None:
    [file] = [each for each in await made(tmp_path, first, b"plotted") if isinstance(each, FileMade)]
    assert (file.name, file.path.read_bytes()) == ("plot.png", b"plotted")


async def test_a_file_that_is_lost_is_named(tmp_path: Path) -> None:
    [task] = [each for each in await made(tmp_path, 404) if isinstance(each, Task)]
    assert (task.status, task.output) == (
        TaskStatus.ERROR,
        "plot.png could not be fetched from the model server",
    )


async def test_files_that_cannot_be_listed_are_spoken_of(tmp_path: Path) -> None:
    async with odd(ENDED, turn=COMPLETED, items=[ITEM], artifacts=answering({}, 404)) as (run, _):
        events = await run(folder=tmp_path, assistant=CODER)
    [task] = [each for each in events if isinstance(each, Task)]
    assert task.status is TaskStatus.ERROR

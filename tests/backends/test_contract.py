"""What both backends have in common at the edges; `contract.py` has the rest."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import pytest

from bot.backends.assistants.backend import AssistantsBackend
from bot.backends.responses.backend import ResponsesBackend
from bot.backends.retries import Patience
from bot.engine.ports import RunEvent, RunStarted, RunStatus, TextDelta, TextDone
from bot.errors import BackendError, BackendRefused, BackendUnreachable
from bot.playground.openai import Question, ScriptedBrain
from tests.backends.bench import NO_PATIENCE, TUTOR, Bench, connected, ended, message, request, text_of

RUN_PATHS = {"assistants": "/threads/{t}/runs", "responses": "/responses"}
RUNS = r"/threads/\w+/runs|/responses"

Connect = Callable[..., AbstractAsyncContextManager[Bench[Any]]]


@pytest.fixture(params=["assistants", "responses", "background"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """Every test here runs with each way to make a run."""
    if request.param == "assistants":
        return lambda **options: connected(AssistantsBackend, **options)
    background = request.param == "background"
    return lambda **options: connected(ResponsesBackend, background=background, **options)


def run_path(bench: Bench[Any]) -> str:
    return RUN_PATHS[bench.backend.name]


def asked_of(bench: Bench[Any], thread: str) -> list[str]:
    """The people's messages in the server's thread, oldest first."""
    if bench.backend.name == "assistants":
        return [each.text for each in bench.server.messages(thread) if each.role == "user"]
    items = [each for each in bench.server.items(thread) if each["type"] == "message" and each["role"] == "user"]
    return ["".join(part["text"] for part in each["content"]) for each in items]


def runs_of(bench: Bench[Any]) -> list[Any]:
    return [*bench.server.runs.values(), *bench.server.responses.values()]


def many(count: int) -> list[Any]:
    return [message(number, f"post {number}") for number in range(1, count + 1)]


async def first_word(events: Any) -> list[RunEvent]:
    """Read a run's events until its first words."""
    seen: list[RunEvent] = []
    while not seen or not isinstance(seen[-1], TextDelta):
        seen.append(await anext(events))
    return seen


# Events


async def test_events_come_in_order_and_the_deltas_are_the_whole(connect: Connect) -> None:
    answer = "one\n\ntwo  three\n"
    async with connect(brain=ScriptedBrain(lambda _: answer)) as bench:
        events = await bench.ask("ping")
    order = [RunStarted, TextDelta, TextDone]
    positions = [order.index(type(event)) for event in events[:-1]]
    assert positions == sorted(positions)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == answer
    assert [event.text for event in events if isinstance(event, TextDone)][-1] == answer
    assert ended(events).status is RunStatus.COMPLETED


async def test_usage_is_what_the_server_counted(connect: Connect) -> None:
    async with connect() as bench:
        usage = ended(await bench.ask("ping")).usage
        [run] = runs_of(bench)
    names = ("prompt_tokens", "completion_tokens") if bench.backend.name == "assistants" else tuple(usage)
    assert usage["input_tokens"] == run.usage[names[0]] > 0
    assert usage["output_tokens"] == run.usage[names[1]] > 0


async def test_an_answer_without_words_ends_well(connect: Connect) -> None:
    async with connect(brain=ScriptedBrain(lambda _: "")) as bench:
        events = await bench.ask("ping")
    assert text_of(events) == ""
    assert ended(events).status is RunStatus.COMPLETED


@pytest.mark.parametrize("status", ["failed", "incomplete", "cancelled"])
async def test_a_run_without_a_stream_ends_like_one_with_it(connect: Connect, status: str) -> None:
    endings = []
    for streaming in (True, False):
        async with connect(streaming=streaming) as bench:
            bench.server.faults.add(method="POST", path=run_path(bench), run_status=status)
            events = await bench.ask("ping")
            endings.append((ended(events).status, ended(events).reason, text_of(events)))
            assert len(runs_of(bench)) == 1
    assert endings[0] == endings[1]
    assert endings[0][1]


# Messages


async def test_a_history_of_many_voices_is_heard_in_order(connect: Connect) -> None:
    heard: list[Question] = []

    def listen(question: Question) -> str:
        heard.append(question)
        return "yes"

    history = [message(number, f"line {number}", ("user", "assistant")[number % 3 == 2]) for number in range(45)]
    async with connect(brain=ScriptedBrain(listen)) as bench:
        thread = await bench.thread(*history)
        await bench.run(request(thread, message(50, "ping")))
    assert list(heard[0].messages) == [*((each.role, each.text) for each in history), ("user", "ping")]


@pytest.mark.parametrize("fault", [{"cut": True}, {"status": 500}])
async def test_a_run_with_more_posts_than_a_page_is_never_doubled(connect: Connect, fault: dict[str, Any]) -> None:
    """A busy thread: 120 posts since Bobbin last answered."""
    posts = many(120)
    async with connect(foreground_survives_disconnect=True) as bench:
        thread = await bench.thread()
        bench.server.faults.add(method="POST", path=run_path(bench), when="after", **fault)
        events = await bench.run(request(thread, *posts))
        assert len(runs_of(bench)) == 1
        assert asked_of(bench, thread) == [each.text for each in posts]
    assert text_of(events) == "pong and more"


async def test_an_incomplete_run_with_more_posts_than_a_page_is_retried_without_them(connect: Connect) -> None:
    posts = many(120)
    async with connect() as bench:
        thread = await bench.thread()
        bench.server.faults.add(method="POST", path=run_path(bench), run_status="incomplete")
        await bench.run(request(thread, *posts))
        await bench.run(request(thread, *posts, run="run-2", attempt=2))
        assert asked_of(bench, thread) == [each.text for each in posts]


# Taken up again


async def test_a_run_that_had_ended_is_told_again_without_a_single_write(connect: Connect) -> None:
    """Whichever id was the last that got stored before the process died."""
    async with connect() as bench:
        first = request(await bench.thread(), message(1, "one"), message(2, "two"))
        events = await bench.run(first)
        writes = len(bench.calls("POST", ".*"))
        marks = [event.backend_run for event in events if isinstance(event, RunStarted)]
        for mark in marks:
            again = await bench.run(replace(first, attempt=2, backend_run=mark))
            assert (text_of(again), ended(again).status) == (text_of(events), RunStatus.COMPLETED)
        assert len(bench.calls("POST", ".*")) == writes
        assert asked_of(bench, first.backend_thread) == ["one", "two"]
    assert marks


async def test_a_third_attempt_is_like_a_second(connect: Connect) -> None:
    async with connect() as bench:
        thread = await bench.thread()
        bench.server.faults.add(method="POST", path=run_path(bench), status=429, code="insufficient_quota", times=2)
        await bench.broken(request(thread, message(1, "ping")), BackendRefused)
        await bench.broken(request(thread, message(1, "ping"), attempt=2), BackendRefused)
        events = await bench.run(request(thread, message(1, "ping"), attempt=3))
        assert asked_of(bench, thread) == ["ping"]
    assert text_of(events) == "pong and more"


# Letting go


async def test_whoever_is_cancelled_in_mid_air_is_free_at_once(connect: Connect) -> None:
    brain = ScriptedBrain(lambda _: "one two", gate=asyncio.Event())
    async with connect(brain=brain) as bench:
        spoke = asyncio.Event()
        wanted = request(await bench.thread(), message(1, "count"))

        async def follow() -> None:
            events: Any = bench.backend.run(wanted)
            try:
                await first_word(events)
                spoke.set()
                await anext(events)
            finally:
                await events.aclose()

        following = asyncio.create_task(follow())
        async with asyncio.timeout(5):
            await spoke.wait()
            following.cancel()
            with pytest.raises(asyncio.CancelledError):
                await following
        assert all(connection.is_idle() for connection in _connections(bench))


@pytest.mark.parametrize("waiting", ["lock", "rate limit", "look"])
async def test_whoever_is_cancelled_while_waiting_is_free_at_once(connect: Connect, waiting: str) -> None:
    forever = Patience(total=3600.0, first=600.0, longest=600.0)
    brain = ScriptedBrain(lambda _: "one two", gate=asyncio.Event())
    options: dict[str, Any] = {"streaming": False, "poll": 600.0} if waiting == "look" else {}
    async with connect(brain=brain, patience=forever, lock_patience=forever, **options) as bench:
        thread = await bench.thread()
        if waiting == "lock":
            bench.server.lock(thread)
        if waiting == "rate limit":
            bench.server.faults.add(method="POST", path=run_path(bench), status=429, times=None)
        following = asyncio.create_task(bench.run(request(thread, message(1, "count"))))
        wanted = {"lock": 400, "rate limit": 429}.get(waiting)
        if wanted:
            await bench.server.wait_for(lambda server: any(each.status == wanted for each in server.requests))
        else:
            await bench.server.wait_for(lambda _: runs_of(bench))
        await asyncio.sleep(0.05)
        assert not following.done()
        following.cancel()
        async with asyncio.timeout(5):
            with pytest.raises(asyncio.CancelledError):
                await following


async def test_a_server_that_dies_in_mid_air_keeps_what_was_shown(connect: Connect) -> None:
    brain = ScriptedBrain(lambda _: "one two", gate=asyncio.Event())
    async with connect(brain=brain, patience=NO_PATIENCE) as bench:
        events: Any = bench.backend.run(request(await bench.thread(), message(1, "count")))
        seen = await first_word(events)
        await bench.server.stop()
        with pytest.raises(BackendError) as caught:
            seen += [event async for event in events]
    assert text_of(seen) == "one"
    assert isinstance(caught.value, BackendUnreachable)


async def test_nobody_is_disturbed_by_a_cancel_that_cannot_be_made(connect: Connect) -> None:
    """Before anything was begun, and twice."""
    async with connect() as bench:
        never = request(await bench.thread(), message(1, "ping"))
        await bench.backend.cancel(never)
        await bench.backend.cancel(never)
        assert not runs_of(bench)


# What is refused


async def test_a_wrong_key_is_not_tried_twice(connect: Connect) -> None:
    async with connect(key="sk-wrong") as bench:
        with pytest.raises(BackendRefused):
            await bench.thread()
        assert len(bench.server.requests) == 1


async def test_an_unknown_model_is_asked_for_once_and_leaves_nothing_running(connect: Connect) -> None:
    async with connect() as bench:
        with pytest.raises(BackendRefused) as caught:
            await bench.ask("ping", assistant=replace(TUTOR, model="gpt-9"))
        assert not runs_of(bench)
        assert len(bench.calls("POST", rf"{RUNS}|/assistants")) == 1
    assert caught.value.sentence == (
        "The model server does not know the model gpt-9. An admin can name another in the file of the assistant tutor."
    )


# The doctor


async def test_the_check_of_a_server_that_is_not_there_raises_nothing(connect: Connect) -> None:
    async with connect(patience=NO_PATIENCE) as bench:
        await bench.server.stop()
        [check] = await bench.backend.check([TUTOR.model])
    assert check.name == f"backend {bench.backend.name}"
    assert "cannot be reached" in (check.problem or "")


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 429}, {"status": 403}, {"status": 404}, {"cut": True}])
async def test_the_check_of_the_models_raises_nothing(connect: Connect, fault: dict[str, Any]) -> None:
    async with connect() as bench:
        bench.server.faults.add(method="GET", path="/models", **fault)
        first, *models = await bench.backend.check([TUTOR.model])
    assert first.problem is None
    # A server need not list its models; any other failure is a problem of its own.
    assert [bool(check.problem) for check in models] == ([] if fault.get("status") == 404 else [True])


def _connections(bench: Bench[Any]) -> list[Any]:
    pool: Any = bench.client._client._transport
    return list(pool._pool.connections)

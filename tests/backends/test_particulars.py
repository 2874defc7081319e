"""What is particular to one of the APIs, at the edges; test_assistants.py and test_responses.py have the rest."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import openai
import pytest

from bot.backends.assistants.backend import AssistantsBackend
from bot.backends.responses.backend import ResponsesBackend
from bot.engine.ports import RunStarted, RunStatus, TextDelta
from bot.errors import BackendUnreachable, BackendUnsupported, ContextOverflow
from bot.playground.openai import FunctionCall, ScriptedBrain
from tests.backends.bench import (
    NO_PATIENCE,
    PATIENCE,
    TUTOR,
    Bench,
    connected,
    ended,
    message,
    request,
    started,
    text_of,
)
from tests.wire import Wire, port_of, through

RUNS = "/threads/{t}/runs"
MESSAGES = "/threads/{t}/messages"
LOST: list[dict[str, Any]] = [{"cut": True}, {"status": 500}]


def assistants(**options: Any) -> AbstractAsyncContextManager[Bench[AssistantsBackend]]:
    return connected(AssistantsBackend, **options)


def responses(**options: Any) -> AbstractAsyncContextManager[Bench[ResponsesBackend]]:
    return connected(ResponsesBackend, **options)


# The definitions of Assistants


@pytest.mark.parametrize("fault", [None, *LOST])
async def test_twenty_first_runs_make_one_assistant(fault: dict[str, Any] | None) -> None:
    async with assistants() as bench:
        if fault:
            bench.server.faults.add(method="POST", path="/assistants", when="after", **fault)
        answers = await asyncio.gather(*(bench.ask("ping", run=f"run-{number}") for number in range(20)))
        assert len(bench.server.assistants) == 1
        assert len(bench.calls("POST", "/assistants")) == 1
        assert len(bench.server.runs) == 20
    assert [text_of(events) for events in answers] == ["pong and more"] * 20


async def test_assistants_with_the_same_name_are_two() -> None:
    async with assistants() as bench:
        await bench.ask("ping")
        await bench.ask("ping", assistant=replace(TUTOR, key="tutor-2"), run="run-2")
        assert len(bench.server.assistants) == 2


async def test_somebody_elses_assistant_of_the_same_name_is_left_alone() -> None:
    async with assistants() as bench:
        other = await bench.client.beta.assistants.create(model="gpt-6-luna", name=TUTOR.name, instructions="Mine.")
        await bench.ask("ping")
        assert bench.server.assistants[other.id].instructions == "Mine."
        assert len(bench.server.assistants) == 2


@pytest.mark.parametrize("fault", LOST)
async def test_an_update_whose_answer_was_lost_is_made_again_to_the_same_assistant(fault: dict[str, Any]) -> None:
    async with assistants() as bench:
        await bench.ask("ping")
        bench.server.faults.add(method="POST", path="/assistants/{a}", when="after", **fault)
        await bench.ask("ping", assistant=replace(TUTOR, instructions="Chess."), run="run-2")
        [made] = bench.server.assistants.values()
    assert made.instructions == "Chess."


async def test_an_assistant_is_looked_for_once_while_nothing_changes() -> None:
    async with assistants() as bench:
        for number in range(3):
            await bench.ask("ping", run=f"run-{number}")
        assert len(bench.calls("GET", "/assistants")) == 1


# How Assistants runs go


@pytest.mark.parametrize("streaming", [True, False, "refuse"])
@pytest.mark.parametrize("fault", LOST)
async def test_a_run_whose_answer_was_lost_is_one_run_however_it_is_made(streaming: Any, fault: dict[str, Any]) -> None:
    async with assistants(streaming=streaming) as bench:
        bench.server.faults.add(method="POST", path=RUNS, when="after", **fault)
        events = await bench.ask("ping")
        assert len(bench.server.runs) == 1
    assert (text_of(events), ended(events).status) == ("pong and more", RunStatus.COMPLETED)


async def test_every_write_may_lose_its_answer_and_nothing_is_doubled() -> None:
    async with assistants() as bench:
        for path in ("/threads", "/assistants", MESSAGES, RUNS):
            bench.server.faults.add(method="POST", path=path, when="after", cut=True)
        thread = await bench.thread(message(1, "hello"))
        events = await bench.run(request(thread, message(2, "one"), message(3, "two")))
        assert [each.text for each in bench.server.messages(thread)] == ["hello", "one", "two", "pong and more"]
        assert (len(bench.server.runs), len(bench.server.assistants)) == (1, 1)
    assert text_of(events) == "pong and more"


async def test_a_run_that_expires_is_told_so_without_a_stream() -> None:
    async with assistants(streaming=False) as bench:
        bench.server.faults.add(method="POST", path=RUNS, run_status="expired")
        events = await bench.ask("ping")
    assert ended(events).status is RunStatus.EXPIRED


async def test_a_cancel_that_comes_too_late_is_a_whole_answer() -> None:
    gate = asyncio.Event()
    async with assistants(brain=ScriptedBrain(lambda _: "one two", gate=gate)) as bench:
        first = request(await bench.thread(), message(1, "count"))
        events: Any = bench.backend.run(first)
        seen = [await anext(events)]
        while not isinstance(seen[-1], TextDelta):
            seen.append(await anext(events))
        bench.server.faults.add(method="POST", path="/threads/{t}/runs/{r}/cancel", run_status="completed")
        await bench.backend.cancel(replace(first, backend_run=started(seen)))
        gate.set()
        seen += [event async for event in events]
    assert (text_of(seen), ended(seen).status) == ("one two", RunStatus.COMPLETED)


async def test_a_run_whose_id_was_never_stored_can_be_cancelled_and_is_found_again() -> None:
    async with assistants(brain=ScriptedBrain(lambda _: "one two", gate=asyncio.Event())) as bench:
        first = request(await bench.thread(), message(1, "count"))
        events: Any = bench.backend.run(first)
        assert isinstance(await anext(events), RunStarted)
        await events.aclose()
        await bench.backend.cancel(first)
        again = await bench.run(replace(first, attempt=2))
        assert len(bench.server.runs) == 1
    assert ended(again).status is RunStatus.CANCELLED


async def test_somebody_elses_run_that_waits_for_a_tool_does_not_hold_the_thread_forever() -> None:
    answers: dict[str, Any] = {"weather": FunctionCall("get_weather", "{}"), "ping": "pong"}
    async with assistants(brain=ScriptedBrain(answers)) as bench:
        thread = await bench.thread(message(1, "weather?"))
        other = await bench.client.beta.assistants.create(model=TUTOR.model)
        stuck = await bench.client.beta.threads.runs.create(thread, assistant_id=other.id)
        await bench.server.wait_for(lambda server: server.runs[stuck.id].status == "requires_action")
        events = await bench.run(request(thread, message(2, "ping")))
        assert bench.server.runs[stuck.id].status == "cancelled"
    assert text_of(events) == "pong"


async def test_a_server_that_cannot_be_asked_about_an_unclear_run_is_unreachable() -> None:
    """Nobody knows whether the run was made: it is not made again on a guess."""
    async with assistants(patience=NO_PATIENCE) as bench:
        bench.server.faults.add(method="POST", path=RUNS, when="after", cut=True)
        bench.server.faults.add(method="GET", path=RUNS, status=500, times=None)
        await bench.broken(request(await bench.thread(), message(1, "ping")), BackendUnreachable)
        assert len(bench.server.runs) == 1


# What goes to Responses


@pytest.mark.parametrize(("count", "sizes"), [(0, [0]), (20, [20]), (45, [20, 20, 5])])
async def test_items_go_twenty_at_a_time(count: int, sizes: list[int]) -> None:
    async with responses() as bench:
        await bench.thread(*(message(number, f"line {number}") for number in range(count)))
        calls = bench.calls("POST", r"/conversations(/\w+/items)?")
    assert [len(call.body.get("items") or []) for call in calls] == sizes


async def test_tools_have_the_shape_that_responses_wants() -> None:
    async with responses() as bench:
        await bench.ask("ping", assistant=replace(TUTOR, tools=("code_interpreter", "web_search")))
        await bench.ask("ping", assistant=replace(TUTOR, tools=()), run="run-2")
        first, second = bench.calls("POST", "/responses")
    assert first.body["tools"] == [{"type": "code_interpreter", "container": {"type": "auto"}}, {"type": "web_search"}]
    assert "tools" not in second.body


async def test_every_run_says_anew_who_answers_and_who_asks() -> None:
    """Nothing is inherited from the response before it."""
    async with responses() as bench:
        thread = await bench.thread()
        await bench.run(request(thread, message(1, "one")))
        await bench.run(request(thread, message(2, "two"), run="run-2", asker="ffff", context="The person is Bob."))
        _, second = bench.calls("POST", "/responses")
    assert second.body["instructions"] == "You teach mathematics.\n\nThe person is Bob."
    assert second.body["safety_identifier"] == "ffff"
    assert second.body["truncation"] == "auto"
    assert [item["content"] for item in second.body["input"]] == ["two"]


# What Responses may refuse


@pytest.mark.parametrize("background", [False, True])
async def test_a_refused_overflow_yields_nothing_of_an_answer_and_is_asked_once(background: bool) -> None:
    async with responses(context_characters=100, background=background) as bench:
        thread = await bench.thread()
        seen = await bench.broken(request(thread, message(1, "x" * 200)), ContextOverflow)
        assert len(bench.calls("POST", "/responses")) == 1
        assert not bench.server.items(thread)
    assert all(isinstance(event, RunStarted) for event in seen)


async def test_a_server_without_the_protocol_is_told_in_one_sentence_everywhere() -> None:
    sentence = (
        "This server does not offer OpenAI's Responses and Conversations. An admin can set BOBBIN_BACKEND to another."
    )
    async with responses() as bench:
        thread = await bench.thread()
        for method, path in (
            ("POST", "/conversations"),
            ("GET", "/conversations/{c}/items"),
            ("POST", "/responses"),
        ):
            message_ = f"Invalid URL ({method} /v1{path})"
            bench.server.faults.add(method=method, path=path, status=404, message=message_, times=None)
        with pytest.raises(BackendUnsupported) as made:
            await bench.thread()
        with pytest.raises(BackendUnsupported) as asked:
            await bench.run(request(thread, message(1, "ping")))
        [check] = await bench.backend.check([TUTOR.model])
    assert made.value.sentence == asked.value.sentence == check.problem == sentence
    assert not made.value.retry


# When a response is let go


async def test_closing_a_run_in_the_foreground_ends_it_on_the_server() -> None:
    async with responses(brain=ScriptedBrain(lambda _: "one two", gate=asyncio.Event())) as bench:
        events: Any = bench.backend.run(request(await bench.thread(), message(1, "count")))
        while not isinstance(await anext(events), TextDelta):
            pass
        await events.aclose()
        await bench.server.wait_for(lambda server: all(r.status == "cancelled" for r in server.responses.values()), 2)


async def test_a_cancel_in_the_foreground_asks_nothing_that_the_server_would_refuse() -> None:
    """Only a response in the background can be cancelled: https://platform.openai.com/docs/api-reference/responses."""
    async with responses(brain=ScriptedBrain(lambda _: "one two", gate=asyncio.Event())) as bench:
        first = request(await bench.thread(), message(1, "count"))
        events: Any = bench.backend.run(first)
        seen = [await anext(events)]
        while not isinstance(seen[-1], TextDelta):
            seen.append(await anext(events))
        await events.aclose()
        await bench.backend.cancel(replace(first, backend_run=started(seen)), "one")
        assert not bench.calls("POST", r"/responses/\w+/cancel")
        items = bench.server.items(first.backend_thread)
    # What was asked and shown is remembered all the same: the next question may be about it.
    assert [(item["role"], item["content"][0]["text"]) for item in items] == [("user", "count"), ("assistant", "one")]


async def test_a_cancel_keeps_what_was_asked_once() -> None:
    async with responses(brain=ScriptedBrain(lambda _: "one two")) as bench:
        first = request(await bench.thread(), message(1, "count"))
        seen = await bench.run(first)
        for _ in range(2):
            await bench.backend.cancel(replace(first, backend_run=started(seen)), "one")
        assert len(bench.server.items(first.backend_thread)) == 2


# Half-open sockets


@pytest.mark.parametrize("kind", [AssistantsBackend, ResponsesBackend])
async def test_a_stream_that_falls_silent_without_closing_is_left_and_looked_up(kind: Any) -> None:
    """In the background a response goes on without its listener, as a run does."""
    gate = asyncio.Event()
    options: dict[str, Any] = {"background": True} if kind is ResponsesBackend else {}
    async with connected(kind, brain=ScriptedBrain(lambda _: "one two three", gate=gate), **options) as bench:
        wire = Wire(port_of(bench.server.url))
        async with wire.open() as port:
            client = openai.AsyncOpenAI(api_key="sk-local", base_url=through(port, bench.server.url), max_retries=0)
            backend = kind(client, patience=PATIENCE, poll=0.001, silence=0.5, **options)
            events: Any = backend.run(request(await bench.thread(), message(1, "count")))
            seen = [await anext(events)]
            while not isinstance(seen[-1], TextDelta):
                seen.append(await anext(events))
            wire.fall_silent()
            gate.set()
            seen += [event async for event in events]
            await backend.close()
    assert text_of(seen) == "one two three"
    assert ended(seen).status is RunStatus.COMPLETED

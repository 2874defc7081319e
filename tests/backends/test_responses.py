"""Responses and Conversations: the contract, and what is their own."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import pytest

from bot.backends.responses.backend import ResponsesBackend
from bot.engine.ports import RunEvent, RunStarted, RunStatus, TextDelta
from bot.errors import BackendUnsupported, ContextOverflow, RunBroken, ThreadGone
from bot.playground.openai import ScriptedBrain
from tests.backends.bench import KEY, TUTOR, Bench, connected, ended, message, request, started, text_of
from tests.backends.contract import ServerThreadContract

OVERFLOW: dict[str, Any] = {
    "code": "context_length_exceeded",
    "message": "Your input exceeds the context window of this model.",
}


def responses(**options: Any) -> AbstractAsyncContextManager[Bench[ResponsesBackend]]:
    return connected(ResponsesBackend, **options)


def said(bench: Bench[Any], conversation: str) -> list[tuple[str, str]]:
    items = [each for each in bench.server.items(conversation) if each["type"] == "message"]
    return [(each["role"], "".join(part["text"] for part in each["content"])) for each in items]


class TestResponses(ServerThreadContract):
    run_path = making = "/responses"

    def connected(self, **options: Any) -> AbstractAsyncContextManager[Bench[Any]]:
        return responses(**options)

    async def said(self, bench: Bench[Any], thread: str) -> list[tuple[str, str]]:
        return said(bench, thread)

    def runs_made(self, bench: Bench[Any]) -> int:
        return len(bench.server.responses)

    def unknown_thread(self) -> str:
        return "conv_gone"


class TestResponsesInTheBackground(TestResponses):
    """The same, with responses that the server goes on with."""

    def connected(self, **options: Any) -> AbstractAsyncContextManager[Bench[Any]]:
        return responses(background=True, **options)


# What is sent


async def test_what_goes_with_a_response() -> None:
    async with responses() as bench:
        conversation = await bench.thread()
        await bench.run(request(conversation, message(1, "one"), message(2, "two")))
        [call] = bench.calls("POST", "/responses")
        assert bench.server.conversations[conversation].metadata == {
            "slack_team": KEY.team,
            "slack_channel": KEY.channel,
            "slack_ts": KEY.ts,
        }
    assert call.body == {
        "conversation": conversation,
        "input": [
            {"type": "message", "role": "user", "content": "one"},
            {"type": "message", "role": "user", "content": "two"},
        ],
        "instructions": "You teach mathematics.\n\nThe person asking is Ada.",
        "metadata": {"bobbin_run": "run-1"},
        "model": TUTOR.model,
        "safety_identifier": "a1b2c3",
        "store": True,
        "stream": True,
        "tools": [{"type": "code_interpreter", "container": {"type": "auto"}}],
        "truncation": "auto",
    }


async def test_a_long_conversation_is_cut_by_the_server_not_refused() -> None:
    async with responses(context_characters=200) as bench:
        conversation = await bench.thread(*(message(number, "x" * 50) for number in range(10)))
        assert text_of(await bench.run(request(conversation, message(11, "ping")))) == "pong and more"


async def test_a_history_whose_filling_was_interrupted_has_nothing_twice() -> None:
    history = [message(number, f"line {number}") for number in range(50)]
    async with responses() as bench:
        path = "/conversations/{c}/items"
        bench.server.faults.add(method="POST", path=path, when="after", cut=True)
        bench.server.faults.add(method="POST", path=path, when="before", status=500)
        conversation = await bench.thread(*history)
        assert [text for _, text in said(bench, conversation)] == [each.text for each in history]


# Context overflow


async def test_overflow_as_a_refusal() -> None:
    async with responses(context_characters=100) as bench:
        await bench.broken(request(await bench.thread(), message(1, "x" * 200)), ContextOverflow)


async def test_overflow_as_a_failed_response() -> None:
    async with responses(brain=ScriptedBrain(lambda _: "")) as bench:
        bench.server.faults.add(method="POST", path="/responses", run_status="failed", last_error=OVERFLOW)
        seen = await bench.broken(request(await bench.thread(), message(1, "ping")), ContextOverflow)
    assert not any(isinstance(event, TextDelta) for event in seen)


@pytest.mark.parametrize("form", ["flat", "nested"])
async def test_overflow_as_an_error_event(form: str) -> None:
    async with responses(brain=ScriptedBrain(lambda _: "")) as bench:
        bench.server.faults.add(method="POST", path="/responses", error_event=form, run_status="failed", **OVERFLOW)
        bench.server.faults.add(method="GET", path="/responses/{r}", status=404)
        await bench.broken(request(await bench.thread(), message(1, "ping")), ContextOverflow)


async def test_overflow_after_the_first_words_keeps_them() -> None:
    async with responses() as bench:
        bench.server.faults.add(method="POST", path="/responses", run_status="failed", last_error=OVERFLOW)
        events = await bench.ask("ping")
    assert ended(events).status is RunStatus.FAILED
    assert "too long for the model" in (ended(events).reason or "")
    assert text_of(events) == "pong and more"


async def test_overflow_as_an_error_event_after_the_first_words_does_not_begin_anew() -> None:
    async with responses() as bench:
        bench.server.faults.add(method="POST", path="/responses", error_event="flat", run_status="failed", **OVERFLOW)
        bench.server.faults.add(method="GET", path="/responses/{r}", status=404)
        seen = await bench.broken(request(await bench.thread(), message(1, "ping")), RunBroken)
    assert text_of(seen) == "pong and more"


# Streams that break


@pytest.mark.parametrize("events", [0, 1, 3, 5, 7])
async def test_a_cut_that_the_response_survives_loses_nothing(events: int) -> None:
    async with responses(foreground_survives_disconnect=True) as bench:
        bench.server.faults.add(method="POST", path="/responses", cut_after_events=events)
        seen = await bench.ask("ping")
        assert len(bench.server.responses) == 1
    assert (text_of(seen), ended(seen).status) == ("pong and more", RunStatus.COMPLETED)


async def test_a_cut_that_ends_the_response_keeps_what_was_shown() -> None:
    gate = asyncio.Event()
    async with responses(brain=ScriptedBrain(lambda _: "one two", gate=gate), silence=0.05) as bench:
        wanted = request(await bench.thread(), message(1, "count"))
        seen = await bench.broken(wanted, RunBroken)
        assert [each.status for each in bench.server.responses.values()] == ["cancelled"]
    assert text_of(seen) == "one"


async def test_a_server_that_forgets_responses_still_has_the_conversation() -> None:
    async with responses() as bench:
        bench.server.faults.add(method="POST", path="/responses", no_terminal=True)
        bench.server.faults.add(method="GET", path="/responses/{r}", status=404)
        events = await bench.ask("ping")
    assert (text_of(events), ended(events).status) == ("pong and more", RunStatus.COMPLETED)


async def test_a_response_cancelled_on_the_server_is_said_to_be() -> None:
    async with responses() as bench:
        bench.server.faults.add(method="POST", path="/responses", run_status="cancelled")
        events = await bench.ask("ping")
    assert ended(events).status is RunStatus.CANCELLED
    assert text_of(events) == "pong and more"


# Taken up again


async def test_a_run_is_marked_before_it_is_asked_for() -> None:
    """Should the process die before the response's id is known, the mark finds the answer."""
    async with responses() as bench:
        first = request(await bench.thread(message(1, "hello")), message(2, "ping"))
        events: Any = bench.backend.run(first)
        mark = await anext(events)
        assert not bench.calls("POST", "/responses")
        await events.aclose()
        await bench.run(first)
        again = await bench.run(replace(first, attempt=2, backend_run=mark.backend_run))
        assert len(bench.server.responses) == 1
    assert text_of(again) == "pong and more"


async def test_a_mark_without_an_answer_after_it_begins_the_run() -> None:
    async with responses() as bench:
        first = request(await bench.thread(), message(1, "ping"))
        await bench.run(first)
        events: Any = bench.backend.run(request(first.backend_thread, message(2, "ping"), run="run-2"))
        mark = await anext(events)
        await events.aclose()
        wanted = request(first.backend_thread, message(2, "ping"), run="run-2", attempt=2)
        assert text_of(await bench.run(replace(wanted, backend_run=mark.backend_run))) == "pong and more"
        assert len(bench.server.responses) == 2


async def test_a_response_that_ended_with_our_process_is_made_again() -> None:
    gate = asyncio.Event()
    async with responses(brain=ScriptedBrain(lambda _: "one two", gate=gate)) as bench:
        first = request(await bench.thread(), message(1, "count"))
        events: Any = bench.backend.run(first)
        seen: list[RunEvent] = []
        while not seen or not isinstance(seen[-1], TextDelta):
            seen.append(await anext(events))
        await events.aclose()
        await bench.server.wait_for(lambda server: all(r.status == "cancelled" for r in server.responses.values()))
        gate.set()
        again = await bench.run(replace(first, attempt=2, backend_run=started(seen)))
        assert said(bench, first.backend_thread) == [("user", "count"), ("assistant", "one two")]
    assert text_of(again) == "one two"


async def test_a_response_that_failed_is_not_made_again() -> None:
    async with responses() as bench:
        first = request(await bench.thread(), message(1, "ping"))
        bench.server.faults.add(method="POST", path="/responses", run_status="failed")
        backend_run = started(await bench.run(first))
        events = await bench.run(replace(first, attempt=2, backend_run=backend_run))
        assert len(bench.server.responses) == 1
    assert ended(events).status is RunStatus.FAILED


# In the background


@pytest.mark.parametrize("events", [2, 5, 7, 9])
async def test_a_background_stream_goes_on_where_it_was_cut(events: int) -> None:
    async with responses(background=True) as bench:
        bench.server.faults.add(method="POST", path="/responses", cut_after_events=events)
        seen = await bench.ask("ping")
        [resumed] = bench.calls("GET", r"/responses/\w+")
        [call] = bench.calls("POST", "/responses")
    assert call.body["background"] is True
    assert resumed.query == {"stream": "true", "starting_after": str(events - 1)}
    assert [event.text for event in seen if isinstance(event, TextDelta)] == ["pong", " and", " more"]
    assert ended(seen).status is RunStatus.COMPLETED


async def test_deltas_in_the_background_have_their_place() -> None:
    async with responses(background=True) as bench:
        cursors = [event.cursor for event in await bench.ask("ping") if isinstance(event, TextDelta)]
    assert cursors == sorted(cursor for cursor in cursors if cursor is not None)
    assert len(cursors) == 3


async def test_a_background_response_too_old_to_stream_is_looked_at() -> None:
    now = 1_000_000.0
    gate = asyncio.Event()
    brain = ScriptedBrain(lambda _: "one two", gate=gate)
    async with responses(background=True, brain=brain, clock=lambda: now, silence=0.05) as bench:
        running = asyncio.create_task(bench.ask("count"))
        await bench.server.wait_for(lambda server: server.responses)
        now += 301
        await bench.server.wait_for(lambda _: len(bench.calls("GET", r"/responses/\w+")) > 2)
        gate.set()
        events = await running
        assert len(bench.server.responses) == 1
    assert (text_of(events), ended(events).status) == ("one two", RunStatus.COMPLETED)


async def test_a_background_response_is_taken_up_live() -> None:
    gate = asyncio.Event()
    async with responses(background=True, brain=ScriptedBrain(lambda _: "one two", gate=gate)) as bench:
        first = request(await bench.thread(), message(1, "count"))
        events: Any = bench.backend.run(first)
        seen: list[RunEvent] = []
        while not seen or not isinstance(seen[-1], TextDelta):
            seen.append(await anext(events))
        await events.aclose()
        again: Any = bench.backend.run(replace(first, attempt=2, backend_run=started(seen), cursor=5))
        assert isinstance(await anext(again), RunStarted)
        assert (await anext(again)).text == "one"
        gate.set()
        assert text_of([TextDelta("one"), *[event async for event in again]]) == "one two"
        assert len(bench.server.responses) == 1


async def test_a_background_response_can_be_cancelled() -> None:
    async with responses(background=True, brain=ScriptedBrain(lambda _: "one two", gate=asyncio.Event())) as bench:
        first = request(await bench.thread(), message(1, "count"))
        running = asyncio.create_task(bench.run(first))
        await bench.server.wait_for(lambda server: server.responses)
        [response] = bench.server.responses
        await bench.backend.cancel(replace(first, backend_run=response))
        assert ended(await running).status is RunStatus.CANCELLED


# What a 404 means


async def test_a_conversation_that_is_gone_is_told_from_a_protocol_that_is() -> None:
    async with responses() as bench:
        with pytest.raises(ThreadGone):
            await bench.run(request("conv_gone", message(1, "ping")))
        bench.server.faults.add(method="POST", path="/conversations", status=404, message="Invalid URL", times=2)
        with pytest.raises(BackendUnsupported) as caught:
            await bench.thread()
        [check] = await bench.backend.check([TUTOR.model])
    assert "set BOBBIN_BACKEND" in caught.value.sentence
    assert check.problem == caught.value.sentence


async def test_a_server_without_responses() -> None:
    async with responses() as bench:
        bench.server.faults.add(
            method="POST", path="/responses", status=404, message="Invalid URL (POST /v1/responses)"
        )
        with pytest.raises(BackendUnsupported):
            await bench.ask("ping")


async def test_the_check_leaves_no_conversation_behind() -> None:
    async with responses() as bench:
        await bench.backend.check([TUTOR.model])
        assert not bench.server.conversations

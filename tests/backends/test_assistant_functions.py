"""Functions of Bobbin's own, called by runs of an Assistants server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import pytest

from bot.backends.assistants.backend import AssistantsBackend
from bot.engine.ports import CallsWanted, RunEvent, RunRequest, RunStarted, RunStatus, TextDone, ToolOutput, ToolSpec
from bot.errors import BackendError, BackendUnreachable, RunBroken
from bot.playground.openai import FunctionCall, Piece, Question, ScriptedBrain
from tests.backends.bench import NO_PATIENCE, Bench, connected, ended, message, request, started, text_of

RUNS = "/threads/{t}/runs"
RUN = "/threads/{t}/runs/{r}"
SUBMIT = "/threads/{t}/runs/{r}/submit_tool_outputs"
WEATHER = ToolSpec("get_weather", "The weather of a town.", {"type": "object", "properties": {}})
TIME = ToolSpec("get_time", "", {"type": "object", "properties": {}})
CALL = FunctionCall("get_weather", '{"town": "Graz"}')


def assistants(**options: Any) -> AbstractAsyncContextManager[Bench[AssistantsBackend]]:
    options.setdefault("brain", ScriptedBrain(_forecaster))
    return connected(AssistantsBackend, **options)


def _forecaster(question: Question) -> Any:
    """Looks up the weather, then says what it was told."""
    role, said = question.messages[-1]
    return _look_up() if role == "user" else f"It is {said}."


async def _look_up() -> AsyncIterator[Piece]:
    yield "I look it up."
    yield CALL


def several(*calls: FunctionCall) -> Callable[[Question], Any]:
    """Calls them all at once, then says all that it was told."""

    async def ask() -> AsyncIterator[Piece]:
        for call in calls:
            yield call

    def answer(question: Question) -> Any:
        told = [text for role, text in question.messages if role == "tool"]
        return " | ".join(told) if told else ask()

    return answer


def wanted(events: list[RunEvent]) -> CallsWanted:
    """The calls that a run waits for, which is the last thing said."""
    last = events[-1]
    assert isinstance(last, CallsWanted), events
    return last


def answered(before: RunRequest, events: list[RunEvent], *texts: str, **changes: Any) -> RunRequest:
    """The request that goes on with what the calls came to."""
    outputs = [ToolOutput(call.id, text) for call, text in zip(wanted(events).calls, texts, strict=True)]
    fields = {"outputs": tuple(outputs), "backend_run": before.backend_run or started(events), **changes}
    return replace(before, **fields)


async def asked(bench: Bench[AssistantsBackend]) -> tuple[RunRequest, list[RunEvent]]:
    first = request(await bench.thread(), message(1, "weather?"), functions=(WEATHER, TIME))
    return first, await bench.run(first)


@pytest.mark.parametrize("streaming", [True, False, "refuse"])
async def test_a_run_goes_on_with_what_its_functions_came_to(streaming: Any) -> None:
    async with assistants(streaming=streaming) as bench:
        first, events = await asked(bench)
        [call] = wanted(events).calls
        assert (call.name, call.arguments, call.server) == ("get_weather", '{"town": "Graz"}', None)
        assert wanted(events).usage == {}
        assert text_of(events) == "I look it up."
        rest = await bench.run(answered(first, events, "sunny"))
        [run] = bench.server.runs.values()
    assert text_of(rest) == "It is sunny."
    assert ended(rest).status is RunStatus.COMPLETED
    assert set(ended(rest).usage) == {"input_tokens", "output_tokens"}
    assert [each.text for each in bench.server.messages(first.backend_thread)][1:] == ["I look it up.", "It is sunny."]
    assert len(bench.calls("POST", r"/threads/\w+/runs/\w+/submit_tool_outputs")) == 1
    assert run.status == "completed"


async def test_functions_are_offered_to_the_run_and_the_assistant_stays_as_it_is() -> None:
    async with assistants() as bench:
        await asked(bench)
        [run] = bench.server.runs.values()
        [assistant] = bench.server.assistants.values()
    assert run.tools[0] == {"type": "code_interpreter"}
    assert run.tools[1]["function"] == {
        "name": "get_weather",
        "description": "The weather of a town.",
        "parameters": {"type": "object", "properties": {}},
    }
    assert "description" not in run.tools[2]["function"]
    assert assistant.tools == [{"type": "code_interpreter"}]


async def test_calls_that_are_wanted_together_are_answered_together() -> None:
    brain = ScriptedBrain(several(CALL, FunctionCall("get_time", "{}")))
    async with assistants(brain=brain) as bench:
        first, events = await asked(bench)
        assert [call.name for call in wanted(events).calls] == ["get_weather", "get_time"]
        rest = await bench.run(answered(first, events, "sunny", "noon"))
    assert text_of(rest) == "sunny | noon"


async def test_a_run_may_wait_several_times() -> None:
    def answer(question: Question) -> Any:
        told = [text for role, text in question.messages if role == "tool"]
        return CALL if len(told) < 3 else " ".join(told)

    async with assistants(brain=ScriptedBrain(answer)) as bench:
        asking, events = await asked(bench)
        for weather in ("sun", "rain", "snow"):
            asking = answered(asking, events, weather)
            events = await bench.run(asking)
    assert text_of(events) == "sun rain snow"
    assert ended(events).status is RunStatus.COMPLETED


async def test_the_model_is_told_that_a_call_failed() -> None:
    async with assistants() as bench:
        first, events = await asked(bench)
        [call] = wanted(events).calls
        failed = (ToolOutput(call.id, "no such town", failed=True),)
        rest = await bench.run(replace(first, outputs=failed, backend_run=started(events)))
    assert text_of(rest) == "It is Error: no such town."


async def test_an_unknown_function_is_answered_with_the_others_and_not_handed_out() -> None:
    brain = ScriptedBrain(several(FunctionCall("get_rich", "{}"), CALL))
    async with assistants(brain=brain) as bench:
        first, events = await asked(bench)
        assert [call.name for call in wanted(events).calls] == ["get_weather"]
        rest = await bench.run(answered(first, events, "sunny"))
    assert text_of(rest) == "Error: there is no such tool as get_rich. Nothing was done. | sunny"


async def test_text_before_and_after_an_unknown_function_is_one_text() -> None:
    async with assistants() as bench:
        events = await bench.ask("weather?")
        assert len(bench.server.runs) == 1
    assert text_of(events) == "I look it up.\n\nIt is Error: there is no such tool as get_weather. Nothing was done.."
    assert ended(events).status is RunStatus.COMPLETED


# After a crash


async def test_a_run_that_is_taken_up_while_it_waits_wants_its_calls_again() -> None:
    async with assistants() as bench:
        first, events = await asked(bench)
        again = await bench.run(replace(first, attempt=2, backend_run=started(events)))
        found = await bench.run(replace(first, attempt=2))
        assert len(bench.server.runs) == 1
    assert wanted(events).calls == wanted(again).calls == wanted(found).calls
    assert text_of(again) == text_of(found) == "I look it up."


async def test_outputs_that_were_taken_before_the_crash_are_not_handed_in_twice() -> None:
    async with assistants() as bench:
        first, events = await asked(bench)
        going_on = answered(first, events, "sunny")
        rest = await bench.run(going_on)
        again = await bench.run(replace(going_on, attempt=2))
        assert len(bench.calls("POST", r"/threads/\w+/runs/\w+/submit_tool_outputs")) == 1
    assert text_of(rest) == text_of(again) == "It is sunny."
    assert ended(again).status is RunStatus.COMPLETED


async def test_outputs_that_were_kept_before_the_crash_are_handed_in_after_it() -> None:
    async with assistants() as bench:
        first, events = await asked(bench)
        rest = await bench.run(answered(first, events, "sunny", attempt=2))
    assert text_of(rest) == "It is sunny."


async def test_a_run_that_waits_for_the_next_calls_by_now_wants_those() -> None:
    def answer(question: Question) -> Any:
        told = [text for role, text in question.messages if role == "tool"]
        return [CALL, FunctionCall("get_time", "{}"), "done"][len(told)]

    async with assistants(brain=ScriptedBrain(answer)) as bench:
        first, events = await asked(bench)
        going_on = answered(first, events, "sunny")
        second = await bench.run(going_on)
        again = await bench.run(replace(going_on, attempt=2))
    assert [call.name for call in wanted(again).calls] == ["get_time"]
    assert wanted(again) == wanted(second)


@pytest.mark.parametrize("fault", [{"status": 500}, {"cut": True}])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_outputs_whose_answer_got_lost_are_taken_once(fault: dict[str, Any], when: str) -> None:
    async with assistants() as bench:
        first, events = await asked(bench)
        bench.server.faults.add(method="POST", path=SUBMIT, when=when, **fault)
        rest = await bench.run(answered(first, events, "sunny"))
        handed_in = bench.calls("POST", r"/threads/\w+/runs/\w+/submit_tool_outputs")
    assert text_of(rest) == "It is sunny."
    assert len(handed_in) == (2 if when == "before" else 1)


@pytest.mark.parametrize("events_sent", [0, 2, 5, 8])
async def test_a_stream_that_breaks_after_the_functions_loses_nothing_and_repeats_nothing(events_sent: int) -> None:
    async with assistants() as bench:
        first, events = await asked(bench)
        bench.server.faults.add(method="POST", path=SUBMIT, cut_after_events=events_sent)
        rest = await bench.run(answered(first, events, "sunny"))
    assert text_of(rest) == "It is sunny."
    assert ended(rest).status is RunStatus.COMPLETED


async def test_a_server_that_is_away_when_outputs_are_handed_in() -> None:
    async with assistants(patience=NO_PATIENCE) as bench:
        first, events = await asked(bench)
        bench.server.faults.add(method="POST", path=SUBMIT, status=500)
        going_on = answered(first, events, "sunny")
        await bench.broken(going_on, BackendUnreachable)
        assert text_of(await bench.run(replace(going_on, attempt=2))) == "It is sunny."


async def test_a_server_that_refuses_the_outputs_says_so_to_an_admin() -> None:
    async with assistants() as bench:
        first, events = await asked(bench)
        bench.server.faults.add(method="POST", path=SUBMIT, status=400, message="Invalid 'tool_outputs'.")
        await bench.broken(answered(first, events, "sunny"), BackendError)


async def test_a_run_whose_functions_took_too_long_says_so_and_frees_its_thread() -> None:
    clock = _Clock()
    async with assistants(clock=clock) as bench:
        first, events = await asked(bench)
        clock.now += 601
        rest = await bench.run(answered(first, events, "sunny"))
        assert not bench.calls("POST", r"/threads/\w+/runs/\w+/submit_tool_outputs")
        next_one = request(first.backend_thread, message(2, "and now?"), run="run-2", functions=(WEATHER,))
        assert wanted(await bench.run(next_one)).calls
    assert ended(rest).status is RunStatus.EXPIRED
    assert "tools" in (ended(rest).reason or "")


async def test_a_run_that_was_cancelled_while_its_functions_were_called_is_over() -> None:
    async with assistants() as bench:
        first, events = await asked(bench)
        await bench.backend.cancel(replace(first, backend_run=started(events)))
        rest = await bench.run(answered(first, events, "sunny"))
        assert ended(rest).status is RunStatus.CANCELLED
        next_one = request(first.backend_thread, message(2, "and now?"), run="run-2", functions=(WEATHER,))
        assert wanted(await bench.run(next_one)).calls


async def test_a_run_that_is_gone_from_the_server_is_not_begun_anew_with_outputs() -> None:
    async with assistants() as bench:
        outputs = (ToolOutput("call_1", "sunny"),)
        lost = request(await bench.thread(), message(1, "weather?"), attempt=2, outputs=outputs)
        await bench.broken(lost, RunBroken)
        assert not bench.server.runs


async def test_closing_the_run_lets_go_of_the_stream_after_the_functions() -> None:
    gate = asyncio.Event()

    def answer(question: Question) -> Any:
        return CALL if question.messages[-1][0] == "user" else _slowly(gate)

    async with assistants(brain=ScriptedBrain(answer)) as bench:
        first, seen = await asked(bench)
        events = bench.backend.run(answered(first, seen, "sunny"))
        assert not isinstance(await anext(events), RunStarted | TextDone)
        await events.aclose()
        gate.set()
        await bench.server.wait_for(lambda server: all(run.status == "completed" for run in server.runs.values()))


async def _slowly(gate: asyncio.Event) -> AsyncIterator[Piece]:
    yield "one"
    await gate.wait()
    yield " two"


class _Clock:
    """Seconds since the epoch, as the test wants them."""

    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

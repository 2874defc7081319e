"""The Assistants protocol: the contract, and what is its own."""

import asyncio
import re
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import pytest

from bot.backends.assistants.backend import AssistantsBackend
from bot.backends.retries import Patience
from bot.engine.ports import RunStatus, TextDelta
from bot.errors import BackendError, BackendUnsupported, RunBroken, ThreadGone, ThreadLocked
from bot.playground.openai import FunctionCall, LocalOpenAI, ScriptedBrain
from tests.backends.bench import KEY, NO_PATIENCE, TUTOR, Bench, connected, ended, message, request, started, text_of
from tests.backends.contract import ServerThreadContract

RUNS = "/threads/{t}/runs"
MESSAGES = "/threads/{t}/messages"
GONE = "this server no longer offers the Assistants API; set BOBBIN_BACKEND=responses"


def assistants(**options: Any) -> AbstractAsyncContextManager[Bench[AssistantsBackend]]:
    return connected(AssistantsBackend, **options)


class TestAssistants(ServerThreadContract):
    run_path = RUNS
    making = r"/threads/\w+/runs"

    def connected(self, **options: Any) -> AbstractAsyncContextManager[Bench[Any]]:
        return assistants(**options)

    async def said(self, bench: Bench[Any], thread: str) -> list[tuple[str, str]]:
        return [(each.role, each.text) for each in bench.server.messages(thread)]

    def runs_made(self, bench: Bench[Any]) -> int:
        return len(bench.server.runs)

    def unknown_thread(self) -> str:
        return "thread_gone"


# The assistants on the server


async def test_parallel_first_runs_make_one_assistant() -> None:
    async with assistants() as bench:
        await asyncio.gather(*(bench.ask("ping", run=f"run-{number}") for number in range(5)))
        [made] = bench.server.assistants.values()
    assert (made.name, made.instructions, made.model) == (TUTOR.name, TUTOR.instructions, TUTOR.model)
    assert made.tools == [{"type": "code_interpreter"}]


async def test_another_process_uses_the_assistant_that_is_there() -> None:
    async with assistants() as bench:
        await bench.ask("ping")
        await Bench(bench.server, AssistantsBackend(bench.client), bench.client).ask("ping", run="run-2")
        assert len(bench.server.assistants) == 1
        assert len(bench.calls("POST", r"/assistants.*")) == 1


async def test_an_assistant_is_found_among_very_many() -> None:
    async with assistants() as bench:
        for number in range(101):
            await bench.client.beta.assistants.create(model=TUTOR.model, name=f"other {number}")
        await bench.ask("ping")
        again = Bench(bench.server, AssistantsBackend(bench.client), bench.client)
        await again.ask("ping", run="run-2")
        assert len(bench.server.assistants) == 102


async def test_an_assistant_whose_file_changed_is_updated_and_back() -> None:
    changed = replace(TUTOR, instructions="You teach chess.", tools=(), temperature=0.3, reasoning_effort="low")
    async with assistants() as bench:
        await bench.ask("ping")
        await bench.ask("ping", assistant=changed, run="run-2")
        [made] = bench.server.assistants.values()
        assert (made.instructions, made.tools, made.temperature) == ("You teach chess.", [], 0.3)
        assert made.reasoning_effort == "low"
        await bench.ask("ping", run="run-3")
        [made] = bench.server.assistants.values()
    assert (made.instructions, made.tools) == (TUTOR.instructions, [{"type": "code_interpreter"}])
    assert made.temperature != 0.3
    assert made.reasoning_effort is None


async def test_an_assistant_that_was_deleted_is_made_again_once() -> None:
    async with assistants() as bench:
        await bench.ask("ping")
        [gone] = bench.server.assistants
        await bench.client.beta.assistants.delete(gone)
        runs = (bench.ask("ping", run=f"run-{number}") for number in range(2, 5))
        answers = await asyncio.gather(*runs)
        assert len(bench.server.assistants) == 1
    assert [text_of(events) for events in answers] == ["pong and more"] * 3


@pytest.mark.parametrize("fault", [{"status": 500}, {"cut": True}])
async def test_an_assistant_whose_making_got_no_answer_is_not_made_twice(fault: dict[str, Any]) -> None:
    async with assistants() as bench:
        bench.server.faults.add(method="POST", path="/assistants", when="after", **fault)
        assert text_of(await bench.ask("ping")) == "pong and more"
        assert len(bench.server.assistants) == 1


# Threads and messages


async def test_metadata_says_where_things_come_from() -> None:
    async with assistants() as bench:
        thread = await bench.thread(message(1, "hello"))
        await bench.run(request(thread, message(2, "ping")))
        metadata = [each.metadata for each in bench.server.messages(thread)]
        [run] = bench.server.runs.values()
        place = bench.server.threads[thread].metadata
    assert place == {"slack_team": KEY.team, "slack_channel": KEY.channel, "slack_ts": KEY.ts}
    assert metadata[:2] == [{"slack_ts": message(1, "").id}, {"slack_ts": message(2, "").id}]
    assert run.metadata == {"bobbin_run": "run-1"}


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 408}, {"cut": True}])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_message_whose_outcome_is_unknown_arrives_once(fault: dict[str, Any], when: str) -> None:
    async with assistants() as bench:
        thread = await bench.thread()
        bench.server.faults.add(method="POST", path=MESSAGES, when=when, **fault)
        await bench.run(request(thread, message(1, "one"), message(2, "two")))
        assert [each.text for each in bench.server.messages(thread)] == ["one", "two", "pong and more"]


async def test_a_message_that_got_no_answer_in_time_arrives_once() -> None:
    async with assistants(timeout=0.2) as bench:
        thread = await bench.thread()
        bench.server.faults.add(method="POST", path=MESSAGES, when="after", hang=True)
        await bench.run(request(thread, message(1, "one")))
        assert [each.text for each in bench.server.messages(thread)] == ["one", "pong and more"]


async def test_a_history_whose_filling_was_interrupted_has_nothing_twice() -> None:
    history = [message(number, f"line {number}") for number in range(40)]
    async with assistants() as bench:
        bench.server.faults.add(method="POST", path=MESSAGES, when="after", cut=True, times=3)
        thread = await bench.thread(*history)
        assert [each.text for each in bench.server.messages(thread)] == [each.text for each in history]


async def test_a_second_attempt_forwards_only_what_is_missing() -> None:
    wanted = [message(number, f"post {number}") for number in range(1, 4)]
    async with assistants() as bench:
        thread = await bench.thread()
        bench.server.faults.add(method="POST", path=RUNS, status=429, code="insufficient_quota")
        with pytest.raises(BackendError):
            await bench.run(request(thread, *wanted[:2]))
        await bench.run(request(thread, *wanted, attempt=2))
        texts = [each.text for each in bench.server.messages(thread)]
    assert texts == ["post 1", "post 2", "post 3", "pong and more"]


async def test_more_messages_than_a_page_are_not_forwarded_twice() -> None:
    wanted = [message(number, f"post {number}") for number in range(150)]
    async with assistants() as bench:
        thread = await bench.thread(*wanted)
        await bench.run(request(thread, *wanted, attempt=2))
        assert len(bench.server.messages(thread)) == 151


# Runs


@pytest.mark.parametrize("events", [0, 1, 4, 7, 9, 11])
async def test_a_stream_that_is_cut_anywhere_loses_nothing(events: int) -> None:
    async with assistants() as bench:
        bench.server.faults.add(method="POST", path=RUNS, cut_after_events=events)
        seen = await bench.ask("ping")
        assert len(bench.server.runs) == 1
    assert (text_of(seen), ended(seen).status) == ("pong and more", RunStatus.COMPLETED)


async def test_a_server_may_say_when_to_look_again() -> None:
    gate = asyncio.Event()
    brain = ScriptedBrain(lambda _: "one two", gate=gate)
    async with assistants(streaming=False, brain=brain, poll=3600, poll_after_ms=1) as bench:
        running = asyncio.create_task(bench.ask("count"))
        await bench.server.wait_for(lambda _: len(bench.calls("GET", r"/threads/\w+/runs/\w+")) > 2)
        gate.set()
        assert text_of(await running) == "one two"


async def test_a_run_that_expired() -> None:
    async with assistants() as bench:
        bench.server.faults.add(method="POST", path=RUNS, run_status="expired")
        events = await bench.ask("ping")
    assert ended(events).status is RunStatus.EXPIRED
    assert "too long" in (ended(events).reason or "")
    assert text_of(events) == "pong and more"


async def test_a_run_that_somebody_cancelled() -> None:
    async with assistants(brain=ScriptedBrain(lambda _: "one two", gate=asyncio.Event())) as bench:
        first = request(await bench.thread(), message(1, "count"))
        running = asyncio.create_task(bench.run(first))
        await bench.server.wait_for(lambda server: any(m.role == "assistant" for m in _messages(server)))
        await bench.backend.cancel(first)
        events = await running
        [run] = bench.server.runs.values()
    assert run.status == "cancelled"
    assert ended(events).status is RunStatus.CANCELLED
    assert text_of(events) == "one"


async def test_text_is_kept_where_the_thread_vanishes_in_the_middle() -> None:
    """A ThreadGone now would have the engine begin anew, after words that people have seen."""
    async with assistants() as bench:
        thread = await bench.thread()
        bench.server.faults.add(method="POST", path=RUNS, cut_after_events=9)
        bench.server.faults.add(method="GET", path="/threads/{t}/runs/{r}", status=404)
        bench.server.faults.add(method="GET", path="/threads/{t}", status=404)
        seen = await bench.broken(request(thread, message(1, "ping")), RunBroken)
    assert any(isinstance(event, TextDelta) for event in seen)


# Locks


async def test_a_run_that_turns_out_to_be_our_own_is_followed() -> None:
    """The first answer was lost, and the server says that a run is active: it is the one we started."""
    async with assistants() as bench:
        refusal = "Thread thread_1 already has an active run run_1."
        bench.server.faults.add(method="POST", path=RUNS, status=400, message=refusal, when="after")
        events = await bench.ask("ping")
        [run] = bench.server.runs
    assert started(events) == run
    assert text_of(events) == "pong and more"


async def test_a_run_that_began_between_the_message_and_the_run_is_waited_for() -> None:
    async with assistants() as bench:
        refusal = "Thread thread_1 already has an active run run_that_is_gone."
        bench.server.faults.add(method="POST", path=RUNS, status=400, message=refusal)
        assert text_of(await bench.ask("ping")) == "pong and more"


#: Ids that compatible servers give, and a server that gives none.
HOLDERS = ["run-abc-1", "0b5e4f52-6a0c-4f6f-9d5b-3c1b8b7f2a10", "", "'7.1'"]


@pytest.mark.parametrize("holder", HOLDERS)
async def test_a_lock_is_waited_for_whatever_ids_the_server_gives(holder: str) -> None:
    async with assistants() as bench:
        adding = f"Can't add messages to thread-1 while a run {holder} is active.".replace("  ", " ")
        starting = f"Thread thread-1 already has an active run {holder}.".replace(" .", ".")
        bench.server.faults.add(method="POST", path=MESSAGES, status=400, message=adding)
        bench.server.faults.add(method="POST", path=RUNS, status=400, message=starting)
        assert text_of(await bench.ask("ping")) == "pong and more"
        looked_at = {each.path.rpartition("/")[2] for each in bench.calls("GET", r"/threads/\w+/runs/[^/]+")}
    assert looked_at == ({holder.strip("'")} if holder else set())


async def test_a_lock_whose_holder_is_not_named_ends_in_a_sentence_too() -> None:
    async with assistants(lock_patience=NO_PATIENCE) as bench:
        refusal = "Can't add messages to thread_1 while a run is active."
        bench.server.faults.add(method="POST", path=MESSAGES, status=400, message=refusal, times=None)
        with pytest.raises(ThreadLocked) as caught:
            await bench.ask("ping")
    assert caught.value.backend_run is None


async def test_a_holder_that_the_server_does_not_take_for_a_run_is_waited_for() -> None:
    async with assistants() as bench:
        bench.server.faults.add(method="GET", path=f"{RUNS}/{{r}}", status=400, message="Invalid 'run_id'.")
        refusal = "Thread thread_1 already has an active run (see the log)."
        bench.server.faults.add(method="POST", path=RUNS, status=400, message=refusal)
        assert text_of(await bench.ask("ping")) == "pong and more"


async def test_the_run_that_holds_the_lock_is_named() -> None:
    async with assistants(lock_patience=Patience(total=0.5, first=0.001, longest=0.01)) as bench:
        thread = await bench.thread()
        holder = bench.server.lock(thread)
        with pytest.raises(ThreadLocked) as caught:
            await bench.run(request(thread, message(1, "ping")))
        assert bench.calls("GET", rf"/threads/{thread}/runs/{holder}")
    assert caught.value.backend_run == holder


async def test_a_run_left_waiting_for_a_tool_is_ended_so_that_the_thread_goes_on() -> None:
    answers: dict[str, Any] = {"weather": FunctionCall("get_weather", "{}"), "ping": "pong"}
    async with assistants(brain=ScriptedBrain(answers)) as bench:
        thread = await bench.thread(message(1, "weather?"))
        assistant = await bench.client.beta.assistants.create(model=TUTOR.model)
        left = await bench.client.beta.threads.runs.create(thread, assistant_id=assistant.id)
        await bench.server.wait_for(lambda server: server.runs[left.id].status == "requires_action")
        assert text_of(await bench.run(request(thread, message(2, "ping")))) == "pong"
        assert bench.server.runs[left.id].status == "cancelled"


# A server without the protocol


async def test_a_server_without_the_assistants_api_says_what_to_set() -> None:
    async with assistants(assistants_api=False) as bench:
        for attempt in (bench.thread(), bench.run(request("thread_1", message(1, "ping")))):
            with pytest.raises(BackendUnsupported) as caught:
                await attempt
            assert caught.value.sentence == GONE
        [check] = await bench.backend.check([TUTOR.model])
    assert check.problem == GONE


async def test_a_server_that_drops_the_protocol_while_we_run() -> None:
    async with assistants() as bench:
        thread = await bench.thread()
        await bench.run(request(thread, message(1, "ping")))
        every = re.compile(r"/(assistants|threads).*")
        for method in ("GET", "POST"):
            bench.server.faults.add(method=method, path=every, status=404, times=None)
        with pytest.raises(BackendUnsupported):
            await bench.run(request(thread, message(2, "ping"), run="run-2"))


async def test_a_thread_that_is_gone_is_told_from_an_assistant_that_is_gone() -> None:
    async with assistants(patience=NO_PATIENCE) as bench:
        await bench.ask("ping")
        with pytest.raises(ThreadGone):
            await bench.run(request("thread_gone", run="run-2"))
        assert len(bench.server.assistants) == 1


def _messages(server: LocalOpenAI) -> list[Any]:
    return [each for thread in server.threads for each in server.messages(thread)]

"""What every backend does, whatever API it speaks. A backend's tests inherit this class."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from bot.backends.retries import Patience
from bot.engine.ports import RunEvent, RunStarted, RunStatus, TextDelta, TextDone
from bot.errors import (
    BackendBusy,
    BackendError,
    BackendRefused,
    BackendUnreachable,
    PostTooLong,
    ThreadGone,
    ThreadLocked,
)
from bot.playground.openai import CodeInterpreterCall, LocalOpenAI, Question, ScriptedBrain
from tests.backends.bench import (
    NO_PATIENCE,
    TUTOR,
    Bench,
    ended,
    message,
    request,
    started,
    text_of,
)


class BackendContract(ABC):
    """Each test gets a backend at a local server of its own."""

    #: Where the server makes a run, for faults: the path below /v1.
    run_path: ClassVar[str]

    @abstractmethod
    def connected(self, **options: Any) -> AbstractAsyncContextManager[Bench[Any]]:
        """`options` are those of `bench.connected`."""

    @abstractmethod
    def said(self, bench: Bench[Any], thread: str) -> list[tuple[str, str]]:
        """(role, text) of what the server's thread holds, oldest first."""

    @abstractmethod
    def runs_made(self, bench: Bench[Any]) -> int:
        """How many runs the server has made, however they ended."""

    # An answer

    async def test_the_answer_comes_word_by_word_then_whole(self) -> None:
        async with self.connected() as bench:
            events = await bench.ask("ping")
        words = [event.text for event in events if isinstance(event, TextDelta)]
        assert words == ["pong", " and", " more"]
        assert [event.text for event in events if isinstance(event, TextDone)][-1] == "pong and more"
        assert ended(events).status is RunStatus.COMPLETED
        assert ended(events).reason is None
        assert set(ended(events).usage) >= {"input_tokens", "output_tokens"}
        assert ended(events).model == TUTOR.model

    async def test_the_id_of_the_run_is_known_before_its_text(self) -> None:
        async with self.connected() as bench:
            events = await bench.ask("ping")
        kinds = [type(event) for event in events]
        assert kinds.index(RunStarted) == 0
        assert RunStarted not in kinds[kinds.index(TextDelta) :]

    async def test_words_are_passed_on_while_the_model_still_thinks(self) -> None:
        gate = asyncio.Event()
        async with self.connected(brain=ScriptedBrain(lambda _: "one two", gate=gate)) as bench:
            events = bench.backend.run(request(await bench.thread(), message(1, "count")))
            async for event in events:
                if isinstance(event, TextDelta):
                    break
            assert event == replace(event, text="one")
            gate.set()
            assert text_of([event, *[rest async for rest in events]]) == "one two"

    async def test_several_messages_of_a_run_are_one_text(self) -> None:
        async with self.connected(brain=ScriptedBrain(_two_messages)) as bench:
            events = await bench.ask("ping")
        deltas = "".join(event.text for event in events if isinstance(event, TextDelta))
        assert text_of(events) == deltas == "I look it up.\n\nIt is 42."

    async def test_the_model_reads_every_message_and_what_was_said_before(self) -> None:
        heard: list[Question] = []
        async with self.connected(brain=ScriptedBrain(_listening(heard))) as bench:
            thread = await bench.thread(message(1, "hello"), message(2, "hi there", "assistant"))
            await bench.run(request(thread, message(3, "Ada: one"), message(4, "Bob: two")))
            await bench.run(request(thread, message(5, "three"), run="run-2"))
        assert heard[0].messages == (
            ("user", "hello"),
            ("assistant", "hi there"),
            ("user", "Ada: one"),
            ("user", "Bob: two"),
        )
        assert heard[1].messages[4:] == (("assistant", "I hear 4."), ("user", "three"))

    async def test_instructions_context_tools_and_model_reach_the_run(self) -> None:
        heard: list[Question] = []
        async with self.connected(brain=ScriptedBrain(_listening(heard))) as bench:
            await bench.ask("ping")
        assert heard[0].instructions == "You teach mathematics.\n\nThe person asking is Ada."
        assert heard[0].tools == ("code_interpreter",)
        assert heard[0].model == TUTOR.model

    async def test_another_assistant_goes_on_in_the_same_thread(self) -> None:
        heard: list[Question] = []
        poet = replace(TUTOR, key="poet", instructions="You rhyme.", tools=(), model="gpt-6-luna")
        async with self.connected(brain=ScriptedBrain(_listening(heard))) as bench:
            thread = await bench.thread()
            await bench.run(request(thread, message(1, "one")))
            await bench.run(request(thread, message(2, "two"), run="run-2", assistant=poet))
        assert heard[1].instructions.startswith("You rhyme.")
        assert heard[1].tools == ()
        assert heard[1].model == "gpt-6-luna"
        assert len(heard[1].messages) == 3

    @pytest.mark.parametrize("count", [0, 1, 20, 21, 32, 33, 61])
    async def test_a_long_history_arrives_whole_and_in_order(self, count: int) -> None:
        roles = ("user", "assistant")
        history = [message(number, f"line {number}", roles[number % 2]) for number in range(count)]
        async with self.connected() as bench:
            thread = await bench.thread(*history)
            assert self.said(bench, thread) == [(each.role, each.text) for each in history]

    async def test_empty_messages_do_not_reach_the_server(self) -> None:
        async with self.connected() as bench:
            thread = await bench.thread(message(1, " \n"), message(2, "hello"))
            await bench.run(request(thread, message(3, ""), message(4, "ping")))
            assert self.said(bench, thread)[:2] == [("user", "hello"), ("user", "ping")]

    async def test_temperature_and_effort_are_sent_only_when_set(self) -> None:
        async with self.connected() as bench:
            await bench.ask("ping")
            plain = [each.body or {} for each in bench.server.requests]
            await bench.ask("ping", assistant=replace(TUTOR, temperature=0.2, reasoning_effort="low"), run="run-2")
            tuned = [each.body or {} for each in bench.server.requests[len(plain) :]]
        assert not any(name in body for body in plain for name in ("temperature", "reasoning_effort", "reasoning"))
        assert any(body.get("temperature") == 0.2 for body in tuned)
        assert any(
            "low" in (body.get("reasoning_effort"), (body.get("reasoning") or {}).get("effort")) for body in tuned
        )

    # How a run can end

    @pytest.mark.parametrize(
        ("code", "words"),
        [
            ("server_error", "failed while it answered"),
            ("rate_limit_exceeded", "rate limit"),
            ("invalid_prompt", "refused this request"),
            ("never_heard_of", "failed while it answered"),
        ],
    )
    async def test_a_failed_run_keeps_its_text_and_says_why(self, code: str, words: str) -> None:
        async with self.connected() as bench:
            failure = {"code": code, "message": "secret words of the server"}
            bench.server.faults.add(method="POST", path=self.run_path, run_status="failed", last_error=failure)
            events = await bench.ask("ping")
        assert ended(events).status is RunStatus.FAILED
        assert words in (ended(events).reason or "")
        assert "secret" not in (ended(events).reason or "")
        assert text_of(events) == "pong and more"

    @pytest.mark.parametrize(("why", "words"), [("content_filter", "content filter"), ("max_output_tokens", "length")])
    async def test_an_incomplete_run_keeps_its_text_and_says_that_it_was_cut(self, why: str, words: str) -> None:
        async with self.connected() as bench:
            bench.server.faults.add(method="POST", path=self.run_path, run_status="incomplete", incomplete_reason=why)
            events = await bench.ask("ping")
        assert ended(events).status is RunStatus.INCOMPLETE
        assert "cut off" in (ended(events).reason or "")
        assert words in (ended(events).reason or "")
        assert text_of(events) == "pong and more"

    # Streams that break

    @pytest.mark.parametrize("form", ["flat", "nested"])
    async def test_an_error_event_is_not_the_last_word(self, form: str) -> None:
        async with self.connected() as bench:
            bench.server.faults.add(method="POST", path=self.run_path, error_event=form)
            events = await bench.ask("ping")
            assert self.runs_made(bench) == 1
        assert ended(events).status is RunStatus.COMPLETED
        assert text_of(events) == "pong and more"

    async def test_a_stream_without_an_end_is_looked_up(self) -> None:
        async with self.connected() as bench:
            bench.server.faults.add(method="POST", path=self.run_path, no_terminal=True)
            events = await bench.ask("ping")
            assert self.runs_made(bench) == 1
        assert ended(events).status is RunStatus.COMPLETED
        assert text_of(events) == "pong and more"

    async def test_a_server_that_does_not_stream_is_asked_only_once(self) -> None:
        async with self.connected(streaming=False) as bench:
            thread = await bench.thread()
            events = await bench.run(request(thread, message(1, "ping")))
            await bench.run(request(thread, message(2, "ping"), run="run-2"))
            asked = [each.body.get("stream") for each in bench.calls("POST", r"/threads/\w+/runs|/responses")]
        assert (text_of(events), ended(events).status) == ("pong and more", RunStatus.COMPLETED)
        assert asked[0] is True
        assert not asked[1]

    async def test_a_server_that_refuses_to_stream_is_asked_without(self) -> None:
        async with self.connected(streaming="refuse") as bench:
            events = await bench.ask("ping")
            assert self.runs_made(bench) == 1
        assert (text_of(events), ended(events).status) == ("pong and more", RunStatus.COMPLETED)

    async def test_closing_the_run_lets_go_of_the_stream(self) -> None:
        gate = asyncio.Event()
        async with self.connected(brain=ScriptedBrain(lambda _: "one two", gate=gate)) as bench:
            events: Any = bench.backend.run(request(await bench.thread(), message(1, "count")))
            while not isinstance(await anext(events), TextDelta):
                pass
            await events.aclose()
            # Nothing else tells that the connection is free: an Assistants server does not mind who listens.
            pool: Any = bench.client._client._transport
            assert all(connection.is_idle() for connection in pool._pool.connections)

    # Refusals that pass

    @pytest.mark.parametrize("status", [429, 503])
    async def test_a_refusal_for_now_is_tried_again(self, status: int) -> None:
        async with self.connected() as bench:
            bench.server.faults.add(
                method="POST", path=self.run_path, status=status, headers={"retry-after": "0.001"}, times=2
            )
            events = await bench.ask("ping")
            assert self.runs_made(bench) == 1
        assert text_of(events) == "pong and more"

    async def test_retry_after_is_obeyed(self) -> None:
        async with self.connected(patience=Patience(total=30.0, first=0.001, longest=0.001)) as bench:
            bench.server.faults.add(method="POST", path=self.run_path, status=429, headers={"retry-after": "3600"})
            with pytest.raises(BackendBusy) as caught:
                await bench.ask("ping")
            assert self.runs_made(bench) == 0
        assert "rate limit" in caught.value.sentence

    async def test_rate_limits_that_last_end_in_a_sentence(self) -> None:
        async with self.connected(patience=NO_PATIENCE) as bench:
            bench.server.faults.add(method="POST", path=self.run_path, status=429, code="rate_limit_exceeded")
            with pytest.raises(BackendBusy) as caught:
                await bench.ask("ping")
        assert caught.value.retry

    async def test_a_server_that_is_not_there(self) -> None:
        async with self.connected(patience=NO_PATIENCE) as bench:
            await bench.server.stop()
            with pytest.raises(BackendUnreachable) as caught:
                await bench.thread()
        assert "cannot be reached" in caught.value.sentence
        assert caught.value.__cause__

    async def test_a_server_that_comes_back_is_waited_for(self) -> None:
        async with self.connected() as bench:
            await bench.server.stop()
            port = bench.client.base_url.port or 0
            waiting = asyncio.create_task(bench.thread())
            async with LocalOpenAI(port=port) as back:
                thread = await waiting
                assert thread in back.threads or thread in back.conversations

    # Refusals that stay

    async def test_used_up_quota_is_for_an_admin_and_not_tried_again(self) -> None:
        async with self.connected() as bench:
            bench.server.faults.add(
                method="POST", path=self.run_path, status=429, code="insufficient_quota", times=None
            )
            with pytest.raises(BackendRefused) as caught:
                await bench.ask("ping")
            assert len(bench.calls("POST", r"/threads/\w+/runs|/responses")) == 1
        assert caught.value.sentence == (
            "OpenAI says this account's quota is used up. An admin can check the plan and billing at "
            "platform.openai.com."
        )

    async def test_a_wrong_key_is_named_without_being_shown(self) -> None:
        async with self.connected(key="sk-wrong-0123456789") as bench:
            with pytest.raises(BackendRefused) as caught:
                await bench.thread()
        assert "OPENAI_API_KEY" in caught.value.sentence
        assert "sk-wrong" not in caught.value.sentence

    async def test_an_unknown_model_is_named_with_its_file(self) -> None:
        async with self.connected() as bench:
            with pytest.raises(BackendRefused) as caught:
                await bench.ask("ping", assistant=replace(TUTOR, model="gpt-9"))
        assert "gpt-9" in caught.value.sentence
        assert "tutor" in caught.value.sentence

    async def test_a_thread_that_is_gone(self) -> None:
        async with self.connected() as bench:
            with pytest.raises(ThreadGone):
                await bench.run(request(self.unknown_thread(), message(1, "ping")))

    @abstractmethod
    def unknown_thread(self) -> str:
        """The id of a thread that no server has."""

    async def test_a_message_over_the_limit(self) -> None:
        async with self.connected() as bench:
            limit = bench.backend.message_limit
            thread = await bench.thread()
            with pytest.raises(PostTooLong) as caught:
                await bench.run(request(thread, message(1, "x" * (limit + 1))))
            assert self.said(bench, thread) == []
        assert f"{limit:,}" in caught.value.sentence
        assert f"{limit + 1:,}" in caught.value.sentence

    async def test_a_request_that_is_refused_for_good_says_whom_to_ask(self) -> None:
        async with self.connected() as bench:
            bench.server.faults.add(method="POST", path=self.run_path, status=400, message="Unknown parameter: 'x'.")
            with pytest.raises(BackendRefused) as caught:
                await bench.ask("ping")
            assert self.runs_made(bench) == 0
        assert "admin" in caught.value.sentence

    # Never twice

    @pytest.mark.parametrize("fault", [{"cut": True}, {"status": 500}, {"status": 502}, {"status": 503}])
    @pytest.mark.parametrize("when", ["before", "after"])
    async def test_a_run_whose_outcome_is_unknown_is_looked_up_before_it_is_started_again(
        self, fault: dict[str, Any], when: str
    ) -> None:
        async with self.connected(foreground_survives_disconnect=True) as bench:
            bench.server.faults.add(method="POST", path=self.run_path, when=when, **fault)
            events = await bench.ask("ping")
            assert self.runs_made(bench) == 1
        assert (text_of(events), ended(events).status) == ("pong and more", RunStatus.COMPLETED)

    async def test_a_run_that_got_no_answer_in_time_is_looked_up(self) -> None:
        async with self.connected(silence=0.05, foreground_survives_disconnect=True) as bench:
            bench.server.faults.add(method="POST", path=self.run_path, when="after", hang=True)
            events = await bench.ask("ping")
            assert self.runs_made(bench) == 1
        assert text_of(events) == "pong and more"

    # A run taken up again

    async def test_a_run_that_went_on_without_us_is_found_again(self) -> None:
        gate = asyncio.Event()
        brain = ScriptedBrain(lambda _: "one two three", gate=gate)
        async with self.connected(brain=brain, foreground_survives_disconnect=True) as bench:
            first = request(await bench.thread(), message(1, "count"))
            backend_run = await _leave_in_mid_air(bench, first)
            gate.set()
            events = await bench.run(replace(first, attempt=2, backend_run=backend_run))
            assert self.runs_made(bench) == 1
            assert self.said(bench, first.backend_thread)[0] == ("user", "count")
            assert len(self.said(bench, first.backend_thread)) == 2
        assert started(events) == backend_run
        assert (text_of(events), ended(events).status) == ("one two three", RunStatus.COMPLETED)

    async def test_a_run_that_had_ended_is_told_again(self) -> None:
        async with self.connected() as bench:
            first = request(await bench.thread(), message(1, "ping"))
            backend_run = started(await bench.run(first))
            events = await bench.run(replace(first, attempt=2, backend_run=backend_run))
            assert self.runs_made(bench) == 1
        assert (text_of(events), ended(events).status) == ("pong and more", RunStatus.COMPLETED)

    async def test_a_second_attempt_of_what_never_began_begins(self) -> None:
        async with self.connected() as bench:
            thread = await bench.thread()
            events = await bench.run(request(thread, message(1, "ping"), attempt=2))
            assert self.said(bench, thread) == [("user", "ping"), ("assistant", "pong and more")]
        assert text_of(events) == "pong and more"

    async def test_a_question_asked_twice_is_answered_twice(self) -> None:
        """Even where the second time it is a second attempt: the first answer is not taken for it."""
        answers = iter(["first", "second"])
        async with self.connected(brain=ScriptedBrain(lambda _: next(answers))) as bench:
            thread = await bench.thread()
            await bench.run(request(thread, message(1, "next")))
            events = await bench.run(request(thread, message(2, "next"), run="run-2", attempt=2))
        assert text_of(events) == "second"

    async def test_retrying_an_incomplete_run_does_not_send_its_messages_again(self) -> None:
        async with self.connected() as bench:
            thread = await bench.thread()
            bench.server.faults.add(method="POST", path=self.run_path, run_status="incomplete")
            await bench.run(request(thread, message(1, "one"), message(2, "two")))
            events = await bench.run(request(thread, message(1, "one"), message(2, "two"), run="run-2", attempt=2))
            users = [text for role, text in self.said(bench, thread) if role == "user"]
        assert users == ["one", "two"]
        assert ended(events).status is RunStatus.COMPLETED

    # Locks

    async def test_a_lock_that_goes_away_is_waited_for(self) -> None:
        async with self.connected() as bench:
            thread = await bench.thread()
            bench.server.lock(thread)
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(bench.run(request(thread, message(1, "ping"))))
                await bench.server.wait_for(lambda server: server.requests and server.requests[-1].status == 400)
                bench.server.unlock(thread)
            assert self.said(bench, thread) == [("user", "ping"), ("assistant", "pong and more")]
        assert text_of(running.result()) == "pong and more"

    async def test_a_lock_that_stays_ends_in_a_sentence(self) -> None:
        async with self.connected(lock_patience=NO_PATIENCE) as bench:
            thread = await bench.thread()
            bench.server.lock(thread)
            with pytest.raises(ThreadLocked) as caught:
                await bench.run(request(thread, message(1, "ping")))
            assert self.said(bench, thread) == []
        assert "try again" in caught.value.sentence

    # Cancelling, checking, closing

    async def test_cancelling_a_run_that_has_ended_is_no_error(self) -> None:
        async with self.connected() as bench:
            first = request(await bench.thread(), message(1, "ping"))
            await bench.backend.cancel(first)
            backend_run = started(await bench.run(first))
            await bench.backend.cancel(replace(first, backend_run=backend_run))
            await bench.backend.cancel(replace(first, backend_thread=self.unknown_thread()))

    async def test_all_is_well(self) -> None:
        async with self.connected() as bench:
            checks = await bench.backend.check([TUTOR.model, TUTOR.model, "gpt-6-luna"])
        assert [check.name for check in checks] == [
            f"backend {bench.backend.name}",
            f"model {TUTOR.model}",
            "model gpt-6-luna",
        ]
        assert not any(check.problem for check in checks)

    async def test_what_is_not_well_is_said(self) -> None:
        async with self.connected() as bench:
            model = (await bench.backend.check(["gpt-9"]))[1]
        assert "gpt-9" in (model.problem or "")
        async with self.connected(key="sk-wrong") as bench:
            [only] = await bench.backend.check(["gpt-9"])
        assert "OPENAI_API_KEY" in (only.problem or "")

    async def test_every_error_is_bobbins_own_and_tells_its_cause(self) -> None:
        for fault in (
            {"status": 401},
            {"status": 403},
            {"status": 404},
            {"status": 418},
            {"status": 500},
            {"cut": True},
        ):
            async with self.connected(patience=NO_PATIENCE) as bench:
                bench.server.faults.add(method="POST", path=self.run_path, times=None, **fault)
                with pytest.raises(BackendError) as caught:
                    await bench.ask("ping")
                assert caught.value.__cause__, fault
                assert caught.value.sentence.endswith("."), fault


async def _two_messages(_: Question) -> AsyncIterator[Any]:
    yield "I look it up."
    yield CodeInterpreterCall("print(6 * 7)", "42\n")
    yield "It is"
    yield " 42."


def _listening(heard: list[Question]) -> Any:
    def answer(question: Question) -> str:
        heard.append(question)
        return f"I hear {len(question.messages)}."

    return answer


async def _leave_in_mid_air(bench: Bench[Any], wanted: Any) -> str:
    """Start a run and go away after its first word. Returns its id at the backend."""
    events: Any = bench.backend.run(wanted)
    seen: list[RunEvent] = []
    while not seen or not isinstance(seen[-1], TextDelta):
        seen.append(await anext(events))
    await events.aclose()
    return started(seen)

"""What backends do, whatever API they speak: all of them, and those that have something in common. A backend's tests
inherit the classes that are true of it."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from bot.backends.retries import Patience
from bot.engine.ports import (
    Ability,
    Assistant,
    Attachment,
    CallsWanted,
    Message,
    RunEvent,
    RunRequest,
    RunStarted,
    RunStatus,
    TextDelta,
    TextDone,
    ToolOutput,
    ToolSpec,
)
from bot.errors import (
    BackendBusy,
    BackendError,
    BackendRefused,
    BackendUnreachable,
    Moderated,
    PostTooLong,
    ThreadGone,
    ThreadLocked,
)
from bot.playground.openai import CodeInterpreterCall, FunctionCall, LocalOpenAI, Question, ScriptedBrain
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

    #: Where the server makes a run: the path below /v1, for faults, and as a regular expression.
    run_path: ClassVar[str]
    making: ClassVar[str]
    #: Wants as much as the backend can carry.
    tutor: ClassVar[Assistant] = TUTOR

    def asking(self, thread: str, *messages: Message, **changes: Any) -> RunRequest:
        return request(thread, *messages, **({"assistant": self.tutor} | changes))

    async def ask(self, bench: Bench[Any], text: str, **changes: Any) -> list[RunEvent]:
        return await bench.ask(text, **({"assistant": self.tutor} | changes))

    @abstractmethod
    def connected(self, **options: Any) -> AbstractAsyncContextManager[Bench[Any]]:
        """`options` are those of `bench.connected`."""

    @abstractmethod
    async def said(self, bench: Bench[Any], thread: str) -> list[tuple[str, str]]:
        """(role, text) of what the thread holds, wherever it is kept, oldest first."""

    @abstractmethod
    def unknown_thread(self) -> str:
        """The id of a thread that nobody has."""

    @abstractmethod
    def runs_made(self, bench: Bench[Any]) -> int:
        """How many runs the server has made, however they ended."""

    # An answer

    async def test_the_answer_comes_word_by_word_then_whole(self) -> None:
        async with self.connected() as bench:
            events = await self.ask(bench, "ping")
        words = [event.text for event in events if isinstance(event, TextDelta)]
        assert words == ["pong", " and", " more"]
        assert [event.text for event in events if isinstance(event, TextDone)][-1] == "pong and more"
        assert ended(events).status is RunStatus.COMPLETED
        assert ended(events).reason is None
        assert set(ended(events).usage) >= {"input_tokens", "output_tokens"}
        assert ended(events).model == self.tutor.model

    async def test_the_id_of_the_run_is_known_before_its_text(self) -> None:
        async with self.connected() as bench:
            events = await self.ask(bench, "ping")
        kinds = [type(event) for event in events]
        assert kinds.index(RunStarted) == 0
        assert RunStarted not in kinds[kinds.index(TextDelta) :]

    async def test_words_are_passed_on_while_the_model_still_thinks(self) -> None:
        gate = asyncio.Event()
        async with self.connected(brain=ScriptedBrain(lambda _: "one two", gate=gate)) as bench:
            events = bench.backend.run(self.asking(await bench.thread(), message(1, "count")))
            async for event in events:
                if isinstance(event, TextDelta):
                    break
            assert event == replace(event, text="one")
            gate.set()
            assert text_of([event, *[rest async for rest in events]]) == "one two"

    async def test_the_model_reads_every_message_and_what_was_said_before(self) -> None:
        heard: list[Question] = []
        async with self.connected(brain=ScriptedBrain(_listening(heard))) as bench:
            thread = await bench.thread(message(1, "hello"), message(2, "hi there", "assistant"))
            await bench.run(self.asking(thread, message(3, "Ada: one"), message(4, "Bob: two")))
            await bench.run(self.asking(thread, message(5, "three"), run="run-2"))
        assert _in_order(heard[0], "hello", "hi there", "Ada: one", "Bob: two")
        assert _in_order(heard[1], "hello", "Bob: two", f"I hear {len(heard[0].messages)}.", "three")

    async def test_instructions_context_tools_and_model_reach_the_run(self) -> None:
        heard: list[Question] = []
        async with self.connected(brain=ScriptedBrain(_listening(heard))) as bench:
            await self.ask(bench, "ping")
        assert heard[0].instructions == "You teach mathematics.\n\nThe person asking is Ada."
        assert heard[0].tools == self.tutor.tools
        assert heard[0].model == self.tutor.model

    async def test_another_assistant_goes_on_in_the_same_thread(self) -> None:
        heard: list[Question] = []
        poet = replace(self.tutor, key="poet", instructions="You rhyme.", tools=(), model="gpt-6-luna")
        async with self.connected(brain=ScriptedBrain(_listening(heard))) as bench:
            thread = await bench.thread()
            await bench.run(self.asking(thread, message(1, "one")))
            await bench.run(self.asking(thread, message(2, "two"), run="run-2", assistant=poet))
        assert heard[1].instructions.startswith("You rhyme.")
        assert heard[1].tools == ()
        assert heard[1].model == "gpt-6-luna"
        assert _in_order(heard[1], "one", "I hear 1.", "two")

    async def test_temperature_and_effort_are_sent_only_when_set(self) -> None:
        wanted: dict[str, Any] = {"temperature": 0.2, "reasoning_effort": "low"}
        async with self.connected() as bench:
            await self.ask(bench, "ping")
            plain = str([each.body for each in bench.server.requests])
            known = len(bench.server.requests)
            carried = {name: value for name, value in wanted.items() if Ability(name) in bench.backend.abilities}
            await self.ask(bench, "ping", assistant=replace(self.tutor, **carried), run="run-2")
            tuned = str([each.body for each in bench.server.requests[known:]])
        assert carried
        assert not any(word in plain for word in ("temperature", "reasoning_effort", "'reasoning'"))
        assert ("'temperature': 0.2" in tuned) is ("temperature" in carried)
        assert ("'low'" in tuned) is ("reasoning_effort" in carried)

    async def test_functions_are_wanted_and_their_outputs_go_on(self) -> None:
        weather = ToolSpec("get_weather", "The weather of a town.", {"type": "object", "properties": {}})
        async with self.connected(brain=ScriptedBrain(_forecaster)) as bench:
            first = self.asking(await bench.thread(), message(1, "weather?"), functions=(weather,))
            events = await bench.run(first)
            wanted = events[-1]
            assert isinstance(wanted, CallsWanted)
            assert [(call.name, call.arguments) for call in wanted.calls] == [("get_weather", '{"town": "Oslo"}')]
            outputs = (ToolOutput(wanted.calls[0].id, "sunny"),)
            rest = await bench.run(replace(first, outputs=outputs, backend_run=started(events)))
        assert text_of(rest).endswith("It is sunny.")
        assert ended(rest).status is RunStatus.COMPLETED

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
            events = await self.ask(bench, "ping")
        assert ended(events).status is RunStatus.FAILED
        assert words in (ended(events).reason or "")
        assert "secret" not in (ended(events).reason or "")
        assert text_of(events) == "pong and more"

    async def test_closing_the_run_lets_go_of_the_stream(self) -> None:
        gate = asyncio.Event()
        async with self.connected(brain=ScriptedBrain(lambda _: "one two", gate=gate)) as bench:
            events: Any = bench.backend.run(self.asking(await bench.thread(), message(1, "count")))
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
            events = await self.ask(bench, "ping")
            assert self.runs_made(bench) == 1
        assert text_of(events) == "pong and more"

    async def test_retry_after_is_obeyed(self) -> None:
        async with self.connected(patience=Patience(total=30.0, first=0.001, longest=0.001)) as bench:
            bench.server.faults.add(method="POST", path=self.run_path, status=429, headers={"retry-after": "3600"})
            with pytest.raises(BackendBusy) as caught:
                await self.ask(bench, "ping")
            assert self.runs_made(bench) == 0
        assert "rate limit" in caught.value.sentence

    async def test_rate_limits_that_last_end_in_a_sentence(self) -> None:
        async with self.connected(patience=NO_PATIENCE) as bench:
            bench.server.faults.add(method="POST", path=self.run_path, status=429, code="rate_limit_exceeded")
            with pytest.raises(BackendBusy) as caught:
                await self.ask(bench, "ping")
        assert caught.value.retry

    async def test_a_server_that_is_not_there(self) -> None:
        async with self.connected(patience=NO_PATIENCE) as bench:
            await bench.server.stop()
            with pytest.raises(BackendUnreachable) as caught:
                await self.ask(bench, "ping")
        assert "cannot be reached" in caught.value.sentence
        assert caught.value.__cause__

    async def test_a_server_that_comes_back_is_waited_for(self) -> None:
        async with self.connected() as bench:
            await bench.server.stop()
            port = bench.client.base_url.port or 0
            waiting = asyncio.create_task(self.ask(bench, "ping"))
            async with LocalOpenAI(port=port, brain=ScriptedBrain(lambda _: "pong and more")):
                assert text_of(await waiting) == "pong and more"

    # Refusals that stay

    async def test_used_up_quota_is_for_an_admin_and_not_tried_again(self) -> None:
        async with self.connected() as bench:
            bench.server.faults.add(
                method="POST", path=self.run_path, status=429, code="insufficient_quota", times=None
            )
            with pytest.raises(BackendRefused) as caught:
                await self.ask(bench, "ping")
            assert len(bench.calls("POST", self.making)) == 1
        assert caught.value.sentence == (
            "OpenAI says this account's quota is used up. An admin can check the plan and billing at "
            "platform.openai.com."
        )

    async def test_a_wrong_key_is_named_without_being_shown(self) -> None:
        async with self.connected(key="sk-wrong-0123456789") as bench:
            with pytest.raises(BackendRefused) as caught:
                await self.ask(bench, "ping")
        assert "OPENAI_API_KEY" in caught.value.sentence
        assert "sk-wrong" not in caught.value.sentence

    async def test_an_unknown_model_is_named_with_its_file(self) -> None:
        async with self.connected() as bench:
            with pytest.raises(BackendRefused) as caught:
                await self.ask(bench, "ping", assistant=replace(self.tutor, model="gpt-9"))
        assert "gpt-9" in caught.value.sentence
        assert "tutor" in caught.value.sentence

    async def test_a_message_over_the_limit(self) -> None:
        async with self.connected() as bench:
            limit = bench.backend.message_limit
            thread = await bench.thread()
            with pytest.raises(PostTooLong) as caught:
                await bench.run(self.asking(thread, message(1, "x" * (limit + 1))))
            assert self.runs_made(bench) == 0
        assert f"{limit:,}" in caught.value.sentence
        assert f"{limit + 1:,}" in caught.value.sentence

    @pytest.mark.parametrize("media_type", ["image/png", "text/plain", "application/pdf"])
    async def test_an_empty_file_is_no_file(self, media_type: str) -> None:
        async with self.connected() as bench:
            assert bench.backend.file_problem(self.tutor, "a", media_type, 0) == "is empty"

    async def test_a_request_that_is_refused_for_good_says_whom_to_ask(self) -> None:
        async with self.connected() as bench:
            bench.server.faults.add(method="POST", path=self.run_path, status=400, message="Unknown parameter: 'x'.")
            with pytest.raises(BackendRefused) as caught:
                await self.ask(bench, "ping")
            assert self.runs_made(bench) == 0
        assert "admin" in caught.value.sentence

    # A run taken up again

    async def test_a_run_that_had_ended_is_told_again(self) -> None:
        async with self.connected() as bench:
            first = self.asking(await bench.thread(), message(1, "ping"))
            backend_run = started(await bench.run(first))
            events = await bench.run(replace(first, attempt=2, backend_run=backend_run))
            assert self.runs_made(bench) == 1
        assert (text_of(events), ended(events).status) == ("pong and more", RunStatus.COMPLETED)

    async def test_a_pdf_posted_before_the_mention_reaches_the_model(self, tmp_path: Path) -> None:
        path = tmp_path / "report.pdf"
        path.write_bytes(b"%PDF-1.4")
        report = Attachment(path.name, "application/pdf", 8, path)
        heard: list[Question] = []
        async with self.connected(brain=ScriptedBrain(_listening(heard)), assistant=self.tutor) as bench:
            if bench.backend.file_problem(self.tutor, report.name, report.media_type, report.size):
                return  # named, before it comes here
            thread = await bench.thread(replace(message(1, "the report"), files=(report,)), message(2, "so?"))
            await bench.run(self.asking(thread, message(3, "what does it say?")))
        [seen] = heard[0].files
        assert seen.name.endswith("report.pdf")

    async def test_a_second_attempt_of_what_never_began_begins(self) -> None:
        async with self.connected() as bench:
            thread = await bench.thread()
            events = await bench.run(self.asking(thread, message(1, "ping"), attempt=2))
            assert await self.said(bench, thread) == [("user", "ping"), ("assistant", "pong and more")]
        assert text_of(events) == "pong and more"

    async def test_a_question_asked_twice_is_answered_twice(self) -> None:
        """Even where the second time it is a second attempt: the first answer is not taken for it."""
        answers = iter(["first", "second"])
        async with self.connected(brain=ScriptedBrain(lambda _: next(answers))) as bench:
            thread = await bench.thread()
            await bench.run(self.asking(thread, message(1, "next")))
            events = await bench.run(self.asking(thread, message(2, "next"), run="run-2", attempt=2))
        assert text_of(events) == "second"

    # Cancelling, checking, closing

    async def test_cancelling_a_run_that_has_ended_is_no_error(self) -> None:
        async with self.connected() as bench:
            first = self.asking(await bench.thread(), message(1, "ping"))
            await bench.backend.cancel(first)
            backend_run = started(await bench.run(first))
            await bench.backend.cancel(replace(first, backend_run=backend_run))
            await bench.backend.cancel(replace(first, backend_thread=self.unknown_thread()))

    async def test_all_is_well(self) -> None:
        async with self.connected() as bench:
            checks = await bench.backend.check([self.tutor.model, self.tutor.model, "gpt-6-luna"])
        assert [check.name for check in checks] == [
            f"backend {bench.backend.name}",
            f"model {self.tutor.model}",
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
                    await self.ask(bench, "ping")
                assert caught.value.__cause__, fault
                assert caught.value.sentence.endswith("."), fault


class MessagesContract(BackendContract):
    """A conversation is a list of messages, and the call that makes a run streams, where the server can."""

    @pytest.mark.parametrize("count", [0, 1, 20, 21, 32, 33, 61])
    async def test_a_long_history_arrives_whole_and_in_order(self, count: int) -> None:
        roles = ("user", "assistant")
        history = [message(number, f"line {number}", roles[number % 2]) for number in range(count)]
        async with self.connected() as bench:
            thread = await bench.thread(*history)
            assert await self.said(bench, thread) == [(each.role, each.text) for each in history]

    async def test_empty_messages_do_not_reach_the_server(self) -> None:
        async with self.connected() as bench:
            thread = await bench.thread(message(1, " \n"), message(2, "hello"))
            await bench.run(self.asking(thread, message(3, ""), message(4, "ping")))
            assert (await self.said(bench, thread))[:2] == [("user", "hello"), ("user", "ping")]

    @pytest.mark.parametrize(("why", "words"), [("content_filter", "content filter"), ("max_output_tokens", "length")])
    async def test_an_incomplete_run_keeps_its_text_and_says_that_it_was_cut(self, why: str, words: str) -> None:
        async with self.connected() as bench:
            bench.server.faults.add(method="POST", path=self.run_path, run_status="incomplete", incomplete_reason=why)
            events = await self.ask(bench, "ping")
        assert ended(events).status is RunStatus.INCOMPLETE
        assert "cut off" in (ended(events).reason or "")
        assert words in (ended(events).reason or "")
        assert text_of(events) == "pong and more"

    async def test_retrying_an_incomplete_run_does_not_send_its_messages_again(self) -> None:
        async with self.connected() as bench:
            thread = await bench.thread()
            bench.server.faults.add(method="POST", path=self.run_path, run_status="incomplete")
            await bench.run(self.asking(thread, message(1, "one"), message(2, "two")))
            events = await bench.run(self.asking(thread, message(1, "one"), message(2, "two"), run="run-2", attempt=2))
            users = [text for role, text in await self.said(bench, thread) if role == "user"]
        assert users == ["one", "two"]
        assert ended(events).status is RunStatus.COMPLETED

    async def test_a_server_that_does_not_stream_is_asked_only_once(self) -> None:
        async with self.connected(streaming=False) as bench:
            thread = await bench.thread()
            events = await bench.run(self.asking(thread, message(1, "ping")))
            await bench.run(self.asking(thread, message(2, "ping"), run="run-2"))
            asked = [each.body.get("stream") for each in bench.calls("POST", self.making)]
        assert (text_of(events), ended(events).status) == ("pong and more", RunStatus.COMPLETED)
        assert asked[0] is True
        assert not asked[1]

    async def test_a_server_that_refuses_to_stream_is_asked_without(self) -> None:
        async with self.connected(streaming="refuse") as bench:
            events = await self.ask(bench, "ping")
            assert self.runs_made(bench) == 1
        assert (text_of(events), ended(events).status) == ("pong and more", RunStatus.COMPLETED)


class ServerRunContract(BackendContract):
    """A run is the server's: it goes on without us, and can be looked up."""

    async def test_several_messages_of_a_run_are_one_text(self) -> None:
        async with self.connected(brain=ScriptedBrain(_two_messages)) as bench:
            events = await self.ask(bench, "ping")
        deltas = "".join(event.text for event in events if isinstance(event, TextDelta))
        assert text_of(events) == deltas == "I look it up.\n\nIt is 42."

    @pytest.mark.parametrize("form", ["flat", "nested"])
    async def test_an_error_event_is_not_the_last_word(self, form: str) -> None:
        async with self.connected() as bench:
            bench.server.faults.add(method="POST", path=self.run_path, error_event=form)
            events = await self.ask(bench, "ping")
            assert self.runs_made(bench) == 1
        assert ended(events).status is RunStatus.COMPLETED
        assert text_of(events) == "pong and more"

    async def test_a_stream_without_an_end_is_looked_up(self) -> None:
        async with self.connected() as bench:
            bench.server.faults.add(method="POST", path=self.run_path, no_terminal=True)
            events = await self.ask(bench, "ping")
            assert self.runs_made(bench) == 1
        assert ended(events).status is RunStatus.COMPLETED
        assert text_of(events) == "pong and more"

    @pytest.mark.parametrize("fault", [{"cut": True}, {"status": 500}, {"status": 502}, {"status": 503}])
    @pytest.mark.parametrize("when", ["before", "after"])
    async def test_a_run_whose_outcome_is_unknown_is_looked_up_before_it_is_started_again(
        self, fault: dict[str, Any], when: str
    ) -> None:
        async with self.connected(foreground_survives_disconnect=True) as bench:
            bench.server.faults.add(method="POST", path=self.run_path, when=when, **fault)
            events = await self.ask(bench, "ping")
            assert self.runs_made(bench) == 1
        assert (text_of(events), ended(events).status) == ("pong and more", RunStatus.COMPLETED)

    async def test_a_run_that_got_no_answer_in_time_is_looked_up(self) -> None:
        async with self.connected(silence=0.05, foreground_survives_disconnect=True) as bench:
            bench.server.faults.add(method="POST", path=self.run_path, when="after", hang=True)
            events = await self.ask(bench, "ping")
            assert self.runs_made(bench) == 1
        assert text_of(events) == "pong and more"

    async def test_a_run_that_went_on_without_us_is_found_again(self) -> None:
        gate = asyncio.Event()
        brain = ScriptedBrain(lambda _: "one two three", gate=gate)
        async with self.connected(brain=brain, foreground_survives_disconnect=True) as bench:
            first = self.asking(await bench.thread(), message(1, "count"))
            backend_run = await _leave_in_mid_air(bench, first)
            gate.set()
            events = await bench.run(replace(first, attempt=2, backend_run=backend_run))
            assert self.runs_made(bench) == 1
            assert (await self.said(bench, first.backend_thread))[0] == ("user", "count")
            assert len(await self.said(bench, first.backend_thread)) == 2
        assert started(events) == backend_run
        assert (text_of(events), ended(events).status) == ("one two three", RunStatus.COMPLETED)


class ModerationContract(BackendContract):
    """The server has a safety check beside its models."""

    async def test_a_post_that_is_objected_to_does_not_reach_the_model(self, tmp_path: Path) -> None:
        picture = tmp_path / "a.png"
        picture.write_bytes(b"\x89PNG\r\n\x1a\n a bomb")
        attached = Attachment("a.png", "image/png", picture.stat().st_size, picture)
        notes = tmp_path / "a.txt"
        notes.write_text("a bomb")
        read = Attachment("a.txt", "text/plain", 6, notes)
        safe = replace(self.tutor, moderation=True)
        with_files = [replace(message(1, "what is it?"), files=(file,)) for file in (attached, read)]
        async with self.connected() as bench:
            bench.server.switches.flagged = {"bomb": "violence"}
            for asked in (message(1, "a bomb"), *with_files):
                with pytest.raises(Moderated) as caught:
                    await bench.run(self.asking(await bench.thread(), message(2, "hello"), asked, assistant=safe))
                assert not caught.value.retry
            assert self.runs_made(bench) == 0

    async def test_an_answer_that_is_objected_to_is_not_shown(self) -> None:
        safe = replace(self.tutor, moderation=True)
        async with self.connected(brain=ScriptedBrain(lambda _: "this is how a bomb is made")) as bench:
            bench.server.switches.flagged = {"bomb": "violence"}
            seen = await bench.broken(self.asking(await bench.thread(), message(1, "how?"), assistant=safe), Moderated)
        assert not [event for event in seen if isinstance(event, TextDelta | TextDone)]

    async def test_an_answer_that_passes_is_shown_once_it_was_checked(self) -> None:
        async with self.connected() as bench:
            events = await self.ask(bench, "ping", assistant=replace(self.tutor, moderation=True))
            assert len(bench.calls("POST", "/moderations")) == 2
        assert not [event for event in events if isinstance(event, TextDelta)]
        assert text_of(events) == "pong and more"


class ServerThreadContract(MessagesContract, ServerRunContract, ModerationContract):
    """A thread is the server's too: it can be gone, and a run locks it."""

    async def test_a_thread_that_is_gone(self) -> None:
        async with self.connected() as bench:
            with pytest.raises(ThreadGone):
                await bench.run(self.asking(self.unknown_thread(), message(1, "ping")))

    async def test_a_lock_that_goes_away_is_waited_for(self) -> None:
        async with self.connected() as bench:
            thread = await bench.thread()
            bench.server.lock(thread)
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(bench.run(self.asking(thread, message(1, "ping"))))
                await bench.server.wait_for(lambda server: server.requests and server.requests[-1].status == 400)
                bench.server.unlock(thread)
            assert await self.said(bench, thread) == [("user", "ping"), ("assistant", "pong and more")]
        assert text_of(running.result()) == "pong and more"

    async def test_a_lock_that_stays_ends_in_a_sentence(self) -> None:
        async with self.connected(lock_patience=NO_PATIENCE) as bench:
            thread = await bench.thread()
            bench.server.lock(thread)
            with pytest.raises(ThreadLocked) as caught:
                await bench.run(self.asking(thread, message(1, "ping")))
            assert await self.said(bench, thread) == []
        assert "try again" in caught.value.sentence


async def _two_messages(_: Question) -> AsyncIterator[Any]:
    yield "I look it up."
    yield CodeInterpreterCall("print(6 * 7)", "42\n")
    yield "It is"
    yield " 42."


def _forecaster(question: Question) -> Any:
    role, said = question.messages[-1]
    return f"It is {said}." if role == "tool" else FunctionCall("get_weather", '{"town": "Oslo"}')


def _in_order(question: Question, *texts: str) -> bool:
    """Whether the model was told these, in this order, in whatever form."""
    told = "\n".join(text for _, text in question.messages)
    places = [told.find(text) for text in texts]
    return -1 not in places and places == sorted(places)


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

"""The backend that keeps conversations itself, and what small servers and their models do not take."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bot.backends.failures import OUTCOME_UNKNOWN
from bot.backends.local.backend import LocalBackend
from bot.engine.ports import (
    Attachment,
    CallsWanted,
    FilesUnused,
    HistoryItem,
    Message,
    RunEvent,
    RunStatus,
    ToolOutput,
    ToolSpec,
)
from bot.errors import BackendError, BackendRefused, PostTooLong, RunBroken
from bot.playground.openai import FunctionCall, Lean, ScriptedBrain
from storage.sqlite import SqliteStorage
from tests.backends.bench import KEY, PATIENCE, TUTOR, Bench, ended, message, text_of
from tests.backends.handmade import event, serving, streaming
from tests.backends.test_local import PLAIN, WEATHER, ask, forecaster, kept, local, sent

TIME = ToolSpec("get_time", "The time.", {"type": "object", "properties": {}})
BLIND = [Lean(sees=False), Lean(sees=False, status=400)]
TURNS = [Lean(turns=True), Lean(turns=True, status=400)]


def picture(folder: Path, name: str, content: bytes = b"0") -> Attachment:
    (folder / name).write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    return Attachment(name, "image/png", 8 + len(content), folder / name)


def text_file(folder: Path, name: str, text: str) -> Attachment:
    (folder / name).write_text(text, encoding="utf-8")
    return Attachment(name, "text/plain", len(text.encode()), folder / name)


def inputs(bench: Bench[LocalBackend]) -> list[dict[str, Any]]:
    """The items of the latest request."""
    return list(sent(bench)[-1]["input"])


def unused(events: list[RunEvent]) -> list[str]:
    return [problem for each in events if isinstance(each, FilesUnused) for problem in each.problems]


async def looking() -> AsyncIterator[Any]:
    """Says something, and calls a tool."""
    yield "Let me look."
    yield FunctionCall("get_weather", "{}")


def outputs_for(events: list[RunEvent], text: str) -> tuple[ToolOutput, ...]:
    wanted = events[-1]
    assert isinstance(wanted, CallsWanted)
    return tuple(ToolOutput(call.id, text) for call in wanted.calls)


# What was said


async def test_a_second_question_is_answered_by_a_server_that_takes_whole_output_messages_only() -> None:
    async with local() as bench:
        thread = await bench.thread(message(1, "hello"), message(2, "hi", "assistant"))
        await bench.run(ask(thread, message(3, "one")))
        assert ended(await bench.run(ask(thread, message(4, "two"), run="run-2"))).status is RunStatus.COMPLETED
        [_, earlier, _, said, last] = inputs(bench)
    assert said == {
        "type": "message",
        "role": "assistant",
        "id": said["id"],
        "status": "completed",
        "content": [{"type": "output_text", "text": "pong and more", "annotations": []}],
    }
    assert said["id"] != earlier["id"]
    assert last == {"type": "message", "role": "user", "content": "two"}


async def test_items_that_an_older_version_kept_are_sent_in_the_form_of_today() -> None:
    old = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "half", "bobbin_cut": True}]
    async with local() as bench:
        assert bench.storage
        rows = [HistoryItem("local-old", place, "run-0", json.dumps(item)) for place, item in enumerate(old)]
        await bench.storage.add_items(rows)
        await bench.run(ask("local-old", message(2, "two")))
        assert [item["type"] for item in inputs(bench)] == ["message"] * 3
    assert "bobbin" not in str(sent(bench))


async def test_a_picture_that_bobbin_posted_earlier_does_not_end_a_thread(tmp_path: Path) -> None:
    async with local() as bench:
        drawn = Message("2", "assistant", "drawn", (picture(tmp_path, "a.png"),))
        thread = await bench.thread(message(1, "draw"), drawn)
        assert ended(await bench.run(ask(thread, message(3, "nice")))).status is RunStatus.COMPLETED


@pytest.mark.parametrize("lean", TURNS)
async def test_posts_in_a_row_are_one_message_for_a_model_that_wants_turns(lean: Lean) -> None:
    async with local(lean=lean) as bench:
        thread = await bench.thread()
        posts = (message(1, "Ada: one"), message(2, "Bob: two"))
        assert text_of(await bench.run(ask(thread, *posts))) == "pong and more"
        assert [item["content"] for item in inputs(bench)] == ["Ada: one\n\nBob: two"]
        asked = len(sent(bench))
        await bench.run(ask(thread, message(3, "three"), message(4, "four"), run="run-2"))
        assert len(sent(bench)) == asked + 1, "what the model wants is known by now"
        users = [item["content"] for item in await kept(bench, thread) if item["role"] == "user"]
    assert users == ["Ada: one", "Bob: two", "three", "four"]


async def test_posts_stay_messages_of_their_own_where_the_model_takes_that() -> None:
    async with local() as bench:
        await bench.run(ask(await bench.thread(), message(1, "Ada: one"), message(2, "Bob: two")))
        assert [item["content"] for item in inputs(bench)] == ["Ada: one", "Bob: two"]
        assert len(sent(bench)) == 1


async def test_what_was_never_answered_does_not_end_a_thread_with_a_model_that_wants_turns(tmp_path: Path) -> None:
    answers: Any = iter([looking(), "fine", looking(), "done", "and more"])
    async with local(lean=Lean(turns=True), brain=ScriptedBrain(lambda _: next(answers))) as bench:
        thread = await bench.thread(message(1, "welcome", "assistant"), message(2, "hello", "assistant"))
        seen = Message("3", "user", "look", (picture(tmp_path, "cat.png"),))
        first = ask(thread, seen, message(4, "weather?"), functions=(WEATHER,))
        events = await bench.run(first)
        await bench.backend.cancel(replace(first, outputs=outputs_for(events, "rain")))
        assert text_of(await bench.run(ask(thread, message(5, "and?"), run="run-2"))) == "fine"
        third = ask(thread, message(6, "well?"), run="run-3", functions=(WEATHER,))
        rest = await bench.run(replace(third, outputs=outputs_for(await bench.run(third), "snow")))
        assert text_of(rest) == "done"
        assert text_of(await bench.run(ask(thread, message(7, "more"), run="run-4"))) == "and more"


# Tools


async def test_what_a_call_came_to_is_known_after_its_run_was_broken_off() -> None:
    async with local(brain=ScriptedBrain(forecaster)) as bench:
        thread = await bench.thread()
        first = ask(thread, message(1, "weather?"), functions=(WEATHER,))
        outputs = outputs_for(await bench.run(first), "sunny")
        await bench.backend.cancel(replace(first, outputs=outputs))
        await bench.run(ask(thread, message(2, "well?"), run="run-2", functions=(WEATHER,)))
        assert [item.get("content") or item.get("output") for item in inputs(bench)] == [
            "weather?", None, "sunny", "well?",
        ]  # fmt: skip


@pytest.mark.parametrize("cancelled", [True, False])
async def test_of_a_call_of_which_nothing_is_known_nobody_says_that_nothing_was_done(cancelled: bool) -> None:
    async with local(brain=ScriptedBrain(forecaster)) as bench:
        thread = await bench.thread()
        first = ask(thread, message(1, "weather?"), functions=(WEATHER,))
        await bench.run(first)
        if cancelled:
            await bench.backend.cancel(first)
        await bench.run(ask(thread, message(2, "well?"), run="run-2", functions=(WEATHER,)))
        assert [item["output"] for item in inputs(bench) if "output" in item] == [OUTCOME_UNKNOWN]


async def test_a_retry_goes_on_from_what_its_tools_came_to() -> None:
    async with local(brain=ScriptedBrain(forecaster)) as bench:
        thread = await bench.thread()
        for attempt in (1, 2, 3):
            run = ask(thread, message(1, "weather?"), run=f"run-{attempt}", functions=(WEATHER,), attempt=attempt)
            if attempt == 1:
                run = replace(run, outputs=outputs_for(await bench.run(run), "sunny"))
            if attempt < 3:
                bench.server.faults.add(method="POST", path="/responses", status=400, code="invalid_prompt")
                await bench.broken(run, BackendRefused)
                await bench.backend.cancel(run)
        assert text_of(await bench.run(run)) == "It is sunny."
        assert [item["type"] for item in inputs(bench)] == ["message", "function_call", "function_call_output"]


async def test_what_was_shown_before_a_call_is_remembered_once() -> None:
    async with local(brain=ScriptedBrain(lambda _: looking())) as bench:
        thread = await bench.thread()
        first = ask(thread, message(1, "weather?"), functions=(WEATHER,))
        await bench.run(first)
        await bench.backend.cancel(first, "Let me look.\n\nIt is")
        said = [item["content"] for item in await kept(bench, thread) if item.get("role") == "assistant"]
    assert said == ["Let me look.", "It is"]


async def test_outputs_of_an_earlier_leg_are_not_taken_for_those_of_the_next() -> None:
    """The process died after the second leg's calls were kept, and before they were rows."""
    async with local(brain=ScriptedBrain(lambda _: FunctionCall("get_weather", "{}"))) as bench:
        first = ask(await bench.thread(), message(1, "weather?"), functions=(WEATHER,))
        second = replace(first, outputs=outputs_for(await bench.run(first), "sunny"))
        wanted = (await bench.run(second))[-1]
        assert await bench.run(replace(second, attempt=2)) == [
            (await bench.run(second))[0],
            replace(wanted, **UNCOUNTED),
        ]


UNCOUNTED: dict[str, Any] = {"usage": {}, "model": None}


async def test_a_tool_that_is_to_be_called_is_offered_alone_and_asked_for_in_a_word() -> None:
    brain = ScriptedBrain(forecaster)
    async with local(brain=brain) as bench:
        chosen = replace(PLAIN, tool_choice="get_weather")
        first = ask(await bench.thread(), message(1, "hello"), assistant=chosen, functions=(TIME, WEATHER))
        outputs = outputs_for(await bench.run(first), "sunny")
        await bench.run(replace(first, outputs=outputs))
        [before, after] = sent(bench)
    assert (before["tool_choice"], [tool["name"] for tool in before["tools"]]) == ("required", ["get_weather"])
    assert (after["tool_choice"], [tool["name"] for tool in after["tools"]]) == ("auto", ["get_time", "get_weather"])


async def test_functions_say_that_they_are_not_strict_and_nothing_is_said_of_a_choice_that_is_left_open() -> None:
    async with local() as bench:
        await bench.run(ask(await bench.thread(), message(1, "hi"), functions=(TIME,)))
        [body] = sent(bench)
    assert [tool["strict"] for tool in body["tools"]] == [False]
    assert "tool_choice" not in body


@pytest.mark.parametrize("status", ["failed", "incomplete"])
async def test_calls_of_an_answer_that_did_not_complete_are_not_carried_out(status: str) -> None:
    async with local(brain=ScriptedBrain(lambda _: FunctionCall("get_weather", "{}"))) as bench:
        thread = await bench.thread()
        bench.server.faults.add(method="POST", path="/responses", run_status=status)
        events = await bench.run(ask(thread, message(1, "weather?"), functions=(WEATHER,)))
        assert ended(events).status == status
        assert not [item for item in await kept(bench, thread) if item.get("type") == "function_call"]


async def test_long_outputs_over_many_legs_do_not_ask_for_a_shorter_post() -> None:
    calling = ScriptedBrain(lambda question: FunctionCall("get_weather", "{}") if len(question.messages) < 12 else "ok")
    async with local(context_tokens=8_000, brain=calling) as bench:
        thread = await bench.thread()
        request = ask(thread, message(1, "hello"), functions=(WEATHER,))
        events = await bench.run(request)
        while isinstance(events[-1], CallsWanted):
            events = await bench.run(replace(request, outputs=outputs_for(events, "r" * 100_000)))
        assert text_of(events) == "ok"
        told = [item["output"] for item in inputs(bench) if "output" in item]
        assert len(told) == 11
        assert all(output.endswith("too long to read.") for output in told)
        assert len(str(told)) > 15_000, "there is room for much of it"
        await bench.run(ask(thread, message(2, "why?"), run="run-2"))
        assert inputs(bench)[0]["content"] == "hello", "a question is not left out because its tools said much"


# Pictures


@pytest.mark.parametrize("lean", BLIND)
async def test_a_picture_that_the_model_cannot_see_does_not_end_the_thread(lean: Lean, tmp_path: Path) -> None:
    async with local(lean=lean) as bench:
        thread = await bench.thread()
        post = Message("1", "user", "look", (picture(tmp_path, "cat.png"),))
        events = await bench.run(ask(thread, post))
        assert text_of(events) == "pong and more"
        assert unused(events) == ["cat.png: the model server does not take it"]
        assert inputs(bench)[-1]["content"] == "look\n\n[a picture that this model cannot see: cat.png]"
        asked = len(sent(bench))
        later = await bench.run(ask(thread, message(2, "and now?"), run="run-2"))
        assert (text_of(later), unused(later)) == ("pong and more", [])
        assert len(sent(bench)) == asked + 1, "what the model cannot see is known by now"


async def test_a_restart_tells_nobody_again_of_old_pictures(tmp_path: Path) -> None:
    async with local(lean=Lean(sees=False)) as bench:
        thread = await bench.thread()
        await bench.run(ask(thread, Message("1", "user", "look", (picture(tmp_path, "cat.png"),))))
        assert bench.storage
        fresh = LocalBackend(bench.client, bench.storage, context_tokens=32_000, patience=PATIENCE)
        events = [each async for each in fresh.run(ask(thread, message(2, "and?"), run="run-2"))]
    assert (text_of(events), unused(events)) == ("pong and more", [])


async def test_one_broken_picture_does_not_blind_the_model_to_others(tmp_path: Path) -> None:
    async with local() as bench:
        thread = await bench.thread()
        await bench.run(ask(thread, Message("1", "user", "look", (picture(tmp_path, "good.png", b"1"),))))
        bench.server.faults.add(method="POST", path="/responses", status=400, message="Failed to load image")
        broken = Message("2", "user", "look", (picture(tmp_path, "broken.png", b"2"),))
        assert unused(await bench.run(ask(thread, broken, run="run-2"))) == [
            "broken.png: the model server does not take it"
        ]
        other = Message("3", "user", "look", (picture(tmp_path, "other.png", b"3"),))
        assert unused(await bench.run(ask(thread, other, run="run-3"))) == []
        assert json.dumps(inputs(bench)).count("data:image/png") == 2


@pytest.mark.parametrize(
    "refusal",
    [
        {"status": 400, "code": "model_not_found", "message": "The model `gpt-6.1-terra` does not exist."},
        {"status": 400, "message": "the request exceeds the available context size"},
        {"status": 401, "code": "invalid_api_key", "message": "Incorrect API key provided."},
    ],
)
async def test_pictures_are_not_left_out_for_another_reason(refusal: dict[str, Any], tmp_path: Path) -> None:
    async with local() as bench:
        post = Message("1", "user", "look", (picture(tmp_path, "cat.png"),))
        bench.server.faults.add(method="POST", path="/responses", times=None, **refusal)
        await bench.broken(ask(await bench.thread(), post), BackendError)
        assert all("data:image/png" in str(body) for body in sent(bench))


async def test_a_request_that_is_refused_without_its_pictures_too_is_refused(tmp_path: Path) -> None:
    async with local() as bench:
        thread = await bench.thread()
        post = Message("1", "user", "look", (picture(tmp_path, "cat.png"),))
        bench.server.faults.add(method="POST", path="/responses", times=2, status=400, message="Bad temperature.")
        await bench.broken(ask(thread, post), BackendRefused)
        again = await bench.run(ask(thread, post, run="run-2", attempt=2))
        assert unused(again) == []
        assert "data:image/png" in str(inputs(bench))


REFUSED = {"code": "server_error", "message": "m is not a multimodal model"}


@pytest.mark.parametrize(
    "refusal",
    [
        event("response.failed", response={"id": "r", "status": "failed", "output": [], "error": REFUSED}),
        event("error", **REFUSED, param=None),
        event("error", error=REFUSED),
    ],
)
async def test_a_server_that_refuses_pictures_within_its_stream(refusal: str, tmp_path: Path) -> None:
    answer = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
              "content": [{"type": "output_text", "text": "hi", "annotations": []}]}  # fmt: skip
    done = event("response.completed", response={"id": "r", "status": "completed", "model": "m", "output": [answer]})

    async def respond(call: web.Request) -> web.Response:
        blind = "input_image" in await call.text()
        return web.Response(text=f"{refusal if blind else done}\n\n", content_type="text/event-stream")

    storage = await SqliteStorage.open("sqlite:///:memory:")
    async with serving({"POST /responses": respond}) as client:
        backend = LocalBackend(client, storage, context_tokens=32_000, patience=PATIENCE)
        post = Message("1", "user", "look", (picture(tmp_path, "cat.png"),))
        events = [each async for each in backend.run(ask("local-1", post))]
    await storage.close()
    assert (text_of(events), len(unused(events))) == ("hi", 1)


async def test_a_stream_that_breaks_off_is_no_refusal(tmp_path: Path) -> None:
    async with local() as bench:
        post = Message("1", "user", "look", (picture(tmp_path, "cat.png"),))
        bench.server.faults.add(method="POST", path="/responses", cut_after_events=1)
        await bench.broken(ask(await bench.thread(), post), RunBroken)
        assert len(sent(bench)) == 1


# Text files


async def test_japanese_is_counted_in_characters(tmp_path: Path) -> None:
    text = "日本語の文章" * 7_333
    async with local() as bench:
        file = text_file(tmp_path, "novel.txt", text)
        assert bench.backend.file_problem(PLAIN, file.name, file.media_type, file.size) is None
        await bench.run(ask(await bench.thread(), Message("1", "user", "read", (file,))))
        assert text in inputs(bench)[-1]["content"]


async def test_text_files_that_pass_the_check_do_not_fail_the_run(tmp_path: Path) -> None:
    async with local(context_tokens=8_000) as bench:
        long = [text_file(tmp_path, f"{name}.csv", f"{name},1\n" * 5_000) for name in ("ada", "bob")]
        files = (*long, text_file(tmp_path, "note.txt", "short"))
        for file in files:
            assert bench.backend.file_problem(PLAIN, file.name, file.media_type, file.size) is None
        assert bench.backend.file_problem(PLAIN, "x.txt", "text/plain", 72_001) == "is over 18,000 characters"
        thread = await bench.thread()
        posts = (Message("1", "user", "read", files[:1]), Message("2", "user", "and", files[1:]))
        assert text_of(await bench.run(ask(thread, *posts))) == "pong and more"
        [first, second] = [item["content"] for item in inputs(bench)]
    assert first.startswith("read\n\nFile ada.csv:\n```\nada,1\n")
    assert first.endswith(" characters)")
    assert "short\n```" in second
    assert abs(len(first) - len(second)) < 100, "the long ones have the same room"


async def test_a_post_that_is_too_long_does_not_hide_what_was_said_before() -> None:
    async with local(context_tokens=2_600) as bench:
        thread = await bench.thread(message(1, "my name is Ada"))
        await bench.broken(ask(thread, message(2, "word " * 350)), PostTooLong)
        await bench.run(ask(thread, message(3, "who am I?"), run="run-2"))
        assert [item["content"] for item in inputs(bench)] == ["my name is Ada", "who am I?"]


async def test_a_long_history_is_not_left_out_as_a_whole() -> None:
    async with local(context_tokens=3_000) as bench:
        thread = await bench.thread(*(message(number, f"{number} " + "word " * 100) for number in range(20)))
        await bench.run(ask(thread, message(30, "well?")))
        assert inputs(bench)[-2]["content"].startswith("19 ")


# Work


async def test_a_run_reads_its_thread_once() -> None:
    class Counting:
        def __init__(self, storage: SqliteStorage) -> None:
            self.read = 0
            self.add_items = storage.add_items
            self._storage = storage

        async def items(self, thread: str) -> Any:
            self.read += 1
            return await self._storage.items(thread)

    async with local(brain=ScriptedBrain(forecaster)) as bench:
        assert bench.storage
        counting = Counting(bench.storage)
        backend = LocalBackend(bench.client, counting, context_tokens=32_000, patience=PATIENCE)
        thread = await backend.create_thread(KEY, [message(1, "hello")], TUTOR)
        first = ask(thread, message(2, "weather?"), functions=(WEATHER,))
        events = [each async for each in backend.run(first)]
        assert counting.read == 1
        [each async for each in backend.run(replace(first, outputs=outputs_for(events, "sunny")))]
        assert counting.read == 2


async def test_what_was_shown_is_not_taken_away_when_the_conversation_is_too_long_after_all() -> None:
    """A stream that ends so after its first words began a new conversation, whose answer took their place."""
    storage = await SqliteStorage.open("sqlite:///:memory:")
    lines = [
        event("response.created", response={"id": "r1"}, sequence_number=0),
        event("response.output_text.delta", delta="Half an answer", item_id="m", sequence_number=1),
        event("error", code="context_length_exceeded", message="too long", param=None, sequence_number=2),
    ]
    async with serving({"POST /responses": streaming(*lines)}) as client:
        backend = LocalBackend(client, storage, context_tokens=32_000, patience=PATIENCE)
        thread = await backend.create_thread(KEY, (), TUTOR)
        told: list[RunEvent] = []

        async def listen() -> None:
            async for each in backend.run(ask(thread, message(1, "hello"))):
                told.append(each)

        with pytest.raises(RunBroken, match="too long for the model"):
            await listen()
    await storage.close()
    assert text_of(told).startswith("Half an answer")

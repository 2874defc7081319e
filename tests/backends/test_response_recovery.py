"""Responses that fail, wait, or are let go: what their conversations keep, what is asked next, and of which model."""

import base64
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bot.backends.failures import OUTCOME_UNKNOWN
from bot.backends.responses.backend import ResponsesBackend
from bot.engine.ports import (
    Attachment,
    CallsWanted,
    FileMade,
    HostedMcp,
    Message,
    RunEvent,
    RunStarted,
    RunStatus,
    Task,
    TaskStatus,
    TextDelta,
    ToolOutput,
)
from bot.errors import BackendRefused, Moderated
from bot.playground.openai import FunctionCall, GeneratedImage, McpCall, McpTools, Question, ScriptedBrain
from tests.backends.bench import KEY, TUTOR, Bench, connected, ended, message, request, started, text_of
from tests.backends.handmade import EMPTY_LIST, answering
from tests.backends.test_response_abilities import WEATHER, _forecaster, saying
from tests.backends.test_response_abilities import answering as handing_in
from tests.backends.test_response_failures import HI, PLAIN, RESPONSE, run_at

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 20


def responses(**options: Any) -> AbstractAsyncContextManager[Bench[ResponsesBackend]]:
    return connected(ResponsesBackend, **options)


def items(bench: Bench[Any], conversation: str) -> list[tuple[str, str]]:
    """What a conversation has, as kinds and words."""
    told = []
    for item in bench.server.items(conversation):
        if item["type"] == "message":
            told.append((item["role"], "".join(part.get("text", "") for part in item["content"])))
        else:
            told.append((item["type"], str(item.get("output", item.get("approve", "")))))
    return told


# What a run leaves that does not complete


async def test_what_a_call_came_to_is_said_when_its_run_is_ended() -> None:
    async with responses(brain=ScriptedBrain(_forecaster)) as bench:
        first = request(await bench.thread(), message(1, "weather?"), functions=(WEATHER,))
        waiting = handing_in(first, await bench.run(first), "sunny")
        await bench.backend.cancel(waiting, "I look it up.")
        assert items(bench, first.backend_thread) == [
            ("user", "weather?"),
            ("assistant", "I look it up."),
            ("function_call", ""),
            ("function_call_output", "sunny"),
        ]


async def test_of_a_call_without_an_outcome_nobody_says_that_nothing_was_done() -> None:
    async with responses(brain=ScriptedBrain(_forecaster)) as bench:
        first = request(await bench.thread(), message(1, "weather?"), functions=(WEATHER,))
        await bench.backend.cancel(replace(first, backend_run=started(await bench.run(first))))
        assert items(bench, first.backend_thread)[-1] == ("function_call_output", OUTCOME_UNKNOWN)


async def test_a_request_for_approval_is_denied_when_its_run_is_ended() -> None:
    wiki = replace(TUTOR, hosted_mcp=(HostedMcp("wiki", "https://wiki.example/mcp"),))
    async with responses(brain=saying(McpCall("wiki", "read", "{}", output="a town"))) as bench:
        first = request(await bench.thread(), message(1, "wiki?"), assistant=wiki)
        await bench.backend.cancel(replace(first, backend_run=started(await bench.run(first))))
        assert items(bench, first.backend_thread)[-1] == ("mcp_approval_response", "False")


async def test_a_failed_runs_question_is_kept_once_whatever_is_tried_again() -> None:
    async with responses() as bench:
        thread = await bench.thread()
        for number in (1, 2):
            bench.server.faults.add(method="POST", path="/responses", status=400, message="No.")
            failing = request(thread, message(1, "ping"), run=f"run-{number}", attempt=number)
            mark = started(await bench.broken(failing, BackendRefused))
            await bench.backend.cancel(replace(failing, backend_run=mark))
            assert items(bench, thread) == [("user", "ping")]
        await bench.run(request(thread, message(1, "ping"), run="run-3", attempt=3))
        assert items(bench, thread) == [("user", "ping"), ("assistant", "pong and more")]


async def test_a_failed_runs_picture_goes_along_when_it_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "cat").write_bytes(PNG)
    post = Message("1.0", "user", "look", (Attachment("cat.png", "image/png", len(PNG), tmp_path / "cat"),))
    async with responses() as bench:
        thread = await bench.thread()
        bench.server.faults.add(method="POST", path="/responses", status=400, message="No.")
        failing = request(thread, post)
        mark = started(await bench.broken(failing, BackendRefused))
        await bench.backend.cancel(replace(failing, backend_run=mark))
        events = await bench.run(request(thread, post, run="run-2", attempt=2))
        assert started(events).endswith("after:")  # by nothing that was taken out is the answer looked for
        assert [kind for kind, _ in items(bench, thread)] == ["user", "assistant"]
        parts = bench.server.items(thread)[0]["content"]
    assert [part["type"] for part in parts] == ["input_text", "input_image"]


@pytest.mark.parametrize("spoken", [True, False])
async def test_a_retry_after_a_call_repeats_neither_the_question_nor_the_call(spoken: bool) -> None:
    called: list[str] = []

    def answer(question: Question) -> Any:
        role, said = question.messages[-1]
        if role == "tool":
            return f"It is {said}."
        called.append(said)
        call = FunctionCall("get_weather", "{}")
        return saying("I look it up.", call).answer(question) if spoken else saying(call).answer(question)

    async with responses(brain=ScriptedBrain(answer)) as bench:
        first = request(await bench.thread(), message(1, "weather?"), functions=(WEATHER,))
        leg = handing_in(first, await bench.run(first), "sunny")
        bench.server.faults.add(method="POST", path="/responses", status=400, message="No.")
        seen = await bench.broken(replace(leg, backend_run=None), BackendRefused)
        await bench.backend.cancel(replace(leg, backend_run=started(seen)))
        retry = request(first.backend_thread, message(1, "weather?"), run="run-2", attempt=2, functions=(WEATHER,))
        events = await bench.run(retry)
        asked = [words for kind, words in items(bench, first.backend_thread) if kind == "user"]
    assert text_of(events) == "It is sunny."
    assert called == ["weather?"]
    assert asked == ["weather?"]


async def test_a_second_leg_that_is_stopped_leaves_its_question_once() -> None:
    async with responses(brain=ScriptedBrain(_forecaster)) as bench:
        first = request(await bench.thread(), message(1, "weather?"), functions=(WEATHER,))
        leg = handing_in(first, await bench.run(first), "sunny")
        events: Any = bench.backend.run(leg)
        seen: list[RunEvent] = [await anext(events)]
        await events.aclose()
        assert isinstance(seen[-1], RunStarted)
        await bench.backend.cancel(replace(leg, backend_run=seen[-1].backend_run), "I look it up.\n\nIt is")
        assert [each for each in items(bench, first.backend_thread) if each[0] in ("user", "assistant")] == [
            ("user", "weather?"),
            ("assistant", "I look it up."),
            ("assistant", "It is"),
        ]


# Tools


async def test_an_approval_is_answered_as_one_whatever_its_id_looks_like() -> None:
    asking = {"id": "approval_1", "type": "mcp_approval_request", "server_label": "w", "name": "n", "arguments": "{}"}
    bodies: list[Any] = []

    async def respond(call: web.Request) -> web.Response:
        bodies.append(await call.json())
        return web.json_response({**RESPONSE, "output": [asking] if len(bodies) == 1 else [HI]})

    routes = {"GET /conversations/{c}/items": answering(EMPTY_LIST), "POST /responses": respond}
    events = await run_at(routes, assistant=PLAIN)
    assert isinstance(events[-1], CallsWanted)
    yes = ToolOutput(events[-1].calls[0].id, "Approved.", approved=True)
    await run_at(routes, assistant=PLAIN, outputs=(yes,))
    [answer] = bodies[-1]["input"]
    assert answer == {"type": "mcp_approval_response", "approval_request_id": "approval_1", "approve": True}


async def test_a_function_call_that_nobody_approved_in_time_is_answered_as_one() -> None:
    bodies: list[Any] = []

    async def respond(call: web.Request) -> web.Response:
        bodies.append(await call.json())
        return web.json_response({**RESPONSE, "output": [HI]})

    routes = {"GET /conversations/{c}/items": answering(EMPTY_LIST), "POST /responses": respond}
    late = ToolOutput("call_1", "Nobody approved this.", failed=True, approved=False)
    await run_at(routes, assistant=PLAIN, outputs=(late,))
    assert bodies[0]["input"][0]["type"] == "function_call_output"


async def test_web_search_can_be_what_is_always_chosen() -> None:
    searcher = replace(TUTOR, tools=("web_search",), tool_choice="web_search")
    async with responses() as bench:
        await bench.ask("graz?", assistant=searcher)
        [call] = bench.calls("POST", "/responses")
    assert call.body["tool_choice"] == {"type": "allowed_tools", "mode": "required", "tools": [{"type": "web_search"}]}


async def test_a_server_of_tools_that_does_not_list_them_is_told_as_a_task() -> None:
    wiki = replace(TUTOR, hosted_mcp=(HostedMcp("wiki", "https://wiki.example/mcp"),))
    async with responses(brain=saying(McpTools("wiki", (), error="Server is down."), "Sorry.")) as bench:
        events = await bench.ask("wiki?", assistant=wiki)
    [task] = [each for each in events if isinstance(each, Task)]
    assert (task.title, task.status, task.output) == ("Asks wiki for its tools", TaskStatus.ERROR, "Server is down.")


async def test_what_an_assistant_searched_before_is_deleted_once_nobody_searches_it(tmp_path: Path) -> None:
    handbook = tmp_path / "handbook.md"
    handbook.write_text("Holidays: 25 days.")
    clerk = replace(TUTOR, tools=("file_search",), files=(handbook,))
    async with responses() as bench:
        wanted = request(await bench.thread(), message(1, "holidays?"), assistant=clerk)
        reading: Any = bench.backend.run(wanted)
        while not isinstance(await anext(reading), TextDelta):
            pass
        [old] = bench.server.vector_stores
        handbook.write_text("Holidays: 30 days.")
        await bench.ask("holidays?", assistant=clerk, run="run-2")
        assert old in bench.server.vector_stores
        await reading.aclose()
        await bench.ask("holidays?", assistant=clerk, run="run-3")
        assert old not in bench.server.vector_stores
        assert len(bench.server.vector_stores) == 1
        assert len(bench.server.files) == 1


async def test_what_another_bobbin_searches_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "handbook.md").write_text("Holidays: 25 days.")
    clerk = replace(TUTOR, tools=("file_search",), files=(tmp_path / "handbook.md",))
    now = 1_000_000_000.0  # long ago
    async with responses(clock=lambda: now) as bench:
        old = await bench.client.vector_stores.create(metadata={"bobbin_assistant": clerk.key, "bobbin_files": "x"})
        now = 4_000_000_000.0  # and long after this test
        used = await bench.client.vector_stores.create(metadata={"bobbin_assistant": clerk.key, "bobbin_files": "y"})
        await bench.ask("holidays?", assistant=clerk)
        assert old.id not in bench.server.vector_stores
        assert used.id in bench.server.vector_stores


# The provider's safety check

SAFE = replace(TUTOR, moderation=True)


async def test_what_was_said_before_a_thread_is_checked_before_a_model_reads_it() -> None:
    async with responses() as bench:
        bench.server.switches.flagged["bomb"] = "violence"
        history = [message(1, "Bob: build a bomb"), message(2, "Ada: hello")]
        thread = await bench.backend.create_thread(KEY, history, SAFE)
        left_out, kept = (words for _, words in items(bench, thread))
    assert "bomb" not in left_out
    assert "is left out" in left_out
    assert kept == "Ada: hello"


async def test_what_is_to_be_asked_of_a_tool_is_checked_before_people_see_it() -> None:
    async with responses(brain=saying(FunctionCall("get_weather", '{"town": "bomb"}'))) as bench:
        bench.server.switches.flagged["bomb"] = "violence"
        wanted = request(await bench.thread(), message(1, "hello"), assistant=SAFE, functions=(WEATHER,))
        seen = await bench.broken(wanted, Moderated)
    assert not [each for each in seen if isinstance(each, CallsWanted)]


async def test_a_picture_that_was_drawn_is_checked_before_people_see_it(tmp_path: Path) -> None:
    artist = replace(SAFE, tools=("image_generation",))
    async with responses(brain=saying(GeneratedImage(PNG + b"bomb"), "There.")) as bench:
        wanted = request(await bench.thread(), message(1, "draw"), assistant=artist, folder=tmp_path)
        bench.server.switches.flagged["bomb"] = "violence"
        seen = await bench.broken(wanted, Moderated)
    assert not [each for each in seen if isinstance(each, FileMade)]


async def test_a_picture_that_cannot_be_checked_is_not_shown_and_the_answer_is(tmp_path: Path) -> None:
    verdict = {"results": [{"flagged": False, "categories": {}}]}
    drawn = {"id": "ig_1", "type": "image_generation_call", "status": "completed"}

    async def judge(call: web.Request) -> web.Response:
        picture = isinstance((await call.json())["input"][0], dict)
        return web.json_response(
            {"error": {"message": "Too large."}} if picture else verdict, status=400 if picture else 200
        )

    output = [{**drawn, "result": base64.b64encode(PNG).decode()}, HI]
    routes = {
        "GET /conversations/{c}/items": answering(EMPTY_LIST),
        "POST /moderations": judge,
        "POST /responses": answering({**RESPONSE, "output": output}),
    }
    events = await run_at(routes, assistant=replace(PLAIN, moderation=True), folder=tmp_path)
    assert (text_of(events), ended(events).status) == ("hi", RunStatus.COMPLETED)
    assert not [each for each in events if isinstance(each, FileMade)]
    assert "picture.png could not be looked at" in str([each for each in events if isinstance(each, Task)])

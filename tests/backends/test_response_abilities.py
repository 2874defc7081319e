"""What a response can do besides talk: functions, tasks, sources, files, and the settings of an assistant."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.backends.responses.backend import ResponsesBackend
from bot.engine.ports import (
    Attachment,
    CallsWanted,
    FileMade,
    HostedMcp,
    Message,
    RunEvent,
    RunRequest,
    RunStatus,
    Source,
    Sources,
    Task,
    TaskStatus,
    ToolOutput,
    ToolSpec,
)
from bot.errors import BackendBusy, RunBroken
from bot.playground.openai import (
    CodeInterpreterCall,
    FileCitation,
    FileLink,
    FileSearch,
    FoundPassage,
    FunctionCall,
    GeneratedImage,
    MadeFile,
    McpCall,
    Piece,
    Question,
    Reasoning,
    ScriptedBrain,
    UrlCitation,
    WebSearch,
)
from tests.backends.bench import STRICT, TUTOR, Bench, connected, ended, message, request, started, text_of

WEATHER = ToolSpec("get_weather", "The weather of a town.", {"type": "object", "properties": {}})
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 20


def responses(**options: Any) -> AbstractAsyncContextManager[Bench[ResponsesBackend]]:
    return connected(ResponsesBackend, **options)


def saying(*pieces: Piece) -> ScriptedBrain:
    async def say() -> AsyncIterator[Piece]:
        for piece in pieces:
            yield piece

    return ScriptedBrain(lambda _: say())


async def _look_up() -> AsyncIterator[Piece]:
    yield "I look it up."
    yield FunctionCall("get_weather", '{"town": "Graz"}')


def _forecaster(question: Question) -> Any:
    role, said = question.messages[-1]
    return f"It is {said}." if role == "tool" else _look_up()


def wanted(events: list[RunEvent]) -> CallsWanted:
    last = events[-1]
    assert isinstance(last, CallsWanted), events
    return last


def answering(before: RunRequest, events: list[RunEvent], text: str, **changes: Any) -> RunRequest:
    outputs = tuple(ToolOutput(call.id, text) for call in wanted(events).calls)
    return replace(before, outputs=outputs, backend_run=started(events), **changes)


class TestFunctions:
    async def test_a_call_is_wanted_and_its_output_goes_on(self) -> None:
        async with responses(brain=ScriptedBrain(_forecaster)) as bench:
            first = request(await bench.thread(), message(1, "weather?"), functions=(WEATHER,))
            events = await bench.run(first)
            [call] = wanted(events).calls
            assert (call.name, call.arguments, call.server) == ("get_weather", '{"town": "Graz"}', None)
            assert text_of(events) == "I look it up."
            rest = await bench.run(answering(first, events, "sunny"))
        assert text_of(rest) == "It is sunny."
        assert ended(rest).status is RunStatus.COMPLETED

    async def test_a_failure_is_told_as_one(self) -> None:
        async with responses(brain=ScriptedBrain(_forecaster)) as bench:
            first = request(await bench.thread(), message(1, "weather?"), functions=(WEATHER,))
            events = await bench.run(first)
            output = ToolOutput(wanted(events).calls[0].id, "no such town", failed=True)
            rest = await bench.run(replace(first, outputs=(output,), backend_run=started(events)))
        assert text_of(rest) == "It is Error: no such town."

    async def test_a_run_that_died_while_it_waited_waits_again(self) -> None:
        async with responses(brain=ScriptedBrain(_forecaster)) as bench:
            first = request(await bench.thread(), message(1, "weather?"), functions=(WEATHER,))
            events = await bench.run(first)
            again = await bench.run(replace(first, attempt=2, backend_run=started(events)))
            assert [call.id for call in wanted(again).calls] == [call.id for call in wanted(events).calls]
            assert len(bench.server.responses) == 1

    async def test_outputs_are_handed_in_once_though_the_process_died_over_it(self) -> None:
        async with responses(brain=ScriptedBrain(_forecaster)) as bench:
            first = request(await bench.thread(), message(1, "weather?"), functions=(WEATHER,))
            events = await bench.run(first)
            second = answering(first, events, "sunny")
            rest = await bench.run(second)
            for known in (started(events), started(rest)):
                again = await bench.run(replace(second, attempt=2, backend_run=started(rest) if known else known))
                assert text_of(again) == "It is sunny."
            assert len(bench.server.responses) == 2

    async def test_a_run_that_died_before_its_outputs_were_handed_in_hands_them_in(self) -> None:
        async with responses(brain=ScriptedBrain(_forecaster)) as bench:
            first = request(await bench.thread(), message(1, "weather?"), functions=(WEATHER,))
            events = await bench.run(first)
            rest = await bench.run(answering(first, events, "sunny", attempt=2))
            assert text_of(rest) == "It is sunny."
            assert len(bench.server.responses) == 2

    async def test_a_cancel_leaves_no_call_unanswered(self) -> None:
        async with responses(brain=ScriptedBrain(_forecaster)) as bench:
            first = request(await bench.thread(), message(1, "weather?"), functions=(WEATHER,))
            events = await bench.run(first)
            await bench.backend.cancel(replace(first, backend_run=started(events)), "I look it up.")
            items = bench.server.items(first.backend_thread)
            assert [item["type"] for item in items][-1] == "function_call_output"
            bench.server.faults.clear()
            after = await bench.run(request(first.backend_thread, message(2, "weather?"), run="run-2"))
        assert isinstance(after[-1], CallsWanted)

    async def test_a_call_that_an_earlier_run_left_is_answered_before_the_next(self) -> None:
        async with responses(brain=ScriptedBrain(_forecaster)) as bench:
            first = request(await bench.thread(), message(1, "weather?"), functions=(WEATHER,))
            await bench.run(first)
            after = await bench.run(request(first.backend_thread, message(2, "again?"), run="run-2"))
        assert isinstance(after[-1], CallsWanted)

    async def test_the_providers_own_call_is_approved_by_people(self) -> None:
        server = HostedMcp("wiki", "https://wiki.example/mcp", authorization="wiki-token")
        brain = saying(McpCall("wiki", "read", '{"page": "Graz"}', output="a town"), "Done.")
        async with responses(brain=brain) as bench:
            assistant = replace(TUTOR, hosted_mcp=(server,))
            first = request(await bench.thread(), message(1, "wiki?"), assistant=assistant)
            events = await bench.run(first)
            [call] = wanted(events).calls
            assert (call.name, call.server) == ("read", "wiki")
            assert bench.calls("POST", "/responses")[-1].body["tools"][-1]["authorization"] == "wiki-token"
            yes = ToolOutput(call.id, "Approved.", approved=True)
            rest = await bench.run(replace(first, outputs=(yes,), backend_run=started(events)))
        assert isinstance(rest[-1], CallsWanted) or ended(rest).status is RunStatus.COMPLETED


class TestTasksAndSources:
    async def test_code_is_told_as_a_task(self) -> None:
        async with responses(brain=saying(CodeInterpreterCall("x = 1\nprint(x)", "1"), "It is 1.")) as bench:
            events = await bench.ask("run")
        tasks = [event for event in events if isinstance(event, Task)]
        assert [(task.title, task.status) for task in tasks] == [
            ("Runs code", TaskStatus.IN_PROGRESS),
            ("Runs code", TaskStatus.COMPLETE),
        ]
        assert tasks[-1].details == "x = 1"
        assert len({task.id for task in tasks}) == 1

    async def test_web_pages_become_numbered_sources(self) -> None:
        assistant = replace(TUTOR, tools=("web_search",))
        page = UrlCitation("https://example.com/graz", "Graz")
        async with responses(brain=saying(WebSearch("graz"), "A town.", page, page)) as bench:
            events = await bench.ask("graz?", assistant=assistant)
        sources = [event for event in events if isinstance(event, Sources)]
        assert sources[-1].sources == (Source("Graz", "https://example.com/graz"),)
        assert "Searches the web" in [event.title for event in events if isinstance(event, Task)]

    async def test_files_become_sources_by_name(self, tmp_path: Path) -> None:
        (tmp_path / "handbook.md").write_text("Holidays: 25 days.")
        assistant = replace(TUTOR, tools=("file_search",), files=(tmp_path / "handbook.md",))
        found = FileSearch(("holidays",), (FoundPassage("handbook.md", "25 days"),))
        async with responses(brain=saying(found, "25 days.", FileCitation("handbook.md"))) as bench:
            events = await bench.ask("holidays?", assistant=assistant)
            again = await bench.ask("holidays?", assistant=assistant, run="run-2")
            assert len(bench.server.vector_stores) == 1
        for each in (events, again):
            assert [e for e in each if isinstance(e, Sources)][-1].sources == (Source("handbook.md"),)

    async def test_an_assistant_without_files_has_nothing_to_search(self) -> None:
        async with responses() as bench:
            await bench.ask("holidays?", assistant=replace(TUTOR, tools=("file_search", "code_interpreter")))
            [call] = bench.calls("POST", "/responses")
        assert [tool["type"] for tool in call.body["tools"]] == ["code_interpreter"]

    async def test_a_store_that_somebody_deleted_is_made_again_at_the_next_try(self, tmp_path: Path) -> None:
        (tmp_path / "handbook.md").write_text("Holidays: 25 days.")
        assistant = replace(TUTOR, tools=("file_search",), files=(tmp_path / "handbook.md",))
        async with responses() as bench:
            await bench.ask("holidays?", assistant=assistant)
            [store] = bench.server.vector_stores
            await bench.client.vector_stores.delete(store)
            gone = request(await bench.thread(), message(1, "and now?"), assistant=assistant, run="run-2")
            await bench.broken(gone, RunBroken)
            events = await bench.ask("now?", assistant=assistant, run="run-3")
        assert text_of(events) == "pong and more"

    async def test_reasoning_is_shown_only_where_the_assistant_says_so(self) -> None:
        brain = saying(Reasoning(("I add the numbers.",)), "3")
        async with responses(brain=brain) as bench:
            silent = await bench.ask("1+2")
            shown = await bench.ask("1+2", assistant=replace(TUTOR, reasoning_summary=True), run="run-2")
        assert not [e for e in silent if isinstance(e, Task)]
        assert [e.output for e in shown if isinstance(e, Task)] == ["I add the numbers."]

    async def test_what_a_model_thinks_is_not_shown_where_its_answers_are_checked(self) -> None:
        brain = saying(Reasoning(("I think of a bomb.",)), CodeInterpreterCall("bomb = 1", ""), "3")
        async with responses(brain=brain) as bench:
            events = await bench.ask("1+2", assistant=replace(TUTOR, reasoning_summary=True, moderation=True))
        tasks = [event for event in events if isinstance(event, Task)]
        assert "Runs code" in [task.title for task in tasks]
        assert "bomb" not in str(tasks)


class TestFilesOut:
    async def test_files_of_the_code_are_fetched_cited_or_not(self, tmp_path: Path) -> None:
        made = (MadeFile("chart.png", PNG, "image/png"), MadeFile("rows.csv", b"a,b\n", "text/csv"))
        brain = saying(CodeInterpreterCall("plot()", "", files=made), "See ", FileLink("rows.csv"), ".")
        async with responses(brain=brain) as bench:
            events = await bench.ask("plot", folder=tmp_path)
        files = {event.name: event.path.read_bytes() for event in events if isinstance(event, FileMade)}
        assert files == {"chart.png": PNG, "rows.csv": b"a,b\n"}

    async def test_a_container_that_died_does_not_end_the_run(self, tmp_path: Path) -> None:
        brain = saying(
            CodeInterpreterCall("plot()", "", files=(MadeFile("a.csv", b"a", "text/csv"),)), "See ", FileLink("a.csv")
        )
        async with responses(brain=brain) as bench:
            bench.server.faults.add(method="GET", path="/containers/{c}/files/{f}/content", status=404, times=None)
            events = await bench.ask("plot", folder=tmp_path)
        assert ended(events).status is RunStatus.COMPLETED
        assert not [event for event in events if isinstance(event, FileMade)]

    async def test_a_picture_is_a_file(self, tmp_path: Path) -> None:
        async with responses(brain=saying(GeneratedImage(PNG), "There.")) as bench:
            events = await bench.ask("draw", assistant=replace(TUTOR, tools=("image_generation",)), folder=tmp_path)
        [file] = [event for event in events if isinstance(event, FileMade)]
        assert file.path.read_bytes() == PNG


class TestFilesIn:
    async def test_the_model_sees_pictures_and_reads_documents(self, tmp_path: Path) -> None:
        heard: list[Question] = []

        def listen(question: Question) -> str:
            heard.append(question)
            return "I see."

        (tmp_path / "p").write_bytes(PNG)
        (tmp_path / "d").write_text("a,b\n")
        files = (
            Attachment("photo.png", "image/png", len(PNG), tmp_path / "p"),
            Attachment("rows.csv", "text/csv", 4, tmp_path / "d"),
        )
        async with responses(brain=ScriptedBrain(listen)) as bench:
            await bench.run(request(await bench.thread(), Message("1.0", "user", "look", files)))
        assert [(file.name, file.kind) for file in heard[0].files] == [("photo.png", "image"), ("rows.csv", "file")]
        assert heard[0].last.strip() == "look"

    async def test_documents_beyond_what_a_request_takes_are_for_code(self, tmp_path: Path) -> None:
        files = []
        for name in ("one.pdf", "two.pdf"):
            (tmp_path / name).write_bytes(b"%PDF-1.7")
            files.append(Attachment(name, "application/pdf", 30 * 2**20, tmp_path / name))
        async with responses() as bench:
            await bench.run(request(await bench.thread(), Message("1.0", "user", "look", tuple(files))))
            [call] = bench.calls("POST", "/responses")
        parts = [part["type"] for part in call.body["input"][0]["content"]]
        assert parts == ["input_text", "input_file"]
        assert len(call.body["tools"][0]["container"]["file_ids"]) == 1
        plain = replace(TUTOR, tools=())
        backend = ResponsesBackend(_no_client())
        problem = backend.file_problem(plain, "two.pdf", "application/pdf", 30 * 2**20, before=30 * 2**20)
        assert "beside the others: at most 50 MB" in str(problem)
        await backend.close()

    @pytest.mark.parametrize(
        ("media_type", "size", "said"),
        [
            ("image/png", 21 * 2**20, "at most 20 MB"),
            ("application/pdf", 60 * 2**20, "at most 512 MB"),
            ("application/zip", 10, "code interpreter"),
            ("text/plain", 0, "is empty"),
        ],
    )
    def test_what_cannot_be_used_is_said(self, media_type: str, size: int, said: str) -> None:
        backend = ResponsesBackend(_no_client())
        plain = replace(TUTOR, tools=() if media_type == "application/zip" else TUTOR.tools)
        problem = backend.file_problem(plain, "x", media_type, size)
        assert (problem is None) if said == "at most 512 MB" else said in str(problem)

    async def test_a_recording_is_written_down(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"ID3" + b"0" * 100)
        async with responses() as bench:
            bench.server.switches.transcript = "Hello there."
            audio = Attachment("clip.mp3", "audio/mpeg", 103, tmp_path / "a")
            assert await bench.backend.transcribe(audio) == "Hello there."


class TestSettings:
    async def test_what_a_file_sets_reaches_the_request(self) -> None:
        assistant = replace(
            TUTOR, top_p=0.5, max_output_tokens=100, truncation="disabled", response_format="json_object",
            reasoning_effort="low", reasoning_summary=True, tool_choice="none",
        )  # fmt: skip
        async with responses() as bench:
            await bench.ask("ping", assistant=assistant)
            [sent] = [each.body for each in bench.calls("POST", "/responses")]
        assert sent["top_p"] == 0.5
        assert sent["max_output_tokens"] == 100
        assert sent["truncation"] == "disabled"
        assert sent["text"] == {"format": {"type": "json_object"}}
        assert sent["reasoning"] == {"effort": "low", "summary": "auto"}
        assert sent["tool_choice"] == "none"
        assert sent["safety_identifier"] == "a1b2c3"

    async def test_a_schema_can_be_strict_and_described(self) -> None:
        assistant = replace(TUTOR, response_format=STRICT)
        async with responses() as bench:
            await bench.ask("ping", assistant=assistant)
            [sent] = [each.body for each in bench.calls("POST", "/responses")]
        schema = {"name": "verdict", "description": "Of a case.", "schema": {"type": "object"}, "strict": True}
        assert sent["text"] == {"format": {"type": "json_schema", **schema}}

    @pytest.mark.parametrize("gone", ["retired", "overloaded"])
    async def test_another_model_answers_where_one_is_gone(self, gone: str) -> None:
        assistant = replace(TUTOR, fallback_models=("gpt-6-luna",))
        async with responses() as bench:
            if gone == "retired":
                bench.server.switches.retired.add(TUTOR.model)
            else:
                bench.server.switches.overloaded[TUTOR.model] = 503
            events = await bench.ask("ping", assistant=assistant)
        assert text_of(events) == "pong and more"
        assert ended(events).model == "gpt-6-luna"

    async def test_another_model_answers_where_one_fails_before_its_first_word(self) -> None:
        def answer(question: Question) -> str:
            if question.model == TUTOR.model:
                raise RuntimeError("Our servers are currently overloaded.")
            return f"pong to {question.last}"

        async with responses(brain=ScriptedBrain(answer)) as bench:
            thread = await bench.thread()
            first = request(thread, message(1, "ping"), assistant=replace(TUTOR, fallback_models=("gpt-6-luna",)))
            events = await bench.run(first)
            asked = [item for item in bench.server.items(thread) if item.get("role") == "user"]
            without = request(await bench.thread(), message(1, "ping"), run="run-2")
            assert ended(await bench.run(without)).status is RunStatus.FAILED
        assert text_of(events) == "pong to ping"
        assert ended(events).model == "gpt-6-luna"
        assert len(asked) == 1

    async def test_files_that_are_never_read_end_in_a_sentence(self, tmp_path: Path, monkeypatch: Any) -> None:
        (tmp_path / "handbook.md").write_text("Holidays.")
        assistant = replace(TUTOR, tools=("file_search",), files=(tmp_path / "handbook.md",))
        async with responses() as bench:
            bench.server.switches.indexing = "stays"
            bench.backend._stores._reading = replace(bench.backend._stores._reading, total=0.5)
            wanted = request(await bench.thread(), message(1, "holidays?"), assistant=assistant)
            await bench.broken(wanted, BackendBusy)


def _no_client() -> Any:
    import openai

    return openai.AsyncOpenAI(api_key="sk-none", base_url="http://127.0.0.1:9/v1", max_retries=0)

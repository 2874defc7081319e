"""What runs of an Assistants server make beside text: tasks, sources and files."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.backends.assistants.backend import AssistantsBackend
from bot.backends.downloads import safe_name, saved
from bot.engine.ports import (
    FileMade,
    RunEvent,
    RunStatus,
    Source,
    Sources,
    Task,
    TaskStatus,
    TextDelta,
    ToolOutput,
    ToolSpec,
)
from bot.errors import FileUnusable
from bot.playground.openai import (
    CodeInterpreterCall,
    FileCitation,
    FileLink,
    FileSearch,
    FoundPassage,
    FunctionCall,
    MadeFile,
    Piece,
    Question,
    ScriptedBrain,
)
from tests.backends.bench import TUTOR, Bench, connected, ended, message, request, started, text_of

RUNS = "/threads/{t}/runs"
PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
PLOT = MadeFile("plot.png", PNG, "image/png")
TABLE = MadeFile("table.csv", b"a,b\n1,2\n", "text/csv")
CODE = "\nimport math\nprint(math.pi)\n"
TIME_CALL = FunctionCall("get_time", "{}")
IN_PROGRESS, COMPLETE, ERROR = TaskStatus.IN_PROGRESS, TaskStatus.COMPLETE, TaskStatus.ERROR


def assistants(*pieces: Piece, **options: Any) -> AbstractAsyncContextManager[Bench[AssistantsBackend]]:
    """A backend at a server whose answers are these pieces."""
    options.setdefault("brain", ScriptedBrain(lambda _: each_of(pieces)))
    return connected(AssistantsBackend, **options)


async def each_of(pieces: Sequence[Piece]) -> AsyncIterator[Piece]:
    for piece in pieces:
        yield piece


def tasks(events: list[RunEvent]) -> list[tuple[str, TaskStatus, str]]:
    return [(each.title, each.status, each.details) for each in events if isinstance(each, Task)]


def made(events: list[RunEvent]) -> list[FileMade]:
    return [event for event in events if isinstance(event, FileMade)]


def sources(events: list[RunEvent]) -> list[tuple[str, ...]]:
    return [tuple(each.title for each in event.sources) for event in events if isinstance(event, Sources)]


def deltas(events: list[RunEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


# Tasks


async def test_code_is_told_while_it_runs_and_when_it_has_run() -> None:
    async with assistants(CodeInterpreterCall(CODE, "3.14"), "It is pi.") as bench:
        events = await bench.ask("pi?")
    assert tasks(events) == [
        ("Runs code", IN_PROGRESS, ""),
        ("Runs code", IN_PROGRESS, "import math"),
        ("Runs code", COMPLETE, "import math"),
    ]
    assert len({event.id for event in events if isinstance(event, Task)}) == 1
    assert text_of(events) == "It is pi."


async def test_tasks_are_told_where_the_server_does_not_stream() -> None:
    gate = asyncio.Event()

    async def answer() -> AsyncIterator[Piece]:
        yield CodeInterpreterCall(CODE, "3.14")
        await gate.wait()
        yield "It is pi."

    async with assistants(brain=ScriptedBrain(lambda _: answer()), streaming=False) as bench:
        events = bench.backend.run(request(await bench.thread(), message(1, "pi?")))
        seen: list[RunEvent] = []
        while not tasks(seen):
            seen.append(await anext(events))
        assert tasks(seen) == [("Runs code", COMPLETE, "import math")]
        gate.set()
        rest = [event async for event in events]
    assert not tasks(rest)
    assert text_of(rest) == "It is pi."


async def test_a_task_whose_stream_broke_is_told_to_have_ended() -> None:
    async with assistants(CodeInterpreterCall(CODE, "3.14"), "It is pi.") as bench:
        bench.server.faults.add(method="POST", path=RUNS, cut_after_events=6)
        bench.server.faults.add(method="GET", path="/threads/{t}/runs/{r}/steps", status=404, times=None)
        events = await bench.ask("pi?")
    assert tasks(events)[0][1] is IN_PROGRESS
    assert tasks(events)[-1][1] is COMPLETE


async def test_a_task_of_a_run_that_failed_has_failed() -> None:
    async with assistants(CodeInterpreterCall(CODE, "3.14"), "It is pi.") as bench:
        bench.server.faults.add(method="POST", path=RUNS, cut_after_events=6, run_status="failed")
        bench.server.faults.add(method="GET", path="/threads/{t}/runs/{r}/steps", status=404, times=None)
        events = await bench.ask("pi?")
    assert tasks(events)[-1][1] is ERROR
    assert ended(events).status is RunStatus.FAILED


async def test_a_long_line_of_code_is_told_in_part() -> None:
    async with assistants(CodeInterpreterCall("x = " + "1" * 500 + "\n", ""), "done") as bench:
        events = await bench.ask("?")
    assert {len(details) for _, _, details in tasks(events)} <= {0, 200}


async def test_functions_are_told_by_who_calls_them() -> None:
    spec = ToolSpec("get_time", "", {"type": "object", "properties": {}})
    async with assistants(FunctionCall("get_time", "{}")) as bench:
        assert not tasks(await bench.ask("what time?", functions=(spec,)))


# Sources


@pytest.fixture
def library(tmp_path: Path) -> Any:
    """An assistant with two files to search."""
    for name in ("rules.md", "prices.md"):
        (tmp_path / name).write_text(f"# {name}")
    files = (tmp_path / "rules.md", tmp_path / "prices.md")
    return replace(TUTOR, tools=("file_search",), files=files)


FOUND = FileSearch(("rules",), (FoundPassage("rules.md", "No running."),))


@pytest.mark.parametrize("streaming", [True, False])
async def test_marks_become_numbers_and_sources(library: Any, streaming: bool) -> None:
    pieces = (FOUND, "No running", FileCitation("rules.md"), ", it costs 5", FileCitation("prices.md"),
              " or 6", FileCitation("rules.md"), ".")  # fmt: skip
    async with assistants(*pieces, streaming=streaming) as bench:
        events = await bench.ask("may I run?", assistant=library)
    assert text_of(events) == "No running[1], it costs 5[2] or 6[1]."
    assert sources(events)[-1] == ("rules.md", "prices.md")
    assert len(sources(events)) == (2 if streaming else 1)
    assert tasks(events)[-1] == ("Searches its files", COMPLETE, "")
    if streaming:
        assert deltas(events) == text_of(events)
        assert not [event for event in events if isinstance(event, TextDelta) and "【" in event.text]


async def test_numbers_go_on_after_functions(library: Any) -> None:
    def answer(question: Question) -> Any:
        if question.messages[-1][0] == "user":
            return each_of((FOUND, "Rules", FileCitation("rules.md"), FunctionCall("get_time", "{}")))
        return each_of(("Prices", FileCitation("prices.md"), " rules", FileCitation("rules.md")))

    spec = ToolSpec("get_time", "", {"type": "object", "properties": {}})
    async with assistants(brain=ScriptedBrain(answer)) as bench:
        first = request(await bench.thread(), message(1, "?"), assistant=library, functions=(spec,))
        events = await bench.run(first)
        call = events[-1].calls[0].id  # type: ignore[union-attr]
        outputs = (ToolOutput(call, "noon"),)
        going_on = replace(first, outputs=outputs, backend_run=started(events))
        rest = await bench.run(going_on)
        again = await bench.run(replace(going_on, attempt=2))
    assert text_of(events) == "Rules[1]"
    assert text_of(rest) == text_of(again) == "Prices[2] rules[1]"
    # All sources are told again: after a restart nobody else knows the first ones.
    assert sources(rest)[-1] == sources(again)[-1] == ("rules.md", "prices.md")
    assert not [task for task in tasks(rest) + tasks(again) if task[0] == "Searches its files"]


async def test_a_mark_that_comes_in_pieces_is_never_shown() -> None:
    marks = ["Yes 【4", ":0†rul", "es.md】", " no 【unfinished"]
    async with assistants(*marks) as bench:
        events = await bench.ask("?")
    assert text_of(events) == "".join(marks)  # nobody said what they stand for
    shown = ""
    for event in events:
        if isinstance(event, TextDelta):
            shown += event.text
            assert "".join(marks).startswith(shown)
            assert not re.search(r"【[^】]*$", shown)


async def test_a_file_whose_name_is_not_told_is_cited_all_the_same(library: Any) -> None:
    async with assistants(FOUND, "No", FileCitation("rules.md")) as bench:
        bench.server.faults.add(method="GET", path="/files/{f}", status=404, times=None)
        events = await bench.ask("?", assistant=library)
        file = next(iter(bench.server.files))
    assert sources(events) == [(file,)]
    assert text_of(events) == "No[1]"


async def test_names_are_asked_once(library: Any) -> None:
    async with assistants(FOUND, "No", FileCitation("rules.md")) as bench:
        thread = await bench.thread()
        for number in (1, 2):
            events = await bench.run(request(thread, message(number, "?"), assistant=library, run=f"run-{number}"))
            assert next(event for event in events if isinstance(event, Sources)).sources == (Source("rules.md"),)
        assert len(bench.calls("GET", r"/files/[\w-]+")) == 1


# Files


@pytest.mark.parametrize("streaming", [True, False])
async def test_files_are_fetched_once_and_their_links_are_left_to_whoever_shows_them(
    tmp_path: Path, streaming: bool
) -> None:
    pieces = (CodeInterpreterCall(CODE, "", (PLOT, TABLE)), "See ", FileLink("table.csv"), " and ",
              FileLink("table.csv"), ".")  # fmt: skip
    async with assistants(*pieces, streaming=streaming) as bench:
        events = await bench.ask("plot", folder=tmp_path / "run-1")
        assert len(bench.calls("GET", r"/files/[\w-]+/content")) == 2
    link = "[table.csv](sandbox:/mnt/data/table.csv)"
    assert text_of(events) == f"See {link} and {link}."
    assert {each.name: each.path.read_bytes() for each in made(events)} == {"plot.png": PNG, "table.csv": TABLE.content}
    assert {each.media_type for each in made(events)} == {"image/png", "text/csv"}
    assert {each.path.parent for each in made(events)} == {tmp_path / "run-1"}
    assert text_of(events).startswith(deltas(events))


async def test_files_of_before_the_functions_are_not_fetched_again(tmp_path: Path) -> None:
    def answer(question: Question) -> Any:
        if question.messages[-1][0] == "user":
            return each_of((CodeInterpreterCall(CODE, "", (PLOT,)), "Here.", FunctionCall("get_time", "{}")))
        return each_of((CodeInterpreterCall(CODE, "", (MadeFile("second.png", PNG, "image/png"),)), "Done."))

    spec = ToolSpec("get_time", "", {"type": "object", "properties": {}})
    async with assistants(brain=ScriptedBrain(answer), streaming=False) as bench:
        first = request(await bench.thread(), message(1, "?"), functions=(spec,), folder=tmp_path)
        events = await bench.run(first)
        outputs = (ToolOutput(events[-1].calls[0].id, "noon"),)  # type: ignore[union-attr]
        rest = await bench.run(replace(first, outputs=outputs, backend_run=started(events)))
    assert [each.name for each in made(events)] == ["plot.png"]
    assert [each.name for each in made(rest)] == ["second.png"]


async def test_a_file_that_is_pointed_to_again_after_the_functions_is_not_fetched_again(tmp_path: Path) -> None:
    def answer(question: Question) -> Any:
        if question.messages[-1][0] == "user":
            return each_of((CodeInterpreterCall(CODE, "", (TABLE,)), FileLink("table.csv"), TIME_CALL))
        return each_of(("Again: ", FileLink("table.csv")))

    spec = ToolSpec("get_time", "", {"type": "object", "properties": {}})
    async with assistants(brain=ScriptedBrain(answer)) as bench:
        first = request(await bench.thread(), message(1, "?"), functions=(spec,), folder=tmp_path)
        events = await bench.run(first)
        outputs = (ToolOutput(events[-1].calls[0].id, "noon"),)  # type: ignore[union-attr]
        rest = await bench.run(replace(first, outputs=outputs, backend_run=started(events)))
    assert [each.name for each in made(events)] == ["table.csv"]
    assert not made(rest)
    assert text_of(rest) == "Again: [table.csv](sandbox:/mnt/data/table.csv)"


async def test_two_files_of_one_name_both_arrive(tmp_path: Path) -> None:
    other = MadeFile("plot.png", PNG + b"!", "image/png")
    async with assistants(CodeInterpreterCall(CODE, "", (PLOT, other)), "Two.") as bench:
        events = await bench.ask("plot", folder=tmp_path)
    assert [each.name for each in made(events)] == ["plot.png", "plot-2.png"]
    assert made(events)[1].path.read_bytes() == PNG + b"!"


async def test_a_file_that_cannot_be_fetched_is_said_to_be_missing(tmp_path: Path) -> None:
    async with assistants(CodeInterpreterCall(CODE, "", (PLOT,)), "Here.") as bench:
        bench.server.faults.add(method="GET", path="/files/{f}/content", status=404, times=None)
        events = await bench.ask("plot", folder=tmp_path)
    failed = [event for event in events if isinstance(event, Task) and event.status is ERROR]
    assert [task.output for task in failed] == ["plot.png could not be fetched from the model server"]
    assert not made(events)
    assert list(tmp_path.iterdir()) == []
    assert ended(events).status is RunStatus.COMPLETED


async def test_a_file_that_is_too_large_is_not_kept(tmp_path: Path) -> None:
    async with assistants() as bench:
        large = await bench.client.files.create(file=("plot.png", PNG * 1000), purpose="vision")
        download = bench.client.files.with_streaming_response.content(large.id)
        with pytest.raises(FileUnusable) as caught:
            await saved(download, tmp_path, "plot.png", limit=2**12)
    assert caught.value.sentence == "is over 0.00391 MB"
    assert list(tmp_path.iterdir()) == []


async def test_an_image_without_an_ending_gets_its_own(tmp_path: Path) -> None:
    async with assistants() as bench:
        image = await bench.client.files.create(file=("plot", PNG), purpose="vision")
        made_file = await saved(bench.client.files.with_streaming_response.content(image.id), tmp_path, "plot")
    assert (made_file.name, made_file.media_type, made_file.path.read_bytes()) == ("plot.png", "image/png", PNG)
    assert list(tmp_path.iterdir()) == [made_file.path]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("/mnt/data/plot.png", "plot.png"),
        ("../../etc/passwd", "passwd"),
        ("..", "file"),
        ("", "file"),
        ("C:\\temp\\a b.txt", "a b.txt"),
        ("bad\x00\n*name?.csv", "bad_name_.csv"),
        ("größe.csv", "größe.csv"),
        ("x" * 300 + ".csv", "x" * 96 + ".csv"),
    ],
)
def test_names_of_files_are_made_safe(name: str, safe: str) -> None:
    assert safe_name(name) == safe


async def test_without_a_folder_nothing_is_fetched() -> None:
    async with assistants(CodeInterpreterCall(CODE, "", (PLOT,)), "Here.") as bench:
        assert not made(await bench.ask("plot"))
        assert not bench.calls("GET", r"/files/.*")

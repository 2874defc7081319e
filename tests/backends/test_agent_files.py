"""Documents of posts, in the sandboxes of agents."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bot.engine.ports import Attachment, FilesUnused, Message
from tests.backends.bench import TUTOR, message, text_of
from tests.backends.test_agents import POET, agents, ask, listening

if TYPE_CHECKING:
    from bot.playground.openai import Question

REPORT = "1700000000.000001-report.pdf"
PDF = "application/pdf"


def document(folder: Path, name: str = "report.pdf", kind: str = PDF) -> Attachment:
    path = folder / name
    path.write_bytes(b"%PDF-1.4")
    return Attachment(name, kind, 8, path)


def posted(number: int, text: str, *files: Attachment) -> Message:
    return replace(message(number, text), files=files)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.pdf", PDF), ("a.xlsx", "application/vnd.ms-excel"), ("a.zip", "application/zip"), ("a.csv", "text/csv")],
)
async def test_documents_of_posts_lie_in_the_sandbox_of_who_may_run_code(name: str, kind: str, tmp_path: Path) -> None:
    heard: list[Question] = []
    async with agents(brain=listening(heard, "read"), assistant=TUTOR) as bench:
        assert bench.backend.file_problem(TUTOR, name, kind, 8) is None
        thread = await bench.thread()
        for number in (1, 2):  # in a new session, and in one that goes on
            asked = posted(number, "read", document(tmp_path, name, kind))
            await bench.run(ask(thread, asked, assistant=TUTOR, run=f"run-{number}"))
        assert len(bench.server.agent_sessions) == 1
        assert {file.purpose for file in bench.server.files.values()} == {"user_data"}
    places = [f"1700000000.00000{number}-{name}" for number in (1, 2)]
    assert [file.name for file in heard[1].files] == places
    assert heard[0].last == f"read\n\n[File {name}: /workspace/{places[0]}]"
    assert heard[1].last == f"read\n\n[File {name}: /workspace/{places[1]}]"


async def test_another_assistants_session_has_the_documents_too(tmp_path: Path) -> None:
    heard: list[Question] = []
    async with agents(brain=listening(heard, "read"), assistant=TUTOR) as bench:
        thread = await bench.thread()
        await bench.run(ask(thread, posted(1, "read", document(tmp_path)), assistant=TUTOR))
        await bench.run(ask(thread, message(2, "rhyme"), assistant=replace(POET, tools=TUTOR.tools), run="run-2"))
    assert [file.name for file in heard[1].files] == [REPORT]


async def test_a_sandbox_that_takes_no_files_any_more_is_replaced(tmp_path: Path) -> None:
    heard: list[Question] = []
    async with agents(brain=listening(heard, "read"), assistant=TUTOR) as bench:
        thread = await bench.thread(message(0, "hello"))
        await bench.run(ask(thread, message(1, "ping"), assistant=TUTOR))
        bench.server.faults.add(method="POST", path="/agents/environments/{e}/files", status=404)
        asked = ask(thread, posted(2, "read", document(tmp_path)), assistant=TUTOR, run="run-2")
        assert text_of(await bench.run(asked)) == "read"
        assert len(bench.server.agent_sessions) == 2
    assert "hello" in heard[1].messages[0][1]
    assert [file.name for file in heard[1].files] == ["1700000000.000002-report.pdf"]


@pytest.mark.parametrize("path", ["/files", "/agents/sessions"])
async def test_a_document_that_the_server_refuses_is_named_and_the_rest_goes_on(path: str, tmp_path: Path) -> None:
    heard: list[Question] = []
    async with agents(brain=listening(heard, "read"), assistant=TUTOR) as bench:
        bench.server.faults.add(method="POST", path=path, status=400)
        asked = posted(1, "read", document(tmp_path))
        events = await bench.run(ask(await bench.thread(), asked, assistant=TUTOR))
    [unused] = [event for event in events if isinstance(event, FilesUnused)]
    assert unused.problems == ("report.pdf: the model server does not take it",)
    assert heard[0].last.endswith("[A file that you cannot read: report.pdf: the model server does not take it]")
    assert text_of(events) == "read"
    assert not heard[0].files

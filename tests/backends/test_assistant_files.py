"""Files of posts, on their way into threads of an Assistants server."""

from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.backends.assistants.backend import AssistantsBackend
from bot.engine.ports import Attachment, FilesUnused, Message
from bot.errors import BackendError, BackendRefused, BackendUnsupported, RunBroken
from bot.playground.openai import Question, ScriptedBrain
from tests.backends.bench import NO_PATIENCE, TUTOR, Bench, connected, message, request, text_of

MESSAGES = "/threads/{t}/messages"
PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
PLAIN = replace(TUTOR, tools=())
SEARCHER = replace(TUTOR, tools=("file_search",))
BOTH = replace(TUTOR, tools=("code_interpreter", "file_search"))


def assistants(heard: list[Question] | None = None, **options: Any) -> AbstractAsyncContextManager[Any]:
    def answer(question: Question) -> str:
        if heard is not None:
            heard.append(question)
        return "I see."

    return connected(AssistantsBackend, brain=ScriptedBrain(answer), **options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def attachment(folder: Path, name: str, media_type: str, content: bytes = b"content") -> Attachment:
    path = folder / name
    path.write_bytes(content)
    return Attachment(name, media_type, len(content), path)


def post(number: int, text: str, *files: Attachment) -> Message:
    return replace(message(number, text), files=files)


async def sent(bench: Bench[AssistantsBackend], asked: Message, **changes: Any) -> list[Any]:
    """The messages of the people in a new thread, after one was answered."""
    thread = await bench.thread()
    assert text_of(await bench.run(request(thread, asked, **changes))) == "I see."
    return [each for each in bench.server.messages(thread) if each.role == "user"]


async def test_images_are_seen(folder: Path) -> None:
    heard: list[Question] = []
    async with assistants(heard) as bench:
        [one] = await sent(bench, post(1, "look", attachment(folder, "a.png", "image/png", PNG)), assistant=PLAIN)
        [file] = bench.server.files.values()
    assert [block["type"] for block in one.content] == ["text", "image_file"]
    assert (file.purpose, file.filename, file.media_type) == ("vision", "a.png", "image/png")
    assert [(seen.name, seen.kind) for seen in heard[0].files] == [("a.png", "image")]


async def test_files_are_attached_for_the_tools_that_take_them(folder: Path) -> None:
    files = [
        attachment(folder, "data.csv", "text/csv"),
        attachment(folder, "paper.pdf", "application/pdf"),
        attachment(folder, "all.zip", "application/zip"),
    ]
    async with assistants() as bench:
        [one] = await sent(bench, post(1, "read", *files), assistant=BOTH)
        purposes = {each.purpose for each in bench.server.files.values()}
    assert [[tool["type"] for tool in each["tools"]] for each in one.attachments] == [
        ["code_interpreter"],
        ["code_interpreter", "file_search"],
        ["code_interpreter"],
    ]
    assert purposes == {"assistants"}
    assert one.text == "read"


async def test_texts_are_written_into_the_message_where_no_tool_takes_them(folder: Path) -> None:
    note = attachment(folder, "note.md", "text/markdown", "Ünïcode\n````\nfenced".encode())
    async with assistants() as bench:
        [one] = await sent(bench, post(1, "read", note), assistant=PLAIN)
        assert not bench.server.files
    assert one.text == "read\n\nnote.md:\n`````\nÜnïcode\n````\nfenced\n`````"


async def test_a_text_is_cut_at_a_hundred_thousand_characters(folder: Path) -> None:
    long = attachment(folder, "long.txt", "text/plain", ("ü" * 100_001).encode())
    async with assistants() as bench:
        [one] = await sent(bench, post(1, "read", long), assistant=PLAIN)
    assert one.text.count("ü") == 100_000
    assert one.text.endswith("(cut after 100,000 characters)")


async def test_texts_that_do_not_fit_one_message_make_several(folder: Path) -> None:
    files = [attachment(folder, f"{number}.txt", "text/plain", b"x" * 100_000) for number in range(4)]
    async with assistants() as bench:
        messages = await sent(bench, post(1, "read", *files), assistant=PLAIN)
    assert [each.text.count("x") // 100_000 for each in messages] == [2, 2]
    assert [each.metadata for each in messages] == [
        {"slack_ts": message(1, "").id},
        {"slack_ts": message(1, "").id, "slack_part": "2"},
    ]


async def test_more_files_than_a_message_takes_make_several(folder: Path) -> None:
    files = [attachment(folder, f"{number:02}.zip", "application/zip") for number in range(23)]
    async with assistants() as bench:
        messages = await sent(bench, post(1, "read", *files))
        names = [bench.server.files[each["file_id"]].filename for one in messages for each in one.attachments]
    assert [len(each.attachments) for each in messages] == [10, 10, 3]
    assert names == [file.name for file in files]
    assert messages[0].text == "read"


async def test_a_file_without_words_arrives(folder: Path) -> None:
    async with assistants() as bench:
        [one] = await sent(bench, post(1, " ", attachment(folder, "a.png", "image/png", PNG)))
    assert [block["type"] for block in one.content] == ["text", "image_file"]


async def test_what_cannot_be_used_is_left_out_and_named(folder: Path) -> None:
    async with assistants() as bench:
        [one] = await sent(bench, post(1, "read", attachment(folder, "all.zip", "application/zip")), assistant=PLAIN)
        assert not bench.server.files
    named = "[A file that you cannot read: all.zip: archives need the code interpreter]"
    assert (one.text, one.attachments) == (f"read\n\n{named}", [])


@pytest.mark.parametrize("fault", [{"status": 500}, {"cut": True}])
async def test_a_message_with_files_whose_outcome_is_unknown_arrives_once(folder: Path, fault: dict[str, Any]) -> None:
    async with assistants() as bench:
        bench.server.faults.add(method="POST", path=MESSAGES, when="after", **fault)
        messages = await sent(bench, post(1, "look", attachment(folder, "a.png", "image/png", PNG)))
        assert len(bench.server.files) == 1
    assert len(messages) == 1


async def test_files_that_the_server_has_are_not_sent_again(folder: Path) -> None:
    files = [attachment(folder, f"{number:02}.zip", "application/zip") for number in range(12)]
    asked = post(1, "read", *files)
    async with assistants() as bench:
        thread = await bench.thread()
        bench.server.faults.add(method="POST", path="/threads/{t}/runs", status=429, code="insufficient_quota")
        await bench.broken(request(thread, asked), BackendError)
        assert text_of(await bench.run(request(thread, asked, attempt=2))) == "I see."
        assert len(bench.server.files) == 12
        assert len(bench.server.messages(thread)) == 3


async def test_a_post_of_which_a_part_arrived_is_completed(folder: Path) -> None:
    files = [attachment(folder, f"{number:02}.zip", "application/zip") for number in range(12)]
    asked = post(1, "read", *files)
    async with assistants() as bench:
        thread = await bench.thread()
        await bench.client.beta.threads.messages.create(
            thread, role="user", content="read", metadata={"slack_ts": asked.id}
        )
        await bench.run(request(thread, asked, attempt=2))
        assert len(bench.server.files) == 2
        assert [len(each.attachments) for each in bench.server.messages(thread)] == [0, 2, 0]


async def test_files_of_a_history_arrive_in_order(folder: Path) -> None:
    history = [
        message(1, "one"),
        post(2, "two", attachment(folder, "a.png", "image/png", PNG)),
        message(3, "three", "assistant"),
    ]
    async with assistants() as bench:
        thread = await bench.thread(*history)
        assert [each.text for each in bench.server.messages(thread)] == ["one", "two", "three"]
        assert len(bench.server.messages(thread)[1].content) == 2


# Files that the server does not take


def unused(events: list[Any]) -> tuple[str, ...]:
    [told] = [event.problems for event in events if isinstance(event, FilesUnused)]
    return tuple(told)


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (400, "the model server does not take it"),
        (413, "the model server does not take it"),
        (415, "the model server does not take it"),
        (422, "the model server does not take it"),
        (404, "the model server takes no files"),
        (500, "the model server does not take files at the moment"),
    ],
)
async def test_a_file_that_the_server_refuses_does_not_cost_the_answer(folder: Path, status: int, why: str) -> None:
    files = [attachment(folder, "a.pdf", "application/pdf"), attachment(folder, "b.txt", "text/plain")]
    async with assistants(patience=NO_PATIENCE) as bench:
        bench.server.faults.add(method="POST", path="/files", status=status)
        thread = await bench.thread()
        events = await bench.run(request(thread, post(1, "read", *files), assistant=BOTH))
        [one, _] = bench.server.messages(thread)
        # One that nobody may send is no reason to ask about the next; a server without files has none for the next.
        taken = ["b.txt"] if "it" in why.split() else []
        assert [each.filename for each in bench.server.files.values()] == taken
    assert text_of(events) == "I see."
    assert unused(events)[0] == f"a.pdf: {why}"
    assert len(one.attachments) == len(taken)
    assert one.text.startswith(f"read\n\n[A file that you cannot read: a.pdf: {why}]")


@pytest.mark.parametrize("status", [401, 429])
async def test_an_upload_that_is_refused_for_other_reasons_ends_the_run(folder: Path, status: int) -> None:
    async with assistants(patience=NO_PATIENCE) as bench:
        bench.server.faults.add(method="POST", path="/files", status=status)
        asked = post(1, "read", attachment(folder, "a.pdf", "application/pdf"))
        await bench.broken(request(await bench.thread(), asked), BackendError)


async def test_an_image_that_is_none_is_named_and_the_others_are_seen(folder: Path) -> None:
    bad, good = attachment(folder, "a.png", "image/png", b"no image"), attachment(folder, "b.png", "image/png", PNG)
    heard: list[Question] = []
    async with assistants(heard) as bench:
        events = await bench.run(request(await bench.thread(), post(1, "look", bad, good)))
    assert text_of(events) == "I see."
    assert unused(events) == ("a.png: the model server does not take it",)
    assert [seen.name for seen in heard[0].files] == ["b.png"]
    assert "a.png: the model server does not take it" in heard[0].messages[0][1]


async def test_a_message_that_is_refused_for_its_files_goes_without_them(folder: Path) -> None:
    async with assistants() as bench:
        bench.server.faults.add(method="POST", path=MESSAGES, status=400, code="unsupported_file")
        thread = await bench.thread()
        events = await bench.run(request(thread, post(1, "read", attachment(folder, "a.pdf", "application/pdf"))))
    assert text_of(events) == "I see."
    assert unused(events) == ("a.pdf: the model server does not take it",)


async def test_a_message_that_is_refused_with_and_without_its_files_is_refused(folder: Path) -> None:
    async with assistants() as bench:
        bench.server.faults.add(method="POST", path=MESSAGES, status=400, times=2)
        asked = post(1, "read", attachment(folder, "a.pdf", "application/pdf"))
        await bench.broken(request(await bench.thread(), asked), BackendRefused)


@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_a_file_from_before_that_the_server_refuses_is_named_to_the_model(folder: Path, status: int) -> None:
    async with assistants(patience=NO_PATIENCE, assistant=BOTH) as bench:
        bench.server.faults.add(method="POST", path="/files", status=status)
        thread = await bench.thread(post(1, "read", attachment(folder, "a.pdf", "application/pdf")))
        [one] = bench.server.messages(thread)
    assert one.text.startswith("read\n\n[A file that you cannot read: a.pdf: ")


async def test_a_file_of_an_earlier_answer_is_named_to_the_model(folder: Path) -> None:
    chart = attachment(folder, "chart.png", "image/png", PNG)
    async with assistants() as bench:
        thread = await bench.thread(Message("1700000000.000001", "assistant", "Look.", (chart,)))
        [one] = bench.server.messages(thread)
    assert (one.role, one.text) == (
        "assistant",
        "Look.\n\n[A file that you cannot read: chart.png: it belongs to an earlier answer]",
    )


@pytest.mark.parametrize(("name", "media_type"), [("a.png", "image/png"), ("a.txt", "text/plain")])
async def test_a_file_that_is_gone_from_the_disk_breaks_the_run(folder: Path, name: str, media_type: str) -> None:
    gone = Attachment(name, media_type, 7, folder / "gone")
    async with assistants() as bench:
        await bench.broken(request(await bench.thread(), post(1, "look", gone), assistant=PLAIN), RunBroken)
        assert not bench.server.runs


MB = 2**20
TOOLS = "the code interpreter"


@pytest.mark.parametrize(
    ("assistant", "name", "media_type", "size", "problem"),
    [
        (PLAIN, "a.png", "image/png", 20 * MB, None),
        (PLAIN, "a.png", "image/png", 20 * MB + 1, "images may have at most 20 MB"),
        (TUTOR, "a.png", "image/png", 20 * MB + 1, None),
        (PLAIN, "a.tiff", "image/tiff", 1, f"images of this kind need {TOOLS}"),
        (PLAIN, "a.zip", "application/zip", 1, f"archives need {TOOLS}"),
        (SEARCHER, "a.zip", "application/zip", 1, f"archives need {TOOLS}"),
        (TUTOR, "a.zip", "application/zip", 512 * MB, None),
        (TUTOR, "a.zip", "application/zip", 512 * MB + 1, "files may have at most 512 MB"),
        (PLAIN, "a.xlsx", "application/vnd.ms-excel", 1, f"tables need {TOOLS}"),
        (PLAIN, "a.pdf", "application/pdf", 1, f"documents need file search or {TOOLS}"),
        (SEARCHER, "a.pdf", "application/pdf", 1, None),
        (PLAIN, "a.txt", "text/plain", 400_000, None),
        (PLAIN, "a.txt", "text/plain", 400_001, f"texts of more than 100,000 characters need file search or {TOOLS}"),
        (SEARCHER, "a.log", "text/plain", 400_001, f"texts of more than 100,000 characters need {TOOLS}"),
        (SEARCHER, "a.txt", "text/plain", 400_001, None),
        (PLAIN, "a.bin", "application/octet-stream", 1, f"files of this kind need {TOOLS}"),
    ],
)
async def test_it_is_said_why_a_file_cannot_be_used(
    assistant: Any, name: str, media_type: str, size: int, problem: str | None
) -> None:
    async with assistants() as bench:
        assert bench.backend.file_problem(assistant, name, media_type, size) == problem


# Recordings


async def test_a_recording_becomes_text(folder: Path) -> None:
    async with assistants() as bench:
        bench.server.switches.transcript = "Good morning."
        said = await bench.backend.transcribe(attachment(folder, "memo.m4a", "audio/mp4"))
        [heard] = bench.server.recordings
    assert said == "Good morning."
    assert (heard.name, heard.content) == ("memo.m4a", b"content")


async def test_a_server_with_another_model_for_recordings_is_asked_for_that(folder: Path) -> None:
    async with assistants() as bench:
        bench.server.switches.retired.add("gpt-transcribe")
        assert await bench.backend.transcribe(attachment(folder, "memo.m4a", "audio/mp4"))


async def test_a_server_that_does_not_listen_says_so(folder: Path) -> None:
    async with assistants() as bench:
        bench.server.faults.add(method="POST", path="/audio/transcriptions", status=404, times=None)
        with pytest.raises(BackendUnsupported) as caught:
            await bench.backend.transcribe(attachment(folder, "memo.m4a", "audio/mp4"))
    assert caught.value.sentence == "This model server cannot listen to recordings."


@pytest.mark.parametrize("size", [25 * 2**20 + 1, 7])
async def test_a_recording_that_cannot_be_heard(folder: Path, size: int) -> None:
    audio = replace(attachment(folder, "memo.xyz", "audio/mp4"), size=size)
    async with assistants() as bench:
        with pytest.raises(BackendError):
            await bench.backend.transcribe(audio)
        assert len(bench.calls("POST", "/audio/transcriptions")) == (1 if size == 7 else 0)

"""Files of posts to OpenAI, and files that responses make: what goes wrong with one does not end its run."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bot.backends.responses.backend import ResponsesBackend
from bot.engine.ports import Attachment, CallsWanted, FileMade, FilesUnused, Message, RunStatus, Task, TaskStatus
from bot.errors import BackendRefused
from bot.playground.openai import (
    CodeInterpreterCall,
    FileLink,
    FunctionCall,
    GeneratedImage,
    MadeFile,
    Question,
    ScriptedBrain,
)
from tests.backends.bench import PATIENCE, TUTOR, Bench, connected, ended, message, request, started, text_of
from tests.backends.handmade import EMPTY_LIST, answering, event, serving, streaming
from tests.backends.test_response_abilities import WEATHER, saying
from tests.backends.test_response_abilities import answering as handing_in

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 20
WEBP = b"RIFF\x1a\0\0\0WEBPVP8L" + bytes(20)
PLAIN = replace(TUTOR, tools=())
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def responses(**options: Any) -> AbstractAsyncContextManager[Bench[ResponsesBackend]]:
    return connected(ResponsesBackend, **options)


def attached(folder: Path, name: str, media_type: str, content: bytes = b"some words") -> Attachment:
    path = folder / f"{len(list(folder.iterdir()))}"
    path.write_bytes(content)
    return Attachment(name, media_type, len(content), path)


def post(*files: Attachment, text: str = "look", ts: str = "1700000000.000001") -> Message:
    return Message(ts, "user", text, files)


def unused(events: list[Any]) -> list[str]:
    return [problem for each in events if isinstance(each, FilesUnused) for problem in each.problems]


def listening(heard: list[Question]) -> ScriptedBrain:
    def listen(question: Question) -> str:
        heard.append(question)
        return "I see."

    return ScriptedBrain(listen)


# Names


@pytest.mark.parametrize(
    ("name", "media_type", "sent"),
    [
        ("Makefile", "text/plain", "Makefile.txt"),
        ("Untitled", "text/plain", "Untitled.txt"),
        ("Re: Hello", "text/html", "Re_ Hello.html"),
        ("report", "application/pdf", "report.pdf"),
        ("Bericht v1.2", DOCX, "Bericht v1.2.docx"),
        ("Dockerfile.prod", "text/plain", "Dockerfile.prod.txt"),
        ("a.vue", "text/plain", "a.vue.txt"),
        ("main.go", "text/plain", "main.go"),
        ("Photo", "image/png", "Photo.png"),
    ],
)
async def test_a_file_is_sent_under_a_name_that_says_what_it_is(
    tmp_path: Path, name: str, media_type: str, sent: str
) -> None:
    heard: list[Question] = []
    content = PNG if media_type == "image/png" else b"some words"
    async with responses(brain=listening(heard)) as bench:
        wanted = request(await bench.thread(), post(attached(tmp_path, name, media_type, content)), assistant=PLAIN)
        assert ended(await bench.run(wanted)).status is RunStatus.COMPLETED
    assert [file.name for file in heard[0].files] == [sent]


@pytest.mark.parametrize(
    ("name", "media_type", "sent"),
    [
        ("Voice note", "audio/mp4", "Voice note.m4a"),
        ("Clip", "audio/webm", "Clip.webm"),
        ("clip.mov", "video/quicktime", "clip.mov.mp4"),
        ("talk.mp3", "audio/mpeg", "talk.mp3"),
    ],
)
async def test_a_recording_is_sent_under_a_name_that_says_what_it_is(
    tmp_path: Path, name: str, media_type: str, sent: str
) -> None:
    async with responses() as bench:
        await bench.backend.transcribe(attached(tmp_path, name, media_type))
        assert [each.name for each in bench.server.recordings] == [sent]


async def test_a_recording_that_the_server_refuses_is_not_called_a_request(tmp_path: Path) -> None:
    async with responses() as bench:
        bench.server.faults.add(method="POST", path="/audio/transcriptions", status=400, message="Corrupted file")
        with pytest.raises(BackendRefused, match="cannot listen to this recording"):
            await bench.backend.transcribe(attached(tmp_path, "clip.mp3", "audio/mpeg"))


# One file of several


async def test_a_picture_that_the_api_refuses_is_named_and_the_rest_goes_ahead(tmp_path: Path) -> None:
    heard: list[Question] = []
    good, bad = (attached(tmp_path, f"{name}.png", "image/png", data) for name, data in (("cat", PNG), ("dog", b"x")))
    async with responses(brain=listening(heard)) as bench:
        thread = await bench.thread()
        events = await bench.run(request(thread, post(good, bad), assistant=PLAIN))
        assert len(bench.calls("POST", "/responses")) == 2
    assert unused(events) == ["dog.png: the model server cannot read it"]
    assert ended(events).status is RunStatus.COMPLETED
    assert [file.name for file in heard[0].files] == ["cat.png"]
    assert heard[0].last.startswith("look\n\n[A file that you cannot read: dog.png:")


async def test_several_files_that_the_api_refuses_need_few_requests(tmp_path: Path) -> None:
    bad = [attached(tmp_path, f"{number}.png", "image/png", b"x") for number in range(5)]
    async with responses() as bench:
        events = await bench.run(request(await bench.thread(), post(*bad), assistant=PLAIN))
        assert len(bench.calls("POST", "/responses")) == 3
    assert len(unused(events)) == 5
    assert text_of(events) == "pong and more"


@pytest.mark.parametrize("status", [400, 415])
async def test_an_upload_that_the_server_refuses_does_not_end_the_run(tmp_path: Path, status: int) -> None:
    files = [attached(tmp_path, name, "text/plain") for name in ("a.txt", "b.txt")]
    heard: list[Question] = []
    async with responses(brain=listening(heard)) as bench:
        bench.server.faults.add(method="POST", path="/files", status=status, message="Unsupported file")
        events = await bench.run(request(await bench.thread(), post(*files), assistant=PLAIN))
    assert unused(events) == ["a.txt: the model server does not take it"]
    assert [file.name for file in heard[0].files] == ["b.txt"]


async def test_a_refusal_that_is_about_no_file_is_not_taken_for_one(tmp_path: Path) -> None:
    async with responses() as bench:
        bench.server.faults.add(method="POST", path="/responses", status=400, message="No.", code="invalid_prompt")
        wanted = request(await bench.thread(), post(attached(tmp_path, "a.png", "image/png", PNG)), assistant=PLAIN)
        seen = await bench.broken(wanted, BackendRefused)
        assert len(bench.calls("POST", "/responses")) == 1
    assert not unused(seen)


RESPONSE: dict[str, Any] = {"id": "resp_1", "object": "response", "status": "completed", "model": "m", "output": []}
ANSWER = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
HI = {**ANSWER, "content": [{"type": "output_text", "text": "hi", "annotations": []}]}


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_response_that_fails_for_a_picture_is_made_without_it(tmp_path: Path, streamed: bool) -> None:
    failed = {**RESPONSE, "status": "failed", "error": {"code": "invalid_image", "message": "Invalid image."}}
    sent: list[Any] = []

    async def respond(call: web.Request) -> web.Response:
        sent.append((await call.json())["input"][0]["content"])
        made = failed if len(sent) == 1 else {**RESPONSE, "output": [HI]}
        if not streamed:
            return web.json_response(made)
        answer: web.Response = await streaming(event(f"response.{made['status']}", response=made))(call)
        return answer

    routes = {
        "GET /conversations/{c}/items": answering(EMPTY_LIST),
        "POST /files": answering({"id": "file-1", "object": "file"}),
        "POST /responses": respond,
    }
    async with serving(routes) as client:
        backend = ResponsesBackend(client, patience=PATIENCE, poll=0.001)
        wanted = request("conv_1", post(attached(tmp_path, "cat.png", "image/png", PNG)), assistant=PLAIN)
        events = [each async for each in backend.run(wanted)]
    assert (text_of(events), unused(events)) == ("hi", ["cat.png: the model server cannot read it"])
    assert [[part["type"] for part in content] for content in sent] == [["input_text", "input_image"], ["input_text"]]


@pytest.mark.parametrize("refused", ["upload", "item"])
async def test_a_refused_file_of_long_ago_does_not_keep_a_thread_from_beginning(tmp_path: Path, refused: str) -> None:
    good = attached(tmp_path, "cat.png", "image/png", PNG)
    bad = attached(tmp_path, "dog.png", "image/png", b"x" if refused == "item" else PNG)
    async with responses() as bench:
        if refused == "upload":
            bench.server.faults.add(method="POST", path="/files", status=400, message="Unsupported file")
        files = [bad, good]
        thread = await bench.thread(post(*files, text="two pictures"))
        [item] = bench.server.items(thread)
    assert [part["type"] for part in item["content"]] == ["input_text", "input_image"]
    assert "[A file that you cannot read: dog.png:" in item["content"][0]["text"]


async def test_a_post_with_a_note_on_its_file_is_not_answered_twice(tmp_path: Path) -> None:
    bad = attached(tmp_path, "dog.png", "image/png", b"x")
    async with responses() as bench:
        first = request(await bench.thread(), post(bad), assistant=PLAIN)
        before = started(await bench.run(first)).split()[-1]
        events = await bench.run(replace(first, attempt=2, backend_run=before))
        assert len(bench.server.responses) == 1
    assert text_of(events) == "pong and more"


# Files that only code can open

ZIP = b"PK\x05\x06" + bytes(18)


def containers(bench: Bench[Any]) -> list[list[str]]:
    """The files that each response's container was given."""
    bodies = [call.body for call in bench.calls("POST", "/responses")]
    tools = [tool for body in bodies for tool in body["tools"] if tool["type"] == "code_interpreter"]
    return [tool["container"].get("file_ids", []) for tool in tools]


async def test_code_has_the_files_of_earlier_legs_and_posts(tmp_path: Path) -> None:
    def answer(question: Question) -> Any:
        async def call() -> AsyncIterator[FunctionCall]:
            yield FunctionCall("get_weather", "{}")

        return call() if question.last.startswith("unzip") else "Done."

    archive = attached(tmp_path, "data.zip", "application/zip", ZIP)
    async with responses(brain=ScriptedBrain(answer)) as bench:
        first = request(await bench.thread(), post(archive, text="unzip"), functions=(WEATHER,))
        events = await bench.run(first)
        await bench.run(handing_in(first, events, "sunny"))
        await bench.run(request(first.backend_thread, message(2, "list it"), run="run-2"))
        asked, *_ = bench.server.items(first.backend_thread)
        legs = containers(bench)
    assert len(legs[0]) == 1
    assert legs == [legs[0]] * 3
    assert "data.zip" in asked["content"][0]["text"]


async def test_code_has_the_files_that_were_there_before_the_thread_began(tmp_path: Path) -> None:
    archive = attached(tmp_path, "data.zip", "application/zip", ZIP)
    async with responses() as bench:
        thread = await bench.thread(post(archive, text="here is the data"))
        [item] = bench.server.items(thread)
        await bench.run(request(thread, message(2, "unzip it")))
        [given] = containers(bench)
    assert len(given) == 1
    assert "data.zip" in item["content"][0]["text"]


async def test_a_server_that_remembers_no_files_has_them_all_the_same(tmp_path: Path) -> None:
    archive = attached(tmp_path, "data.zip", "application/zip", ZIP)
    async with responses() as bench:
        thread = await bench.thread()
        bench.server.faults.add(method="POST", path="/conversations/{c}", status=405, times=None)
        await bench.run(request(thread, post(archive, text="unzip")))
        await bench.run(request(thread, message(2, "list it"), run="run-2"))
        first, second = containers(bench)
    assert len(first) == 1
    assert first == second


async def test_a_file_that_somebody_deleted_does_not_end_every_later_run(tmp_path: Path) -> None:
    archive = attached(tmp_path, "data.zip", "application/zip", ZIP)
    async with responses() as bench:
        thread = await bench.thread(post(archive, text="here is the data"))
        [file] = bench.server.files
        await bench.client.files.delete(file)
        events = await bench.run(request(thread, message(2, "unzip it")))
    assert text_of(events) == "pong and more"


async def test_a_document_for_which_there_is_no_room_is_named(tmp_path: Path) -> None:
    files = [replace(attached(tmp_path, f"{name}.pdf", "application/pdf"), size=30 * 2**20) for name in ("one", "two")]
    async with responses() as bench:
        posts = [post(file, text=file.name, ts=f"1.{number}") for number, file in enumerate(files)]
        events = await bench.run(request(await bench.thread(), *posts, assistant=PLAIN))
        assert len(bench.server.files) == 1
    assert unused(events) == ["two.pdf: is too much beside the others: at most 50 MB are read at once"]


# Files that a response made

CSV = MadeFile("rows.csv", b"a,b\n1,2\n", "text/csv")


def plotting() -> ScriptedBrain:
    return saying(CodeInterpreterCall("plot()", "", files=(CSV,)), "See ", FileLink("rows.csv"), ".")


def lost(events: list[Any]) -> list[str]:
    return [each.output for each in events if isinstance(each, Task) and each.status is TaskStatus.ERROR]


@pytest.mark.parametrize("status", [500, 429])
async def test_a_file_is_fetched_though_it_fails_once(tmp_path: Path, status: int) -> None:
    async with responses(brain=plotting()) as bench:
        bench.server.faults.add(method="GET", path="/containers/{c}/files/{f}/content", status=status)
        events = await bench.ask("plot", folder=tmp_path)
    assert [each.name for each in events if isinstance(each, FileMade)] == ["rows.csv"]


async def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    async with responses(brain=plotting()) as bench:
        bench.server.faults.add(method="GET", path="/containers/{c}/files/{f}/content", status=404, times=None)
        events = await bench.ask("plot", folder=tmp_path)
    assert lost(events) == ["rows.csv could not be fetched from the model server"]
    assert ended(events).status is RunStatus.COMPLETED


async def test_files_of_which_nobody_speaks_are_fetched_though_listing_them_fails_once(tmp_path: Path) -> None:
    async with responses(brain=saying(CodeInterpreterCall("plot()", "", files=(CSV,)), "Done.")) as bench:
        bench.server.faults.add(method="GET", path="/containers/{c}/files", status=500)
        events = await bench.ask("plot", folder=tmp_path)
    assert [each.name for each in events if isinstance(each, FileMade)] == ["rows.csv"]


async def test_a_download_that_is_cut_is_not_taken_for_a_cut_answer(tmp_path: Path) -> None:
    cited = {"type": "container_file_citation", "container_id": "c", "file_id": "f", "filename": "rows.csv"}
    note = {**cited, "start_index": 0, "end_index": 1}
    said = {**ANSWER, "content": [{"type": "output_text", "text": "hi", "annotations": [note]}]}
    tries = 0

    async def content(call: web.Request) -> web.StreamResponse:
        nonlocal tries
        tries += 1
        half = web.StreamResponse(headers={"Content-Length": "8"})
        await half.prepare(call)
        await half.write(b"a,b\n" if tries == 1 else b"a,b\n1,2\n")
        if tries == 1 and call.transport is not None:
            call.transport.close()
        return half

    routes = {
        "GET /conversations/{c}/items": answering(EMPTY_LIST),
        "POST /responses": streaming(
            event("response.created", response={**RESPONSE, "status": "in_progress"}),
            event("response.output_item.done", item=said),
            event("response.completed", response={**RESPONSE, "output": [said]}),
        ),
        "GET /containers/c/files/f/content": content,
    }
    async with serving(routes) as client:
        backend = ResponsesBackend(client, patience=PATIENCE, poll=0.001)
        wanted = request("conv_1", message(1, "plot"), folder=tmp_path, assistant=PLAIN)
        events = [each async for each in backend.run(wanted)]
    [file] = [each for each in events if isinstance(each, FileMade)]
    assert (file.name, file.path.read_bytes()) == ("rows.csv", b"a,b\n1,2\n")
    assert ended(events).status is RunStatus.COMPLETED


async def test_a_picture_of_a_later_leg_does_not_take_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    async def draw(picture: bytes, *more: Any) -> AsyncIterator[Any]:
        for piece in (GeneratedImage(picture), *more):
            yield piece

    def answer(question: Question) -> Any:
        role, _ = question.messages[-1]
        return draw(WEBP, "Two.") if role == "tool" else draw(PNG, FunctionCall("get_weather", "{}"))

    artist = replace(TUTOR, tools=("image_generation",))
    async with responses(brain=ScriptedBrain(answer)) as bench:
        first = request(
            await bench.thread(), message(1, "draw"), assistant=artist, functions=(WEATHER,), folder=tmp_path
        )
        events = await bench.run(first)
        assert isinstance(events[-1], CallsWanted)
        events += await bench.run(handing_in(first, events, "sunny"))
    files = [each for each in events if isinstance(each, FileMade)]
    assert [(each.path.suffix, each.media_type) for each in files] == [(".png", "image/png"), (".webp", "image/webp")]
    assert [each.path.read_bytes() for each in files] == [PNG, WEBP]

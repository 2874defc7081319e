"""Images and files that a model is given, through the real openai package: what the brain sees, what is refused."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from bot.playground.openai import Question, ScriptedBrain, SeenFile
from tests.playground.openai_client import MODEL, Pair, loose, refused, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PNG = b"\x89PNG\r\n\x1a\n and so on"


def data_url(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def user(*parts: Any) -> Any:
    return [{"role": "user", "content": [{"type": "input_text", "text": "look"}, *parts]}]


class Listener:
    """Keeps the questions that it is asked."""

    def __init__(self) -> None:
        self.heard: list[Question] = []

    def __call__(self, question: Question) -> str:
        self.heard.append(question)
        return "I see."

    @property
    def files(self) -> tuple[SeenFile, ...]:
        return self.heard[-1].files


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
async def pair(listener: Listener) -> AsyncIterator[Pair]:
    async with running(brain=ScriptedBrain(listener)) as pair:
        yield pair


async def test_response_sees_images_and_files(pair: Pair, listener: Listener) -> None:
    upload = pair.client.files.create
    image = await upload(file=("photo.png", PNG), purpose="vision")
    notes = await upload(file=("notes.txt", b"abc", "text/plain"), purpose="user_data")
    data = await upload(file=("data.bin", b"abcd"), purpose="user_data")
    parts: Any = [
        {"type": "input_image", "image_url": data_url(PNG, "image/png"), "detail": "high"},
        {"type": "input_image", "file_id": image.id, "detail": "auto"},
        {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "auto"},
        {"type": "input_file", "file_id": notes.id},
        {"type": "input_file", "filename": "b.pdf", "file_data": data_url(b"%PDF-", "application/pdf")},
        {"type": "input_file", "file_url": "https://example.com/c.pdf"},
    ]
    tool: Any = {"type": "code_interpreter", "container": {"type": "auto", "file_ids": [data.id]}}
    first: Any = [{"role": "user", "content": "hello"}, *user(*parts)]
    await pair.client.responses.create(model=MODEL, input=first, tools=[tool])
    size = len(PNG)
    assert listener.files == (
        SeenFile("", "image/png", size, "image", 1),
        SeenFile("photo.png", "image/png", size, "image", 1),
        SeenFile("https://example.com/a.png", "", 0, "image", 1),
        SeenFile("notes.txt", "text/plain", 3, "file", 1),
        SeenFile("b.pdf", "application/pdf", 5, "file", 1),
        SeenFile("https://example.com/c.pdf", "", 0, "file", 1),
        SeenFile("data.bin", "application/octet-stream", 4, "file", None),
    )
    assert listener.heard[-1].messages[1] == ("user", "look\n\n\n\n\n\n")


async def test_conversation_keeps_its_images(pair: Pair, listener: Listener) -> None:
    picture: Any = {"type": "input_image", "image_url": data_url(PNG, "image/png")}
    conversation = await pair.client.conversations.create(items=user(picture))
    await pair.client.responses.create(model=MODEL, input="and?", conversation=conversation.id)
    assert [(file.kind, file.message) for file in listener.files] == [("image", 0)]
    list_items = pair.client.conversations.items.list
    hidden = await list_items(conversation.id, order="asc")
    include: Any = ["message.input_image.image_url"]
    shown = await list_items(conversation.id, order="asc", include=include)
    urls = [loose(each.data[0]).content[1].image_url for each in (hidden, shown)]
    assert urls == [None, picture["image_url"]]


@pytest.mark.parametrize(
    ("part", "code", "field"),
    [
        ({"image_url": data_url(b"<svg/>", "image/svg+xml")}, "invalid_image_format", ".image_url"),
        ({"image_url": data_url(b"GIF", "image/png")}, "invalid_image_format", ".image_url"),
        ({"image_url": data_url(b"", "image/png")}, "empty_image_file", ".image_url"),
        ({"image_url": "data:image/png;base64,%%%%"}, "invalid_base64_image", ".image_url"),
        ({"image_url": "file:///etc/passwd"}, "invalid_image_url", ".image_url"),
        ({}, "missing_required_parameter", ".image_url"),
        ({"detail": "huge", "image_url": data_url(PNG, "image/png")}, "invalid_value", ".detail"),
    ],
)
async def test_images_that_cannot_be_read_are_refused(pair: Pair, part: Any, code: str, field: str) -> None:
    items = user({"type": "input_image", **part})
    async with refused(400, code=code, param=f"input[0].content[1]{field}"):
        await pair.client.responses.create(model=MODEL, input=items)
    async with refused(400, code=code, param=f"items[0].content[1]{field}"):
        await pair.client.conversations.create(items=items)
    assert not pair.server.conversations


@pytest.mark.parametrize(
    ("part", "code", "field"),
    [
        ({"filename": "a.zip", "file_data": data_url(b"PK", "application/zip")}, "unsupported_file", ""),
        ({"filename": "Makefile", "file_data": data_url(b"all:", "text/plain")}, "unsupported_file", ""),
        ({"filename": "a.txt", "file_data": data_url(b"", "text/plain")}, "invalid_value", ""),
        ({"filename": "a.txt", "file_data": "YWJj"}, "invalid_value", ".file_data"),
        ({"file_data": data_url(b"abc", "text/plain")}, "missing_required_parameter", ".filename"),
        ({"filename": "a.txt"}, "missing_required_parameter", ".file_id"),
    ],
)
async def test_files_that_cannot_be_read_are_refused(pair: Pair, part: Any, code: str, field: str) -> None:
    async with refused(400, code=code, param=f"input[0].content[1]{field}"):
        await pair.client.responses.create(model=MODEL, input=user({"type": "input_file", **part}))


async def test_input_files_may_have_fifty_megabytes_together(pair: Pair) -> None:
    half = await pair.client.files.create(file=("a.txt", b"x" * (26 * 2**20)), purpose="user_data")
    over = await pair.client.files.create(file=("b.txt", b"x" * (50 * 2**20 + 1)), purpose="user_data")
    part: Any = {"type": "input_file", "file_id": half.id}
    await pair.client.responses.create(model=MODEL, input=user(part))
    async with refused(400, param="input", sentence="together"):
        await pair.client.responses.create(model=MODEL, input=user(part, part))
    async with refused(400, code="file_too_large", param="input[0].content[1]", sentence="'b.txt' is too large"):
        await pair.client.responses.create(model=MODEL, input=user({"type": "input_file", "file_id": over.id}))


async def test_unknown_uploads_are_not_found(pair: Pair) -> None:
    parts: Any = [{"type": "input_image", "file_id": "file-none"}, {"type": "input_file", "file_id": "file-none"}]
    for part in parts:
        async with refused(404, sentence="No file found with id 'file-none'."):
            await pair.client.responses.create(model=MODEL, input=user(part))


async def test_run_sees_images_and_attachments(pair: Pair, listener: Listener) -> None:
    upload = pair.client.files.create
    image = await upload(file=("photo.png", PNG), purpose="vision")
    sheet = await upload(file=("sheet.csv", b"a,b", "text/csv"), purpose="assistants")
    assistant, thread = await pair.assistant_and_thread()
    content: Any = [
        {"type": "text", "text": "look"},
        {"type": "image_file", "image_file": {"file_id": image.id}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]
    attachments: Any = [{"file_id": sheet.id, "tools": [{"type": "code_interpreter"}]}]
    threads = pair.client.beta.threads
    await threads.messages.create(thread, role="user", content=content, attachments=attachments)
    await threads.runs.create_and_poll(thread_id=thread, assistant_id=assistant)
    assert listener.files == (
        SeenFile("photo.png", "image/png", len(PNG), "image", 1),
        SeenFile("https://example.com/a.png", "", 0, "image", 1),
        SeenFile("sheet.csv", "text/csv", 3, "file", 1),
    )
    resources = (await threads.retrieve(thread)).tool_resources
    assert loose(resources).code_interpreter.file_ids == [sheet.id]


async def test_message_refuses_what_no_tool_can_read(pair: Pair) -> None:
    upload = pair.client.files.create
    text = await upload(file=("a.txt", b"abc"), purpose="assistants")
    archive = await upload(file=("a.zip", b"PK"), purpose="assistants")
    _, thread = await pair.assistant_and_thread()
    create = pair.client.beta.threads.messages.create
    no_image: Any = [{"type": "image_file", "image_file": {"file_id": text.id}}]
    async with refused(400, code="invalid_image_format", param="content[0].image_file.file_id"):
        await create(thread, role="user", content=no_image)
    inline: Any = [{"type": "image_url", "image_url": {"url": data_url(PNG, "image/png")}}]
    async with refused(400, code="invalid_image_url", param="content[0].image_url.url"):
        await create(thread, role="user", content=inline)
    wrong_tool: Any = [{"file_id": text.id, "tools": [{"type": "web_search"}]}]
    async with refused(400, code="invalid_value", param="attachments[0].tools[0].type"):
        await create(thread, role="user", content="x", attachments=wrong_tool)
    searched: Any = [{"file_id": archive.id, "tools": [{"type": "file_search"}]}]
    async with refused(400, code="unsupported_file", sentence="[.zip] are not supported for retrieval"):
        await create(thread, role="user", content="x", attachments=searched)
    in_code: Any = [{"file_id": archive.id, "tools": [{"type": "code_interpreter"}]}]
    assert (await create(thread, role="user", content="x", attachments=in_code)).attachments

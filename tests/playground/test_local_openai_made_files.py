"""Files that code made, through the real openai package: containers, citations, downloads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bot.playground.openai import CodeInterpreterCall, FileLink, MadeFile, Piece, Question, ScriptedBrain
from tests.playground.openai_client import MODEL, Pair, citations, loose, refused, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CSV = MadeFile("sums.csv", b"a,b\n1,2\n", "text/csv")
PLOT = MadeFile("plot.png", b"\x89PNG\r\n\x1a\nplot", "image/png")
TOOL: Any = {"type": "code_interpreter", "container": {"type": "auto"}}


async def _both(_: Question) -> AsyncIterator[Piece]:
    yield CodeInterpreterCall("save()", "saved\n", files=(PLOT, CSV))
    yield "Here it is: "
    yield FileLink("sums.csv")
    yield "."


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with running(brain=ScriptedBrain(_both)) as pair:
        yield pair


async def test_cited_container_file_is_downloaded(pair: Pair) -> None:
    async with pair.client.responses.stream(model=MODEL, input="x", tools=[TOOL]) as stream:
        events = [event async for event in stream]
        response = await stream.get_final_response()
    assert response.output_text == "Here it is: [sums.csv](sandbox:/mnt/data/sums.csv)."
    (annotation,) = citations(response)
    assert annotation.type == "container_file_citation"
    told = [event for event in events if event.type == "response.output_text.annotation.added"]
    assert [event.annotation.to_dict() for event in loose(told)] == [annotation.to_dict()]
    text = response.output_text[annotation.start_index : annotation.end_index]
    assert (text, annotation.filename) == ("sandbox:/mnt/data/sums.csv", "sums.csv")
    files = pair.client.containers.files
    content = await files.content.retrieve(annotation.file_id, container_id=annotation.container_id)
    assert content.read() == CSV.content
    assert loose(response.output[0]).container_id == annotation.container_id


async def test_files_that_no_text_cites_are_listed(pair: Pair) -> None:
    response = await pair.client.responses.create(model=MODEL, input="x", tools=[TOOL])
    container: str = loose(response.output[0]).container_id
    listed = [each async for each in pair.client.containers.files.list(container, order="asc")]
    assert [(each.path, each.source, each.bytes) for each in listed] == [
        ("/mnt/data/plot.png", "assistant", len(PLOT.content)),
        ("/mnt/data/sums.csv", "assistant", len(CSV.content)),
    ]
    shown = await pair.client.containers.files.retrieve(listed[0].id, container_id=container)
    assert shown.container_id == container
    await pair.client.containers.files.delete(listed[0].id, container_id=container)
    async with refused(404, sentence="No container file found"):
        await pair.client.containers.files.content.retrieve(listed[0].id, container_id=container)


async def test_image_is_an_output_for_who_includes_it(pair: Pair) -> None:
    include: Any = ["code_interpreter_call.outputs"]
    conversation = await pair.client.conversations.create()
    response = await pair.client.responses.create(
        model=MODEL, input="x", tools=[TOOL], include=include, conversation=conversation.id
    )
    stored = await pair.client.conversations.items.list(conversation.id, include=include, order="asc")
    unasked = await pair.client.conversations.items.list(conversation.id, order="asc")
    for call in (response.output[0], stored.data[1]):
        logs, image = loose(call).outputs
        assert (logs.type, image.type) == ("logs", "image")
        assert image.url.startswith("data:image/png;base64,")
    assert loose(unasked.data[1]).outputs is None
    unknown: Any = ["code_interpreter_call.everything"]
    async with refused(400, code="invalid_value", param="include[0]"):
        await pair.client.responses.create(model=MODEL, input="x", include=unknown)
    async with refused(400, code="invalid_value", param="include[0]"):
        await pair.client.conversations.items.list(conversation.id, include=unknown)


async def test_plot_is_cited_without_text() -> None:
    async def answer(_: Question) -> AsyncIterator[Piece]:
        yield CodeInterpreterCall("plot()", "", files=(PLOT,))
        yield FileLink("plot.png", text=False)
        yield "Look."

    async with running(brain=ScriptedBrain(answer)) as pair:
        response = await pair.client.responses.create(model=MODEL, input="x", tools=[TOOL])
    assert response.output_text == "Look."
    (annotation,) = citations(response)
    assert annotation.type == "container_file_citation"
    assert (annotation.filename, annotation.start_index, annotation.end_index) == ("plot.png", 0, 0)


async def test_container_is_gone_after_twenty_idle_minutes() -> None:
    now = [1_000_000.0]
    async with running(brain=ScriptedBrain(_both), clock=lambda: now[0]) as pair:
        containers = pair.client.containers
        response = await pair.client.responses.create(model=MODEL, input="x", tools=[TOOL])
        container: str = loose(response.output[0]).container_id
        (file, _) = pair.server.container_files(container)
        now[0] += 19 * 60
        assert (await containers.retrieve(container)).status == "running"
        now[0] += 19 * 60
        await containers.files.content.retrieve(file.id, container_id=container)
        now[0] += 20 * 60
        assert (await containers.retrieve(container)).status == "expired"
        async with refused(404, sentence="Container is expired."):
            await containers.files.content.retrieve(file.id, container_id=container)
        async with refused(404, sentence="Container is expired."):
            await containers.files.list(container)
        named: Any = {"type": "code_interpreter", "container": container}
        async with refused(400, sentence="Container is expired."):
            await pair.client.responses.create(model=MODEL, input="x", tools=[named])


async def test_conversation_goes_on_in_its_container_until_that_expires(pair: Pair) -> None:
    conversation = await pair.client.conversations.create()

    async def container() -> str:
        response = await pair.client.responses.create(
            model=MODEL, input="x", tools=[TOOL], conversation=conversation.id
        )
        used: str = loose(response.output[0]).container_id
        return used

    first = await container()
    assert await container() == first
    pair.server.expire_containers()
    assert await container() != first


async def test_container_of_ones_own_holds_the_files_copied_into_it(pair: Pair) -> None:
    file = await pair.client.files.create(file=("in.txt", b"abc"), purpose="user_data")
    made = await pair.client.containers.create(name="mine", file_ids=[file.id], memory_limit="4g")
    assert made.memory_limit == "4g"
    (copied,) = [each async for each in pair.client.containers.files.list(made.id)]
    assert (copied.path, copied.source) == ("/mnt/data/in.txt", "user")
    tool: Any = {"type": "code_interpreter", "container": made.id}
    response = await pair.client.responses.create(model=MODEL, input="x", tools=[tool])
    assert loose(response.output[0]).container_id == made.id
    assert [each.id async for each in pair.client.containers.list()] == [made.id]
    await pair.client.containers.delete(made.id)
    async with refused(404, sentence=f"Container with id '{made.id}' not found."):
        await pair.client.containers.retrieve(made.id)
    async with refused(404, sentence="not found"):
        await pair.client.responses.create(model=MODEL, input="x", tools=[tool])
    unknown: Any = {"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["file-none"]}}
    async with refused(404, sentence="No file found with id 'file-none'."):
        await pair.client.responses.create(model=MODEL, input="x", tools=[unknown])


async def test_link_to_a_file_that_no_code_made_fails_the_response() -> None:
    async def answer(_: Question) -> AsyncIterator[Piece]:
        yield FileLink("none.csv")

    async with running(brain=ScriptedBrain(answer)) as pair:
        response = await pair.client.responses.create(model=MODEL, input="x", tools=[TOOL])
    assert response.status == "failed"


async def test_containers_survive_a_restart(tmp_path: Path) -> None:
    async with running(state_file=tmp_path / "s.json", brain=ScriptedBrain(_both)) as pair:
        response = await pair.client.responses.create(model=MODEL, input="x", tools=[TOOL])
        container: str = loose(response.output[0]).container_id
        file = pair.server.container_files(container)[1]
    async with running(state_file=tmp_path / "s.json") as pair:
        content = await pair.client.containers.files.content.retrieve(file.id, container_id=container)
        assert content.read() == CSV.content


async def test_assistants_message_shows_the_image_and_links_the_file(pair: Pair) -> None:
    assistant, thread = await pair.assistant_and_thread(tools=[{"type": "code_interpreter"}])
    runs = pair.client.beta.threads.runs
    async with runs.stream(thread_id=thread, assistant_id=assistant) as stream:
        await stream.until_done()
        (streamed,) = await stream.get_final_messages()
        steps = await stream.get_final_run_steps()
    listed = await pair.client.beta.threads.messages.list(thread, run_id=steps[0].run_id)
    for message in (streamed, listed.data[0]):
        image, text = loose(message.content)
        assert (image.type, text.type) == ("image_file", "text")
        assert text.text.value == "Here it is: [sums.csv](sandbox:/mnt/data/sums.csv)."
        (annotation,) = text.text.annotations
        assert annotation.text == "sandbox:/mnt/data/sums.csv"
        assert text.text.value[annotation.start_index : annotation.end_index] == annotation.text
        file = await pair.client.files.content(annotation.file_path.file_id)
        assert file.read() == CSV.content
        assert (await pair.client.files.content(image.image_file.file_id)).read() == PLOT.content
    for step in (steps[0], (await runs.steps.list(thread_id=thread, run_id=steps[0].run_id)).data[-1]):
        outputs = loose(step.step_details).tool_calls[0].code_interpreter.outputs
        assert [each.type for each in outputs] == ["logs", "image"]
        assert outputs[1].image.file_id == image.image_file.file_id
    made = await pair.client.files.retrieve(image.image_file.file_id)
    assert made.purpose == "assistants_output"


async def test_image_without_a_word_is_a_message_of_its_own() -> None:
    async def answer(_: Question) -> AsyncIterator[Piece]:
        yield "I draw."
        yield CodeInterpreterCall("plot()", "", files=(PLOT,))

    async with running(brain=ScriptedBrain(answer)) as pair:
        assistant, thread = await pair.assistant_and_thread()
        run = await pair.client.beta.threads.runs.create_and_poll(thread_id=thread, assistant_id=assistant)
        assert run.status == "completed"
        *_, before, image = pair.server.messages(thread)
    assert [block["type"] for block in before.content] == ["text"]
    assert [block["type"] for block in image.content] == ["image_file"]
    assert image.status == "completed"


async def test_uploads_are_not_given_back_and_not_empty(pair: Pair) -> None:
    purposes: Any = ("assistants", "user_data")
    for purpose in purposes:
        file = await pair.client.files.create(file=("a.txt", b"abc"), purpose=purpose)
        async with refused(400, sentence=f"Not allowed to download files of purpose: {purpose}"):
            await pair.client.files.content(file.id)
    async with refused(400, param="file", sentence="File is empty."):
        await pair.client.files.create(file=("a.txt", b""), purpose="assistants")

"""Vector stores and file search through the real openai package, in both APIs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bot.playground.openai import FileCitation, FileSearch, FoundPassage, Piece, Question, ScriptedBrain
from tests.playground.openai_client import MODEL, Pair, citations, loose, refused, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


async def _look_up(question: Question) -> AsyncIterator[Piece]:
    assert [file.name for file in question.files if file.kind == "searched"] == ["handbook.pdf"]
    yield FileSearch(("holidays",), (FoundPassage("handbook.pdf", "Thirty days.", 0.8),))
    yield "Thirty days"
    yield FileCitation("handbook.pdf")
    yield "."


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with running(brain=ScriptedBrain(_look_up)) as pair:
        yield pair


async def upload(pair: Pair, name: str = "handbook.pdf") -> str:
    return (await pair.client.files.create(file=(name, b"%PDF-1.7"), purpose="assistants")).id


async def store_with_handbook(pair: Pair) -> tuple[str, str]:
    file = await upload(pair)
    store = await pair.client.vector_stores.create(name="house", file_ids=[file])
    assert (store.status, store.file_counts.in_progress) == ("in_progress", 1)
    return store.id, file


async def test_store_is_ready_at_the_next_look(pair: Pair) -> None:
    store, file = await store_with_handbook(pair)
    ready = await pair.client.vector_stores.retrieve(store)
    assert (ready.status, ready.file_counts.completed, ready.usage_bytes, ready.name) == ("completed", 1, 8, "house")
    (listed,) = [each async for each in pair.client.vector_stores.files.list(store, filter="completed")]
    assert (listed.id, listed.vector_store_id, listed.status) == (file, store, "completed")
    changed = await pair.client.vector_stores.files.update(file, vector_store_id=store, attributes={"year": 2026})
    assert changed.attributes == {"year": 2026}
    assert [each.id async for each in pair.client.vector_stores.list()] == [store]
    assert (await pair.client.vector_stores.update(store, name="home")).name == "home"
    await pair.client.vector_stores.files.delete(file, vector_store_id=store)
    assert (await pair.client.vector_stores.retrieve(store)).file_counts.total == 0
    await pair.client.vector_stores.delete(store)
    async with refused(404, sentence=f"Vector store with id ['{store}'] not found."):
        await pair.client.vector_stores.retrieve(store)


async def test_polling_helpers_see_files_become_ready() -> None:
    async with running(poll_after_ms=1) as pair:
        store = await pair.client.vector_stores.create()
        one = await pair.client.vector_stores.files.create_and_poll(await upload(pair), vector_store_id=store.id)
        assert one.status == "completed"
        batch = await pair.client.vector_stores.file_batches.upload_and_poll(
            store.id, files=[("a.md", b"a"), ("b.zip", b"b")]
        )
        assert (batch.file_counts.completed, batch.file_counts.failed) == (1, 1)
        listed = pair.client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id, filter="failed")
        (failed,) = [each async for each in listed]
        assert failed.last_error is not None
        assert failed.last_error.code == "unsupported_file"


async def test_indexing_can_stay_in_progress_or_fail(pair: Pair) -> None:
    pair.server.switches.indexing = "stays"
    store, file = await store_with_handbook(pair)
    files = pair.client.vector_stores.files
    assert (await files.retrieve(file, vector_store_id=store)).status == "in_progress"
    batch = await pair.client.vector_stores.file_batches.create(store, file_ids=[await upload(pair, "b.txt")])
    assert (await pair.client.vector_stores.retrieve(store)).file_counts.in_progress == 2
    cancelled = await pair.client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store)
    assert (cancelled.status, cancelled.file_counts.cancelled) == ("cancelled", 1)
    pair.server.switches.indexing = "fails"
    failed = await files.retrieve(file, vector_store_id=store)
    assert failed.last_error is not None
    assert (failed.status, failed.last_error.code) == ("failed", "server_error")


async def test_stores_refuse_what_they_cannot_hold(pair: Pair) -> None:
    stores = pair.client.vector_stores
    async with refused(404, sentence="No file found with id 'file-none'."):
        await stores.create(file_ids=["file-none"])
    assert not pair.server.vector_stores
    store = await stores.create()
    archive = await upload(pair, "a.zip")
    async with refused(400, code="unsupported_file", sentence="[.zip]"):
        await stores.files.create(store.id, file_id=archive)
    async with refused(400, code="missing_required_parameter", param="file_ids"):
        await stores.file_batches.create(store.id)
    async with refused(404, sentence="No file found"):
        await stores.file_batches.create(store.id, file_ids=[archive, "file-none"])
    odd: Any = {"type": "static", "static": {"max_chunk_size_tokens": 1, "chunk_overlap_tokens": 0}}
    async with refused(400, code="integer_below_min_value", param="chunking_strategy.static.max_chunk_size_tokens"):
        await stores.create(chunking_strategy=odd)


async def test_deleted_file_leaves_its_stores(pair: Pair) -> None:
    store, file = await store_with_handbook(pair)
    await pair.client.files.delete(file)
    assert pair.server.vector_store_files(store) == ()


async def test_response_cites_what_it_found(pair: Pair) -> None:
    store, file = await store_with_handbook(pair)
    tool: Any = {"type": "file_search", "vector_store_ids": [store]}
    include: Any = ["file_search_call.results"]
    async with pair.client.responses.stream(model=MODEL, input="x", tools=[tool], include=include) as stream:
        events = [event.type async for event in stream]
        response = await stream.get_final_response()
    assert events[3:6] == [f"response.file_search_call.{each}" for each in ("in_progress", "searching", "completed")]
    call = loose(response.output[0])
    assert (call.type, call.queries) == ("file_search_call", ["holidays"])
    (result,) = call.results
    assert (result.file_id, result.filename, result.text, result.score) == (file, "handbook.pdf", "Thirty days.", 0.8)
    assert response.output_text == "Thirty days."
    (citation,) = citations(response)
    assert (citation.type, citation.file_id, citation.filename) == ("file_citation", file, "handbook.pdf")
    assert citation.index == len("Thirty days")
    bare = await pair.client.responses.create(model=MODEL, input="x", tools=[tool])
    assert loose(bare.output[0]).results is None


async def test_response_searches_only_stores_that_are_there() -> None:
    now = [1_000_000.0]
    async with running(clock=lambda: now[0]) as pair:
        unknown: Any = {"type": "file_search", "vector_store_ids": ["vs_none"]}
        async with refused(404, sentence="Vector store with id ['vs_none'] not found."):
            await pair.client.responses.create(model=MODEL, input="x", tools=[unknown])
        store = await pair.client.vector_stores.create(expires_after={"anchor": "last_active_at", "days": 1})
        now[0] += 86_400
        assert (await pair.client.vector_stores.retrieve(store.id)).status == "expired"
        tool: Any = {"type": "file_search", "vector_store_ids": [store.id]}
        async with refused(400, param="tools", sentence="is expired"):
            await pair.client.responses.create(model=MODEL, input="x", tools=[tool])


async def test_search_finds_nothing_that_is_not_ready(pair: Pair) -> None:
    async def answer(_: Question) -> AsyncIterator[Piece]:
        yield FileSearch(("x",), (FoundPassage("handbook.pdf", "x"),))

    async with running(brain=ScriptedBrain(answer)) as pair:
        pair.server.switches.indexing = "stays"
        store, _ = await store_with_handbook(pair)
        tool: Any = {"type": "file_search", "vector_store_ids": [store]}
        response = await pair.client.responses.create(model=MODEL, input="x", tools=[tool])
    assert response.error is not None
    assert "handbook.pdf" in response.error.message


async def test_run_marks_what_it_found(pair: Pair) -> None:
    store, file = await store_with_handbook(pair)
    search: Any = {"file_search": {"vector_store_ids": [store]}}
    assistant, thread = await pair.assistant_and_thread(tools=[{"type": "file_search"}], tool_resources=search)
    runs = pair.client.beta.threads.runs
    async with runs.stream(thread_id=thread, assistant_id=assistant) as stream:
        await stream.until_done()
        (message,) = await stream.get_final_messages()
        step = (await stream.get_final_run_steps())[0]
    text = loose(message.content[0]).text
    assert text.value == "Thirty days【4:0†handbook.pdf】."
    (annotation,) = text.annotations
    assert (annotation.type, annotation.file_citation.file_id) == ("file_citation", file)
    assert text.value[annotation.start_index : annotation.end_index] == annotation.text == "【4:0†handbook.pdf】"
    include: Any = ["step_details.tool_calls[*].file_search.results[*].content"]
    at: Any = {"thread_id": thread, "run_id": step.run_id}
    with_content = await runs.steps.retrieve(step.id, **at, include=include)
    without = await runs.steps.retrieve(step.id, **at)
    results = [loose(each.step_details).tool_calls[0].file_search.results[0] for each in (with_content, without)]
    assert [(each.file_id, each.file_name, each.score) for each in results] == [(file, "handbook.pdf", 0.8)] * 2
    assert results[0].content[0].text == "Thirty days."
    assert results[1].content is None
    odd: Any = ["everything"]
    async with refused(400, code="invalid_value", param="include[0]"):
        await runs.steps.list(**at, include=odd)


async def test_attachment_for_search_goes_into_the_threads_own_store(pair: Pair) -> None:
    file = await upload(pair)
    assistant, thread = await pair.assistant_and_thread(tools=[{"type": "file_search"}])
    attachments: Any = [{"file_id": file, "tools": [{"type": "file_search"}]}]
    threads = pair.client.beta.threads
    await threads.messages.create(thread, role="user", content="x", attachments=attachments)
    (store,) = loose((await threads.retrieve(thread)).tool_resources).file_search.vector_store_ids
    kept = await pair.client.vector_stores.retrieve(store)
    assert kept.expires_after is not None
    assert (kept.expires_after.days, kept.file_counts.completed) == (7, 1)
    run = await threads.runs.create_and_poll(thread_id=thread, assistant_id=assistant)
    assert run.status == "completed"


async def test_resources_of_an_assistant_are_made_or_checked(pair: Pair) -> None:
    file = await upload(pair)
    create = pair.client.beta.assistants.create
    made = await create(model=MODEL, tool_resources={"file_search": {"vector_stores": [{"file_ids": [file]}]}})
    (store,) = loose(made.tool_resources).file_search.vector_store_ids
    assert [each.id for each in pair.server.vector_store_files(store)] == [file]
    async with refused(400, code="mutually_exclusive_parameters"):
        await create(model=MODEL, tool_resources={"file_search": {"vector_store_ids": [store], "vector_stores": [{}]}})
    async with refused(404, sentence="Vector store with id ['vs_none'] not found."):
        await create(model=MODEL, tool_resources={"file_search": {"vector_store_ids": ["vs_none"]}})
    async with refused(404, sentence="No file found with id 'file-none'."):
        await pair.client.beta.assistants.update(
            made.id, tool_resources={"code_interpreter": {"file_ids": ["file-none"]}}
        )
    resources: Any = {"code_interpreter": {"file_ids": [file]}}
    changed = await pair.client.beta.assistants.update(made.id, tool_resources=resources)
    assert loose(changed.tool_resources).code_interpreter.file_ids == [file]


async def test_stores_survive_a_restart(tmp_path: Path) -> None:
    async with running(state_file=tmp_path / "s.json") as pair:
        store, file = await store_with_handbook(pair)
        await pair.client.vector_stores.retrieve(store)
    async with running(state_file=tmp_path / "s.json") as pair:
        kept = await pair.client.vector_stores.files.retrieve(file, vector_store_id=store)
        assert kept.status == "completed"

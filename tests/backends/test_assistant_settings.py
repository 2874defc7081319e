"""What an assistant's file asks for, on an Assistants server: files to search, settings, safety, other models."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import web

from bot.backends.assistants.backend import AssistantsBackend
from bot.backends.retries import Patience
from bot.backends.vector_stores import VectorStores
from bot.engine.ports import (
    Ability,
    Assistant,
    Attachment,
    CallsWanted,
    FileMade,
    Message,
    RunEvent,
    RunStatus,
    TextDelta,
    TextDone,
    ToolOutput,
    ToolSpec,
)
from bot.errors import BackendBusy, BackendRefused, BackendUnsupported, ThreadGone
from bot.playground.openai import (
    CodeInterpreterCall,
    FunctionCall,
    LocalOpenAI,
    MadeFile,
    Piece,
    Question,
    ScriptedBrain,
)
from tests.backends.bench import (
    NO_PATIENCE,
    PATIENCE,
    STRICT,
    TUTOR,
    Bench,
    connected,
    ended,
    message,
    request,
    text_of,
)
from tests.backends.handmade import EMPTY_LIST, answering, serving

RUNS = "/threads/{t}/runs"
SPEC = ToolSpec("get_time", "", {"type": "object", "properties": {}})


def assistants(**options: Any) -> AbstractAsyncContextManager[Bench[AssistantsBackend]]:
    return connected(AssistantsBackend, **options)


def again(bench: Bench[AssistantsBackend], **options: Any) -> Bench[AssistantsBackend]:
    """Another process at the same server."""
    fields = {"patience": PATIENCE, "lock_patience": PATIENCE, "poll": 0.001, **options}
    return Bench(bench.server, AssistantsBackend(bench.client, **fields), bench.client)


# Files to search


@pytest.fixture
def library(tmp_path: Path) -> Assistant:
    for name in ("rules.md", "prices.md"):
        (tmp_path / name).write_text(f"# {name}")
    return replace(TUTOR, tools=("file_search",), files=(tmp_path / "rules.md", tmp_path / "prices.md"))


def stores(server: LocalOpenAI) -> list[list[str]]:
    """The names of the files in each vector store."""
    return [
        [server.files[each.id].filename for each in server.vector_store_files(store)] for store in server.vector_stores
    ]


async def test_the_files_of_an_assistant_are_searched_by_its_runs(library: Assistant) -> None:
    heard: list[Question] = []

    def listen(question: Question) -> str:
        heard.append(question)
        return "yes"

    async with assistants(brain=ScriptedBrain(listen)) as bench:
        await asyncio.gather(*(bench.ask("?", assistant=library, run=f"run-{number}") for number in range(3)))
        [store] = bench.server.vector_stores.values()
        [made] = bench.server.assistants.values()
    assert sorted(seen.name for seen in heard[0].files if seen.kind == "searched") == ["prices.md", "rules.md"]
    assert made.tool_resources == {"file_search": {"vector_store_ids": [store.id]}}
    assert store.metadata["bobbin_assistant"] == "tutor"


async def test_another_process_uploads_nothing_twice(library: Assistant) -> None:
    async with assistants() as bench:
        await bench.ask("?", assistant=library)
        await again(bench).ask("?", assistant=library, run="run-2")
        assert stores(bench.server) == [["rules.md", "prices.md"]]
        assert len(bench.server.files) == 2


async def test_a_file_that_changed_is_searched_as_it_is_now(library: Assistant) -> None:
    async with assistants() as bench:
        await bench.ask("?", assistant=library)
        [before] = bench.server.vector_stores
        library.files[0].write_text("# new rules")
        await bench.ask("?", assistant=library, run="run-2")
        [after] = bench.server.vector_stores
        [made] = bench.server.assistants.values()
        assert len(bench.server.files) == 2
        assert stores(bench.server) == [["rules.md", "prices.md"]]
    assert before != after
    assert made.tool_resources == {"file_search": {"vector_store_ids": [after]}}


async def test_an_assistant_that_no_longer_searches_leaves_nothing_behind(library: Assistant) -> None:
    async with assistants() as bench:
        await bench.ask("?", assistant=library)
        await bench.ask("?", assistant=replace(library, tools=(), files=()), run="run-2")
        [made] = bench.server.assistants.values()
        assert not bench.server.vector_stores
        assert not bench.server.files
    assert made.tool_resources == {"file_search": {"vector_store_ids": []}}


async def test_stores_of_other_assistants_and_people_are_left_alone(library: Assistant) -> None:
    async with assistants() as bench:
        await bench.ask("?", assistant=replace(library, key="other"))
        await bench.client.vector_stores.create(name="somebody's")
        await bench.ask("?", assistant=library, run="run-2")
        library.files[0].write_text("# new rules")
        await bench.ask("?", assistant=library, run="run-3")
        assert len(bench.server.vector_stores) == 3


@pytest.mark.parametrize("path", ["/vector_stores", "/vector_stores/{v}/files", "/files"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_call_whose_answer_got_lost_makes_no_second_store(library: Assistant, path: str, when: str) -> None:
    async with assistants() as bench:
        bench.server.faults.add(method="POST", path=path, cut=True, when=when)
        await bench.ask("?", assistant=library)
        assert stores(bench.server) == [["rules.md", "prices.md"]]


async def test_a_store_that_was_only_half_filled_is_filled(library: Assistant) -> None:
    async with assistants(patience=NO_PATIENCE) as bench:
        bench.server.faults.add(method="POST", path="/vector_stores/{v}/files", status=401)
        await bench.broken(request(await bench.thread(), message(1, "?"), assistant=library), BackendRefused)
        await again(bench).ask("?", assistant=library, run="run-2")
        assert stores(bench.server) == [["rules.md", "prices.md"]]


async def test_files_that_are_never_ready_are_not_waited_for_forever(library: Assistant) -> None:
    async with assistants() as bench:
        impatient = again(bench, reading=Patience(total=0.05, first=0.001, longest=0.01))
        bench.server.switches.indexing = "stays"
        asked = request(await bench.thread(), message(1, "?"), assistant=library)
        with pytest.raises(BackendBusy) as caught:
            await impatient.run(asked)
        assert "reading this assistant's files" in caught.value.sentence
        bench.server.switches.indexing = "completes"
        assert text_of(await impatient.run(replace(asked, attempt=2))) == "pong and more"
        assert len(bench.server.files) == 2


async def test_a_file_that_cannot_be_read_is_named(library: Assistant) -> None:
    async with assistants() as bench:
        bench.server.switches.indexing = "fails"
        asked = request(await bench.thread(), message(1, "?"), assistant=library)
        with pytest.raises(BackendRefused) as caught:
            await bench.run(asked)
        assert "rules.md, prices.md" in caught.value.sentence
        assert not bench.server.vector_stores
        assert not bench.server.files
        bench.server.switches.indexing = "completes"
        assert text_of(await bench.run(replace(asked, attempt=2))) == "pong and more"


async def test_old_stores_that_cannot_be_deleted_do_not_keep_anybody_from_an_answer(library: Assistant) -> None:
    async with assistants(patience=NO_PATIENCE) as bench:
        await bench.ask("?", assistant=library)
        library.files[0].write_text("# new rules")
        bench.server.faults.add(method="DELETE", path="/vector_stores/{v}", status=500)
        assert text_of(await bench.ask("?", assistant=library, run="run-2")) == "pong and more"
        assert len(bench.server.vector_stores) == 2
        await again(bench).ask("?", assistant=library, run="run-3")
        assert len(bench.server.vector_stores) == 1


async def test_files_to_search_that_somebody_deleted_are_sent_again(library: Assistant) -> None:
    async with assistants() as bench:
        await bench.ask("?", assistant=library)
        [store] = bench.server.vector_stores
        await bench.client.vector_stores.delete(store)
        assert text_of(await bench.ask("?", assistant=library, run="run-2")) == "pong and more"
        assert stores(bench.server) == [["rules.md", "prices.md"]]
        [new] = bench.server.vector_stores
        [made] = bench.server.assistants.values()
    assert made.tool_resources == {"file_search": {"vector_store_ids": [new]}}


async def test_files_of_a_thread_that_expired_there_begin_a_new_one(library: Assistant, tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(b"%PDF-1.4")
    posted = Message("1700000000.000001", "user", "read", (Attachment(path.name, "application/pdf", 8, path),))
    now = 0.0
    async with assistants(clock=lambda: now) as bench:
        thread = await bench.thread()
        await bench.run(request(thread, posted, assistant=library))
        now = 8 * 86_400.0
        await bench.broken(request(thread, message(2, "and now?"), assistant=library, run="run-2"), ThreadGone)


@pytest.fixture
async def forgetful() -> AsyncIterator[tuple[openai.AsyncOpenAI, dict[str, Any]]]:
    """A server that keeps no attributes of a store's files, and what it has: the files, and their status."""
    has: dict[str, Any] = {"stores": [], "files": [], "sent": 0, "status": "completed"}

    async def make(call: web.Request) -> web.Response:
        store = {"id": f"vs_{len(has['stores'])}", "status": "completed", "metadata": (await call.json())["metadata"]}
        has["stores"].append(store)
        return web.json_response(store)

    async def upload(call: web.Request) -> web.Response:
        await call.read()
        has["sent"] += 1
        return web.json_response({"id": f"file-{has['sent']}", "object": "file"})

    async def add(call: web.Request) -> web.Response:
        has["files"].append((await call.json())["file_id"])
        return web.json_response({"id": has["files"][-1], "status": "in_progress"})

    async def inside(_: web.Request) -> web.Response:
        listed = [{"id": file, "status": has["status"]} for file in has["files"]]
        return web.json_response({**EMPTY_LIST, "data": listed})

    async def take_out(call: web.Request) -> web.Response:
        has["files"].remove(call.match_info["f"])
        return web.json_response({})

    async def drop(_: web.Request) -> web.Response:
        has["files"], has["stores"] = [], []
        return web.json_response({})

    routes = {
        "GET /vector_stores": lambda call: answering({**EMPTY_LIST, "data": has["stores"]})(call),
        "POST /vector_stores": make,
        "POST /files": upload,
        "POST /vector_stores/{v}/files": add,
        "GET /vector_stores/{v}/files": inside,
        "DELETE /vector_stores/{v}/files/{f}": take_out,
        "DELETE /vector_stores/{v}": drop,
    }
    async with serving(routes) as client:
        yield client, has


async def test_a_server_that_keeps_no_attributes_is_not_sent_its_files_at_each_start(
    forgetful: Any, library: Assistant
) -> None:
    client, has = forgetful
    for _ in range(3):
        await VectorStores(client, PATIENCE, PATIENCE).ensure(library)
    assert (has["sent"], has["files"]) == (2, ["file-1", "file-2"])


async def test_a_half_filled_store_without_attributes_is_filled_anew(forgetful: Any, library: Assistant) -> None:
    client, has = forgetful
    await VectorStores(client, PATIENCE, PATIENCE).ensure(library)
    del has["files"][0]
    await VectorStores(client, PATIENCE, PATIENCE).ensure(library)
    assert has["files"] == ["file-3", "file-4"]


async def test_a_file_that_a_server_without_attributes_cannot_read_is_named(forgetful: Any, library: Assistant) -> None:
    client, has = forgetful
    has["status"] = "failed"
    with pytest.raises(BackendRefused, match=r"rules\.md, prices\.md"):
        await VectorStores(client, PATIENCE, PATIENCE).ensure(library)
    assert not has["stores"]


async def test_a_file_to_search_that_is_gone_is_named(library: Assistant) -> None:
    library.files[1].unlink()
    async with assistants() as bench:
        with pytest.raises(BackendRefused) as caught:
            await bench.run(request(await bench.thread(), message(1, "?"), assistant=library))
    assert "prices.md" in caught.value.sentence


async def test_a_server_that_searches_no_files_says_so(library: Assistant) -> None:
    async with assistants() as bench:
        bench.server.faults.add(method="GET", path="/vector_stores", status=404, times=None)
        with pytest.raises(BackendUnsupported) as caught:
            await bench.run(request(await bench.thread(), message(1, "?"), assistant=library))
    assert "file_search" in caught.value.sentence


# Settings


def test_what_it_can_carry() -> None:
    assert AssistantsBackend.abilities >= {Ability.FUNCTIONS, Ability.FILE_SEARCH, Ability.MODERATION}
    assert not AssistantsBackend.abilities & {Ability.WEB_SEARCH, Ability.HOSTED_MCP, Ability.REASONING_SUMMARY}


async def test_a_schema_can_be_strict_and_described() -> None:
    async with assistants() as bench:
        await bench.ask("ping", assistant=replace(TUTOR, response_format=STRICT))
        [made] = bench.server.assistants.values()
    schema = {"name": "verdict", "description": "Of a case.", "schema": {"type": "object"}, "strict": True}
    assert made.response_format == {"type": "json_schema", "json_schema": schema}


async def test_settings_of_the_assistant_are_set_and_taken_back() -> None:
    schema = {"name": "answer", "schema": {"type": "object", "properties": {}}}
    wanted = replace(TUTOR, top_p=0.5, response_format=schema)
    async with assistants() as bench:
        await bench.ask("ping", assistant=wanted)
        [made] = bench.server.assistants.values()
        assert made.top_p == 0.5
        assert made.response_format == {"type": "json_schema", "json_schema": schema}
        await bench.ask("ping", assistant=replace(TUTOR, response_format="json_object"), run="run-2")
        [made] = bench.server.assistants.values()
        assert made.top_p != 0.5
        assert made.response_format == {"type": "json_object"}
        await bench.ask("ping", run="run-3")
        [made] = bench.server.assistants.values()
        assert made.response_format == "auto"


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        ({"tool_choice": "required"}, {"tool_choice": "required"}),
        ({"tool_choice": "code_interpreter"}, {"tool_choice": {"type": "code_interpreter"}}),
        ({"tool_choice": "get_time"}, {"tool_choice": {"type": "function", "function": {"name": "get_time"}}}),
        ({"max_output_tokens": 100}, {"max_completion_tokens": 100}),
        ({"truncation": "auto"}, {"truncation_strategy": {"type": "auto"}}),
        (
            {"truncation": "disabled"},
            {"truncation_strategy": {"type": "last_messages", "last_messages": 100_000}},
        ),
    ],
)
async def test_settings_of_the_run_are_sent_with_it(wanted: dict[str, Any], sent: dict[str, Any]) -> None:
    async with assistants() as bench:
        await bench.ask("ping", assistant=replace(TUTOR, **wanted), functions=(SPEC,))
        [call] = bench.calls("POST", r"/threads/\w+/runs")
        plain = await bench.ask("ping", run="run-2")
        [_, bare] = bench.calls("POST", r"/threads/\w+/runs")
    assert {name: call.body[name] for name in sent} == sent
    assert not set(sent) & set(bare.body)
    assert ended(plain).status is RunStatus.COMPLETED


async def test_an_answer_over_its_limit_says_so() -> None:
    async with assistants(brain=ScriptedBrain(lambda _: "word " * 100)) as bench:
        events = await bench.ask("ping", assistant=replace(TUTOR, max_output_tokens=10))
    assert ended(events).status is RunStatus.INCOMPLETE
    assert "limit" in (ended(events).reason or "")


async def test_the_model_that_answered_is_named() -> None:
    async with assistants() as bench:
        assert ended(await bench.ask("ping")).model == TUTOR.model


# Other models

STURDY = replace(TUTOR, fallback_models=("gpt-6-luna", "gpt-6-sol"))


async def test_a_model_that_is_gone_is_replaced() -> None:
    async with assistants() as bench:
        await bench.ask("ping", assistant=STURDY)
        bench.server.switches.retired |= {TUTOR.model, "gpt-6-luna"}
        for number in (2, 3):
            events = await bench.ask("ping", assistant=STURDY, run=f"run-{number}")
            assert (text_of(events), ended(events).model) == ("pong and more", "gpt-6-sol")
        fresh = await again(bench).ask("ping", assistant=STURDY, run="run-4")
        assert ended(fresh).model == "gpt-6-sol"
        bench.server.switches.retired.clear()
        assert ended(await bench.ask("ping", assistant=STURDY, run="run-5")).model == TUTOR.model
        assert len(bench.server.assistants) == 1


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("streaming", [True, False])
async def test_a_model_without_time_is_replaced(status: int, streaming: bool) -> None:
    async with assistants(streaming=streaming) as bench:
        bench.server.switches.overloaded = {TUTOR.model: status, "gpt-6-luna": status}
        events = await bench.ask("ping", assistant=STURDY)
        assert (text_of(events), ended(events).model) == ("pong and more", "gpt-6-sol")
        assert len(bench.server.runs) == 3


async def test_a_request_that_is_refused_for_now_goes_to_the_next_model() -> None:
    async with assistants(patience=NO_PATIENCE) as bench:
        bench.server.faults.add(method="POST", path=RUNS, status=429, code="rate_limit_exceeded")
        events = await bench.ask("ping", assistant=STURDY)
        assert ended(events).model == "gpt-6-luna"
        assert len(bench.server.runs) == 1


async def test_without_a_model_that_has_time_the_run_fails() -> None:
    async with assistants() as bench:
        models = (STURDY.model, *STURDY.fallback_models)
        bench.server.switches.overloaded = dict.fromkeys(models, 429)
        events = await bench.ask("ping", assistant=STURDY)
        assert len(bench.server.runs) == 3
    assert ended(events).status is RunStatus.FAILED
    assert "busy" in (ended(events).reason or "")


async def test_a_run_that_was_given_to_another_model_is_followed_after_a_crash() -> None:
    async with assistants() as bench:
        bench.server.switches.overloaded = {TUTOR.model: 429}
        first = request(await bench.thread(), message(1, "ping"), assistant=STURDY)
        await bench.run(first)
        failed, _ = bench.server.runs
        for lost in (failed, None):
            events = await bench.run(replace(first, attempt=2, backend_run=lost))
            assert (text_of(events), ended(events).model) == ("pong and more", "gpt-6-luna")
        assert len(bench.server.runs) == 2


async def test_what_failed_after_its_first_words_is_not_begun_anew() -> None:
    async with assistants() as bench:
        error = {"code": "rate_limit_exceeded", "message": "Rate limit reached"}
        bench.server.faults.add(method="POST", path=RUNS, run_status="failed", last_error=error)
        events = await bench.ask("ping", assistant=STURDY)
        assert len(bench.server.runs) == 1
    assert ended(events).status is RunStatus.FAILED


async def test_a_quota_that_is_used_up_is_no_matter_of_the_model() -> None:
    async with assistants() as bench:
        bench.server.faults.add(method="POST", path=RUNS, status=429, code="insufficient_quota")
        await bench.broken(request(await bench.thread(), message(1, "ping"), assistant=STURDY), BackendRefused)
        assert not bench.server.runs


# Safety

SAFE = replace(TUTOR, moderation=True)


async def test_an_answer_that_passes_is_shown_once_it_was_checked(tmp_path: Path) -> None:
    plot = MadeFile("plot.png", b"\x89PNG\r\n\x1a\n", "image/png")

    async def answer() -> AsyncIterator[Piece]:
        yield CodeInterpreterCall("1", "", (plot,))
        yield "Here "
        yield "it is."

    async with assistants(brain=ScriptedBrain(lambda _: answer())) as bench:
        events = await bench.ask("plot", assistant=SAFE, folder=tmp_path)
        checked = bench.calls("POST", "/moderations")
    assert [type(event) for event in events[-3:-1]] == [TextDone, FileMade]
    assert not [event for event in events if isinstance(event, TextDelta)]
    assert text_of(events) == "Here it is."
    assert len(checked) == 3  # the post, the answer, and the picture in it


async def test_text_before_functions_is_checked_too() -> None:
    def answer(question: Question) -> Any:
        return _ask_the_time() if question.messages[-1][0] == "user" else "It is noon."

    async with assistants(brain=ScriptedBrain(answer)) as bench:
        first = request(await bench.thread(), message(1, "time?"), assistant=SAFE, functions=(SPEC,))
        events: list[RunEvent] = await bench.run(first)
        wanted = events[-1]
        assert isinstance(wanted, CallsWanted)
        assert text_of(events) == "I look."
        [run] = bench.server.runs
        outputs = (ToolOutput(wanted.calls[0].id, "noon"),)
        rest = await bench.run(replace(first, outputs=outputs, backend_run=run))
        assert [call.body["input"] for call in bench.calls("POST", "/moderations")] == [
            ["time?"],
            ["I look."],
            ["It is noon."],
        ]
    assert text_of(rest) == "It is noon."


async def _ask_the_time() -> AsyncIterator[Piece]:
    yield "I look."
    yield FunctionCall("get_time", "{}")


async def test_a_server_without_a_safety_check_says_so() -> None:
    async with assistants() as bench:
        bench.server.faults.add(method="POST", path="/moderations", status=404, times=None)
        asked = request(await bench.thread(), message(1, "ping"), assistant=SAFE)
        with pytest.raises(BackendUnsupported) as caught:
            await bench.run(asked)
        assert not bench.server.runs
    assert "moderation" in caught.value.sentence

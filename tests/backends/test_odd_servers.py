"""Servers that speak almost like OpenAI, and what never meets a server at all."""

import datetime
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from bot import backends
from bot.backends.assistants.backend import AssistantsBackend
from bot.backends.checks import check_models
from bot.backends.failures import raised_in_run
from bot.backends.local.backend import LocalBackend
from bot.backends.responses.backend import ResponsesBackend
from bot.backends.transcript import Transcript
from bot.engine.ports import HistoryItem
from bot.errors import BackendRefused, ContextOverflow, RunBroken, SettingsError
from storage.sqlite import SqliteStorage
from tests.backends.bench import KEY, PATIENCE, TUTOR, ended, message, request, text_of
from tests.backends.handmade import EMPTY_LIST, Handler, answering, event, serving, streaming, thread_event

# Models


def listed(**ends: str | None) -> Handler:
    models = [{"id": name, "object": "model", "shutdown_date": end} for name, end in ends.items()]
    return answering({"object": "list", "data": models})


async def test_a_model_that_will_soon_be_switched_off_is_named() -> None:
    soon = (datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=7)).isoformat()
    late = (datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=70)).isoformat()
    async with serving({"GET /models": listed(soon=soon, late=late, never=None, odd="some day")}) as client:
        checks = await check_models(client, ["soon", "late", "never", "odd", "unknown"])
    problems = {check.name: check.problem for check in checks}
    assert soon in (problems["model soon"] or "")
    assert "unknown" in (problems["model unknown"] or "")
    assert [problems[f"model {name}"] for name in ("late", "never", "odd")] == [None] * 3


async def test_a_server_that_does_not_list_its_models_is_not_blamed() -> None:
    async with serving({}) as client:
        assert await check_models(client, ["any"]) == []


async def test_models_that_may_not_be_listed_are_one_problem() -> None:
    refused = answering({"error": {"message": "no", "code": None}}, 403)
    async with serving({"GET /models": refused}) as client:
        [check] = await check_models(client, ["any"])
    assert "not allow" in (check.problem or "")


# Streams

RESPONSE = {"id": "resp_1", "object": "response", "status": "completed", "output": [], "usage": {}}
ANSWER = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "hi", "annotations": []}],
}


@pytest.mark.parametrize("after", ['data: {"type": "response.comp', event("response.of_the_future", thing=1)])
async def test_a_stream_with_half_an_event_or_a_strange_one(after: str) -> None:
    routes = {
        "GET /conversations/{c}/items": answering(EMPTY_LIST),
        "POST /responses": streaming(
            event("response.created", sequence_number=0, response={**RESPONSE, "status": "in_progress"}),
            event("response.output_text.delta", sequence_number=1, delta="hi", item_id="msg_1"),
            after,
        ),
        "GET /responses/resp_1": answering({**RESPONSE, "output": [ANSWER]}),
    }
    async with serving(routes) as client:
        backend = ResponsesBackend(client, patience=PATIENCE)
        events = [each async for each in backend.run(request("conv_1", message(1, "hello")))]
    assert text_of(events) == "hi"


@pytest.mark.parametrize("body", ["<html>", "[]", "{}"])
async def test_an_answer_that_cannot_be_read_is_not_asked_for_again(body: str) -> None:
    asked = []

    async def garble(call: web.Request) -> web.Response:
        asked.append(call.path)
        return web.Response(text=body, content_type="application/json")

    routes = {"GET /conversations/{c}/items": answering(EMPTY_LIST), "POST /responses": garble}
    async with serving(routes) as client:
        backend = ResponsesBackend(client, patience=PATIENCE)
        with pytest.raises(RunBroken):
            _ = [each async for each in backend.run(request("conv_1", message(1, "hello")))]
    assert len(asked) == 1


async def test_an_assistants_server_with_events_of_its_own() -> None:
    run = {"id": "run_1", "object": "thread.run", "status": "completed", "thread_id": "t", "usage": {}}
    reply = {"id": "msg_1", "object": "thread.message", "role": "assistant", "run_id": "run_1", "status": "completed"}
    text = [{"type": "text", "text": {"value": "hi", "annotations": []}}]

    routes = {
        "GET /assistants": answering(EMPTY_LIST),
        "POST /assistants": answering({"id": "asst_1", "object": "assistant", "metadata": {}}),
        "POST /threads/t/messages": answering({"id": "msg_0", "object": "thread.message"}),
        "POST /threads/t/runs": streaming(
            thread_event("server.hello", {"version": 1}),
            thread_event("thread.run.created", {**run, "status": "queued"}),
            thread_event("thread.message.completed", {**reply, "content": text}),
            thread_event("thread.run.completed", run),
            "data: [DONE]",
        ),
    }
    async with serving(routes) as client:
        backend = AssistantsBackend(client, patience=PATIENCE)
        events = [each async for each in backend.run(request("t", message(1, "hello")))]
    assert text_of(events) == "hi"


RUN = {"id": "run-abc", "object": "thread.run", "status": "completed", "thread_id": "t", "usage": None}
REPLY = {"id": "msg_1", "object": "thread.message", "role": "assistant", "status": "completed"}
HI = [{"type": "text", "text": {"value": "hi", "annotations": []}}]


def assistants_routes(**routes: Handler) -> dict[str, Handler]:
    return {
        "GET /assistants": answering(EMPTY_LIST),
        "POST /assistants": answering({"id": "asst_1", "object": "assistant", "metadata": {}}),
        "POST /threads/t/messages": answering({"id": "msg_0", "object": "thread.message"}),
        "GET /threads/t/runs/run-abc": answering(RUN),
        "GET /threads/t/runs/run-abc/steps": answering(EMPTY_LIST),
    } | {f"{name.split('_')[0].upper()} /threads/t/{name.partition('_')[2]}": call for name, call in routes.items()}


async def asked(routes: dict[str, Handler], **options: Any) -> list[Any]:
    async with serving(routes) as client:
        backend = AssistantsBackend(client, patience=PATIENCE, poll=0.001, **options)
        return [each async for each in backend.run(request("t", message(1, "hello")))]


@pytest.mark.parametrize("status", [400, 422])
async def test_a_server_that_does_not_know_the_word_stream_is_polled(status: int) -> None:
    async def run(call: web.Request) -> web.Response:
        if "stream" in await call.json():
            return web.json_response({"error": {"message": "Unknown argument: stream"}}, status=status)
        return web.json_response({**RUN, "status": "queued"})

    listed = answering({**EMPTY_LIST, "data": [{**REPLY, "run_id": "run-abc", "content": HI}]})
    routes = assistants_routes(post_runs=run, get_messages=listed)
    assert text_of(await asked(routes)) == "hi"


async def test_a_message_without_its_runs_id_is_the_answer_where_it_came_last() -> None:
    said = [
        {**REPLY, "id": "m1", "content": [{"type": "text", "text": {"value": "old", "annotations": []}}]},
        {**REPLY, "id": "m2", "role": "user", "content": HI},
        {**REPLY, "id": "m3", "content": HI},
    ]
    routes = assistants_routes(post_runs=answering(RUN), get_messages=answering({**EMPTY_LIST, "data": said}))
    assert text_of(await asked(routes)) == "hi"


@pytest.mark.parametrize(
    "error",
    [
        {"type": "not_found_error", "code": None, "message": "model 'x' not found"},
        {"type": "NotFoundError", "param": "model", "code": 404, "message": "The model `x` does not exist."},
        {"code": "model_not_found", "message": "No."},
    ],
)
async def test_a_missing_model_is_known_in_every_servers_words(error: dict[str, Any]) -> None:
    made = []

    async def make(call: web.Request) -> web.Response:
        made.append((await call.json())["model"])
        if made[-1] == TUTOR.model:
            return web.json_response({"error": error}, status=404)
        return web.json_response({**RESPONSE, "output": [ANSWER]})

    storage = await SqliteStorage.open("sqlite:///:memory:")
    async with serving({"POST /responses": make}) as client:
        backend = LocalBackend(client, storage, context_tokens=32_000, patience=PATIENCE)
        thread = await backend.create_thread(KEY, (), TUTOR)
        plain = replace(TUTOR, tools=())
        with pytest.raises(BackendRefused, match=f"does not know the model {TUTOR.model}"):
            _ = [each async for each in backend.run(request(thread, message(1, "hi"), assistant=plain))]
        other = replace(plain, fallback_models=("gpt-6-luna",))
        events = [each async for each in backend.run(request(thread, message(2, "hi"), assistant=other, run="run-2"))]
    await storage.close()
    assert text_of(events) == "hi"
    assert made == [TUTOR.model, TUTOR.model, "gpt-6-luna"]


async def test_a_model_that_says_it_is_busy_within_its_response_is_passed_over() -> None:
    async def make(call: web.Request) -> web.Response:
        model = (await call.json())["model"]
        if model == TUTOR.model:
            failure = {"code": "rate_limit_exceeded", "message": "Slow down."}
            return web.json_response({**RESPONSE, "status": "failed", "error": failure, "output": []})
        return web.json_response({**RESPONSE, "model": model, "output": [ANSWER]})

    storage = await SqliteStorage.open("sqlite:///:memory:")
    async with serving({"POST /responses": make}) as client:
        backend = LocalBackend(client, storage, context_tokens=32_000, patience=PATIENCE)
        asked = replace(TUTOR, tools=(), fallback_models=("gpt-6-luna",))
        thread = await backend.create_thread(KEY, (), TUTOR)
        events = [each async for each in backend.run(request(thread, message(1, "hi"), assistant=asked))]
    await storage.close()
    assert ended(events).model == "gpt-6-luna"


async def test_a_lock_is_known_whatever_the_ids_look_like() -> None:
    tried = 0

    async def run(_: web.Request) -> web.Response:
        nonlocal tried
        tried += 1
        if tried == 1:
            words = "Thread t already has an active run 7f3a-22."
            return web.json_response({"error": {"message": words}}, status=400)
        return web.json_response(RUN)

    listed = answering({**EMPTY_LIST, "data": [{**REPLY, "run_id": "run-abc", "content": HI}]})
    routes = assistants_routes(post_runs=run, get_messages=listed, get_runs=answering(EMPTY_LIST))
    routes["GET /threads/t/runs/7f3a-22"] = answering({**RUN, "id": "7f3a-22"})
    assert text_of(await asked(routes, lock_patience=PATIENCE)) == "hi"


# Without a server


class NoHistories:
    """Nothing is kept: these backends are only made."""

    async def add_items(self, items: Sequence[HistoryItem]) -> None:
        raise AssertionError

    async def items(self, thread: str) -> Sequence[HistoryItem]:
        raise AssertionError


def test_a_backend_that_there_is_not() -> None:
    with pytest.raises(SettingsError) as caught:
        backends.connect("telepathy", "k", None, histories=NoHistories())
    assert "BOBBIN_BACKEND" in caught.value.sentence
    assert "assistants, responses" in caught.value.sentence


@pytest.mark.parametrize("name", ["agents", "assistants", "local", "responses"])
async def test_backends_by_name(name: str) -> None:
    backend = backends.connect(name, "k", "http://127.0.0.1:1/v1", histories=NoHistories())
    assert backend.name == name
    await backend.close()


@pytest.mark.parametrize(
    ("code", "words", "kind"),
    [
        ("invalid_prompt", "context_length_exceeded: too many tokens", ContextOverflow),
        ("server_error", "Your input exceeds the context window of this model.", ContextOverflow),
        ("rate_limit_exceeded", "You exceeded your current quota, please check your plan.", BackendRefused),
        (None, None, RunBroken),
    ],
)
def test_a_failed_runs_own_words_count(code: str | None, words: str | None, kind: type[Exception]) -> None:
    assert type(raised_in_run(code, words)) is kind


def test_a_run_that_broke_off_keeps_more_than_the_server_did() -> None:
    transcript = Transcript()
    transcript.grow("one two three")
    assert transcript.settle(["one"], final=False) is None
    assert transcript.settle([], final=True) is None
    assert transcript.settle(["one"], final=True) == "one"


# Usage


@pytest.mark.parametrize("field", ["token_details", "tokens_details"])
async def test_cached_and_reasoned_tokens_are_counted_where_a_server_says_so(field: str) -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        f"prompt_{field}": {"cached_tokens": 8},
        f"completion_{field}": {"reasoning_tokens": 3},
    }
    run = {"id": "run_1", "object": "thread.run", "thread_id": "thread_1", "status": "completed", "model": "m"}
    assistant = {"id": "asst_1", "object": "assistant", "metadata": {}}
    routes = {
        "GET /assistants": answering(EMPTY_LIST),
        "POST /assistants": answering(assistant),
        "POST /threads/{t}/messages": answering({"id": "msg_1", "object": "thread.message", "metadata": {}}),
        "POST /threads/{t}/runs": answering(run),
        "GET /threads/{t}/runs/{r}": answering({**run, "usage": usage}),
        "GET /threads/{t}/messages": answering(EMPTY_LIST),
    }
    async with serving(routes) as client:
        backend = AssistantsBackend(client, patience=PATIENCE, poll=0.001)
        events = [event async for event in backend.run(request("thread_1", message(1, "ping")))]
    assert ended(events).usage == {
        "input_tokens": 10,
        "cached_tokens": 8,
        "output_tokens": 5,
        "reasoning_tokens": 3,
    }
    assert ended(events).model == "m"

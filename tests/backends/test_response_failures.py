"""Responses that a model, or a stream, does not bring to an end; and servers that say little of what they do."""

from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from bot.backends.responses.backend import ResponsesBackend
from bot.engine.ports import RunEvent, Sources, Task
from bot.errors import BackendError, BackendRefused, RunBroken
from tests.backends.bench import PATIENCE, TUTOR, ended, message, request, text_of
from tests.backends.handmade import EMPTY_LIST, Handler, answering, event, serving, streaming

PLAIN = replace(TUTOR, tools=())
TWO_MODELS = replace(PLAIN, fallback_models=("gpt-6-luna",))
RESPONSE: dict[str, Any] = {"id": "resp_1", "object": "response", "status": "completed", "model": "m", "output": []}
HI = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "hi", "annotations": []}],
}

# Another model


def models(refusal: Handler, asked: list[str]) -> dict[str, Handler]:
    """Routes of a server whose first model answers with a refusal."""

    async def respond(call: web.Request) -> Any:
        model = (await call.json())["model"]
        asked.append(model)
        if model == TUTOR.model:
            return await refusal(call)
        return web.json_response({**RESPONSE, "model": model, "output": [HI]})

    return {
        "GET /conversations/{c}/items": answering(EMPTY_LIST),
        "GET /conversations/{c}": answering({"error": {"message": "No such conversation."}}, 404),
        "POST /responses": respond,
    }


async def run_at(routes: dict[str, Handler], **changes: Any) -> list[RunEvent]:
    """The events of a run at a server with these routes."""
    async with serving(routes) as client:
        patience = replace(PATIENCE, total=0.01)
        backend = ResponsesBackend(client, patience=patience, poll=0.001, lingering=0.01)
        return [each async for each in backend.run(request("conv_1", message(1, "ping"), **changes))]


CREATED = event("response.created", response={**RESPONSE, "status": "in_progress"})
BUSY = [
    ("rate_limit_exceeded", "Rate limit reached"),
    ("server_is_overloaded", "Please try again later."),
    ("slow_down", "Try again."),
    ("model_overloaded", "Try again."),
]


@pytest.mark.parametrize("form", ["flat", "nested", "failed"])
@pytest.mark.parametrize(("code", "words"), BUSY)
async def test_a_model_without_time_says_so_in_many_ways(form: str, code: str, words: str) -> None:
    error = {"code": code, "message": words}
    told = {
        "flat": event("error", **error),
        "nested": event("error", error=error),
        "failed": event("response.failed", response={**RESPONSE, "status": "failed", "error": error}),
    }
    asked: list[str] = []
    events = await run_at(models(streaming(CREATED, told[form]), asked), assistant=TWO_MODELS)
    assert (text_of(events), ended(events).model) == ("hi", "gpt-6-luna")
    assert asked == [TUTOR.model, "gpt-6-luna"]


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (410, "model_gone", "This is over."),
        (404, "model_deprecated", "The model `x` has been deprecated."),
        (400, None, "The model 'x' has been retired."),
        (529, "overloaded", "Overloaded"),
        (500, None, "The server is overloaded or not ready yet."),
    ],
)
async def test_a_model_that_is_gone_or_overloaded_is_passed_over(status: int, code: str | None, words: str) -> None:
    asked: list[str] = []
    refusal = answering({"error": {"message": words, "code": code, "type": "x", "param": None}}, status)
    events = await run_at(models(refusal, asked), assistant=TWO_MODELS)
    assert ended(events).model == "gpt-6-luna"


async def test_a_model_that_is_gone_is_not_taken_for_a_conversation_that_is() -> None:
    words = "The model `x` has been deprecated."
    refusal = answering({"error": {"message": words, "code": "model_deprecated", "type": "x"}}, 404)
    with pytest.raises(BackendRefused, match="does not know the model"):
        await run_at(models(refusal, []), assistant=PLAIN)


# Streams


async def test_a_response_that_never_ends_after_its_stream_is_given_up() -> None:
    routes = {
        "GET /conversations/{c}/items": answering(EMPTY_LIST),
        "POST /responses": streaming(CREATED, event("response.output_text.delta", delta="half")),
        "GET /responses/resp_1": answering({**RESPONSE, "status": "in_progress", "background": False}),
    }
    with pytest.raises(RunBroken):
        await run_at(routes, assistant=PLAIN)


async def test_a_refusal_from_upstream_does_not_end_streaming() -> None:
    asked: list[bool] = []

    async def respond(call: web.Request) -> Any:
        asked.append("stream" in await call.json())
        if len(asked) == 1:
            words = "Unsupported value: the upstream provider rejected temperature."
            return web.json_response({"error": {"message": words, "code": None, "param": None}}, status=400)
        return await streaming(CREATED, event("response.completed", response={**RESPONSE, "output": [HI]}))(call)

    routes = {"GET /conversations/{c}/items": answering(EMPTY_LIST), "POST /responses": respond}
    async with serving(routes) as client:
        backend = ResponsesBackend(client, patience=PATIENCE)
        for number in (1, 2):
            wanted = request("conv_1", message(number, "ping"), assistant=PLAIN, run=f"run-{number}")
            try:
                _ = [each async for each in backend.run(wanted)]
            except BackendError:
                assert number == 1
    assert asked == [True, True]


@pytest.mark.parametrize("data", ["null", "[]", "3"])
async def test_an_event_that_is_no_object_is_passed_over(data: str) -> None:
    done = event("response.completed", response={**RESPONSE, "output": [HI]})
    routes = {
        "GET /conversations/{c}/items": answering(EMPTY_LIST),
        "POST /responses": streaming(CREATED, f"data: {data}", done),
    }
    assert text_of(await run_at(routes, assistant=PLAIN)) == "hi"


async def test_items_without_ids_keep_their_sources_and_tasks() -> None:
    def citing(page: str) -> dict[str, Any]:
        note = {"type": "url_citation", "url": f"https://{page}", "title": page, "start_index": 0, "end_index": 1}
        return {**HI, "id": None, "content": [{"type": "output_text", "text": page, "annotations": [note]}]}

    searches = [{"id": None, "type": "web_search_call", "status": "completed", "action": None} for _ in range(2)]
    output = [searches[0], citing("a"), searches[1], citing("b")]
    routes = {
        "GET /conversations/{c}/items": answering(EMPTY_LIST),
        "POST /responses": streaming(
            CREATED,
            *(event("response.output_item.done", item=item, output_index=place) for place, item in enumerate(output)),
            event("response.completed", response={**RESPONSE, "output": output}),
        ),
    }
    events = await run_at(routes, assistant=PLAIN)
    sources = [each for each in events if isinstance(each, Sources)][-1].sources
    assert [source.title for source in sources] == ["a", "b"]
    assert len({each.id for each in events if isinstance(each, Task)}) == 2

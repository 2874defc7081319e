"""Servers that leave out what OpenAI says, or do not know what OpenAI knows."""

from typing import Any

import pytest
from aiohttp import web

from bot.backends.assistants.backend import AssistantsBackend
from bot.backends.responses.backend import ResponsesBackend
from bot.engine.ports import CallsWanted, RunEvent, RunStarted, RunStatus, Task
from tests.backends.bench import PATIENCE, ended, message, request, started, text_of
from tests.backends.handmade import EMPTY_LIST, Handler, answering, event, serving, streaming, thread_event

RESPONSE = {"id": "resp_1", "object": "response", "status": "completed", "model": "m"}
ANSWER = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "hi", "annotations": []}],
}

RUN = {"id": "run_1", "object": "thread.run", "thread_id": "thread_1", "status": "completed", "model": "m"}
REPLY = {
    "id": "msg_1",
    "object": "thread.message",
    "role": "assistant",
    "run_id": "run_1",
    "status": "completed",
    "content": [{"type": "text", "text": {"value": "hi", "annotations": []}}],
}


async def run_at(*, runs: Handler, steps: Handler | None = None, replies: Any = (REPLY,)) -> list[RunEvent]:
    """The events of a run on an Assistants server that answers like this."""
    routes = {
        "GET /assistants": answering(EMPTY_LIST),
        "POST /assistants": answering({"id": "asst_1", "object": "assistant", "metadata": {}}),
        "POST /threads/thread_1/messages": answering({"id": "msg_0", "object": "thread.message"}),
        "POST /threads/thread_1/runs": runs,
        "GET /threads/thread_1/runs/run_1": answering(RUN),
        "GET /threads/thread_1/runs/run_1/steps": steps or answering(EMPTY_LIST),
        "GET /threads/thread_1/messages": answering({**EMPTY_LIST, "data": list(replies)}),
    }
    async with serving(routes) as client:
        backend = AssistantsBackend(client, patience=PATIENCE, poll=0.001)
        return [each async for each in backend.run(request("thread_1", message(1, "hello")))]


async def respond_at(*, made: Handler, kept: Handler | None = None) -> list[RunEvent]:
    """The events of a run on a server of responses: `made` answers the call that makes one, `kept` the look at it."""
    served = {
        "GET /conversations/{c}/items": answering(EMPTY_LIST),
        "POST /responses": made,
        "GET /responses/resp_1": kept or answering(None, 404),
    }
    async with serving(served) as client:
        backend = ResponsesBackend(client, patience=PATIENCE, poll=0.001)
        return [each async for each in backend.run(request("conv_1", message(1, "hello")))]


# Streams


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": {"message": "Unrecognized request argument supplied: stream", "type": "x"}}),
        (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream"], "msg": "Extra inputs"}]}),
    ],
)
async def test_a_server_that_does_not_know_the_word_stream_is_asked_without_it(status: int, body: Any) -> None:
    async def respond(call: web.Request) -> web.Response:
        if "stream" in await call.json():
            return web.json_response(body, status=status)
        return web.json_response({**RESPONSE, "output": [ANSWER]})

    events = await respond_at(made=respond)
    assert (text_of(events), ended(events).status) == ("hi", RunStatus.COMPLETED)


# Code that has made nothing yet

CODE = [{"input": "x"}, {"input": None, "outputs": None}, None]


@pytest.mark.parametrize("code", CODE)
@pytest.mark.parametrize("streamed", [True, False])
async def test_code_that_runs_and_has_no_outputs_yet_does_not_crash_its_run(streamed: bool, code: Any) -> None:
    calls = [{"id": "call_1", "type": "code_interpreter", "code_interpreter": code}]
    details = {"type": "tool_calls", "tool_calls": calls}
    step = {"id": "step_1", "object": "thread.run.step", "status": "in_progress", "step_details": details}
    started = [thread_event("thread.run.created", RUN), thread_event("thread.run.step.in_progress", step)]
    rest = [thread_event("thread.message.completed", REPLY), thread_event("thread.run.completed", RUN)]
    made = streaming(*started, *rest) if streamed else answering(RUN)
    events = await run_at(runs=made, steps=answering({**EMPTY_LIST, "data": [step]}))
    assert [event.title for event in events if isinstance(event, Task)] == ["Runs code"] * 2
    assert (text_of(events), ended(events).status) == ("hi", RunStatus.COMPLETED)


@pytest.mark.parametrize("details", [None, {"type": "tool_calls"}])
async def test_a_step_of_which_nothing_is_known_yet_is_passed_over(details: Any) -> None:
    step = {"id": "step_1", "object": "thread.run.step", "status": "in_progress", "step_details": details}
    events = await run_at(runs=answering(RUN), steps=answering({**EMPTY_LIST, "data": [step]}))
    assert not any(isinstance(event, Task) for event in events)
    assert (text_of(events), ended(events).status) == ("hi", RunStatus.COMPLETED)


# Objects without what OpenAI always says


@pytest.mark.parametrize("content", [None, [], [{"type": "text", "text": None}]])
@pytest.mark.parametrize("streamed", [True, False])
async def test_a_message_without_content_is_a_message_without_words(streamed: bool, content: Any) -> None:
    empty = {**REPLY, "id": "msg_0", "content": content}
    told = [thread_event("thread.message.completed", each) for each in (empty, REPLY)]
    made = streaming(*told, thread_event("thread.run.completed", RUN)) if streamed else answering(RUN)
    events = await run_at(runs=made, replies=[empty, REPLY])
    assert (text_of(events), ended(events).status) == ("hi", RunStatus.COMPLETED)


async def test_an_answer_that_does_not_say_of_which_run_it_is_is_shown() -> None:
    nameless = {name: value for name, value in REPLY.items() if name != "run_id"}
    assert text_of(await run_at(runs=answering(RUN), replies=[nameless])) == "hi"


async def test_an_answer_without_its_run_is_told_from_earlier_ones_where_a_server_lists_all() -> None:
    nameless = {name: value for name, value in REPLY.items() if name != "run_id"}
    earlier = {**nameless, "id": "msg_0", "content": [{"type": "text", "text": {"value": "no"}}]}
    post = {**earlier, "id": "msg_1", "role": "user"}
    assert text_of(await run_at(runs=answering(RUN), replies=[earlier, post, nameless])) == "hi"


@pytest.mark.parametrize("thin", [RESPONSE, {**RESPONSE, "output": None}])
async def test_a_response_that_ends_without_its_output_keeps_what_was_streamed(thin: Any) -> None:
    events = await respond_at(
        made=streaming(
            event("response.created", response={**RESPONSE, "status": "in_progress"}),
            event("response.output_text.delta", delta="hi"),
            event("response.completed", response=thin),
        )
    )
    assert (text_of(events), ended(events).status) == ("hi", RunStatus.COMPLETED)


@pytest.mark.parametrize("content", [None, []])
async def test_an_item_without_content_says_nothing(content: Any) -> None:
    empty = {**ANSWER, "id": "msg_0", "content": content}
    events = await respond_at(made=answering({**RESPONSE, "output": [empty, ANSWER]}))
    assert (text_of(events), ended(events).status) == ("hi", RunStatus.COMPLETED)


@pytest.mark.parametrize("kind", ["response.created", "response.in_progress", "response.completed"])
async def test_an_event_without_its_response_is_passed_over(kind: str) -> None:
    told = [event("response.created", response=RESPONSE), event("response.output_text.delta", delta="hi")]
    events = await respond_at(
        made=streaming(event(kind), *told) if kind != "response.completed" else streaming(*told, event(kind)),
        kept=answering({**RESPONSE, "output": [ANSWER]}),
    )
    assert (text_of(events), ended(events).status) == ("hi", RunStatus.COMPLETED)


async def test_calls_that_were_streamed_are_made_though_the_end_does_not_name_them() -> None:
    call = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": "{}"}
    events = await respond_at(
        made=streaming(
            event("response.created", response={**RESPONSE, "status": "in_progress"}),
            event("response.output_item.done", item=call),
            event("response.completed", response=RESPONSE),
        )
    )
    assert isinstance(events[-1], CallsWanted)
    assert [each.name for each in events[-1].calls] == ["get_weather"]


# Streams of which the beginning is swallowed


async def test_a_response_whose_stream_does_not_begin_with_created_is_looked_up_where_it_breaks() -> None:
    begun = event("response.in_progress", response={**RESPONSE, "status": "in_progress"})
    events = await respond_at(made=streaming(begun), kept=answering({**RESPONSE, "output": [ANSWER]}))
    assert started(events).startswith("resp_1 ")
    assert (text_of(events), ended(events).status) == ("hi", RunStatus.COMPLETED)


async def test_a_run_whose_stream_does_not_begin_with_created_is_known_from_its_next_event() -> None:
    told = [thread_event(f"thread.run.{status}", {**RUN, "status": status}) for status in ("queued", "in_progress")]
    events = await run_at(runs=streaming(*told))
    assert [event.backend_run for event in events if isinstance(event, RunStarted)] == ["run_1"]
    assert (text_of(events), ended(events).status) == ("hi", RunStatus.COMPLETED)

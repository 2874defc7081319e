"""Servers that leave out what OpenAI says, or do not know what OpenAI knows."""

from typing import Any

import pytest
from aiohttp import web

from bot.backends.assistants import AssistantsBackend
from bot.backends.responses import ResponsesBackend
from bot.engine.ports import RunEvent, RunStatus, Task
from tests.backends.bench import PATIENCE, ended, message, request, text_of
from tests.backends.handmade import EMPTY_LIST, Handler, answering, serving, streaming, thread_event

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
    step = {"id": "step_1", "object": "thread.run.step", "status": "in_progress"}
    step |= {"step_details": {"type": "tool_calls", "tool_calls": calls}}
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

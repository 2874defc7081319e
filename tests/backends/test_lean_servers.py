"""Servers that leave out what OpenAI says, or do not know what OpenAI knows."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bot.backends.assistants.backend import AssistantsBackend
from bot.backends.responses.backend import ResponsesBackend
from bot.engine.ports import CallsWanted, RunEvent, RunStarted, RunStatus, Task, TextDelta, ToolCall, ToolSpec
from bot.errors import RunBroken
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
REPLY: dict[str, Any] = {
    "id": "msg_1",
    "object": "thread.message",
    "role": "assistant",
    "run_id": "run_1",
    "status": "completed",
    "content": [{"type": "text", "text": {"value": "hi", "annotations": []}}],
}


async def run_at(
    *, runs: Handler, steps: Handler | None = None, replies: Any = (REPLY,), kept: Any = RUN, **asked: Any
) -> list[RunEvent]:
    """The events of a run on an Assistants server that answers like this; `kept` is what a look at the run shows."""
    routes = {
        "GET /assistants": answering(EMPTY_LIST),
        "POST /assistants": answering({"id": "asst_1", "object": "assistant", "metadata": {}}),
        "POST /threads/thread_1/messages": answering({"id": "msg_0", "object": "thread.message"}),
        "POST /threads/thread_1/runs": runs,
        "GET /threads/thread_1/runs/run_1": answering(kept),
        "POST /threads/thread_1/runs/run_1/cancel": answering({**RUN, "status": "cancelled"}),
        "GET /threads/thread_1/runs/run_1/steps": steps or answering(EMPTY_LIST),
        "GET /threads/thread_1/messages": answering({**EMPTY_LIST, "data": list(replies)}),
    }
    async with serving(routes) as client:
        backend = AssistantsBackend(client, patience=PATIENCE, poll=0.001)
        return [each async for each in backend.run(request("thread_1", message(1, "hello"), **asked))]


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


def delta(*calls: Any) -> str:
    details = {"type": "tool_calls", "tool_calls": list(calls)}
    return thread_event("thread.run.step.delta", {"id": "step_1", "delta": {"step_details": details}})


@pytest.mark.parametrize("later", [{"index": 0}, {"index": 0, "type": None}, {}])
async def test_code_whose_later_parts_do_not_say_what_they_are_of_goes_on(later: dict[str, Any]) -> None:
    first = {"index": 0, "id": "call_1", "type": "code_interpreter", "code_interpreter": {"input": "", "outputs": []}}
    told = [delta(first), *(delta({**later, "code_interpreter": {"input": each}}) for each in ("x =", " 1\n", "y"))]
    events = await run_at(
        runs=streaming(
            thread_event("thread.run.created", RUN),
            *told,
            thread_event("thread.message.completed", REPLY),
            thread_event("thread.run.completed", RUN),
        )
    )
    assert [event.details for event in events if isinstance(event, Task)] == ["", "x = 1", "x = 1"]
    assert (text_of(events), ended(events).status) == ("hi", RunStatus.COMPLETED)


@pytest.mark.parametrize(
    ("kind", "lean"),
    [
        ("thread.run.step.delta", {}),
        ("thread.run.step.delta", {"delta": None}),
        ("thread.run.step.delta", {"delta": {"step_details": {"type": "tool_calls", "tool_calls": [{"type": "x"}]}}}),
        ("thread.message.delta", {}),
        ("thread.message.delta", {"delta": None}),
        ("thread.message.delta", {"delta": {"content": [None, {"index": 0}, {"index": 0, "type": "text"}]}}),
        ("thread.message.delta", {"delta": {"content": [{"index": 0, "type": "image_file", "image_file": {}}]}}),
        ("thread.message.completed", {"content": [{"type": "image_file", "image_file": {}}, {"type": "video"}]}),
    ],
)
async def test_an_event_that_leaves_out_what_it_tells_is_passed_over(kind: str, lean: dict[str, Any]) -> None:
    events = await run_at(
        runs=streaming(
            thread_event("thread.run.created", RUN),
            thread_event(kind, {"id": "step_1", **lean}),
            thread_event("thread.message.completed", REPLY),
            thread_event("thread.run.completed", RUN),
        )
    )
    assert (text_of(events), ended(events).status) == ("hi", RunStatus.COMPLETED)


@pytest.mark.parametrize("output", [{"type": "image"}, {"type": "image", "image": {}}, {"type": "html", "html": "x"}])
async def test_code_that_made_something_of_which_nothing_is_said_does_not_crash_its_run(
    output: Any, tmp_path: Path
) -> None:
    calls = [{"id": "call_1", "type": "code_interpreter", "code_interpreter": {"input": "x", "outputs": [output]}}]
    details = {"type": "tool_calls", "tool_calls": calls}
    step = {"id": "step_1", "object": "thread.run.step", "status": "completed", "step_details": details}
    events = await run_at(runs=answering(RUN), steps=answering({**EMPTY_LIST, "data": [step]}), folder=tmp_path)
    assert (text_of(events), ended(events).status) == ("hi", RunStatus.COMPLETED)


@pytest.mark.parametrize("end", [{}, {"id": "run_1"}, {"id": "run_1", "status": None}])
async def test_a_run_that_ends_without_saying_how_is_looked_at(end: dict[str, Any]) -> None:
    told = [thread_event("thread.run.created", RUN), thread_event("thread.run.completed", end)]
    events = await run_at(runs=streaming(*told))
    assert (text_of(events), ended(events).status) == ("hi", RunStatus.COMPLETED)


# Calls

CLOCK = ToolSpec("clock", "The time.", {"type": "object", "properties": {}})


def waiting(*calls: Any, **changes: Any) -> dict[str, Any]:
    wanted = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": list(calls)}}
    return {**RUN, "status": "requires_action", "required_action": wanted} | changes


@pytest.mark.parametrize(
    ("arguments", "written"), [(None, "{}"), ("", "{}"), ({"zone": "UTC"}, '{"zone": "UTC"}'), ("{}", "{}")]
)
async def test_the_arguments_of_a_call_are_json_whatever_a_server_sends(arguments: Any, written: str) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "clock", "arguments": arguments}}
    strange = {"id": "call_2", "type": "function"}
    events = await run_at(runs=answering(RUN), kept=waiting(call, strange), functions=(CLOCK,))
    assert events[-1] == CallsWanted((ToolCall("call_1", "clock", written),))


async def test_calls_that_the_stream_does_not_name_are_looked_up() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
    told = thread_event("thread.run.requires_action", waiting(required_action=None))
    events = await run_at(
        runs=streaming(thread_event("thread.run.created", RUN), told), kept=waiting(call), functions=(CLOCK,)
    )
    assert events[-1] == CallsWanted((ToolCall("call_1", "clock", "{}"),))


@pytest.mark.parametrize("action", [None, {"type": "submit_tool_outputs"}, {"submit_tool_outputs": {}}])
async def test_a_run_that_waits_for_nobody_knows_what_is_ended_with_a_sentence(action: Any) -> None:
    with pytest.raises(RunBroken, match="does not say for which"):
        await run_at(runs=answering(RUN), kept=waiting(required_action=action), functions=(CLOCK,))


# Objects without what OpenAI always says


@pytest.mark.parametrize("content", [None, [], [{"type": "text", "text": None}]])
@pytest.mark.parametrize("streamed", [True, False])
async def test_a_message_without_content_is_a_message_without_words(streamed: bool, content: Any) -> None:
    empty = {**REPLY, "id": "msg_0", "content": content}
    told = [thread_event("thread.message.completed", each) for each in (empty, REPLY)]
    made = streaming(*told, thread_event("thread.run.completed", RUN)) if streamed else answering(RUN)
    events = await run_at(runs=made, replies=[empty, REPLY])
    assert (text_of(events), ended(events).status) == ("hi", RunStatus.COMPLETED)


@pytest.mark.parametrize("content", ["hi", ["hi"], [{"type": "text", "text": "hi"}], [{"text": {"value": "hi"}}]])
@pytest.mark.parametrize("streamed", [True, False])
async def test_a_message_that_is_a_bare_text_is_shown(streamed: bool, content: Any) -> None:
    bare = {**REPLY, "content": content}
    told = [
        thread_event("thread.run.created", RUN),
        thread_event("thread.message.delta", {"id": "msg_1", "delta": {"content": content}}),
        thread_event("thread.message.completed", bare),
        thread_event("thread.run.completed", RUN),
    ]
    events = await run_at(runs=streaming(*told) if streamed else answering(RUN), replies=[bare])
    assert [event.text for event in events if isinstance(event, TextDelta)] == (["hi"] if streamed else [])
    assert (text_of(events), ended(events).status) == ("hi", RunStatus.COMPLETED)


@pytest.mark.parametrize("note", [{"text": ""}, {}, {"text": "hi", "file_citation": {}}, {"text": None}])
async def test_a_citation_that_does_not_say_what_or_where_is_passed_over(note: dict[str, Any]) -> None:
    cited = {"type": "file_citation", "file_citation": {"file_id": "file-1"}, **note}
    reply = {**REPLY, "content": [{"type": "text", "text": {"value": "hi", "annotations": [cited]}}]}
    events = await run_at(runs=answering(RUN), replies=[reply])
    assert text_of(events) == "hi"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.com/a (1).png", "hi\n\n[image](https://example.com/a%20%281%29.png)"),
        ("data:image/png;base64,AAAA", "hi\n\n(an image that cannot be shown here)"),
    ],
)
async def test_a_picture_that_lies_elsewhere_is_linked_to(url: str, shown: str) -> None:
    content = [*REPLY["content"], {"type": "image_url", "image_url": {"url": url}}]
    assert text_of(await run_at(runs=answering(RUN), replies=[{**REPLY, "content": content}])) == shown


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

"""What the local server refuses, and the faults that a test can ask of it."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import aiohttp
import openai
import pytest
from openai import AsyncOpenAI

from bot.playground.openai import LocalOpenAI, ScriptedBrain
from tests.playground.openai_client import MODEL, Pair, refused, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with running() as pair:
        yield pair


# --- Authentication, headers, models ---------------------------------------------------------------------------------


async def test_wrong_key_is_refused(pair: Pair) -> None:
    async with (
        AsyncOpenAI(api_key="sk-wrong", base_url=pair.server.url) as stranger,
        refused(401, code="invalid_api_key", sentence="Incorrect API key provided"),
    ):
        await stranger.models.list()


async def test_any_key_will_do_in_the_playground() -> None:
    async with running(api_key=None) as pair, AsyncOpenAI(api_key="anything", base_url=pair.server.url) as stranger:
        assert (await stranger.models.list()).data[0].id == MODEL


async def test_missing_key_is_refused(pair: Pair) -> None:
    status, body = await _post(pair, "/responses", b"{}", {"Authorization": ""})
    assert status == 401
    assert "You didn't provide an API key" in body["error"]["message"]


async def test_assistants_need_their_beta_header(pair: Pair) -> None:
    async with refused(400, code="invalid_beta", sentence="'OpenAI-Beta: assistants=v2'"):
        await pair.client.beta.threads.create(extra_headers={"OpenAI-Beta": "assistants=v1"})


async def test_body_must_be_declared_as_json(pair: Pair) -> None:
    status, body = await _post(pair, "/conversations", b"{}", {"Content-Type": "text/plain"})
    assert (status, body["error"]["code"]) == (400, "unsupported_content_type")


@pytest.mark.parametrize("content", [b"{", b"[1]"])
async def test_body_must_be_a_json_object(pair: Pair, content: bytes) -> None:
    status, body = await _post(pair, "/conversations", content, {"Content-Type": "application/json"})
    assert (status, body["error"]["type"]) == (400, "invalid_request_error")


async def test_unknown_routes_and_methods_are_refused(pair: Pair) -> None:
    async with refused(404, sentence="Invalid URL (POST /v1/chat/completions)"):
        await pair.client.chat.completions.create(model=MODEL, messages=[])
    status, body = await _post(pair, "/models", b"{}", {"Content-Type": "application/json"})
    assert (status, body["error"]["code"]) == (405, "method_not_supported")


async def test_answers_carry_openais_headers(pair: Pair) -> None:
    raw = await pair.client.models.with_raw_response.list()
    assert raw.headers["x-request-id"].startswith("req_")
    assert int(raw.headers["openai-processing-ms"]) >= 0
    assert raw.headers["openai-version"]


async def test_models_are_listed_and_unknown_ones_refused(pair: Pair) -> None:
    assert (await pair.client.models.retrieve(MODEL)).id == MODEL
    async with refused(404, code="model_not_found", sentence="The model `gpt-none` does not exist"):
        await pair.client.models.retrieve("gpt-none")
    async with refused(404, code="model_not_found"):
        await pair.client.responses.create(model="gpt-none", input="x")
    async with refused(404, code="model_not_found"):
        await pair.client.beta.assistants.create(model="gpt-none")


async def _post(pair: Pair, path: str, content: bytes, headers: dict[str, str]) -> tuple[int, Any]:
    headers = {"Authorization": "Bearer sk-local", **headers}
    async with (
        aiohttp.ClientSession() as session,
        session.post(pair.server.url + path, data=content, headers=headers) as answer,
    ):
        return answer.status, await answer.json()


# --- Parameters ------------------------------------------------------------------------------------------------------

ASSISTANT_REFUSALS: list[tuple[dict[str, Any], str, str]] = [
    ({"model": None}, "invalid_type", "model"),
    ({"name": "n" * 257}, "string_above_max_length", "name"),
    ({"description": "d" * 513}, "string_above_max_length", "description"),
    ({"instructions": "i" * 256_001}, "string_above_max_length", "instructions"),
    ({"instructions": 7}, "invalid_type", "instructions"),
    ({"tools": [{"type": "code_interpreter"}] * 129}, "array_above_max_length", "tools"),
    ({"tools": [{"type": "telepathy"}]}, "invalid_value", "tools[0].type"),
    ({"tools": [{"type": "function"}]}, "missing_required_parameter", "tools[0].function"),
    ({"metadata": {str(number): "" for number in range(17)}}, "object_above_max_properties", "metadata"),
    ({"metadata": {"k" * 65: ""}}, "string_above_max_length", "metadata"),
    ({"metadata": {"k": "v" * 513}}, "string_above_max_length", "metadata.k"),
    ({"metadata": {"k": 1}}, "invalid_type", "metadata.k"),
    ({"temperature": 3}, "decimal_above_max_value", "temperature"),
    ({"top_p": -1}, "decimal_below_min_value", "top_p"),
    ({"reasoning_effort": "heroic"}, "invalid_value", "reasoning_effort"),
]


@pytest.mark.parametrize(("fields", "code", "param"), ASSISTANT_REFUSALS)
async def test_assistant_parameters_are_checked(pair: Pair, fields: dict[str, Any], code: str, param: str) -> None:
    async with refused(400, code=code, param=param):
        await pair.client.beta.assistants.create(**{"model": MODEL, **fields})
    assert not pair.server.assistants


async def test_assistant_at_every_limit_is_accepted(pair: Pair) -> None:
    await pair.client.beta.assistants.create(
        model=MODEL,
        name="n" * 256,
        description="d" * 512,
        instructions="i" * 256_000,
        tools=[{"type": "code_interpreter"}] * 128,
        metadata={f"{number:064}": "v" * 512 for number in range(16)},
        temperature=0,
    )


async def test_unknown_and_missing_parameters_are_named(pair: Pair) -> None:
    async with refused(400, code="unknown_parameter", param="seed", sentence="Unknown parameter: 'seed'."):
        await pair.client.beta.assistants.create(model=MODEL, extra_body={"seed": 1})
    _, thread = await pair.assistant_and_thread()
    nobody: Any = openai.omit
    async with refused(400, code="missing_required_parameter", param="assistant_id"):
        await pair.client.beta.threads.runs.create(thread, assistant_id=nobody)


@pytest.mark.parametrize("content", ["", "  ", [], [{"type": "text", "text": ""}]])
async def test_empty_message_is_refused(pair: Pair, content: Any) -> None:
    _, thread = await pair.assistant_and_thread()
    with pytest.raises(openai.BadRequestError):
        await pair.client.beta.threads.messages.create(thread, role="user", content=content)
    assert len(pair.server.messages(thread)) == 1


async def test_message_may_hold_256_000_characters(pair: Pair) -> None:
    _, thread = await pair.assistant_and_thread()
    await pair.client.beta.threads.messages.create(thread, role="user", content="x" * 256_000)
    async with refused(400, code="string_above_max_length", param="content"):
        await pair.client.beta.threads.messages.create(thread, role="user", content="x" * 256_001)


async def test_message_roles_are_user_and_assistant(pair: Pair) -> None:
    _, thread = await pair.assistant_and_thread()
    async with refused(400, code="invalid_value", param="role"):
        await pair.client.beta.threads.messages.create(thread, role="system", content="x")  # type: ignore[arg-type]


async def test_thread_starts_with_at_most_32_messages(pair: Pair) -> None:
    message: Any = {"role": "user", "content": "x"}
    await pair.client.beta.threads.create(messages=[message] * 32)
    async with refused(400, code="array_above_max_length", param="messages"):
        await pair.client.beta.threads.create(messages=[message] * 33)


@pytest.mark.parametrize(("limit", "code"), [(0, "integer_below_min_value"), (101, "integer_above_max_value")])
async def test_list_limit_is_1_to_100(pair: Pair, limit: int, code: str) -> None:
    async with refused(400, code=code, param="limit"):
        await pair.client.beta.assistants.list(limit=limit)


async def test_unknown_cursor_and_order_are_refused(pair: Pair) -> None:
    _, thread = await pair.assistant_and_thread()
    async with refused(404, sentence="No message found with id 'msg_none'."):
        await pair.client.beta.threads.messages.list(thread, after="msg_none")
    async with refused(400, code="invalid_value", param="order"):
        await pair.client.beta.threads.messages.list(thread, order="up")  # type: ignore[arg-type]


async def test_at_most_20_items_a_call(pair: Pair) -> None:
    item: Any = {"role": "user", "content": "x"}
    conversation = await pair.client.conversations.create(items=[item] * 20)
    async with refused(400, code="array_above_max_length", param="items"):
        await pair.client.conversations.items.create(conversation.id, items=[item] * 21)
    async with refused(400, code="array_above_max_length", param="items"):
        await pair.client.conversations.create(items=[item] * 21)


RESPONSE_REFUSALS: list[tuple[dict[str, Any], str, str]] = [
    ({"input": ""}, "string_below_min_length", "input"),
    ({"input": openai.omit}, "missing_required_parameter", "input"),
    ({"input": [{"type": "thought"}]}, "invalid_value", "input[0].type"),
    ({"input": [{"role": "user"}]}, "missing_required_parameter", "input[0].content"),
    ({"input": [{"role": "robot", "content": "x"}]}, "invalid_value", "input[0].role"),
    (
        {"input": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
        "invalid_value",
        "input[0].content[0].type",
    ),
    ({"tools": [{"type": "telepathy"}]}, "invalid_value", "tools[0].type"),
    (
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        "unknown_parameter",
        "tools[0].function",
    ),
    ({"truncation": "some"}, "invalid_value", "truncation"),
    ({"max_output_tokens": 15}, "integer_below_min_value", "max_output_tokens"),
    ({"safety_identifier": "s" * 129}, "string_above_max_length", "safety_identifier"),
    ({"extra_body": {"messages": []}}, "unknown_parameter", "messages"),
]


@pytest.mark.parametrize(("fields", "code", "param"), RESPONSE_REFUSALS)
async def test_response_parameters_are_checked(pair: Pair, fields: dict[str, Any], code: str, param: str) -> None:
    async with refused(400, code=code, param=param):
        await pair.client.responses.create(**{"model": MODEL, "input": "x", **fields})
    assert not pair.server.responses


# --- Faults ----------------------------------------------------------------------------------------------------------


async def test_fault_answers_in_place_of_the_server(pair: Pair) -> None:
    pair.server.faults.add(
        method="POST",
        path="/threads",
        status=429,
        code="rate_limit_exceeded",
        type="requests",
        message="Slow down.",
        headers={"retry-after": "1"},
    )
    with pytest.raises(openai.RateLimitError) as caught:
        await pair.client.beta.threads.create()
    assert (caught.value.code, caught.value.response.headers["retry-after"]) == ("rate_limit_exceeded", "1")
    await pair.client.beta.threads.create()
    assert [request.status for request in pair.server.requests] == [429, 200]
    assert len(pair.server.threads) == 1


async def test_fault_after_the_write_loses_only_the_answer(pair: Pair) -> None:
    _, thread = await pair.assistant_and_thread()
    pair.server.faults.add(method="POST", path="/threads/{t}/messages", status=500, when="after", times=2)
    pair.server.faults.add(method="POST", path="/threads/{t}/messages", cut=True, when="after")
    for failure in (openai.InternalServerError, openai.InternalServerError, openai.APIConnectionError):
        with pytest.raises(failure):
            await pair.client.beta.threads.messages.create(thread, role="user", content="once")
    assert len(pair.server.messages(thread)) == 4


async def test_lost_answer_of_a_streamed_run_leaves_the_run(pair: Pair) -> None:
    assistant, thread = await pair.assistant_and_thread()
    pair.server.faults.add(method="POST", path="/threads/{t}/runs", cut=True, when="after")
    with pytest.raises(openai.APIConnectionError):
        await pair.client.beta.threads.runs.create(thread, assistant_id=assistant, stream=True)
    await pair.server.wait_for(lambda server: [run.status for run in server.runs.values()] == ["completed"])


async def test_lost_answer_of_a_response_leaves_its_items(pair: Pair) -> None:
    conversation = await pair.client.conversations.create()
    pair.server.faults.add(method="POST", path="/responses", status=500, when="after")
    with pytest.raises(openai.InternalServerError):
        await pair.client.responses.create(model=MODEL, input="x", conversation=conversation.id, stream=True)
    assert len(pair.server.items(conversation.id)) == 2


async def test_cut_closes_the_socket_before_anything_happened(pair: Pair) -> None:
    pair.server.faults.add(method="POST", path="/conversations", cut=True)
    with pytest.raises(openai.APIConnectionError):
        await pair.client.conversations.create()
    assert not pair.server.conversations


async def test_hang_lasts_until_the_client_gives_up(pair: Pair) -> None:
    pair.server.faults.add(method="GET", path="/models", hang=True)
    with pytest.raises(openai.APITimeoutError):
        await pair.client.models.list(timeout=0.1)
    assert [model async for model in pair.client.models.list()]


async def test_hanging_request_does_not_keep_the_server_from_stopping() -> None:
    async with running() as pair:
        pair.server.faults.add(method="GET", path="/models", hang=True)
        asking = asyncio.create_task(_models(pair.client))
        await pair.server.wait_for(lambda server: server.requests)
    with pytest.raises(openai.APIConnectionError):
        await asking


async def _models(client: AsyncOpenAI) -> None:
    await client.models.list()


async def test_stream_is_cut_after_some_events(pair: Pair) -> None:
    assistant, thread = await pair.assistant_and_thread()
    pair.server.faults.add(method="POST", path="/threads/{t}/runs", cut_after_events=8)
    stream = await pair.client.beta.threads.runs.create(thread, assistant_id=assistant, stream=True)
    names = [(await anext(stream)).event for _ in range(8)]
    assert names[-1] == "thread.message.delta"
    with pytest.raises(openai.APIConnectionError):
        await anext(stream)
    await pair.server.wait_for(lambda server: [run.status for run in server.runs.values()] == ["completed"])


async def test_stream_ends_without_its_terminal_event(pair: Pair) -> None:
    conversation = await pair.client.conversations.create()
    pair.server.faults.add(method="POST", path="/responses", no_terminal=True)
    stream = await pair.client.responses.create(model=MODEL, input="x", conversation=conversation.id, stream=True)
    assert [event async for event in stream][-1].type == "response.output_item.done"
    assert len(pair.server.items(conversation.id)) == 2


async def test_flat_error_event_is_not_raised_by_the_sdk(pair: Pair) -> None:
    pair.server.faults.add(method="POST", path="/responses", error_event="flat", code="rate_limit_exceeded")
    stream = await pair.client.responses.create(model=MODEL, input="x", stream=True)
    last = [event async for event in stream][-1]
    assert last.type == "error"
    assert last.code == "rate_limit_exceeded"


async def test_nested_error_event_is_raised_by_the_sdk(pair: Pair) -> None:
    pair.server.faults.add(method="POST", path="/responses", error_event="nested", message="Broken.")
    stream = await pair.client.responses.create(model=MODEL, input="x", stream=True)
    with pytest.raises(openai.APIError, match="Broken"):
        [event async for event in stream]


@pytest.mark.parametrize("status", ["failed", "expired", "incomplete", "cancelled", "requires_action"])
async def test_run_ends_as_a_fault_says(pair: Pair, status: str) -> None:
    assistant, thread = await pair.assistant_and_thread()
    pair.server.faults.add(
        method="POST",
        path="/threads/{t}/runs",
        run_status=status,
        last_error={"code": "rate_limit_exceeded", "message": "Quota."},
        incomplete_reason="max_prompt_tokens",
    )
    stream = await pair.client.beta.threads.runs.create(thread, assistant_id=assistant, stream=True)
    names = [event.event async for event in stream]
    assert names[-1] == f"thread.run.{status}"
    assert "thread.message.delta" in names
    run = next(iter(pair.server.runs.values()))
    assert (run.last_error is not None) == (status == "failed")
    assert (run.incomplete_details == {"reason": "max_prompt_tokens"}) == (status == "incomplete")
    assert (run.required_action is not None) == (status == "requires_action")


@pytest.mark.parametrize("status", ["failed", "incomplete"])
async def test_response_ends_as_a_fault_says(pair: Pair, status: str) -> None:
    pair.server.faults.add(
        method="POST",
        path="/responses",
        run_status=status,
        last_error={"code": "invalid_prompt", "message": "No."},
    )
    stream = await pair.client.responses.create(model=MODEL, input="x", stream=True)
    last = [event async for event in stream][-1]
    assert last.type == f"response.{status}"


async def test_delay_and_regular_expression(pair: Pair) -> None:
    pair.server.faults.add(method="GET", path=re.compile("/mod.*"), delay=0.05, times=None)
    started = asyncio.get_running_loop().time()
    await pair.client.models.list()
    assert asyncio.get_running_loop().time() - started >= 0.05
    pair.server.faults.clear()


# --- The server itself -----------------------------------------------------------------------------------------------


async def test_requests_are_recorded(pair: Pair) -> None:
    await pair.client.conversations.create(metadata={"a": "b"}, extra_headers={"Idempotency-Key": "k"})
    request = pair.server.requests[-1]
    assert (request.method, request.path, request.status) == ("POST", "/conversations", 200)
    assert (request.body, request.headers["idempotency-key"]) == ({"metadata": {"a": "b"}}, "k")


async def test_waiting_in_vain_tells_the_latest_requests(pair: Pair) -> None:
    await pair.client.models.list()
    with pytest.raises(TimeoutError, match="'/models', 200"):
        await pair.server.wait_for(lambda server: server.threads, timeout=0.01)


async def test_state_file_carries_everything_over_a_restart(tmp_path: Path) -> None:
    state_file = tmp_path / "openai.json"
    async with running(state_file=state_file) as pair:
        assistant, thread = await pair.assistant_and_thread()
        stream = await pair.client.beta.threads.runs.create(thread, assistant_id=assistant, stream=True)
        assert [event async for event in stream][-1].event == "thread.run.completed"
        conversation = await pair.client.conversations.create()
        response = await pair.client.responses.create(model=MODEL, input="x", conversation=conversation.id)
        file = await pair.client.files.create(file=("a.txt", b"abc"), purpose="evals")
        before = [message.text for message in pair.server.messages(thread)]
    async with running(state_file=state_file) as pair:
        assert [message.text for message in pair.server.messages(thread)] == before == ["ping", "pong and more"]
        run = next(iter(pair.server.runs.values()))
        steps = await pair.client.beta.threads.runs.steps.list(thread_id=thread, run_id=run.id)
        assert len(steps.data) == 1
        assert len(pair.server.items(conversation.id)) == 2
        assert (await pair.client.responses.retrieve(response.id)).output_text == "pong and more"
        assert (await pair.client.files.content(file.id)).text == "abc"
        await pair.client.beta.threads.runs.create(thread, assistant_id=assistant)


async def test_runs_cut_short_by_a_restart_have_failed(tmp_path: Path) -> None:
    state_file = tmp_path / "openai.json"
    brain = ScriptedBrain(lambda _: "one two", gate=asyncio.Event())
    async with running(state_file=state_file, brain=brain) as pair:
        assistant, thread = await pair.assistant_and_thread()
        run = await pair.client.beta.threads.runs.create(thread, assistant_id=assistant)
        response = await pair.client.responses.create(model=MODEL, input="x", background=True)
        await pair.server.wait_for(lambda server: server.messages(thread)[-1].text == "one")
    async with running(state_file=state_file) as pair:
        assert (await pair.client.beta.threads.runs.retrieve(run.id, thread_id=thread)).status == "failed"
        assert (await pair.client.responses.retrieve(response.id)).status == "failed"
        assert pair.server.messages(thread)[-1].status == "incomplete"
        assert pair.server.steps(run.id)[-1].status == "failed"
        await pair.client.beta.threads.messages.create(thread, role="user", content="unlocked")


async def test_broken_state_file_is_named(tmp_path: Path) -> None:
    state_file = tmp_path / "openai.json"
    state_file.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"openai\.json is not a state file"):
        await LocalOpenAI(state_file=state_file).start()


async def test_port_in_use_is_an_os_error(pair: Pair) -> None:
    port = int(pair.server.url.split(":")[2].split("/")[0])
    with pytest.raises(OSError, match="address already in use"):
        await LocalOpenAI(port=port).start()


async def test_files_are_uploaded_shown_and_deleted(pair: Pair) -> None:
    file = await pair.client.files.create(file=("a.txt", b"abc"), purpose="assistants")
    assert (await pair.client.files.retrieve(file.id)).bytes == 3
    assert [each.id async for each in pair.client.files.list()] == [file.id]
    await pair.client.files.delete(file.id)
    async with refused(404, sentence="No file found"):
        await pair.client.files.content(file.id)

"""Responses and Conversations, spoken by the real openai package to the local server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from bot.playground.openai import CodeInterpreterCall, FunctionCall, Piece, Question, ScriptedBrain
from tests.playground.openai_client import MODEL, Pair, refused, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from openai.types.responses import Response

ECHO = ScriptedBrain(lambda question: " | ".join(text for _, text in question.messages))
"""Says all that it hears."""


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with running(brain=ECHO) as pair:
        yield pair


async def test_streamed_response_tells_its_events_in_the_documented_order() -> None:
    async with running() as pair:
        stream = await pair.client.responses.create(model=MODEL, input="ping", stream=True)
        events = [event async for event in stream]
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * 3,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))


async def test_streaming_helper_ends_with_the_whole_response(pair: Pair) -> None:
    async with pair.client.responses.stream(model=MODEL, input="ping") as stream:
        final = await stream.get_final_response()
    assert final.output_text == "ping"
    assert final.usage is not None
    assert final.usage.total_tokens == final.usage.input_tokens + final.usage.output_tokens


async def test_conversation_remembers_what_was_said(pair: Pair) -> None:
    conversation = await pair.client.conversations.create(metadata={"thread": "1"})
    for question, heard in (("one", "one"), ("two", "one | one | two")):
        response = await pair.client.responses.create(
            model=MODEL, conversation=conversation.id, input=question, instructions="Say."
        )
        assert response.output_text == heard
    assert response.conversation is not None
    assert response.conversation.id == conversation.id
    items = [item async for item in pair.client.conversations.items.list(conversation.id, order="asc")]
    assert [item.role for item in items if item.type == "message"] == ["user", "assistant"] * 2


async def test_instructions_are_not_kept() -> None:
    async with running(brain=ScriptedBrain(lambda question: question.instructions or "none")) as pair:
        conversation = await pair.client.conversations.create()
        create = pair.client.responses.create
        first = await create(model=MODEL, conversation=conversation.id, input="a", instructions="Tutor.")
        second = await create(model=MODEL, conversation=conversation.id, input="b")
    assert (first.output_text, second.output_text) == ("Tutor.", "none")


async def test_previous_response_is_heard_again(pair: Pair) -> None:
    first = await pair.client.responses.create(model=MODEL, input="one")
    second = await pair.client.responses.create(model=MODEL, input="two", previous_response_id=first.id)
    assert second.output_text == "one | one | two"
    async with refused(400, code="previous_response_not_found", param="previous_response_id"):
        await pair.client.responses.create(model=MODEL, input="x", previous_response_id="resp_none")


async def test_conversation_excludes_previous_response(pair: Pair) -> None:
    conversation = await pair.client.conversations.create()
    async with refused(400, code="mutually_exclusive_parameters"):
        await pair.client.responses.create(
            model=MODEL, input="x", conversation=conversation.id, previous_response_id="resp_x"
        )


async def test_items_are_added_listed_shown_and_deleted(pair: Pair) -> None:
    conversation = await pair.client.conversations.create(items=[{"role": "user", "content": "hello"}])
    items = pair.client.conversations.items
    added = await items.create(
        conversation.id,
        items=[{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "context"}]}],
    )
    newest = await items.list(conversation.id, limit=1)
    assert [item.id for item in newest.data] == [added.data[0].id]
    assert newest.has_more
    shown = await items.retrieve(added.data[0].id or "", conversation_id=conversation.id)
    assert shown.type == "message"
    await items.delete(added.data[0].id or "", conversation_id=conversation.id)
    assert len(pair.server.items(conversation.id)) == 1


async def test_conversation_is_changed_and_deleted(pair: Pair) -> None:
    conversations = pair.client.conversations
    made = await conversations.create(metadata={"a": "b"})
    await conversations.update(made.id, metadata={"c": "d"})
    assert (await conversations.retrieve(made.id)).metadata == {"c": "d"}
    assert (await conversations.delete(made.id)).deleted
    async with refused(404, sentence=f"No conversation found with id '{made.id}'."):
        await pair.client.responses.create(model=MODEL, input="x", conversation=made.id)


async def test_conversation_is_locked_while_a_response_runs_on_it() -> None:
    gate = asyncio.Event()
    async with running(brain=ScriptedBrain(lambda _: "one two", gate=gate)) as pair:
        conversation = await pair.client.conversations.create()
        stream = await pair.client.responses.create(
            model=MODEL, input="first", conversation=conversation.id, stream=True
        )
        sentence = "Another process is currently operating on this conversation."
        async with refused(400, code="conversation_locked", param="conversation", sentence=sentence):
            await pair.client.responses.create(model=MODEL, input="second", conversation=conversation.id)
        async with refused(400, code="conversation_locked", param="conversation"):
            await pair.client.conversations.items.create(conversation.id, items=[{"role": "user", "content": "second"}])
        assert pair.server.items(conversation.id) == ()
        gate.set()
        assert [event async for event in stream][-1].type == "response.completed"
        assert len(pair.server.items(conversation.id)) == 2


async def test_somebody_else_locks_a_conversation(pair: Pair) -> None:
    conversation = await pair.client.conversations.create()
    pair.server.lock(conversation.id)
    async with refused(400, code="conversation_locked", param="conversation"):
        await pair.client.responses.create(model=MODEL, input="x", conversation=conversation.id)
    pair.server.unlock(conversation.id)
    await pair.client.responses.create(model=MODEL, input="x", conversation=conversation.id)


async def _close_after_first_word(pair: Pair, conversation_id: str) -> Response:
    stream = await pair.client.responses.create(model=MODEL, input="x", conversation=conversation_id, stream=True)
    async for event in stream:
        if event.type == "response.output_text.delta":
            break
    await stream.close()
    return next(iter(pair.server.responses.values()))  # type: ignore[return-value]


async def test_closing_a_foreground_stream_cancels_the_response() -> None:
    async with running(brain=ScriptedBrain(lambda _: "one two", gate=asyncio.Event())) as pair:
        conversation = await pair.client.conversations.create()
        response = await _close_after_first_word(pair, conversation.id)
        await pair.server.wait_for(lambda server: server.responses[response.id].status == "cancelled")
        assert pair.server.items(conversation.id) == ()
        await pair.client.conversations.items.create(conversation.id, items=[{"role": "user", "content": "unlocked"}])


async def test_foreground_response_may_survive_its_client() -> None:
    gate = asyncio.Event()
    brain = ScriptedBrain(lambda _: "one two", gate=gate)
    async with running(brain=brain, foreground_survives_disconnect=True) as pair:
        conversation = await pair.client.conversations.create()
        response = await _close_after_first_word(pair, conversation.id)
        gate.set()
        await pair.server.wait_for(lambda server: server.responses[response.id].status == "completed")
        assert len(pair.server.items(conversation.id)) == 2


async def test_background_stream_is_taken_up_where_it_broke() -> None:
    gate = asyncio.Event()
    async with running(brain=ScriptedBrain(lambda _: "one two three", gate=gate)) as pair:
        stream = await pair.client.responses.create(model=MODEL, input="x", background=True, stream=True)
        seen = []
        async for event in stream:
            seen.append(event)
            if event.type == "response.output_text.delta":
                break
        await stream.close()
        assert [event.type for event in seen[:3]] == [
            "response.created",
            "response.queued",
            "response.in_progress",
        ]
        gate.set()
        key = next(iter(pair.server.responses))
        rest = await pair.client.responses.retrieve(key, stream=True, starting_after=seen[-1].sequence_number)
        seen += [event async for event in rest]
        assert [event.sequence_number for event in seen] == list(range(len(seen)))
        assert seen[-1].type == "response.completed"
        assert (await pair.client.responses.retrieve(key)).output_text == "one two three"


async def test_background_stream_cannot_be_taken_up_after_five_minutes() -> None:
    now = [1_000.0]
    async with running(clock=lambda: now[0]) as pair:
        stream = await pair.client.responses.create(model=MODEL, input="x", background=True, stream=True)
        events = [event async for event in stream]
        key = next(iter(pair.server.responses))
        now[0] += 301
        async with refused(400, sentence="can no longer be streamed because it is more than 5 minutes old"):
            await pair.client.responses.retrieve(key, stream=True, starting_after=1)
        assert events[-1].type == "response.completed"
        assert (await pair.client.responses.retrieve(key)).status == "completed"


async def test_foreground_stream_cannot_be_taken_up(pair: Pair) -> None:
    response = await pair.client.responses.create(model=MODEL, input="x")
    async with refused(400, sentence="cannot be streamed"):
        await pair.client.responses.retrieve(response.id, stream=True)


async def test_only_background_responses_are_cancelled() -> None:
    async with running(brain=ScriptedBrain(lambda _: "one two", gate=asyncio.Event())) as pair:
        conversation = await pair.client.conversations.create()
        response = await pair.client.responses.create(
            model=MODEL, input="x", background=True, conversation=conversation.id
        )
        assert response.status == "queued"
        for _ in range(2):
            assert (await pair.client.responses.cancel(response.id)).status == "cancelled"
        assert pair.server.items(conversation.id) == ()
    async with running() as pair:
        response = await pair.client.responses.create(model=MODEL, input="x")
        async with refused(400, sentence="Cannot cancel a synchronous response."):
            await pair.client.responses.cancel(response.id)


async def test_background_needs_a_stored_response(pair: Pair) -> None:
    async with refused(400, param="background"):
        await pair.client.responses.create(model=MODEL, input="x", background=True, store=False)


async def test_server_without_background_mode_says_so() -> None:
    async with (
        running(background_allowed=False) as pair,
        refused(400, code="unsupported_parameter", param="background"),
    ):
        await pair.client.responses.create(model=MODEL, input="x", background=True)


async def test_response_that_is_not_stored_cannot_be_found(pair: Pair) -> None:
    response = await pair.client.responses.create(model=MODEL, input="x", store=False)
    assert response.output_text == "x"
    async with refused(404, sentence=f"No response found with id '{response.id}'."):
        await pair.client.responses.retrieve(response.id)


async def test_response_is_deleted(pair: Pair) -> None:
    response = await pair.client.responses.create(model=MODEL, input="x")
    await pair.client.responses.delete(response.id)
    async with refused(404, sentence="No response found"):
        await pair.client.responses.retrieve(response.id)


async def test_input_items_are_listed(pair: Pair) -> None:
    response = await pair.client.responses.create(model=MODEL, input="x")
    listed = await pair.client.responses.input_items.list(response.id)
    assert [item.type for item in listed.data] == ["message"]


async def test_overflow_is_refused_unless_truncation_is_auto() -> None:
    async with running(brain=ECHO, context_characters=30) as pair:
        conversation = await pair.client.conversations.create(
            items=[{"role": "user", "content": "a" * 20}, {"role": "user", "content": "b" * 15}]
        )
        create = pair.client.responses.create
        async with refused(400, code="context_length_exceeded", param="input"):
            await create(model=MODEL, conversation=conversation.id, input="c" * 10)
        response = await create(model=MODEL, conversation=conversation.id, input="c" * 10, truncation="auto")
        assert response.output_text == "b" * 15 + " | " + "c" * 10
        async with refused(400, code="context_length_exceeded", param="input"):
            await create(model=MODEL, input="d" * 31, truncation="auto")


async def test_function_call_needs_its_output() -> None:
    def answer(question: Question) -> str | FunctionCall:
        role, text = question.messages[-1]
        return f"It is {text}." if role == "tool" else FunctionCall("weather", "{}")

    async with running(brain=ScriptedBrain(answer)) as pair:
        conversation = await pair.client.conversations.create()
        create = pair.client.responses.create
        stream = await create(model=MODEL, conversation=conversation.id, input="weather?", stream=True)
        names = [event.type async for event in stream]
        assert names[2:6] == [
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
        ]
        call_id = pair.server.items(conversation.id)[-1]["call_id"]
        async with refused(400, param="input", sentence=f"No tool output found for function call {call_id}."):
            await create(model=MODEL, conversation=conversation.id, input="hello?")
        response = await create(
            model=MODEL,
            conversation=conversation.id,
            input=[{"type": "function_call_output", "call_id": call_id, "output": "sunny"}],
        )
        assert response.output_text == "It is sunny."
        async with refused(400, param="input", sentence="No tool call found for function call output"):
            await create(
                model=MODEL,
                input=[{"type": "function_call_output", "call_id": "call_none", "output": "x"}],
            )


async def test_code_interpreter_call_is_an_output_item() -> None:
    async def answer(_: Question) -> AsyncIterator[Piece]:
        yield CodeInterpreterCall("print(1)", "1\n")
        yield "It is 1."

    async with running(brain=ScriptedBrain(answer)) as pair:
        bare: Any = {"type": "code_interpreter"}
        async with refused(400, code="missing_required_parameter", param="tools[0].container"):
            await pair.client.responses.create(model=MODEL, input="x", tools=[bare])
        create = pair.client.responses.create
        tool: Any = {"type": "code_interpreter", "container": {"type": "auto"}}
        without = await create(model=MODEL, input="x", tools=[tool])
        assert without.output[0].type == "code_interpreter_call"
        assert without.output[0].outputs is None, "outputs are only there for who asks for them"
        include: Any = ["code_interpreter_call.outputs"]
        response = await create(model=MODEL, input="x", tools=[tool], include=include)
        call, message = response.output
        assert call.type == "code_interpreter_call"
        assert call.code == "print(1)"
        assert call.outputs is not None
        assert call.outputs[0].type == "logs"
        assert call.outputs[0].logs == "1\n"
        assert message.type == "message"


async def test_response_stops_at_its_token_limit() -> None:
    async with running(brain=ScriptedBrain(lambda _: "word " * 100)) as pair:
        response = await pair.client.responses.create(model=MODEL, input="x", max_output_tokens=16)
        assert response.status == "incomplete"
        assert response.incomplete_details is not None
        assert response.incomplete_details.reason == "max_output_tokens"
        assert len(response.output_text) < 100


async def test_brain_that_breaks_fails_its_response() -> None:
    async with running(brain=ScriptedBrain({"known": "yes"})) as pair:
        response = await pair.client.responses.create(model=MODEL, input="something else")
        assert response.status == "failed"
        assert response.error is not None
        assert response.error.code == "server_error"


async def test_background_response_without_a_stream_cannot_be_streamed_later(pair: Pair) -> None:
    response = await pair.client.responses.create(model=MODEL, input="x", background=True)
    async with refused(400, sentence="was not created with stream=true"):
        await pair.client.responses.retrieve(response.id, stream=True)

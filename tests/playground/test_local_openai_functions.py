"""Function calls through the real openai package: several at once, between texts, answered in full or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bot.playground.openai import FunctionCall, Piece, Question, ScriptedBrain
from tests.playground.openai_client import MODEL, Pair, loose, refused, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WEATHER: Any = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}


async def _two_calls(question: Question) -> AsyncIterator[Piece]:
    outputs = [text for role, text in question.messages if role == "tool"]
    if outputs:
        yield " and ".join(outputs)
        return
    yield "I ask twice."
    yield FunctionCall("weather", '{"city": "Paris"}')
    yield FunctionCall("weather", '{"city": "Rome"}')


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with running(brain=ScriptedBrain(_two_calls)) as pair:
        yield pair


async def test_second_leg_in_a_conversation_sends_only_the_outputs(pair: Pair) -> None:
    conversation = await pair.client.conversations.create()
    create = pair.client.responses.create
    first = await create(model=MODEL, input="x", conversation=conversation.id, tools=[WEATHER])
    message, paris, rome = loose(first.output)
    assert (message.type, first.output_text) == ("message", "I ask twice.")
    assert [paris.arguments, rome.arguments] == ['{"city": "Paris"}', '{"city": "Rome"}']

    def outputs(*texts: str) -> Any:
        pairs = zip((paris, rome), texts, strict=False)
        return [{"type": "function_call_output", "call_id": call.call_id, "output": text} for call, text in pairs]

    sentence = f"No tool output found for function call {rome.call_id}."
    async with refused(400, param="input", sentence=sentence):
        await create(model=MODEL, input=outputs("sunny"), conversation=conversation.id)
    repeated = [paris.to_dict(), rome.to_dict(), *outputs("sunny", "rainy")]
    async with refused(400, param="input", sentence=f"Duplicate item found with id {paris.id}."):
        await create(model=MODEL, input=loose(repeated), conversation=conversation.id)
    second = await create(model=MODEL, input=outputs("sunny", "rainy"), conversation=conversation.id, tools=[WEATHER])
    assert second.output_text == "sunny and rainy"
    kinds = [item["type"] for item in pair.server.items(conversation.id)]
    calls = ["function_call"] * 2 + ["function_call_output"] * 2
    assert kinds == ["message", "message", *calls, "message"]


async def test_history_of_ones_own_holds_calls_and_outputs(pair: Pair) -> None:
    create = pair.client.responses.create
    first = await create(model=MODEL, input="x", tools=[WEATHER], store=False)
    calls = [item for item in loose(first.output) if item.type == "function_call"]
    history: Any = [{"role": "user", "content": "x"}, *(item.to_dict() for item in loose(first.output))]
    history += [{"type": "function_call_output", "call_id": call.call_id, "output": "dry"} for call in calls]
    assert (await create(model=MODEL, input=history, store=False)).output_text == "dry and dry"


async def test_item_ids_are_those_of_their_kind(pair: Pair) -> None:
    odd: Any = [{"type": "function_call", "id": "call_1", "call_id": "call_1", "name": "weather", "arguments": "{}"}]
    sentence = "Expected an ID that begins with 'fc'."
    async with refused(400, code="invalid_value", param="input[0].id", sentence=sentence):
        await pair.client.responses.create(model=MODEL, input=odd)


async def test_run_goes_on_when_all_outputs_are_there(pair: Pair) -> None:
    assistant, thread = await pair.assistant_and_thread()
    runs = pair.client.beta.threads.runs
    run = await runs.create_and_poll(thread_id=thread, assistant_id=assistant, poll_interval_ms=1)
    assert run.required_action is not None
    paris, rome = run.required_action.submit_tool_outputs.tool_calls
    assert pair.server.messages(thread)[-1].text == "I ask twice."
    given: Any = [{"tool_call_id": paris.id, "output": "sunny"}, {"tool_call_id": rome.id, "output": "rainy"}]
    unknown: Any = {"tool_call_id": "call_none", "output": "x"}
    for wrong in (given[:1], [*given, unknown], [unknown]):
        async with refused(400, sentence=f"Expected tool outputs for call_ids ['{paris.id}', '{rome.id}'], got"):
            await runs.submit_tool_outputs(run.id, thread_id=thread, tool_outputs=wrong)
    async with refused(400, code="array_below_min_length", param="tool_outputs"):
        await runs.submit_tool_outputs(run.id, thread_id=thread, tool_outputs=[])
    async with runs.submit_tool_outputs_stream(thread_id=thread, run_id=run.id, tool_outputs=given) as stream:
        await stream.until_done()
        (message,) = await stream.get_final_messages()
    assert loose(message.content[0]).text.value == "sunny and rainy"
    steps = await runs.steps.list(thread_id=thread, run_id=run.id, order="asc")
    calls = loose(steps.data[1].step_details).tool_calls
    assert [call.function.output for call in calls] == ["sunny", "rainy"]
    assert [step.status for step in steps.data] == ["completed"] * 3


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"name": "two words"}, "invalid_value", "tools[0].name"),
        ({"name": ""}, "string_below_min_length", "tools[0].name"),
        ({"parameters": {"type": "string"}}, "invalid_function_parameters", "tools[0].parameters"),
        ({"parameters": {}}, "invalid_function_parameters", "tools[0].parameters"),
        ({"strict": True}, "invalid_function_parameters", "tools[0].parameters"),
        (
            {
                "strict": True,
                "parameters": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"a": {"type": "string"}},
                    "required": [],
                },
            },
            "invalid_function_parameters",
            "tools[0].parameters",
        ),
        ({"colour": "red"}, "unknown_parameter", "tools[0].colour"),
    ],
)
async def test_wrong_function_is_refused(pair: Pair, changes: Any, code: str, param: str) -> None:
    async with refused(400, code=code, param=param):
        await pair.client.responses.create(model=MODEL, input="x", tools=[loose({**WEATHER, **changes})])


async def test_wrong_function_of_an_assistant_is_refused(pair: Pair) -> None:
    wrong: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "array"}}}
    async with refused(400, code="invalid_function_parameters", param="tools[0].function.parameters"):
        await pair.client.beta.assistants.create(model=MODEL, tools=[wrong])


async def test_only_an_offered_tool_can_be_chosen(pair: Pair) -> None:
    create = pair.client.responses.create
    choices: Any = [{"type": "function", "name": "time"}, {"type": "code_interpreter"}]
    for choice in choices:
        async with refused(400, param="tool_choice", sentence="not found in 'tools' parameter"):
            await create(model=MODEL, input="x", tools=[WEATHER], tool_choice=choice)
    async with refused(400, param="tool_choice", sentence="must be specified with 'tools'"):
        await create(model=MODEL, input="x", tool_choice="required")
    chosen: Any = {"type": "function", "name": "weather"}
    assert (await create(model=MODEL, input="x", tools=[WEATHER], tool_choice=chosen)).status == "completed"

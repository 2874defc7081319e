"""The Assistants protocol, spoken by the real openai package to the local server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from bot.playground.openai import CodeInterpreterCall, FunctionCall, Piece, Question, ScriptedBrain
from tests.playground.openai_client import MODEL, Pair, refused, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with running() as pair:
        yield pair


def texts(messages: list[object]) -> list[str]:
    return [message.content[0].text.value for message in messages]  # type: ignore[attr-defined]


async def test_assistant_is_created_shown_changed_and_deleted(pair: Pair) -> None:
    assistants = pair.client.beta.assistants
    made = await assistants.create(model=MODEL, name="Tutor", tools=[{"type": "code_interpreter"}])
    changed = await assistants.update(made.id, instructions="Be brief.", metadata={"key": "tutor"})
    assert await assistants.retrieve(made.id) == changed
    assert (changed.name, changed.instructions, changed.metadata) == ("Tutor", "Be brief.", {"key": "tutor"})
    assert pair.server.assistants[made.id].instructions == "Be brief."
    deleted = await assistants.delete(made.id)
    assert (deleted.object, deleted.deleted) == ("assistant.deleted", True)
    async with refused(404, sentence=f"No assistant found with id '{made.id}'."):
        await assistants.retrieve(made.id)


async def test_thread_is_created_shown_changed_and_deleted(pair: Pair) -> None:
    threads = pair.client.beta.threads
    made = await threads.create(metadata={"a": "b"})
    changed = await threads.update(made.id, metadata={"c": "d"})
    assert (await threads.retrieve(made.id)).metadata == changed.metadata == {"c": "d"}
    assert (await threads.delete(made.id)).object == "thread.deleted"
    async with refused(404, sentence=f"No thread found with id '{made.id}'."):
        await threads.messages.create(made.id, role="user", content="hello?")


async def test_messages_are_paged_in_both_orders(pair: Pair) -> None:
    messages = pair.client.beta.threads.messages
    thread = await pair.client.beta.threads.create(
        messages=[{"role": "user", "content": str(number)} for number in range(5)]
    )
    newest = await messages.list(thread.id, limit=2)
    assert texts(newest.data) == ["4", "3"]  # type: ignore[arg-type]
    assert newest.has_more
    everything = [message async for message in messages.list(thread.id, limit=2, order="asc")]
    assert texts(everything) == ["0", "1", "2", "3", "4"]  # type: ignore[arg-type]
    before = await messages.list(thread.id, order="asc", limit=1, before=everything[2].id)
    assert texts(before.data) == ["1"]  # type: ignore[arg-type]


async def test_message_is_shown_changed_and_deleted(pair: Pair) -> None:
    messages = pair.client.beta.threads.messages
    _, thread_id = await pair.assistant_and_thread("hello")
    message = (await messages.list(thread_id)).data[0]
    changed = await messages.update(message.id, thread_id=thread_id, metadata={"seen": "yes"})
    assert (await messages.retrieve(message.id, thread_id=thread_id)).metadata == changed.metadata
    assert (await messages.delete(message.id, thread_id=thread_id)).object == "thread.message.deleted"
    assert pair.server.messages(thread_id) == ()


async def test_streamed_run_tells_its_events_in_the_documented_order(pair: Pair) -> None:
    assistant, thread = await pair.assistant_and_thread()
    stream = await pair.client.beta.threads.runs.create(thread, assistant_id=assistant, stream=True)
    events = [event async for event in stream]
    assert [event.event for event in events] == [
        "thread.run.created",
        "thread.run.queued",
        "thread.run.in_progress",
        "thread.run.step.created",
        "thread.run.step.in_progress",
        "thread.message.created",
        "thread.message.in_progress",
        *["thread.message.delta"] * 3,
        "thread.message.completed",
        "thread.run.step.completed",
        "thread.run.completed",
    ]
    run = pair.server.runs[events[0].data.id]  # type: ignore[union-attr]
    assert run.status == "completed"
    assert run.usage is not None
    listed = await pair.client.beta.threads.messages.list(thread, run_id=run.id)
    assert texts(listed.data) == ["pong and more"]  # type: ignore[arg-type]


async def test_thread_and_run_are_created_together(pair: Pair) -> None:
    assistant = await pair.client.beta.assistants.create(model=MODEL)
    stream = await pair.client.beta.threads.create_and_run(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "ping"}]}, stream=True
    )
    names = [event.event async for event in stream]
    assert names[:2] == ["thread.created", "thread.run.created"]
    assert names[-1] == "thread.run.completed"


async def test_refused_run_leaves_no_thread_behind(pair: Pair) -> None:
    async with refused(404, sentence="No assistant found with id 'asst_none'."):
        await pair.client.beta.threads.create_and_run(assistant_id="asst_none")
    assert not pair.server.threads


async def test_code_interpreter_is_a_step_between_two_messages() -> None:
    async def answer(_: Question) -> AsyncIterator[Piece]:
        yield "Let me see. "
        yield CodeInterpreterCall("x = 1\nprint(x)\n", "1\n")
        yield "It is 1."

    async with running(brain=ScriptedBrain(answer)) as pair:
        assistant, thread = await pair.assistant_and_thread(tools=[{"type": "code_interpreter"}])
        runs = pair.client.beta.threads.runs
        async with runs.stream(thread_id=thread, assistant_id=assistant) as stream:
            await stream.until_done()
            snapshots = await stream.get_final_run_steps()
        kinds = [step.type for step in snapshots]
        assert kinds == ["message_creation", "tool_calls", "message_creation"]
        listed = await runs.steps.list(thread_id=thread, run_id=snapshots[0].run_id, order="asc")
        for step in (snapshots[1], listed.data[1]):
            assert step.step_details.type == "tool_calls"
            call = step.step_details.tool_calls[0]
            assert call.type == "code_interpreter"
            assert call.code_interpreter.input == "x = 1\nprint(x)\n"
            assert [output.logs for output in call.code_interpreter.outputs if output.type == "logs"] == ["1\n"]


async def test_function_call_waits_for_its_output() -> None:
    def answer(question: Question) -> str | FunctionCall:
        if question.messages[-1][0] == "tool":
            return f"It is {question.last}."
        return FunctionCall("weather", '{"city": "Paris"}')

    async with running(brain=ScriptedBrain(answer)) as pair:
        assistant, thread = await pair.assistant_and_thread()
        runs = pair.client.beta.threads.runs
        run = await runs.create_and_poll(thread_id=thread, assistant_id=assistant, poll_interval_ms=1)
        assert run.status == "requires_action"
        assert run.required_action is not None
        call = run.required_action.submit_tool_outputs.tool_calls[0]
        assert (call.function.name, call.function.arguments) == ("weather", '{"city": "Paris"}')
        async with refused(400, sentence="Expected tool outputs for call_ids"):
            await runs.submit_tool_outputs(
                run.id, thread_id=thread, tool_outputs=[{"tool_call_id": "call_x", "output": ""}]
            )
        stream = await runs.submit_tool_outputs(
            run.id,
            thread_id=thread,
            tool_outputs=[{"tool_call_id": call.id, "output": "sunny"}],
            stream=True,
        )
        names = [event.event async for event in stream]
        assert names[:3] == ["thread.run.step.completed", "thread.run.queued", "thread.run.in_progress"]
        assert names[-1] == "thread.run.completed"
        assert pair.server.messages(thread)[-1].text == "It is sunny."
        async with refused(400, sentence='Runs in status "completed" do not accept tool outputs.'):
            await runs.submit_tool_outputs(
                run.id, thread_id=thread, tool_outputs=[{"tool_call_id": call.id, "output": "sunny"}]
            )


async def test_thread_is_locked_while_a_run_is_active() -> None:
    gate = asyncio.Event()
    async with running(brain=ScriptedBrain(lambda _: "one two", gate=gate)) as pair:
        assistant, thread = await pair.assistant_and_thread()
        runs = pair.client.beta.threads.runs
        run = await runs.create(thread, assistant_id=assistant)
        async with refused(400, sentence=f"Can't add messages to {thread} while a run {run.id} is active."):
            await pair.client.beta.threads.messages.create(thread, role="user", content="more")
        async with refused(400, sentence=f"Thread {thread} already has an active run {run.id}."):
            await runs.create(thread, assistant_id=assistant)
        gate.set()
        await pair.server.wait_for(lambda server: server.runs[run.id].status == "completed")
        await pair.client.beta.threads.messages.create(thread, role="user", content="more")


async def test_somebody_else_locks_a_thread(pair: Pair) -> None:
    assistant, thread = await pair.assistant_and_thread()
    run_id = pair.server.lock(thread)
    async with refused(400, sentence=f"Thread {thread} already has an active run {run_id}."):
        await pair.client.beta.threads.runs.create(thread, assistant_id=assistant)
    assert (await pair.client.beta.threads.runs.retrieve(run_id, thread_id=thread)).status == "in_progress"
    pair.server.unlock(thread)
    await pair.client.beta.threads.runs.create(thread, assistant_id=assistant)


async def test_run_goes_on_when_its_stream_is_closed() -> None:
    gate = asyncio.Event()
    async with running(brain=ScriptedBrain(lambda _: "one two three", gate=gate)) as pair:
        assistant, thread = await pair.assistant_and_thread()
        stream = await pair.client.beta.threads.runs.create(thread, assistant_id=assistant, stream=True)
        async for event in stream:
            if event.event == "thread.message.delta":
                break
        await stream.close()
        gate.set()
        await pair.server.wait_for(lambda server: next(iter(server.runs.values())).status == "completed")
        assert pair.server.messages(thread)[-1].text == "one two three"


async def test_cancelled_run_keeps_what_it_wrote() -> None:
    async with running(brain=ScriptedBrain(lambda _: "one two", gate=asyncio.Event())) as pair:
        assistant, thread = await pair.assistant_and_thread()
        runs = pair.client.beta.threads.runs
        stream = await runs.create(thread, assistant_id=assistant, stream=True)
        names = []
        async for event in stream:
            names.append(event.event)
            if event.event == "thread.message.delta":
                answer = await runs.cancel(next(iter(pair.server.runs)), thread_id=thread)
                assert answer.status == "cancelling"
        assert names[-4:] == [
            "thread.run.cancelling",
            "thread.message.incomplete",
            "thread.run.step.cancelled",
            "thread.run.cancelled",
        ]
        message = (await pair.client.beta.threads.messages.list(thread)).data[0]
        assert message.status == "incomplete"
        assert message.incomplete_details is not None
        assert message.incomplete_details.reason == "run_cancelled"
        async with refused(400, sentence="Cannot cancel run with status 'cancelled'."):
            await runs.cancel(next(iter(pair.server.runs)), thread_id=thread)


async def test_cancel_may_lose_the_race() -> None:
    gate = asyncio.Event()
    async with running(brain=ScriptedBrain(lambda _: "one two", gate=gate)) as pair:
        assistant, thread = await pair.assistant_and_thread()
        runs = pair.client.beta.threads.runs
        run = await runs.create(thread, assistant_id=assistant)
        await pair.server.wait_for(lambda server: server.messages(thread)[-1].role == "assistant")
        pair.server.faults.add(method="POST", path="/threads/{t}/runs/{r}/cancel", run_status="completed")
        assert (await runs.cancel(run.id, thread_id=thread)).status == "cancelling"
        gate.set()
        await pair.server.wait_for(lambda server: server.runs[run.id].status == "completed")


async def test_run_expires_and_frees_its_thread() -> None:
    now = [1_000.0]
    brain = ScriptedBrain(lambda _: "one two", gate=asyncio.Event())
    async with running(brain=brain, clock=lambda: now[0]) as pair:
        assistant, thread = await pair.assistant_and_thread()
        runs = pair.client.beta.threads.runs
        run = await runs.create(thread, assistant_id=assistant)
        assert run.expires_at == 1_600
        now[0] = 1_601.0
        assert (await runs.retrieve(run.id, thread_id=thread)).status == "expired"
        await pair.client.beta.threads.messages.create(thread, role="user", content="still there?")


async def test_run_that_waits_for_a_tool_expires_on_its_stream_too() -> None:
    brain = ScriptedBrain(lambda _: FunctionCall("weather", "{}"))
    async with running(brain=brain, run_expiry=0.05) as pair:
        assistant, thread = await pair.assistant_and_thread()
        run = await pair.client.beta.threads.runs.create(thread, assistant_id=assistant)
        await pair.server.wait_for(lambda server: server.runs[run.id].status == "expired")
        steps = pair.server.steps(run.id)
        assert steps[-1].status == "expired"


async def test_brain_that_breaks_fails_its_run() -> None:
    async with running(brain=ScriptedBrain({"known": "yes"})) as pair:
        assistant, thread = await pair.assistant_and_thread("something else")
        run = await pair.client.beta.threads.runs.create_and_poll(
            thread_id=thread, assistant_id=assistant, poll_interval_ms=1
        )
        assert run.status == "failed"
        assert run.last_error is not None
        assert run.last_error.code == "server_error"


async def test_run_stops_at_its_token_limit(pair: Pair) -> None:
    assistant, thread = await pair.assistant_and_thread()
    run = await pair.client.beta.threads.runs.create_and_poll(
        thread_id=thread, assistant_id=assistant, max_completion_tokens=1, poll_interval_ms=1
    )
    assert run.status == "incomplete"
    assert run.incomplete_details is not None
    assert run.incomplete_details.reason == "max_completion_tokens"
    assert pair.server.messages(thread)[-1].status == "incomplete"


async def test_brain_hears_instructions_messages_tools_and_model() -> None:
    asked: list[Question] = []

    def answer(question: Question) -> str:
        asked.append(question)
        return "ok"

    async with running(brain=ScriptedBrain(answer)) as pair:
        assistant, thread = await pair.assistant_and_thread(
            "first", instructions="Teach.", tools=[{"type": "code_interpreter"}]
        )
        await pair.client.beta.threads.runs.create_and_poll(
            thread_id=thread,
            assistant_id=assistant,
            additional_instructions="In #general.",
            additional_messages=[{"role": "user", "content": "second"}],
            poll_interval_ms=1,
        )
    assert asked == [
        Question("Teach.\n\nIn #general.", (("user", "first"), ("user", "second")), ("code_interpreter",), MODEL)
    ]


async def test_server_that_does_not_stream_answers_with_a_queued_run() -> None:
    async with running(streaming=False, poll_after_ms=7) as pair:
        assistant, thread = await pair.assistant_and_thread()
        raw = await pair.client.beta.threads.runs.with_raw_response.create(thread, assistant_id=assistant, stream=True)
        assert raw.headers["content-type"].startswith("application/json")
        run_id = next(iter(pair.server.runs))
        polled = await pair.client.beta.threads.runs.with_raw_response.retrieve(run_id, thread_id=thread)
        assert polled.headers["openai-poll-after-ms"] == "7"


async def test_server_that_refuses_streams_says_so() -> None:
    async with running(streaming="refuse") as pair:
        assistant, thread = await pair.assistant_and_thread()
        async with refused(400, sentence="Unrecognized request argument supplied: stream"):
            await pair.client.beta.threads.runs.create(thread, assistant_id=assistant, stream=True)


async def test_server_without_assistants_answers_404() -> None:
    async with running(assistants_api=False) as pair:
        async with refused(404, sentence="Invalid URL (POST /v1/assistants)"):
            await pair.client.beta.assistants.create(model=MODEL)
        async with refused(404, sentence="Invalid URL (POST /v1/threads)"):
            await pair.client.beta.threads.create()

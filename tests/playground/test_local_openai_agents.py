"""The local server's Agents API, through the openai package."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from bot.playground.openai import CodeInterpreterCall, FunctionCall, MadeFile, McpCall, Question, ScriptedBrain
from tests.playground.openai_client import MODEL, loose, refused, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from openai import AsyncOpenAI

WEATHER = {"type": "function", "name": "weather", "description": "", "parameters": {"type": "object"}}
SERVER = {"type": "mcp", "server_label": "wiki", "transport": {"type": "http", "server_url": "https://wiki.test/mcp"}}
NONE: Any = {"type": "none"}


def words_of(text: str) -> list[Any]:
    return [{"role": "user", "content": [{"type": "input_text", "text": text}]}]


def saying(text: str) -> Any:
    return {"type": "agent.session.input.message", "input": words_of(text)}


async def begun(client: AsyncOpenAI, text: str = "ping", until: str = "agent.session.idle", **fields: Any) -> list[Any]:
    """The events of a new session's first turn."""
    agent = {"model": MODEL, "instructions": "Be brief.", **fields.pop("agent", {})}
    parameters: Any = {"environment": NONE, "agent": agent, "input": text, **fields}
    stream = await client.beta.agents.sessions.create(stream=True, **parameters)
    return await until_seen(stream, until)


async def until_seen(stream: Any, kind: str) -> list[Any]:
    seen: list[Any] = []
    async with aclosing(aiter(stream)) as events:
        async for event in events:
            seen.append(event)
            if event.type == kind:
                break
    await stream.close()
    return seen


def forecast(question: Question) -> Any:
    role, text = question.messages[-1]
    return f"It is {text}." if role == "tool" else FunctionCall("weather", "{}")


async def test_a_turn_is_told_from_its_beginning_to_its_end() -> None:
    async with running() as pair:
        events = await begun(pair.client)
        assert [event.type.removeprefix("agent.session.") for event in events] == [
            "created", "turn.created", "in_progress", "turn.in_progress", "turn.item.added", "turn.item.added",
            "turn.content_part.added", *["turn.output_text.delta"] * 3, "turn.output_text.done",
            "turn.content_part.done", "turn.item.done", "turn.completed", "idle",
        ]  # fmt: skip
        session = events[-1].session.id
        turns = [turn async for turn in pair.client.beta.agents.sessions.turns.list(session)]
        items = [item async for item in pair.client.beta.agents.sessions.items.list(session, order="asc")]
    assert [turn.status for turn in turns] == ["completed"]
    assert [(loose(item).role, loose(item).content[0].text) for item in items] == [
        ("user", "ping"),
        ("assistant", "pong and more"),
    ]


async def test_streams_do_not_replay_and_input_is_taken_once_for_a_key() -> None:
    async with running() as pair:
        sessions = pair.client.beta.agents.sessions
        session = (await begun(pair.client))[-1].session.id
        stream = await sessions.events.stream(session)
        for _ in range(2):
            await sessions.events.create(session, events=[saying("again")], idempotency_key="one")
        events = await until_seen(stream, "agent.session.idle")
        assert events[0].type == "agent.session.turn.created"
        assert len(pair.server.agent_turns(session)) == 2


async def test_a_function_is_waited_for() -> None:
    async with running(brain=ScriptedBrain(forecast)) as pair:
        sessions = pair.client.beta.agents.sessions
        events = await begun(pair.client, until="agent.session.requires_action", agent={"tools": [WEATHER]})
        [wanted] = events[-1].session.required_actions
        session = events[-1].session.id
        result: Any = {"type": "agent.session.input.tool_result", "turn_id": wanted.turn_id, "success": True}
        async with refused(400, code="invalid_request_error", sentence="Unknown pending tool call: call_x"):
            await sessions.events.create(session, events=[loose({**result, "call_id": "call_x", "output": "sunny"})])
        stream = await sessions.events.stream(session)
        await sessions.events.create(session, events=[loose({**result, "call_id": wanted.call_id, "output": "sunny"})])
        await until_seen(stream, "agent.session.idle")
        said = [item for item in pair.server.agent_items(session) if item.get("role") == "assistant"]
    assert said[0]["content"][0]["text"] == "It is sunny."


async def test_an_mcp_call_is_made_once_it_is_approved() -> None:
    async def ask_the_wiki(_: Question) -> AsyncIterator[Any]:
        yield McpCall("wiki", "search", "{}", "found")

    async with running(brain=ScriptedBrain(ask_the_wiki)) as pair:
        events = await begun(pair.client, until="agent.session.requires_action", agent={"tools": [SERVER]})
        [wanted] = events[-1].session.required_actions
        session = events[-1].session.id
        stream = await pair.client.beta.agents.sessions.events.stream(session)
        decision: Any = {
            "type": "agent.session.input.mcp_approval_request_result",
            "request_id": wanted.request_id,
            "response": {"type": "mcp_tool_call", "decision": "approve"},
        }
        await pair.client.beta.agents.sessions.events.create(session, events=[decision])
        events = await until_seen(stream, "agent.session.idle")
    assert any(event.type.endswith("item.done") and event.item.type == "mcp_call" for event in events)


async def test_what_a_turn_made_is_published_at_its_end() -> None:
    async def plot(_: Question) -> AsyncIterator[Any]:
        yield CodeInterpreterCall("plot()", "ok", (MadeFile("plot.png", b"\x89PNG", "image/png"),))
        yield "Here."

    async with running(brain=ScriptedBrain(plot)) as pair:
        events = await begun(pair.client, environment={"type": "openai_hosted"})
        session = events[-1].session.id
        artifacts = pair.client.beta.agents.sessions.artifacts
        [artifact] = [each async for each in artifacts.list(session)]
        content = await artifacts.content(artifact.id, session_id=session)
    assert artifact.path == "/workspace/plot.png"
    assert content.content == b"\x89PNG"


async def test_a_cancel_ends_the_turn_and_none_is_no_error() -> None:
    gate = asyncio.Event()
    async with running(brain=ScriptedBrain(lambda _: "one two", gate=gate)) as pair:
        sessions = pair.client.beta.agents.sessions
        events = await begun(pair.client, until="agent.session.turn.output_text.delta")
        session = events[0].session.id
        for _ in range(2):
            await sessions.events.create(session, events=[{"type": "agent.session.input.cancel"}])
        [turn] = pair.server.agent_turns(session)
        assert turn["status"] == "cancelled"
        assert (await sessions.retrieve(session)).status == "idle"


async def test_what_the_types_do_not_have_is_refused() -> None:
    async with running() as pair:
        sessions = pair.client.beta.agents.sessions
        agent: Any = {"model": MODEL}
        async with refused(400, code="missing_required_parameter", param="input"):
            await sessions.create(environment=NONE, agent=agent)
        async with refused(404, code="model_not_found", sentence="gpt-9"):
            await sessions.create(environment=NONE, agent={"model": "gpt-9"}, input="hi")
        async with refused(400, code="unknown_parameter", param="agent.temperature"):
            warm: Any = {**agent, "temperature": 1}
            await sessions.create(environment=NONE, agent=warm, input="hi")
        async with refused(400, code="invalid_value", param="input[0].role"):
            wrong: Any = [{**words_of("hi")[0], "role": "assistant"}]
            await sessions.create(environment=NONE, agent=agent, input=wrong)
        async with refused(404, sentence="sess_x"):
            await sessions.retrieve("sess_x")
        session = (await begun(pair.client))[-1].session.id
        async with refused(400, code="unknown_parameter", param="agent.instructions"):
            await sessions.update(session, extra_body={"agent": {"instructions": "Other."}})
        async with refused(400, code="invalid_beta", sentence="agents=v1"):
            await sessions.retrieve(session, extra_headers={"OpenAI-Beta": "assistants=v2"})


async def test_sessions_are_found_by_their_metadata() -> None:
    async with running() as pair:
        await begun(pair.client, metadata={"run": "one"})
        await begun(pair.client, metadata={"run": "two"})
        found = [each async for each in pair.client.beta.agents.sessions.list(metadata={"run": "two"})]
    assert [each.metadata for each in found] == [{"run": "two"}]

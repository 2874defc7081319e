"""What runs used is kept, whatever becomes of them, by the model that used it."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bot.engine.ports import Usage
from bot.playground.openai import FunctionCall, Question
from storage.sqlite import SqliteStorage
from tests.conftest import House
from tests.handy import calling, general, question_of, until, write_assistant


async def kept(house: House) -> Sequence[Usage]:
    storage = await SqliteStorage.open_to_read(house.settings["database_url"])
    try:
        return await storage.usage(0)
    finally:
        await storage.close()


def counted(house: House) -> tuple[int, int]:
    """Input and output tokens, as the server counted them."""
    made = [each.usage or {} for each in house.openai.responses.values()]
    turns = [turn for session in house.openai.agent_sessions for turn in house.openai.agent_turns(session)]
    made += [turn["usage"] or {} for turn in turns]
    runs = [each.usage or {} for each in house.openai.runs.values()]
    told = [(each.get("input_tokens", 0), each.get("output_tokens", 0)) for each in made]
    told += [(each.get("prompt_tokens", 0), each.get("completion_tokens", 0)) for each in runs]
    return sum(given for given, _ in told), sum(said for _, said in told)


def summed(usages: Sequence[Usage]) -> tuple[int, int]:
    return sum(each.input_tokens for each in usages), sum(each.output_tokens for each in usages)


async def test_legs_are_counted_once_although_a_restart_came_between(tools: House) -> None:
    tools.brain(calling("delete_all", what="drafts"))
    async with tools.bobbin(bobbin_grace=0):
        ts = await tools.ask("clean up")
        question = await question_of(tools, ts)
    async with tools.bobbin():
        await tools.slack.click("ada", general(tools), question["ts"], "approve_call")
        await until(tools, ts, "I was told: ")
    assert summed(await kept(tools)) == counted(tools)
    assert counted(tools)[0] > 0


@pytest.mark.parametrize("backend", ["assistants", "responses", "background", "agents"])
async def test_a_stopped_answer_is_counted_as_far_as_the_server_tells(house: House, backend: str) -> None:
    background = backend == "background"
    house.settings["bobbin_backend"] = "responses" if background else backend
    house.brain(lambda _: "one two three four five six", gate=asyncio.Event(), open_words=4)
    async with house.bobbin(bobbin_background=background):
        ts = await house.ask("count")
        await house.slack.wait_for(lambda slack: "three" in str(slack.messages(general(house), ts)))
        await house.ask("stop", thread=ts)
        await until(house, ts, "Stopped.")
    [usage] = await kept(house)
    if backend in ("assistants", "background"):
        assert summed([usage]) == counted(house)
        assert usage.input_tokens > 0


@pytest.mark.parametrize("backend", ["assistants", "responses", "agents"])
async def test_an_answer_that_is_kept_back_is_counted(house: House, tmp_path: Path) -> None:
    (tmp_path / "safe").mkdir()
    (tmp_path / "safe" / "m.md").write_text("---\nname: M\nmodel: gpt-6.1-terra\nmoderation: true\n---\nHi\n")
    house.openai.switches.flagged = {"kaboom": "violence"}
    house.brain(lambda _: "a long answer with kaboom")
    async with house.bobbin(bobbin_assistants=tmp_path / "safe"):
        ts = await house.ask("count")
        await until(house, ts, "safety check")
    [usage] = await kept(house)
    assert summed([usage]) == counted(house)


@pytest.mark.parametrize("backend", ["responses", "local"])
async def test_each_leg_is_counted_for_its_own_model(tools: House, tmp_path: Path) -> None:
    write_assistant(tools, tmp_path, "fallback_models: [gpt-6-luna]\n")

    def answer(question: Question) -> Any:
        role, said = question.messages[-1]
        if role == "tool":
            return f"I was told {said}"
        # From now on, the first model is gone.
        tools.openai.switches.retired.add("gpt-6.1-terra")
        return FunctionCall("weather", json.dumps({"town": "Graz"}))

    tools.brain(answer)
    async with tools.bobbin():
        ts = await tools.ask("weather?")
        await until(tools, ts, "I was told")
    usages = await kept(tools)
    assert {each.model for each in usages} == {"gpt-6.1-terra", "gpt-6-luna"}
    assert summed(usages) == counted(tools)


@pytest.mark.parametrize("backend", ["assistants", "responses", "local"])
async def test_a_run_that_failed_and_was_replaced_is_counted_too(tools: House, tmp_path: Path) -> None:
    write_assistant(tools, tmp_path, "fallback_models: [gpt-6-luna]\n")

    def answer(question: Question) -> str:
        if question.model == "gpt-6.1-terra":
            raise RuntimeError("Our servers are currently overloaded.")
        return "It is done."

    tools.brain(answer)
    async with tools.bobbin():
        await until(tools, await tools.ask("do it"), "It is done.")
    usages = await kept(tools)
    assert {each.model for each in usages} == {"gpt-6.1-terra", "gpt-6-luna"}
    assert summed(usages) == counted(tools)


@pytest.mark.parametrize("backend", ["assistants", "responses", "local"])
async def test_a_chosen_tool_whose_server_is_down_is_not_asked_for(tools: House, tmp_path: Path) -> None:
    servers = tmp_path / "mcp.json"
    servers.write_text(json.dumps({"mcpServers": {"gone": {"command": "there-is-no-such-command"}}}))
    write_assistant(tools, tmp_path, "mcp_servers: [gone]\ntool_choice: gone__look\n")
    tools.brain(lambda _: "I answer without it.")
    async with tools.bobbin(bobbin_mcp=servers):
        assert await tools.answers(await tools.ask("look")) == ["I answer without it."]


@pytest.mark.parametrize("backend", ["responses", "local"])
@pytest.mark.parametrize("choice", ["required", "weather"])
async def test_who_has_called_what_it_was_told_to_may_answer(tools: House, tmp_path: Path, choice: str) -> None:
    write_assistant(tools, tmp_path, f"tool_choice: {choice}\n")
    tools.brain(calling("weather", town="Graz"))
    async with tools.bobbin():
        await until(tools, await tools.ask("weather?"), "I was told: ")
    first, second = [each.body for each in tools.openai.requests if each.path == "/responses"]
    by_name = choice != "required" and tools.settings["bobbin_backend"] == "responses"
    assert first["tool_choice"] == ({"type": "function", "name": "weather"} if by_name else "required")
    assert second["tool_choice"] == "auto"

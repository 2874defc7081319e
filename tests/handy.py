"""An assistant with our tools, and what its tests say and wait for."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from bot.playground.openai import FunctionCall, Piece, Question
from bot.playground.slack import LocalSlack
from tests.conftest import House, bot_messages, text_of

_FILE = """---
name: Handy
model: gpt-6.1-terra
tools: [{hosted}weather, delete_all, order, hang, explode, flood]
{more}---
You use tools.
"""


def write_assistant(house: House, tmp_path: Path, more: str = "") -> None:
    folder = tmp_path / "assistants"
    folder.mkdir(exist_ok=True)
    hosted = "" if house.settings["bobbin_backend"] == "local" else "code_interpreter, "
    (folder / "handy.md").write_text(_FILE.format(more=more, hosted=hosted))
    house.settings |= {"bobbin_assistants": folder}


def general(house: House) -> str:
    return house.slack.channels["general"].id


def calling(name: str, **arguments: Any) -> Any:
    """A model that calls a tool, then says what it was told."""

    async def call() -> AsyncIterator[Piece]:
        yield "Let me see."
        yield FunctionCall(name, json.dumps(arguments))

    def answer(question: Question) -> Any:
        role, said = question.messages[-1]
        return f"I was told: {said}" if role == "tool" else call()

    return answer


async def until(house: House, thread: str, words: str, timeout: float = 30) -> list[dict[str, Any]]:
    """Until Bobbin says this in a thread and streams nothing there; its messages."""

    def done(slack: LocalSlack) -> bool:
        shown = bot_messages(slack, general(house), thread)
        return words in "\n".join(map(text_of, shown)) and not any(m.get("streaming") for m in shown)

    await house.slack.wait_for(done, timeout)
    return bot_messages(house.slack, general(house), thread)


async def until_said(house: House, thread: str, words: str) -> None:
    """Until a message of Bobbin's says this and no more."""

    def said(slack: LocalSlack) -> bool:
        return words in [text_of(message).strip() for message in bot_messages(slack, general(house), thread)]

    await house.slack.wait_for(said)


async def question_of(house: House, thread: str) -> dict[str, Any]:
    """The message that asks for approval."""

    def asked(slack: LocalSlack) -> list[dict[str, Any]]:
        return [m for m in bot_messages(slack, general(house), thread) if "approve_call" in str(m.get("blocks"))]

    await house.slack.wait_for(asked)
    return asked(house.slack)[0]

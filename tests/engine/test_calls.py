"""Calls of tools, with a real database: servers that number them anew each time."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from bot.engine.calls import Calls, Decision, Scene
from bot.engine.ports import (
    Assistant,
    CallState,
    Notices,
    Reply,
    ReplyTarget,
    Run,
    RunCall,
    Toolbox,
    ToolCall,
    ToolOutput,
    ToolScene,
)
from storage.sqlite import SqliteStorage
from tests.storage.records import ADA, BOB, TEAM, call, post, run, thread_key


@dataclass
class FakeToolbox:
    called: list[str] = field(default_factory=list)

    def problem(self, call: ToolCall) -> None: ...

    def needs_approval(self, assistant: Assistant, call: ToolCall) -> bool:
        return False

    def repeatable(self, call: ToolCall) -> bool:
        return False

    async def call(self, call: ToolCall, scene: ToolScene) -> ToolOutput:
        self.called.append(call.arguments)
        return ToolOutput(call.id, f"result of {call.arguments}")


class FakeReply:
    def task(self, task: Any) -> None: ...


@contextlib.contextmanager
def waiting() -> Iterator[None]:
    yield


@pytest.fixture
async def storage() -> AsyncIterator[SqliteStorage]:
    opened = await SqliteStorage.open("sqlite:///:memory:")
    await opened.add_post(post(), opens_thread=True)
    await opened.open_run(run(), [post()])
    yield opened
    await opened.close()


def scene(of: Run) -> Scene:
    target = ReplyTarget(thread_key(), ADA, TEAM, "channel")
    return Scene(of, Assistant("a", "A", "x", "m"), target, cast("Reply", FakeReply()), frozenset({"weather"}), waiting)


async def test_a_call_whose_id_was_there_before_is_a_call_of_its_own(storage: SqliteStorage) -> None:
    """The second was not made, and answered with what the first came to."""
    toolbox = FakeToolbox()
    calls = Calls(storage, cast("Toolbox", toolbox), cast("Notices", None), patience=60)
    told = []
    for arguments in ('{"a": 1}', '{"a": 2}'):
        [output] = await calls.outputs([ToolCall("call_0", "weather", arguments)], scene(run()))
        told.append(output.text)
    assert toolbox.called == ['{"a": 1}', '{"a": 2}']
    assert told == ['result of {"a": 1}', 'result of {"a": 2}']


async def test_only_who_was_asked_about_this_call_decides_it(storage: SqliteStorage) -> None:
    """Not who was asked about an earlier one with the same id."""
    earlier = call(state=CallState.ANSWERED, approvers=(BOB,))
    asked: RunCall = call(leg=2, state=CallState.ASKED, approvers=(ADA,), asked_at=4e9)
    await storage.add_calls([earlier, asked])
    calls = Calls(storage, cast("Toolbox", FakeToolbox()), cast("Notices", None), patience=60)
    verdict = await calls.decide(Decision("run1", "call1", "1.0", BOB, approved=True))
    assert verdict is not None
    assert ADA in verdict.text
    assert await calls.decide(Decision("run1", "call1", "1.0", ADA, approved=True)) is None

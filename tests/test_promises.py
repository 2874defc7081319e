"""The engine's promises 1 to 3 under any interleaving of posts, edits, deletions, stops, redeliveries and crashes.

Each post is one word of its own; the model answers with the words it was newly given. What the backend holds and what
Slack shows at the end tells what was lost, answered twice, sent twice, or out of order.
"""

import asyncio
import contextlib
import os
import re
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from bot.app import running
from bot.manifest import manifest
from bot.playground.openai import LocalOpenAI, Question, ScriptedBrain
from bot.playground.slack import LocalSlack
from bot.settings import load_settings

T = TypeVar("T")
_THREADS = st.integers(0, 1)
_WORD = re.compile(r"\b(?:first|edited)\d+x\b")
_SECONDS = 20


@dataclass
class Said:
    """What a person wrote. `fate` is what may still become of it: once deleted or stopped it need not be answered."""

    word: str
    ts: str
    thread: str
    deleted: bool = False
    edited: str | None = None


class Gate(asyncio.Event):
    """Runs pause before their second word while this is closed."""


def answer_to(question: Question) -> str:
    newest: list[str] = []
    for role, text in reversed(question.messages):
        if role != "user":
            break
        newest = _WORD.findall(text) + newest
    return f"Begin {' '.join(newest)} end."


class Promises(RuleBasedStateMachine):
    """One local Slack and one backend, and a Bobbin that crashes."""

    backend = "assistants"

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.said: list[Said] = []
        self.roots: dict[int, str] = {}
        self.stopped = False

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.do(self._begin())

    async def _begin(self) -> None:
        self.gate = Gate()
        self.gate.set()
        self.outside = contextlib.AsyncExitStack()
        self.slack = await self.outside.enter_async_context(LocalSlack(manifest=manifest()))
        brain = ScriptedBrain(answer_to, gate=self.gate, open_words=1)
        self.openai = await self.outside.enter_async_context(LocalOpenAI(brain=brain))
        self.settings = load_settings(
            _env_file=None,
            slack_bot_token=self.slack.bot_token,
            slack_app_token=self.slack.app_token,
            slack_api_url=self.slack.api_url,
            openai_api_key="sk-local",
            openai_base_url=self.openai.url,
            database_url=f"sqlite:///{Path(self.folder.name) / 'bobbin.db'}",
            bobbin_backend=self.backend,
            bobbin_grace=0,
        )
        self.channel = self.slack.channels["general"].id
        await self._start()

    async def _start(self) -> None:
        self.bobbin = contextlib.AsyncExitStack()
        await self.bobbin.enter_async_context(running(self.settings))

    # What can happen

    @rule(thread=_THREADS)
    def post(self, thread: int) -> None:
        self.do(self._post(thread))

    async def _post(self, thread: int) -> None:
        word = f"first{len(self.said)}x"
        root = self.roots.get(thread)
        text = word if root else f"<@{self.slack.bot_user_id}> {word}"
        ts = await self.slack.post("ada", self.channel, text, thread_ts=root)
        self.roots.setdefault(thread, ts)
        self.said.append(Said(word, ts, self.roots[thread]))

    @precondition(lambda self: self.said)
    @rule(data=st.data())
    def edit(self, data: st.DataObject) -> None:
        said = data.draw(st.sampled_from(self.said))
        if not said.deleted:
            said.edited = said.word.replace("first", "edited")
            mention = f"<@{self.slack.bot_user_id}> " if said.ts == said.thread else ""
            self.do(self.slack.edit("ada", self.channel, said.ts, mention + said.edited))

    @precondition(lambda self: self.said)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        said = data.draw(st.sampled_from(self.said))
        # A thread without its root is another story: Slack itself hides it.
        if not said.deleted and said.ts != said.thread:
            said.deleted = True
            self.do(self.slack.delete("ada", self.channel, said.ts))

    @precondition(lambda self: self.said)
    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        """Slack's redelivery, long after, and in another order than the first time."""
        said = data.draw(st.sampled_from(self.said))
        event = {
            "type": "message",
            "user": self.slack.users["ada"].id,
            "text": said.word if said.ts != said.thread else f"<@{self.slack.bot_user_id}> {said.word}",
            "channel": self.channel,
            "channel_type": "channel",
            "ts": said.ts,
            "event_ts": said.ts,
        }
        if said.ts != said.thread:
            event["thread_ts"] = said.thread
        self.do(self.slack.deliver(event))

    @precondition(lambda self: self.roots)
    @rule(data=st.data())
    def stop(self, data: st.DataObject) -> None:
        self.stopped = True
        thread = data.draw(st.sampled_from(sorted(self.roots.values())))
        self.do(self.slack.stop_stream("ada", self.channel, thread))

    @rule()
    def hold(self) -> None:
        self.gate.clear()

    @rule()
    def let_go(self) -> None:
        self.gate.set()

    @rule()
    def crash(self) -> None:
        self.do(self._crash())

    async def _crash(self) -> None:
        await self.bobbin.aclose()
        await self._start()

    @rule()
    def wait_for_slack(self) -> None:
        self.do(self.slack.idle(_SECONDS))

    # What is left

    def teardown(self) -> None:
        try:
            if self.said:
                self.do(self._settle())
                self._check()
        finally:
            self.do(self._end())
            self.folder.cleanup()
            self.loop.close()

    async def _settle(self) -> None:
        self.gate.set()
        await self.slack.idle(_SECONDS)
        # A last question in each thread: it comes after everything, so that its answer tells that all is done.
        for thread in list(self.roots):
            await self._post(thread)
        await self.slack.wait_for(lambda _: all(self._last_of(root) in self._shown(root) for root in self._roots()))
        await self.slack.idle(_SECONDS)
        await self.slack.wait_for(lambda slack: not any(m.get("streaming") for m in slack.messages(self.channel)))

    async def _end(self) -> None:
        await self.bobbin.aclose()
        await self.outside.aclose()

    def _check(self) -> None:
        for root in self._roots():
            held, shown = self._held(root), self._shown(root)
            for said in (each for each in self.said if each.thread == root):
                words = [said.word, *([said.edited] if said.edited else [])]
                times = sum(held.count(word) for word in words)
                answers = sum(shown.count(word) for word in words)
                assert times <= 1, f"{said} was sent {times} times"
                assert answers <= 1, f"{said} was answered {answers} times: {shown}"
                # Whoever stopped a thread was told so, and asked no more.
                if not said.deleted and not self.stopped:
                    assert times == 1, f"{said} never reached the model: {held}"
                    assert answers == 1, f"{said} was not answered: {shown}"
            order = [int(re.sub(r"\D", "", word)) for word in held]
            assert order == sorted(order), f"out of order: {held}"

    def _roots(self) -> list[str]:
        return list(self.roots.values())

    def _last_of(self, root: str) -> str:
        return next(said.word for said in reversed(self.said) if said.thread == root) + " end."

    def _shown(self, root: str) -> str:
        said = self.slack.messages(self.channel, root)
        return "\n".join(m["text"] for m in said if m["user"] == self.slack.bot_user_id)

    def _held(self, root: str) -> list[str]:
        """The words that people's messages in this thread's conversations at the backend hold, oldest first."""
        threads = [thread.id for thread in self.openai.threads.values() if thread.metadata["slack_ts"] == root]
        texts = [m.text for thread in threads for m in self.openai.messages(thread) if m.role == "user"]
        for conversation in self.openai.conversations.values():
            if conversation.metadata["slack_ts"] == root:
                items = self.openai.items(conversation.id)
                texts += [str(item["content"]) for item in items if item.get("role") == "user"]
        return [word for text in texts for word in _WORD.findall(text)]


@pytest.mark.timeout(3600 if "PROMISES_EXAMPLES" in os.environ else 120)
@pytest.mark.parametrize("backend", ["assistants", "responses"])
def test_any_interleaving_keeps_the_promises(backend: str) -> None:
    machine = type("Promises", (Promises,), {"backend": backend})
    run_state_machine_as_test(
        machine,
        settings=settings(
            # Each starts two servers and a Bobbin. `make chaos` tries more of them.
            max_examples=int(os.environ.get("PROMISES_EXAMPLES", "8")),
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

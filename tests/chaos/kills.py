"""Kill a real `bobbin serve` at random moments of real runs, start it again, and count what was lost or doubled."""

import asyncio
import contextlib
import json
import random
import re
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.manifest import manifest
from bot.playground.openai import FunctionCall, LocalOpenAI, Question, ScriptedBrain
from bot.playground.slack import LocalSlack

#: Words of an answer, and the seconds between two: a run of about a second, in which there is much to hit.
_WORDS, _DELAY = 30, 0.02
#: Calls after which a process is killed, at most; counted from its first question.
_CALLS = 30
#: How often what is left from before is finished first, so that the kill falls into a fresh run, not into its take-up.
_FRESH = 0.7
_NUMBER = re.compile(r"question (\d+)")


@dataclass
class Tally:
    """What came of the questions. `moments` are the calls after which a process was killed."""

    kills: int = 0
    questions: int = 0
    lost: list[int] = field(default_factory=list)
    doubled: list[int] = field(default_factory=list)
    sent_twice: list[int] = field(default_factory=list)
    moments: dict[str, int] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.sent_twice)


def answer_to(question: Question) -> Any:
    """Every third question is answered with the help of a tool."""
    role, _ = question.messages[-1]
    asked = next(text for said_by, text in reversed(question.messages) if said_by == "user")
    number = _NUMBER.findall(asked)[-1]
    if role != "tool" and int(number) % 3 == 0:
        return FunctionCall("clock", "{}")
    return f"begin-{number} " + "word " * _WORDS + f"end-{number}."


_ASSISTANT = """---
name: Bobbin
model: gpt-6.1-terra
tools: [clock]
---
You answer.
"""


class Kills:
    """One local Slack, one backend, one database, and a Bobbin that dies again and again."""

    def __init__(self, backend: str, folder: Path, seed: int) -> None:
        self._random = random.Random(seed)
        self._slack = LocalSlack(manifest=manifest())
        self._openai = LocalOpenAI(brain=ScriptedBrain(answer_to), token_delay=_DELAY)
        self._database = folder / "chaos.db"
        (folder / "assistants").mkdir()
        (folder / "assistants" / "general.md").write_text(_ASSISTANT)
        self._settings = {
            "BOBBIN_BACKEND": backend,
            "DATABASE_URL": f"sqlite:///{folder / 'chaos.db'}",
            "BOBBIN_ASSISTANTS": str(folder / "assistants"),
            "BOBBIN_TOOLS": "bot.tools.examples",
        }
        self._asked: dict[int, str] = {}
        self._tally = Tally()

    async def run(self, kills: int, told: Callable[[Tally], Any] = lambda _: None) -> Tally:
        """Kill `kills` times, then let a last process finish everything. `told` hears of each kill."""
        async with self._slack, self._openai:
            self._settings |= {
                "SLACK_BOT_TOKEN": self._slack.bot_token,
                "SLACK_APP_TOKEN": self._slack.app_token,
                "SLACK_API_URL": self._slack.api_url,
                "OPENAI_API_KEY": "sk-local",
                "OPENAI_BASE_URL": self._openai.url,
                "BOBBIN_LOG_LEVEL": "ERROR",
            }
            for _ in range(kills):
                await self._kill_once()
                told(self._tally)
            await self._finish()
        return self._tally

    async def _start(self) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot", "serve", env=self._settings, stderr=asyncio.subprocess.DEVNULL
        )
        await self._slack.wait_for(lambda slack: slack.connections, 30)
        return process

    async def _kill_once(self) -> None:
        process = await self._start()
        if self._random.random() < _FRESH:
            await self._slack.wait_for(lambda _: self._all_answered(), 60)
        for _ in range(self._random.randint(1, 3)):
            await self._ask()
        moment = len(self._slack.calls) + len(self._openai.requests) + self._random.randint(1, _CALLS)
        try:
            await self._slack.wait_for(
                lambda slack: len(slack.calls) + len(self._openai.requests) >= moment or self._all_answered(), 10
            )
        finally:
            process.kill()
            await process.wait()
        await self._slack.wait_for(lambda slack: not slack.connections, 10)
        self._tally.kills += 1
        last = self._slack.calls[-1].method
        self._tally.moments[last] = self._tally.moments.get(last, 0) + 1

    async def _ask(self) -> None:
        number = len(self._asked) + 1
        general = self._slack.channels["general"].id
        mention = f"<@{self._slack.bot_user_id}> question {number}"
        self._asked[number] = await self._slack.post("ada", general, mention)

    async def _finish(self) -> None:
        process = await self._start()
        try:
            await self._slack.wait_for(lambda _: self._all_answered(), 120)
        finally:
            process.terminate()
            await process.wait()
        self._count()

    def _said(self, number: int) -> str:
        thread = self._slack.messages(self._slack.channels["general"].id, self._asked[number])
        return "\n".join(m["text"] for m in thread if m["user"] == self._slack.bot_user_id)

    def _all_answered(self) -> bool:
        return all(f"end-{number}." in self._said(number) for number in self._asked)

    def _count(self) -> None:
        tally = self._tally
        tally.questions = len(self._asked)
        for number in self._asked:
            said = self._said(number)
            if f"end-{number}." not in said:
                tally.lost.append(number)
            if said.count(f"begin-{number} ") > 1 or said.count(f"end-{number}.") > 1:
                tally.doubled.append(number)
            if self._held(number) != 1:
                tally.sent_twice.append(number)

    def _held(self, number: int) -> int:
        """How often the backend holds a question."""
        end = f"question {number}"
        threads = [m.text for thread in self._openai.threads for m in self._openai.messages(thread)]
        items = [str(item) for each in self._openai.conversations for item in self._openai.items(each)]
        told = [str(item) for each in self._openai.agent_sessions for item in self._openai.agent_items(each)]
        kept = self._histories()
        return sum(text.endswith(end) for text in threads) + sum(f"{end}'" in item for item in [*items, *told, *kept])

    def _histories(self) -> list[str]:
        """The items that Bobbin keeps itself, where the backend keeps none."""
        with contextlib.closing(sqlite3.connect(self._database)) as database:
            return [str(json.loads(item)) for (item,) in database.execute("SELECT item FROM history")]

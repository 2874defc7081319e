"""Fixtures: the real Bobbin between a local Slack and a local assistants server."""

import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog

from bot.app import running
from bot.manifest import manifest
from bot.playground.openai import Brain, Lean, LocalOpenAI, OfflineBrain, Piece, Question, ScriptedBrain
from bot.playground.slack import LocalSlack
from bot.settings import Settings, load_settings
from tests import tools_of_ours
from tests.sessions import unfolded

# A first run makes tables of all characters, and machines are slow: no test is about the clock.
hypothesis.settings.register_profile(
    "bobbin", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("bobbin")

#: Variables of the machine that must not reach a test.
_FOREIGN = ("SLACK_", "OPENAI_", "BOBBIN_", "DATABASE_URL", "PORT")
#: Where each backend has its first run made: the path below /v1, for faults.
RUN_PATHS = {
    "agents": "/agents/sessions",
    "assistants": "/threads/{t}/runs",
    "local": "/responses",
    "responses": "/responses",
}
BACKENDS = tuple(RUN_PATHS)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(_FOREIGN):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A test that sets up Bobbin's log leaves none behind whose stream is closed by then."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


class Stage:
    """A brain that can be changed while its server runs, and that remembers what it was asked."""

    def __init__(self) -> None:
        self.brain: Brain | None = None
        self.asked: list[Question] = []

    def answer(self, question: Question) -> AsyncIterator[Piece]:
        question = replace(question, messages=tuple(unfolded(question.messages)))
        self.asked.append(question)
        self.brain = self.brain or OfflineBrain()
        return self.brain.answer(question)


@dataclass
class House:
    """A local Slack, a local assistants server, and the settings that connect Bobbin to both."""

    slack: LocalSlack
    openai: LocalOpenAI
    stage: Stage
    settings: dict[str, Any] = field(default_factory=dict)

    def brain(self, answers: Any, **options: Any) -> None:
        """From now on the model says this (ScriptedBrain)."""
        self.stage.brain = ScriptedBrain(answers, **options)

    def heard(self) -> tuple[tuple[str, str], ...]:
        """All that the model was given with the last question."""
        return self.stage.asked[-1].messages

    def load(self, **changes: Any) -> Settings:
        return load_settings(_env_file=None, **(self.settings | changes))

    @contextlib.asynccontextmanager
    async def bobbin(self, **changes: Any) -> AsyncIterator[None]:
        """The bot itself, in this process."""
        async with running(self.load(**changes)):
            yield

    async def ask(self, text: str, *, person: str = "ada", channel: str = "general", thread: str | None = None) -> str:
        """Mention Bobbin and return the post's ts."""
        place = self.slack.dm(person) if channel == "dm" else self.slack.channels[channel].id
        mention = "" if channel == "dm" else f"<@{self.slack.bot_user_id}> "
        return await self.slack.post(person, place, mention + text, thread_ts=thread)

    async def answers(self, thread: str, count: int = 1, *, channel: str = "general", timeout: float = 30) -> list[str]:
        """Wait until the bot's messages in a thread are `count` and none is still streaming; their texts."""
        place = channel if channel.startswith("D") else self.slack.channels[channel].id

        def done(slack: LocalSlack) -> bool:
            said = bot_messages(slack, place, thread)
            return len(said) >= count and not any(message.get("streaming") for message in said)

        await self.slack.wait_for(done, timeout=timeout)
        return [text_of(message) for message in bot_messages(self.slack, place, thread)]


def bot_messages(slack: LocalSlack, channel: str, thread: str) -> list[dict[str, Any]]:
    return [m for m in slack.messages(channel, thread) if m.get("user") == slack.bot_user_id]


def text_of(message: dict[str, Any]) -> str:
    blocks = [str(block["text"]) for block in message.get("blocks") or [] if block["type"] == "markdown"]
    return str(message.get("markdown_text") or "\n".join(blocks) or message.get("text") or "")


@pytest.fixture
def unused_tcp_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Every end-to-end test runs with every backend."""
    return str(request.param)


@pytest.fixture
async def house(tmp_path: Path, backend: str) -> AsyncIterator[House]:
    stage = Stage()
    async with LocalSlack(manifest=manifest()) as slack, LocalOpenAI(brain=stage) as openai:
        settings: dict[str, Any] = {
            "slack_bot_token": slack.bot_token,
            "slack_app_token": slack.app_token,
            "slack_api_url": slack.api_url,
            "openai_api_key": "sk-local",
            "openai_base_url": openai.url,
            "database_url": f"sqlite:///{tmp_path / 'bobbin.db'}",
            "bobbin_backend": backend,
        }
        openai.switches.lean = Lean() if backend == "local" else None
        yield House(slack, openai, stage, settings)


@pytest.fixture(autouse=True)
def _nothing_called() -> None:
    tools_of_ours.forget()


@pytest.fixture
def tools(house: House, tmp_path: Path) -> House:
    """The house, with an assistant that has our tools (tests/tools_of_ours.py)."""
    from tests.handy import write_assistant

    write_assistant(house, tmp_path)
    house.settings |= {"bobbin_tools": "tests.tools_of_ours"}
    return house

"""A local Slack with a question in it, and replies to that. Real slack_sdk."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient

from bot.engine.ports import Recovery, ReplyMessage, ReplyTarget, ThreadKey
from bot.playground.slack import LocalSlack
from bot.render.governor import Governor
from bot.render.notices import SlackNotices
from bot.render.reply import SlackReplies
from bot.render.uploads import SlackUploads
from tests.conftest import bot_messages, text_of


class Desk:
    """A local Slack with one post in #general, and replies to it."""

    def __init__(
        self,
        slack: LocalSlack,
        client: AsyncWebClient,
        session: aiohttp.ClientSession,
        ts: str,
        folder: Path,
        **options: Any,
    ) -> None:
        self.slack = slack
        self.folder = folder
        self.channel = slack.channels["general"].id
        self.ts = ts
        governor = Governor(client)
        uploads = SlackUploads(governor, session, slack.api_url)
        self.replies = SlackReplies(governor, SlackNotices(governor), uploads, slack.bot_user_id, **options)
        self.target = ReplyTarget(
            ThreadKey(slack.team_id, self.channel, ts), slack.users["ada"].id, slack.team_id, "channel"
        )
        self.kept: list[ReplyMessage] = []
        self.posted: set[str] = set()
        self.has_kept = asyncio.Event()

    def open(self, shown: tuple[ReplyMessage, ...] = (), *, taken_up: bool = False) -> Any:
        recovery = Recovery(self.ts, frozenset(message.ts for message in shown), taken_up=taken_up)
        return self.replies.open("run-1", self.target, shown, self, recovery, self.folder)

    async def add_reply_message(self, message: ReplyMessage) -> None:
        self.kept.append(message)
        self.has_kept.set()

    async def add_posted_files(self, run_id: str, digests: Sequence[str]) -> None:
        self.posted |= set(digests)

    async def posted_files(self, run_id: str) -> frozenset[str]:
        return frozenset(self.posted)

    @property
    def said(self) -> list[dict[str, Any]]:
        return bot_messages(self.slack, self.channel, self.ts)

    def methods(self) -> list[str]:
        return [call.method for call in self.slack.calls if call.method.startswith("chat.")]


@contextlib.asynccontextmanager
async def desk(**options: Any) -> AsyncIterator[Desk]:
    slack_options = {name: options.pop(name) for name in ("enforce_rate_limits",) if name in options}
    async with LocalSlack(**slack_options) as slack, aiohttp.ClientSession() as session:
        client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, session=session, retry_handlers=[])
        ts = await slack.post("ada", slack.channels["general"].id, "question")
        with tempfile.TemporaryDirectory() as folder:
            yield Desk(slack, client, session, ts, Path(folder), **options)
        slack.delivery.acks.clear()


def shows(room: Desk, characters: int) -> Callable[[LocalSlack], bool]:
    return lambda _: sum(len(text_of(message)) for message in room.said) >= characters

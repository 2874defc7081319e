"""What tools find of a conversation: its messages and the replies in its threads, and nothing of another one."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from slack_sdk.web.async_client import AsyncWebClient

from bot.engine.ports import ThreadKey, ToolScene
from bot.listeners.channel import SlackChannel
from bot.listeners.workspace import SlackWorkspace
from bot.manifest import manifest
from bot.playground.slack import LocalSlack
from bot.render.governor import Governor


@dataclass
class Room:
    slack: LocalSlack
    reader: SlackChannel

    @property
    def channel(self) -> str:
        return self.slack.channels["general"].id

    async def say(self, text: str, thread: str | None = None, channel: str | None = None) -> str:
        return await self.slack.post("grace", channel or self.channel, text, thread_ts=thread)

    async def search(self, words: str, limit: int = 20, asked_in: str = "1.000001") -> list[str]:
        thread = ThreadKey(self.slack.team_id, self.channel, asked_in)
        found = await self.reader.search(ToolScene(thread, "U0ADA", "channel", "general"), words, limit)
        return [message.text for message in found]


@contextlib.asynccontextmanager
async def room() -> AsyncIterator[Room]:
    async with LocalSlack(manifest=manifest()) as slack:
        client = AsyncWebClient(slack.bot_token, base_url=slack.api_url)
        governor = Governor(client)
        yield Room(slack, SlackChannel(governor, SlackWorkspace(governor, slack.bot_user_id)))


async def test_replies_in_threads_are_found_and_the_newest_come_first() -> None:
    async with room() as at:
        first = await at.say("The launch is on Friday")
        await at.say("Launch at noon", first)
        await at.say("I moved the launch to Monday")
        assert await at.search("LAUNCH") == [
            "I moved the launch to Monday",
            "Launch at noon",
            "The launch is on Friday",
        ]
        assert await at.search("launch friday") == ["The launch is on Friday"]
        assert await at.search("launch", limit=1) == ["I moved the launch to Monday"]


async def test_the_thread_that_asks_is_not_searched() -> None:
    async with room() as at:
        asked = await at.say("When is the launch?")
        await at.say("Launch, anybody?", asked)
        assert await at.search("launch", asked_in=asked) == []


async def test_other_conversations_are_not_searched() -> None:
    async with room() as at:
        other = at.slack.channels["random"].id if "random" in at.slack.channels else at.slack.channels["lab"].id
        await at.say("A secret launch", channel=other)
        assert await at.search("launch") == []


async def test_a_conversation_of_many_threads_costs_a_bounded_number_of_calls() -> None:
    async with room() as at:
        for number in range(30):
            root = await at.say(f"Topic {number}")
            await at.say("And a reply", root)
        await at.search("nothing has this")
        assert [call.method for call in at.slack.calls].count("conversations.replies") == 25

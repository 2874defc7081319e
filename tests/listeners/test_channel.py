"""What tools find of a conversation: its messages and the replies in its threads, and nothing of another one."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from slack_sdk.web.async_client import AsyncWebClient

from bot.engine.ports import ChannelMessage, PartlyRead, ThreadKey, ToolScene
from bot.listeners.channel import SlackChannel
from bot.listeners.workspace import SlackWorkspace
from bot.manifest import manifest
from bot.playground.slack import LocalSlack
from bot.render.governor import Governor
from bot.render.limits import CALLS_PER_MINUTE


@dataclass
class Room:
    slack: LocalSlack
    reader: SlackChannel

    @property
    def channel(self) -> str:
        return self.slack.channels["general"].id

    async def say(self, text: str, thread: str | None = None, channel: str | None = None) -> str:
        return await self.slack.post("grace", channel or self.channel, text, thread_ts=thread)

    @property
    def replies_read(self) -> int:
        return [call.method for call in self.slack.calls].count("conversations.replies")

    async def search(self, words: str, limit: int = 20, asked_in: str = "1.000001") -> list[str]:
        return [message.text for message in await self.found(words, limit, asked_in)]

    async def found(self, words: str, limit: int = 20, asked_in: str = "1.000001") -> Sequence[ChannelMessage]:
        thread = ThreadKey(self.slack.team_id, self.channel, asked_in)
        return await self.reader.search(ToolScene(thread, "U0ADA", "channel", "general"), words, limit)


@contextlib.asynccontextmanager
async def room(patience: float = 40.0, **rates: float) -> AsyncIterator[Room]:
    async with LocalSlack(manifest=manifest()) as slack:
        client = AsyncWebClient(slack.bot_token, base_url=slack.api_url)
        governor = Governor(client, CALLS_PER_MINUTE | {"conversations.replies": rates.get("replies", 50)})
        yield Room(slack, SlackChannel(governor, SlackWorkspace(governor, slack.bot_user_id), patience))


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
        assert isinstance(await at.found("nothing has this"), PartlyRead)
        assert at.replies_read == 25


async def test_who_searches_again_reads_no_thread_again_but_for_new_replies() -> None:
    async with room() as at:
        roots = [await at.say(f"Topic {number}") for number in range(3)]
        for root in roots:
            await at.say("And a reply", root)
        assert len(await at.search("reply")) == 3
        assert await at.search("nothing has this") == []
        assert at.replies_read == 3
        await at.say("A new reply", roots[0])
        assert await at.search("new reply") == ["A new reply"]
        assert at.replies_read == 4


async def test_a_search_for_which_slack_gives_no_budget_ends_in_time_with_what_it_has() -> None:
    # One call is free, the next comes after a minute: a search that waited for it would take that long.
    async with room(patience=0.5, replies=1) as at:
        for number in range(5):
            root = await at.say(f"Launch {number}")
            await at.say("Launch reply", root)
        found = await at.found("launch")
        assert isinstance(found, PartlyRead)
        assert {message.text for message in found} >= {f"Launch {number}" for number in range(5)}
        assert at.replies_read <= 1

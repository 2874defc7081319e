"""What was said in one conversation, for the tools that may look (ChannelReader)."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from bot.engine.ports import ChannelMessage, PartlyRead, ThreadKey, ToolScene
from bot.listeners.workspace import SlackWorkspace
from bot.render.governor import Governor, Urgency

#: Messages in a call, and calls at most (https://docs.slack.dev/reference/methods/conversations.history).
_PAGE, _PAGES = 200, 5
#: Threads whose replies are read, the newest: each is a call, of fifty a minute
#: (https://docs.slack.dev/reference/methods/conversations.replies).
_THREADS = 25
#: Seconds for reading replies in one search; search_channel has sixty for all it does.
_PATIENCE = 40.0
#: Seconds for which a thread's replies are kept, and of how many threads: who searches once searches again.
_FRESH, _KEPT = 60.0, 100
#: Subtypes of what people and bots wrote; joins and topics are none of it.
_WRITTEN = frozenset({None, "bot_message", "file_share", "me_message", "thread_broadcast"})


class SlackChannel:
    """Reads the conversation in which a tool is called, and no other. Whoever asks there is in it, and sees all of
    its history; Bobbin sees it as a member."""

    def __init__(self, governor: Governor, workspace: SlackWorkspace, patience: float = _PATIENCE) -> None:
        """`patience` is how many seconds a search may spend on the replies in threads."""
        self._governor = governor
        self._workspace = workspace
        self._patience = patience
        self._kept: dict[tuple[str, ...], tuple[float, list[dict[str, Any]]]] = {}

    async def recent(self, scene: ToolScene, limit: int) -> Sequence[ChannelMessage]:
        return await self._matching(scene, (), limit)

    async def search(self, scene: ToolScene, words: str, limit: int) -> Sequence[ChannelMessage]:
        return await self._matching(scene, words.casefold().split(), limit)

    async def _matching(self, scene: ToolScene, words: Sequence[str], limit: int) -> list[ChannelMessage]:
        """What has all the words; by threads, of which the newest come first."""
        found: list[ChannelMessage] = []
        threads = _Threads(asyncio.get_running_loop().time() + self._patience)
        async with aclosing(self._said(scene.thread, threads)) as messages:
            async for said in messages:
                text = await self._workspace.readable(str(said.get("text") or ""))
                if all(word in text.casefold() for word in words):
                    found.append(await self._message(scene.thread.channel, said, text))
                if len(found) == limit:
                    break
        found.sort(key=lambda message: message.ts, reverse=True)
        return PartlyRead(found) if threads.missed else found

    async def _said(self, asked_in: ThreadKey, threads: "_Threads") -> AsyncGenerator[dict[str, Any], None]:
        """What was written in the conversation, but for the thread in which Bobbin is asked: it knows that one."""
        async for root in self._pages("conversations.history", {"channel": asked_in.channel}, _PAGES):
            if root.get("ts") == asked_in.ts:
                continue
            if root.get("reply_count"):
                for reply in reversed(await self._replies(asked_in.channel, root, threads)):
                    # Slack gives the root along, and once more what was sent to the channel too.
                    if reply.get("ts") != root["ts"] and reply.get("subtype") != "thread_broadcast":
                        yield reply
            yield root

    async def _replies(self, channel: str, root: dict[str, Any], threads: "_Threads") -> list[dict[str, Any]]:
        """The messages of a thread, as long as there is time for them."""
        # A new reply changes what the root says of its thread.
        key = (channel, *(str(root.get(part)) for part in ("ts", "reply_count", "latest_reply")))
        now = time.monotonic()
        self._kept = {each: kept for each, kept in self._kept.items() if kept[0] > now - _FRESH}
        if key in self._kept:
            return self._kept[key][1]
        if not threads.take():
            return []
        arguments = {"channel": channel, "ts": root["ts"]}
        try:
            # Behind all that people wait for: the limit is the whole workspace's.
            async with asyncio.timeout_at(threads.until) as patience:
                pages = self._pages("conversations.replies", arguments, 1, Urgency.UPDATE)
                replies = [each async for each in pages]
        except TimeoutError:
            if not patience.expired():
                raise
            threads.missed = True
            return []
        while len(self._kept) >= _KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = (now, replies)
        return replies

    async def _pages(
        self, method: str, arguments: dict[str, Any], most: int, urgency: Urgency = Urgency.FIRST_OR_FINAL
    ) -> AsyncIterator[dict[str, Any]]:
        """What people and bots wrote, in the order in which Slack gives it; `most` calls."""
        arguments = {**arguments, "limit": _PAGE}
        for _ in range(most):
            page = await self._governor.call(method, arguments, urgency=urgency, reads=True)
            for said in page.get("messages") or []:
                if said.get("subtype") in _WRITTEN:
                    yield said
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return
            arguments["cursor"] = cursor

    async def _message(self, channel: str, said: dict[str, Any], text: str) -> ChannelMessage:
        user = str(said.get("user") or "")
        author = await self._workspace.person(user) if user else str(said.get("username") or "a bot")
        return ChannelMessage(channel, str(said["ts"]), author, text)


class _Threads:
    """How many threads one search may still read, until when (the loop's time), and whether it missed one."""

    def __init__(self, until: float) -> None:
        self.until = until
        self.missed = False
        self._left = _THREADS

    def take(self) -> bool:
        """Whether one more may be read."""
        if self._left == 0 or self.missed:
            self.missed = True
            return False
        self._left -= 1
        return True

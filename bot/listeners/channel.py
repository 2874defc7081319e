"""What was said in one conversation, for the tools that may look (ChannelReader)."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from bot.engine.ports import ChannelMessage, ThreadKey, ToolScene
from bot.listeners.workspace import SlackWorkspace
from bot.render.governor import Governor

#: Messages in a call, and calls at most (https://docs.slack.dev/reference/methods/conversations.history).
_PAGE, _PAGES = 200, 5
#: Threads whose replies are read, the newest: each is a call, of fifty a minute
#: (https://docs.slack.dev/reference/methods/conversations.replies).
_THREADS = 25
#: Subtypes of what people and bots wrote; joins and topics are none of it.
_WRITTEN = frozenset({None, "bot_message", "file_share", "me_message", "thread_broadcast"})


class SlackChannel:
    """Reads the conversation in which a tool is called, and no other. Whoever asks there is in it, and sees all of
    its history; Bobbin sees it as a member."""

    def __init__(self, governor: Governor, workspace: SlackWorkspace) -> None:
        self._governor = governor
        self._workspace = workspace

    async def recent(self, scene: ToolScene, limit: int) -> Sequence[ChannelMessage]:
        return await self._matching(scene, (), limit)

    async def search(self, scene: ToolScene, words: str, limit: int) -> Sequence[ChannelMessage]:
        return await self._matching(scene, words.casefold().split(), limit)

    async def _matching(self, scene: ToolScene, words: Sequence[str], limit: int) -> list[ChannelMessage]:
        """What has all the words; by threads, of which the newest come first."""
        found: list[ChannelMessage] = []
        async with aclosing(self._said(scene.thread)) as messages:
            async for said in messages:
                text = await self._workspace.readable(str(said.get("text") or ""))
                if all(word in text.casefold() for word in words):
                    found.append(await self._message(scene.thread.channel, said, text))
                if len(found) == limit:
                    break
        return sorted(found, key=lambda message: message.ts, reverse=True)

    async def _said(self, asked_in: ThreadKey) -> AsyncGenerator[dict[str, Any], None]:
        """What was written in the conversation, but for the thread in which Bobbin is asked: it knows that one."""
        threads = _THREADS
        async for root in self._pages("conversations.history", {"channel": asked_in.channel}, _PAGES):
            if root.get("ts") == asked_in.ts:
                continue
            if root.get("reply_count") and threads:
                threads -= 1
                thread = {"channel": asked_in.channel, "ts": root["ts"]}
                replies = [each async for each in self._pages("conversations.replies", thread, 1)]
                for reply in reversed(replies):
                    # Slack gives the root along, and once more what was sent to the channel too.
                    if reply.get("ts") != root["ts"] and reply.get("subtype") != "thread_broadcast":
                        yield reply
            yield root

    async def _pages(self, method: str, arguments: dict[str, Any], most: int) -> AsyncIterator[dict[str, Any]]:
        """What people and bots wrote, in the order in which Slack gives it; `most` calls."""
        arguments = {**arguments, "limit": _PAGE}
        for _ in range(most):
            page = await self._governor.call(method, arguments, reads=True)
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

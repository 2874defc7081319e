"""What was said in one conversation, for the tools that may look (ChannelReader)."""

from collections.abc import Sequence
from typing import Any

from bot.engine.ports import ChannelMessage, ToolScene
from bot.listeners.workspace import SlackWorkspace
from bot.render.governor import Governor

#: Messages in a call, and calls at most (https://docs.slack.dev/reference/methods/conversations.history).
_PAGE, _PAGES = 200, 5
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
        channel = scene.thread.channel
        arguments: dict[str, Any] = {"channel": channel, "limit": _PAGE}
        found: list[ChannelMessage] = []
        for _ in range(_PAGES):
            page = await self._governor.call("conversations.history", arguments, reads=True)
            for said in page.get("messages") or []:
                if said.get("subtype") not in _WRITTEN or said.get("ts") == scene.thread.ts:
                    continue
                text = await self._workspace.readable(str(said.get("text") or ""))
                if all(word in text.casefold() for word in words):
                    found.append(await self._message(channel, said, text))
                if len(found) == limit:
                    return found
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                break
            arguments["cursor"] = cursor
        return found

    async def _message(self, channel: str, said: dict[str, Any], text: str) -> ChannelMessage:
        user = str(said.get("user") or "")
        author = await self._workspace.person(user) if user else str(said.get("username") or "a bot")
        return ChannelMessage(channel, str(said["ts"]), author, text)

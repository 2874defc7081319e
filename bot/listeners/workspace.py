"""What Slack knows: names, and what was said in a thread. Read when a run needs it, remembered for a while."""

import asyncio
import time
import unicodedata
from collections.abc import AsyncIterator, Sequence
from typing import Any

import structlog

from bot.engine.ports import Message, Said, ThreadKey
from bot.errors import SlackRefused
from bot.listeners import entities
from bot.listeners.posts import TOMBSTONE, files_from
from bot.listeners.quotes import written_in
from bot.render.governor import Governor
from bot.render.notices import NOTICE

_log = structlog.get_logger()

#: Seconds for which a name is remembered, and how many are.
_NAME_LIFETIME, _NAMES = 3600.0, 10_000
#: Seconds that a run waits for Slack's history. An app outside the Marketplace may be allowed one call a minute
#: (https://docs.slack.dev/apis/web-api/rate-limits), and an answer without history beats none.
_HISTORY_PATIENCE = 10.0
#: Characters of a name, and those that end one in what models read.
_NAME_LIMIT, _ENDS_NAME = 80, frozenset(':"“”：')
#: Messages in a call, calls at most, and how many of the latest are used
#: (https://docs.slack.dev/reference/methods/conversations.replies).
_HISTORY_PAGE, _HISTORY_PAGES, _HISTORY_LIMIT = 999, 10, 100


class SlackWorkspace:
    """Answers the engine's questions about a workspace."""

    def __init__(self, governor: Governor, bot_user: str) -> None:
        self._governor = governor
        self._bot_user = bot_user
        self._names: dict[str, tuple[float, asyncio.Task[str]]] = {}

    async def person(self, user: str) -> str:
        """A person's display name; their id where Slack does not tell."""
        return await self._name(user, self._ask_person)

    async def channel(self, channel: str) -> str:
        """A channel's name with its #; its id where Slack does not tell."""
        return await self._name(channel, self._ask_channel)

    async def readable(self, text: str) -> str:
        return await entities.readable(text, self.person, self.channel)

    async def history(self, key: ThreadKey, *, after: str | None, before: str) -> Sequence[Said]:
        said: list[dict[str, Any]] = []
        try:
            async with asyncio.timeout(_HISTORY_PATIENCE):
                async for page in self._replies(key, after, before):
                    said += page
        except (SlackRefused, TimeoutError) as error:
            # What was read until then is better than nothing.
            _log.info("history-unreadable", channel=key.channel, thread=key.ts, read=len(said), error=repr(error))
        in_dm = key.channel.startswith("D")
        messages = [await self._said(message, in_dm=in_dm) for message in said[-_HISTORY_LIMIT:]]
        return [each for each in messages if each.message.text or each.files]

    async def _replies(self, key: ThreadKey, after: str | None, before: str) -> AsyncIterator[Sequence[dict[str, Any]]]:
        """A thread's messages, oldest first, as Slack pages them: its latest ones come last of all."""
        arguments = {
            "channel": key.channel,
            "ts": key.ts,
            "latest": before,
            "oldest": after or "0",
            "limit": _HISTORY_PAGE,
            "include_all_metadata": True,
        }
        for _ in range(_HISTORY_PAGES):
            page = await self._governor.call("conversations.replies", arguments, reads=True)
            # Slack gives a thread's root along with any range; `after` and `before` are exclusive for us.
            between = (each for each in page.get("messages") or [] if (after or "") < str(each.get("ts", "")) < before)
            yield [message for message in between if _is_said(message)]
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return
            arguments["cursor"] = cursor

    async def _said(self, said: dict[str, Any], *, in_dm: bool) -> Said:
        mine = said.get("user") == self._bot_user
        return Said(await self._message(said, in_dm=in_dm), () if mine else files_from(said))

    async def _message(self, said: dict[str, Any], *, in_dm: bool) -> Message:
        text = await self.readable(written_in(said, self._bot_user))
        ts, author = str(said["ts"]), str(said.get("user") or "")
        if author == self._bot_user:
            return Message(ts, "assistant", text)
        name = _name(str(said.get("username") or "")) or (await self.person(author) if author else "Somebody")
        return Message(ts, "user", text if in_dm or not text else f"{name}: {text}")

    async def _name(self, slack_id: str, ask: Any) -> str:
        known = self._names.get(slack_id)
        if known is None or known[0] < time.monotonic():
            if len(self._names) >= _NAMES:
                self._names.clear()
            known = (time.monotonic() + _NAME_LIFETIME, asyncio.create_task(ask(slack_id)))
            self._names[slack_id] = known
        try:
            # Shielded: one run that is stopped must not take the name away from the others that wait for it.
            return await asyncio.shield(known[1])
        except SlackRefused as error:
            _log.info("name-unknown", id=slack_id, error=error.code)
            self._names.pop(slack_id, None)
            return slack_id

    async def _ask_person(self, user: str) -> str:
        response = await self._governor.call("users.info", {"user": user}, reads=True)
        found = response["user"]
        profile = found.get("profile") or {}
        names = (profile.get("display_name"), profile.get("real_name"), found.get("real_name"), found.get("name"))
        return next((plain for name in names if (plain := _name(str(name or "")))), user)

    async def _ask_channel(self, channel: str) -> str:
        response = await self._governor.call("conversations.info", {"channel": channel}, reads=True)
        name = _name(str(response["channel"].get("name") or ""))
        return f"#{name}" if name else channel


def _name(chosen: str) -> str:
    """A name as a prompt may have it: whoever chose it must not end it there and go on with words of their own."""
    visible = "".join(" " if unicodedata.category(each)[0] in "CZ" or each in _ENDS_NAME else each for each in chosen)
    return " ".join(visible.split())[:_NAME_LIMIT]


def _is_said(message: dict[str, Any]) -> bool:
    """Not what Slack leaves of a deleted message, nor Bobbin's own lines."""
    return message.get("subtype") != TOMBSTONE and (message.get("metadata") or {}).get("event_type") != NOTICE

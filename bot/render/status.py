"""The line under a thread that says that an answer is being made."""

import asyncio

import structlog

from bot.engine.ports import ThreadKey
from bot.errors import SlackRefused
from bot.render.governor import Governor

_log = structlog.get_logger()

#: Seconds that a status may take: it is a kindness, and holds nothing up.
_PATIENCE = 2.0


class ThreadStatus:
    """ "is thinking…" while nothing of an answer is shown. A workspace that has no such line goes without."""

    def __init__(self, governor: Governor, thread: ThreadKey) -> None:
        self._governor = governor
        self._thread = thread
        self._thinking: asyncio.Task[bool] | None = None

    def think(self) -> None:
        """Show it, or keep it, in the background: Slack takes it away after two minutes."""
        if self._thinking is None or self._thinking.done():
            self._thinking = asyncio.create_task(self._set("is thinking…", "processing"))

    async def clear(self) -> None:
        """Take it away, if it was shown. An agent session does not end by itself when a message is posted
        (https://docs.slack.dev/ai/agent-sessions)."""
        thinking, self._thinking = self._thinking, None
        if thinking is not None and await thinking:
            await self._set("", "active")

    def abandon(self) -> None:
        """Let go of it as it is."""
        if self._thinking is not None:
            self._thinking.cancel()

    async def _set(self, words: str, session: str) -> bool:
        """The words where Slack takes them; only the session's state where the older method is gone. Returns whether
        Slack may show it."""
        place = {"channel_id": self._thread.channel, "thread_ts": self._thread.ts}
        attempts = (
            ("assistant.threads.setStatus", {**place, "status": words}),
            ("agents.sessions.setStatus", {**place, "status": session}),
        )
        try:
            async with asyncio.timeout(_PATIENCE):
                for method, arguments in attempts:
                    try:
                        await self._governor.call(method, arguments, repeatable=False)
                    except SlackRefused as error:
                        _log.debug("status-refused", method=method, code=error.code)
                    else:
                        return True
        except TimeoutError:
            _log.debug("status-late", channel=self._thread.channel)
            return True
        return False

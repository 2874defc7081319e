"""The line under a thread that says that an answer is being made."""

import structlog

from bot.engine.ports import ThreadKey
from bot.errors import SlackRefused
from bot.render.governor import Governor

_log = structlog.get_logger()


class ThreadStatus:
    """ "is thinking…" while nothing of an answer is shown. A workspace that has no such line goes without."""

    def __init__(self, governor: Governor, thread: ThreadKey) -> None:
        self._governor = governor
        self._thread = thread
        self._shown = False

    async def think(self) -> None:
        """Show it, or keep it: Slack takes it away after two minutes."""
        self._shown = await self._set("is thinking…", "processing")

    async def clear(self) -> None:
        """Take it away, if it was shown. An agent session does not end by itself when a message is posted
        (https://docs.slack.dev/ai/agent-sessions)."""
        if self._shown:
            self._shown = False
            await self._set("", "active")

    async def _set(self, words: str, session: str) -> bool:
        """The words where Slack takes them; only the session's state where the older method is gone."""
        place = {"channel_id": self._thread.channel, "thread_ts": self._thread.ts}
        attempts = (
            ("assistant.threads.setStatus", {**place, "status": words}),
            ("agents.sessions.setStatus", {**place, "status": session}),
        )
        for method, arguments in attempts:
            try:
                await self._governor.call(method, arguments)
            except SlackRefused as error:
                _log.debug("status-refused", method=method, code=error.code)
            else:
                return True
        return False

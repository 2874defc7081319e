"""Replies that came before the post that opens their thread.

Slack does not keep an order: where the mention that opens a thread has to be delivered again, replies to it may be
there first, and look like other people's talk (https://docs.slack.dev/apis/events-api). They are kept in memory alone,
because most of them are just that.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from bot.engine.ports import Post, ThreadKey

#: Seconds for which Slack tries a delivery again (the last time after five minutes), and how many replies are kept.
_LIFETIME, _MOST = 400.0, 2_000


@dataclass(frozen=True, slots=True)
class _Kept:
    post: Post
    until: float


class EarlyReplies:
    """A small, short memory."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[tuple[str, str, str], _Kept] = {}

    def keep(self, post: Post) -> None:
        """A reply in a thread that is not Bobbin's, or not yet."""
        now = self._clock()
        while self._kept:
            oldest = next(iter(self._kept))
            if len(self._kept) < _MOST and self._kept[oldest].until > now:
                break
            del self._kept[oldest]
        self._kept[_identity(post)] = _Kept(post, now + _LIFETIME)

    def edit(self, team: str, channel: str, ts: str, text: str, edited_ts: str) -> None:
        """It was edited meanwhile."""
        kept = self._kept.get((team, channel, ts))
        if kept and (kept.post.edited_ts or "") < edited_ts:
            post = replace(kept.post, text=text, edited_ts=edited_ts)
            self._kept[(team, channel, ts)] = replace(kept, post=post)

    def drop(self, team: str, channel: str, ts: str) -> None:
        """It was deleted meanwhile, or it is stored now."""
        self._kept.pop((team, channel, ts), None)

    def replies(self, thread: ThreadKey, after: str) -> list[Post]:
        """The replies of a thread that was just opened by the post `after`, oldest first."""
        now = self._clock()
        found = (kept.post for kept in self._kept.values() if kept.until > now and kept.post.thread == thread)
        return sorted((post for post in found if post.ts > after), key=lambda post: post.ts)


def _identity(post: Post) -> tuple[str, str, str]:
    return post.thread.team, post.thread.channel, post.ts

"""Messages that a post shares: people forward one and ask "what does this mean?". Slack sends them as attachments.

https://docs.slack.dev/messaging/formatting-message-text, https://slack.com/help/articles/203274767
"""

from collections.abc import Iterator, Mapping
from typing import Any

from bot.listeners.entities import without_leading_mention

#: How Slack marks a message that was forwarded, and one whose link was posted.
_SHARED = ("is_share", "is_msg_unfurl")

Payload = Mapping[str, Any]


def written_in(message: Payload, bot_user: str) -> str:
    """What a message says, in Slack's syntax: its author's words without Bobbin's mention that they begin with, then
    each message that it shares, quoted under its author's name."""
    words = without_leading_mention(str(message.get("text") or ""), bot_user)
    return "\n\n".join(part for part in (words, *map(_quoted, shared_in(message))) if part)


def shared_in(message: Payload) -> Iterator[Payload]:
    """The messages that a message shares, as Slack describes them."""
    attachments = message.get("attachments")
    for each in attachments if isinstance(attachments, list) else ():
        if isinstance(each, Mapping) and any(each.get(mark) is True for mark in _SHARED):
            yield each


def _quoted(shared: Payload) -> str:
    text = str(shared.get("text") or "").strip()
    if not text:
        return ""
    author = str(shared.get("author_name") or shared.get("author_subname") or "").strip()
    lines = (f"{author}: {text}" if author else text).splitlines()
    return "\n".join(f"&gt; {line}".rstrip() for line in lines)

"""What the bot wrote, seen with a careful person's eyes: would it ping people, would it open links?"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bot.playground.slack.web_api import Call

Json = dict[str, Any]

#: Entities that are live where they are not escaped (https://docs.slack.dev/messaging/formatting-message-text).
_LIVE = re.compile(r"<(?:@[UW]|#C|![a-z])[^>]*>")
#: ... of which this one names nobody.
_DATE = "<!date^"
_LINK = re.compile(r"https?://")


def pings_in(messages: Iterable[Json], calls: Iterable[Call]) -> list[str]:
    """Live entities in messages as they are now (a stream may join them of pieces), and in all that was sent."""
    texts = [text for message in messages for text in _texts(message)]
    sent = (call for call in calls if call.method != "chat.postEphemeral" and call.method.startswith("chat."))
    texts += [text for call in sent if call.response.get("ok") for text in _texts(call.arguments)]
    found = dict.fromkeys(entity for text in texts for entity in _LIVE.findall(text))
    return [entity for entity in found if not entity.startswith(_DATE)]


def unfurled_in(calls: Iterable[Call]) -> list[Mapping[str, Any]]:
    """The arguments of posts with a link and without both flags that forbid to unfurl it."""
    posts = [call.arguments for call in calls if call.method == "chat.postMessage"]
    flags = ("unfurl_links", "unfurl_media")
    return [post for post in posts if _LINK.search(str(post)) and any(post.get(flag) is not False for flag in flags)]


def _texts(said: Mapping[str, Any]) -> Iterator[str]:
    """Every text of a message or a call in which entities are live: not what is plain_text."""
    for name in ("text", "markdown_text"):
        if isinstance(said.get(name), str) and said.get("type") != "plain_text":
            yield said[name]
        elif isinstance(said.get(name), Mapping):
            yield from _texts(said[name])
    for name in ("blocks", "chunks", "elements", "fields"):
        parts: Sequence[Any] = said.get(name) or ()
        for part in parts:
            if isinstance(part, Mapping):
                yield from _texts(part)

"""Slack's message syntax, as people's posts carry it: entities in angle brackets, and three escapes.

https://docs.slack.dev/messaging/formatting-message-text
"""

import re
from collections.abc import Awaitable, Callable

#: `<@U123>`, `<@U123|name>`, `<#C123|general>`, `<!here>`, `<!date^…|fallback>`, `<https://…|label>`.
_ENTITY = re.compile(r"<(?P<sigil>[@#!]?)(?P<body>[^<>|]+)(?:\|(?P<label>[^<>]*))?>")
_NAMED_LINK = ("mailto:", "tel:")

Lookup = Callable[[str], Awaitable[str]]


async def readable(text: str, person: Lookup, channel: Lookup) -> str:
    """Slack's syntax as plain text that a model can read; `person` and `channel` give the name for an id."""
    pieces: list[str] = []
    end = 0
    for match in _ENTITY.finditer(text):
        pieces.append(unescape(text[end : match.start()]))
        pieces.append(await _plain(match, person, channel))
        end = match.end()
    pieces.append(unescape(text[end:]))
    return "".join(pieces).strip()


def unescape(text: str) -> str:
    """Undo Slack's three escapes."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


async def _plain(match: re.Match[str], person: Lookup, channel: Lookup) -> str:
    sigil, body, label = match["sigil"], match["body"], unescape(match["label"] or "")
    if sigil == "@":
        return f"@{label or await person(body)}"
    if sigil == "#":
        return f"#{label}" if label else await channel(body)
    if sigil == "!":
        return _special(body, label)
    return _link(unescape(body), label)


def _special(body: str, label: str) -> str:
    """`<!here>`, `<!subteam^S1|@team>`, `<!date^1^{date}|fallback>`."""
    name, _, _ = body.partition("^")
    if name == "date":
        return label
    if name == "subteam":
        return label or "@group"
    return label or f"@{name}"


def _link(url: str, label: str) -> str:
    for scheme in _NAMED_LINK:
        url = url.removeprefix(scheme)
    bare = url.removeprefix("https://").removeprefix("http://").rstrip("/")
    return url if not label or label.rstrip("/") in (url, bare) else f"{label} ({url})"


def mention_of(user: str) -> re.Pattern[str]:
    """Finds a mention of this user."""
    return re.compile(rf"<@{re.escape(user)}(?:\|[^<>]*)?>")


#: A post that begins by naming somebody.
LEADING_MENTION = re.compile(r"^\s*<@(?P<user>[A-Z0-9]+)(?:\|[^<>]*)?>")


def without_leading_mention(text: str, user: str) -> str:
    """A post without the mention of this user that it begins with, and what joins it to the rest."""
    match = mention_of(user).match(text.lstrip())
    return (text.lstrip()[match.end() :].lstrip(" \t\n,:") if match else text).strip()

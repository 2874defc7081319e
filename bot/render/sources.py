"""What an answer rests on, as a numbered list below it."""

import re
from collections.abc import Sequence
from urllib.parse import quote

from bot.engine.ports import Source
from bot.render.limits import LINK_URL

#: Characters of a title: a line's worth.
_TITLE = 200
#: What Markdown would not show as it stands: all of these, and an underscore at a word's edge.
_MARKUP = re.compile(r"[\\`*\[\]~]|(?<!\w)_|_(?!\w)")
#: Slack and Markdown both read `<…>` as a link, and differ in how it is escaped: these only look alike.
_ANGLES = str.maketrans("<>", "‹›")
#: The beginning of one of Slack's own escapes (https://docs.slack.dev/messaging/formatting-message-text#escaping).
_ESCAPE = re.compile(r"&(?=#?\w+;)")
#: Only what is plainly a web address becomes a link; a server may say anything.
_WEB_ADDRESS = re.compile(r"https?://[^/?#\s]", re.IGNORECASE)
#: What may stand in a link of Markdown as it is; everything else is percent-encoded (RFC 3986).
_PLAIN = "%/:?#@!$&'*+,;=~-._"


def listed(sources: Sequence[Source]) -> str:
    """The sources, numbered; nothing where there are none."""
    if not sources:
        return ""
    lines = [f"{number}. {_line(source)}" for number, source in enumerate(sources, 1)]
    return "\n\n**Sources**\n\n" + "\n".join(lines)


def _line(source: Source) -> str:
    title, address = _title(source.title), _address(source.url or "")
    return f"[{title}]({address})" if address else title


def _title(said: str) -> str:
    """A title that reads as text, whatever is in it."""
    title = " ".join(said.split())
    title = title if len(title) <= _TITLE else title[: _TITLE - 1].rstrip() + "…"
    title = _ESCAPE.sub("&amp;", _MARKUP.sub(r"\\\g<0>", title.translate(_ANGLES)))
    return title or "a source"


def _address(url: str) -> str:
    """A web address that no renderer takes for anything else; empty for what is none."""
    url = url.strip()
    address = quote(url, safe=_PLAIN, errors="replace") if _WEB_ADDRESS.match(url) else ""
    return address if len(address) <= LINK_URL else ""

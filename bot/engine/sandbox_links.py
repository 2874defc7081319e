"""Links into the model's own sandbox, where nobody else can follow them: the files themselves are handed out."""

import re

_LINK = re.compile(r"!?\[([^\]\n]{0,300})\]\(sandbox:[^)\n]{0,500}\)")
#: The beginning of what may become one, at the end of a growing text, and how long that may be.
_OPEN_LINK = re.compile(r"!?\[[^\]\n]{0,300}(?:\](?:\((?:s[^)\n]{0,500})?)?)?\Z")
_LINK_ROOM = 820


def unlinked(text: str) -> str:
    """The text, with a file's name in the place of each link."""
    return _LINK.sub(r"\1", text)


def held_back(text: str) -> int:
    """Where a growing text's end begins that may still become a link into the sandbox; its length where none does."""
    start = max(len(text) - _LINK_ROOM, 0)
    link = _OPEN_LINK.search(text, start)
    return link.start() if link else len(text)

"""Text files, written into messages."""

import re

from bot.engine.ports import Attachment

#: The most bytes that a character of UTF-8 has (RFC 3629): so a file's size says for certain only that it is too long.
UTF8_CHARACTER = 4
_BACKTICKS = re.compile("`+")


def inlined(file: Attachment, longest: int) -> str:
    """A text file as a part of a message: at most `longest` of its characters, and a word where some are missing.
    Reads the disk."""
    with file.path.open("rb") as content:
        text = content.read(longest * UTF8_CHARACTER + 1).decode("utf-8", errors="replace")
    cut = f"\n(cut after {longest:,} characters)" if len(text) > longest else ""
    text = text[:longest]
    fence = "`" * max(3, *(len(ticks) + 1 for ticks in _BACKTICKS.findall(text)), 3)
    return f"{file.name}:\n{fence}\n{text}\n{fence}{cut}"

"""Emoji by the names that Slack gives them: those that Bobbin writes, and the most usual ones."""

import re

_SIGNS = {
    "+1": "👍",
    "-1": "👎",
    "abacus": "🧮",
    "books": "📚",
    "eyes": "👀",
    "heart": "❤️",
    "hourglass_flowing_sand": "⏳",
    "pencil2": "✏️",
    "rocket": "🚀",
    "smile": "😄",
    "tada": "🎉",
    "thread": "🧵",
    "toolbox": "🧰",
    "wave": "👋",
    "warning": "⚠️",
    "white_check_mark": "✅",
    "x": "❌",
}
_NAME = re.compile(r":([a-z0-9_+-]+):")


def sign_of(name: str) -> str:
    """An emoji's sign; its name between colons where that is not known here."""
    return _SIGNS.get(name, f":{name}:")


def with_signs(text: str) -> str:
    return _NAME.sub(lambda match: sign_of(match[1]), text)

"""What the session of an agent was told, read as what was said in its thread."""

import re
from collections.abc import Iterable

_BEFORE = "What was said in this conversation before, oldest first:"
_CONTEXT = "(This is from Bobbin, not from a person:"
_WHO = {"Person": "user", "You": "assistant"}
_NEXT = re.compile(r"\n\n(?=(?:Person|You): )")


def unfolded(told: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """(role, text) of what was said: the message that tells what was said before is taken apart, and the line that
    says who asks now is left out. What other backends were told stays as it is."""
    said: list[tuple[str, str]] = []
    for role, text in told:
        if text.startswith(_BEFORE):
            lines = [line.partition(": ") for line in _NEXT.split(text.removeprefix(_BEFORE).strip())]
            said += [(_WHO[who], words) for who, _, words in lines]
        elif not text.startswith(_CONTEXT):
            said.append((role, text))
    return said

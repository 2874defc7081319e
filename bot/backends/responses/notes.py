"""Lines that Bobbin adds to a post, for the model: what became of its files.

They are no part of what was asked: by that, a post is known again in its conversation.
"""

_UNREAD, _FOR_CODE = "[A file that you cannot read: ", "[A file that only code can open: "


def unread(problem: str) -> str:
    """A file that does not go along. The engine writes the same of files that it cannot use."""
    return f"{_UNREAD}{_one_line(problem)}]"


def for_code(name: str) -> str:
    """A file that goes into the code interpreter's container."""
    return f"{_FOR_CODE}{_one_line(name)}]"


def without_notes(text: str) -> str:
    """What was asked: the text but for notes at its end."""
    lines = text.rstrip().split("\n")
    while lines and (not lines[-1].strip() or lines[-1].startswith((_UNREAD, _FOR_CODE))):
        lines.pop()
    return "\n".join(lines).rstrip()


def _one_line(text: str) -> str:
    return " ".join(text.split())

"""The model's text made harmless: it pings nobody, and no link in it leads where nobody can follow.

A text grows, and what was shown of it stays. So whatever at its end may still become something else is held back.
"""

import re
from collections.abc import Sequence

#: Slack reads `<@…>`, `<#…>` and `<!…>` as live entities
#: (https://docs.slack.dev/messaging/formatting-message-text#escaping).
_LIVE_ENTITY = re.compile(r"<(?=[!@#])")
#: Where a server keeps the files that a run made. Nobody else can follow such an address: the file itself is posted.
_PLACE = r"(?:(?:sandbox|attachment):|/mnt/data/)"
#: The longest label and the longest address of a link, in characters: no more is held back.
_LABEL, _ADDRESS = 300, 500

#: What a text is read by. Nothing here goes over the end of a line, and no repetition is gone back on, so that a text
#: is read in a time that grows as it does.
_ESCAPED = r"\\[\\\[\]]"
_OPEN = r"!?\["
_LINK = rf"\]\([ \t]*+(?:<{_PLACE}[^<>\n]*+>[^()\n]*+|{_PLACE}(?:[^()\n]++|\([^()\n]*+\))*+)\)"
_DEFINITION = rf"\](?=:[ \t]*+<?{_PLACE})"
_QUOTED = r"<sandbox:[^<>\n]*+>"
_BARE = r"sandbox:/(?:[^\s/()<>\[\]]{1,60}+/){0,6}+"
#: What is at the end of a growing text, and not decided: `sandb`, `](sand`, `]`.
_BEGUN = "(?:".join("sandbox:/") + ")?" * 8
_TARGET = rf"\((?:[^)\n]{{0,{_ADDRESS}}}+|[ \t]*+<?{_PLACE}[^\n]{{0,{_ADDRESS}}}+)|:[ \t]*+<?[a-z:/]{{0,20}}+"
_UNDECIDED = (
    rf"(?:[\\!]|<|<?{_BEGUN}|\](?:{_TARGET})?|<sandbox:[^<>\n]{{0,{_ADDRESS}}}+"
    rf"|sandbox:/[^\s()<>\[\]]{{0,{_ADDRESS}}}+)\Z"
)

_WHOLE = {
    "escaped": _ESCAPED, "open": _OPEN, "link": _LINK, "definition": _DEFINITION, "close": r"\]", "line": r"\n",
    "quoted": _QUOTED, "bare": _BARE,
}  # fmt: skip
_BEFORE_UNDECIDED = ("escaped", "open", "link", "definition")


def _pattern(*, growing: bool) -> re.Pattern[str]:
    first = {name: _WHOLE[name] for name in _BEFORE_UNDECIDED}
    parts = {**first, "undecided": _UNDECIDED, **_WHOLE} if growing else _WHOLE
    return re.compile("|".join(f"(?P<{name}>{part})" for name, part in parts.items()), re.IGNORECASE)


_WHOLE_TEXT, _GROWING_TEXT = _pattern(growing=False), _pattern(growing=True)

#: A part of a text, from and to, and what takes its place.
_Edit = tuple[int, int, str]


def harmless(text: str) -> str:
    """A text that is whole: what Slack would take for a mention, a channel or a broadcast is escaped, and a link to a
    file in the model's sandbox is what it is called."""
    return _LIVE_ENTITY.sub("&lt;", unlinked(text))


def unlinked(text: str) -> str:
    """A text that is whole, with a link to a file in the model's sandbox as what it is called."""
    return _edited(text, _read(text, _WHOLE_TEXT)[0])


class UnlinkedText:
    """One text while it grows. What is decided of it is read once."""

    def __init__(self) -> None:
        self._read = ""
        self._shown = ""
        #: Of what was read, the end that is not shown yet.
        self._left = ""

    def grow(self, text: str) -> str:
        """`text` is all of it so far. Returns what can be shown: with whatever may follow, the beginning of what is
        `unlinked` then."""
        if not text.startswith(self._read):
            self._read = self._shown = self._left = ""
        new = text[len(self._read) :]
        edits, end = _read(new, _GROWING_TEXT)
        shown, self._left = self._split(self._left + _edited(new[:end], [edit for edit in edits if edit[0] < end]))
        self._shown += shown
        self._read = text[: len(self._read) + end]
        return self._shown

    def _split(self, piece: str) -> tuple[str, str]:
        """What is shown of a piece that is decided, and what waits for the next one."""
        return piece, ""


class HarmlessText(UnlinkedText):
    """The same, as what is `harmless` then."""

    def _split(self, piece: str) -> tuple[str, str]:
        kept = piece.rstrip("<")  # what follows may make it an entity
        return _LIVE_ENTITY.sub("&lt;", kept), piece[len(kept) :]


def _read(text: str, pattern: re.Pattern[str]) -> tuple[list[_Edit], int]:
    """What to change in a text, and where its undecided end begins."""
    edits: list[_Edit] = []
    brackets: list[re.Match[str]] = []
    place = 0
    while token := pattern.search(text, place):
        start, place = token.span()
        if token.lastgroup in ("link", "quoted") and place - start > _ADDRESS:
            place = start + 1  # no link, whatever it looks like: only its first character is
        match token.lastgroup:
            case "undecided":
                return edits, _held_from(brackets, start)
            case "open":
                brackets.append(token)
            case "line":
                brackets.clear()
            case "close" | "link" | "definition":
                opener = brackets.pop() if brackets else None
                if place > start + 1 or token.lastgroup == "definition":
                    edits += _unlinked(token, opener)
            case "quoted" if place > start + 1:
                edits.append((start, place, _name(token[0])))
            case "bare":
                edits.append((start, place, ""))
    return edits, _held_from(brackets, len(text))


def _unlinked(token: re.Match[str], opener: re.Match[str] | None) -> list[_Edit]:
    """A link becomes its label, or its file's name where it has none; a reference's definition is no longer one. Where
    the label began too long ago, it stands in its brackets."""
    link = token.lastgroup == "link"
    if opener is None or token.start() - opener.start() > _LABEL:
        return [(*token.span(), "]")] if link else []
    if not link:
        return [(*opener.span(), opener[0].replace("[", r"\[")), (*token.span(), r"\]")]
    return [(*opener.span(), ""), (*token.span(), _name(token[0][:-1]) if opener.end() == token.start() else "")]


def _held_from(brackets: Sequence[re.Match[str]], end: int) -> int:
    """Where what may become a link begins."""
    return next((each.start() for each in brackets if end - each.start() <= _LABEL), end)


def _name(address: str) -> str:
    """What is last in an address: the file's name."""
    return address.rpartition("/")[2].strip("<> ")


def _edited(text: str, edits: Sequence[_Edit]) -> str:
    parts: list[str] = []
    place = 0
    for start, end, instead in sorted(edits):
        parts += [text[place:start], instead]
        place = end
    return "".join([*parts, text[place:]])

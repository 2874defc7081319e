"""The model's Markdown on its way into Slack messages: cut where it may be cut.

Slack renders standard Markdown itself (`markdown_text`), so nothing is converted here.
"""

import re
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass

from bot.render.limits import MARKDOWN_TEXT

#: Characters a message may hold: room is left to close a code block, and for Slack's own counting of entities.
PAGE = MARKDOWN_TEXT - 500
#: From here on a code block or a table opens the next message, so that it stays in one piece.
_KEEP_WHOLE_AFTER = 4_000
#: From here on the next paragraph opens the next message.
_PARAGRAPH_AFTER = 9_000
#: A word that is still growing is held back, up to this length; some languages have no spaces.
_LONGEST_WORD = 40

_FENCE = re.compile(r"^ {0,8}(?P<mark>`{3,}|~{3,})[ \t]*(?P<info>[^`\s]{0,40})[^`\n]*$")
_TABLE_ROW = re.compile(r"^ {0,3}\|")


def settled(text: str) -> int:
    """How much of a growing text can be shown: all but its last word, which may still become something else.

    What follows then never begins with white space, which Slack may drop where two appended parts meet.
    """
    end = len(text.rstrip())
    # Only the end is looked at: this is asked again and again while a text grows.
    words = text[max(end - _LONGEST_WORD, 0) : end].split()
    if not words:
        return 0
    return end - len(words[-1]) if len(words[-1]) < _LONGEST_WORD else end - 1


@dataclass(frozen=True, slots=True)
class Fence:
    """An open code block."""

    mark: str
    info: str

    @property
    def opening(self) -> str:
        return f"{self.mark}{self.info}\n"


class Fences:
    """The code blocks of one text, which may grow at its end. What was read of it is not read again."""

    def __init__(self) -> None:
        self._read = 0
        #: Where a code block begins or ends, and what is open from there on.
        self._places: list[int] = [0]
        self._open: list[Fence | None] = [None]

    def at(self, text: str, offset: int) -> Fence | None:
        """The code block that is open where `offset` is, None outside of one."""
        for start, line in _lines(text, self._read, offset):
            end = start + len(line) + 1
            if end > offset:
                break  # only a whole line says something
            self._read = end
            fence = _after(line, self._open[-1])
            if fence != self._open[-1]:
                self._places.append(end)
                self._open.append(fence)
        return self._open[bisect(self._places, offset) - 1]


def fence_at(text: str, offset: int) -> Fence | None:
    """The code block that is open where `offset` is, in a text that is looked at once."""
    return Fences().at(text, offset)


def page_text(text: str, start: int, end: int, *, cut: bool, fences: Fences | None = None) -> str:
    """A message's Markdown: `text[start:end]`, with a code block re-opened where the page before cut through it.

    `cut` says that the page ends here although the text goes on: then an open code block is closed. `fences` are the
    text's, where they are known.
    """
    fences = fences or Fences()
    before = fences.at(text, start)
    page = before.opening + text[start:end] if before else text[start:end].lstrip("\n")
    after = fences.at(text, end) if cut else None
    if after is None:
        return page
    return page + ("" if page.endswith("\n") else "\n") + after.mark


def page_end(
    text: str, start: int, shown: int, limit: int, *, early: bool = False, fences: Fences | None = None
) -> int | None:
    """Where the message that begins at `start` has to end, or None while `text[start:limit]` belongs to it.

    `shown` is how far it is in Slack already; the end is never before. `early` takes the first good place. `fences` are
    the text's, where they are known.
    """
    fences = fences or Fences()
    keep_whole_after = 0 if early else _KEEP_WHOLE_AFTER
    paragraph_after = 0 if early else _PARAGRAPH_AFTER
    last_block = None
    for offset, whole in _boundaries(text, start, min(limit, start + PAGE), fences.at(text, start)):
        if offset < max(shown, start + 1):
            continue
        if offset - start >= (keep_whole_after if whole else paragraph_after):
            return offset
        last_block = offset if whole else last_block
    if limit - start <= PAGE:
        return None
    if last_block is not None and fences.at(text, start + PAGE):
        return last_block  # early, but a page's edge would go through the code
    return _forced_end(text, max(shown, start), start + PAGE)


def whole_lines(text: str, start: int, limit: int, *, fences: Fences | None = None) -> int:
    """Where a message that begins at `start` may end at once, not after `limit`: inside a code block, after a line."""
    if (fences or Fences()).at(text, limit) is None:
        return limit
    end = text.rfind("\n", start, limit) + 1
    return end if end > start else limit


def _forced_end(text: str, low: int, high: int) -> int:
    """The last line end, else the last space, in what was not shown yet; in one long word, the page's edge."""
    for separator in ("\n", " "):
        found = text.rfind(separator, low, high)
        if found > low:
            return found + 1
    return max(low, high)


def _boundaries(text: str, start: int, limit: int, fence: Fence | None) -> Iterator[tuple[int, bool]]:
    """Where a message may end: before a block that should stay whole (True), and before a paragraph (False). `fence` is
    the code block that is open at `start`."""
    after_blank = in_table = False
    for offset, line in _lines(text, start, limit):
        was_outside, fence = fence is None, _after(line, fence)
        is_row = was_outside and bool(_TABLE_ROW.match(line))
        if was_outside and (fence is not None or (is_row and not in_table)):
            yield offset, True
        elif was_outside and after_blank and line.strip():
            yield offset, False
        after_blank = was_outside and not line.strip()
        in_table = is_row


def code_blocks(text: str) -> Iterator[tuple[str, str]]:
    """(language, content) of each fenced code block."""
    fence: Fence | None = None
    inside: list[str] = []
    for _, line in _lines(text, 0, len(text)):
        before, fence = fence, _after(line, fence)
        if before is not None and fence is None:
            yield before.info, "\n".join([*inside, ""])
            inside = []
        elif before is not None:
            inside.append(line)
    if fence is not None and inside:  # it goes on to the end
        yield fence.info, "\n".join([*inside, ""])


def lines_outside_code(text: str) -> Iterator[str]:
    """The lines that are in no code block; an empty one stands for each block."""
    fence: Fence | None = None
    for _, line in _lines(text, 0, len(text)):
        before, fence = fence, _after(line, fence)
        yield line if before is None and fence is None else ""


def _after(line: str, fence: Fence | None) -> Fence | None:
    """The open code block after a line, given the one before it."""
    match = _FENCE.match(line)
    if match is None:
        return fence
    if fence is None:
        return Fence(match["mark"], match["info"])
    closes = match["mark"].startswith(fence.mark) and not match["info"]
    return None if closes else fence


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, str]]:
    """(offset, line without its end) of the lines that begin in `text[start:end]`."""
    while start < end:
        stop = text.find("\n", start, end)
        stop = end if stop < 0 else stop
        yield start, text[start:stop]
        start = stop + 1

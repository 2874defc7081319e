"""What an answer's text cites: a server's marks become numbers, while the text still grows.

https://platform.openai.com/docs/assistants/deep-dive#message-annotations
"""

import re
from collections.abc import Mapping

#: A mark that has begun, and not ended: 【4:0†sour
_BEGUN_MARK = re.compile(r"【[^【】\n]{0,200}$")
#: A whole mark at the end of what there is; its annotation may be on its way.
_LAST_MARK = re.compile(r"【[^【】\n]{0,200}†[^【】\n]{0,200}】$")


class Citations:
    """Numbers for the files that one run cites, in order of appearance, from 1."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    @property
    def files(self) -> tuple[str, ...]:
        """The ids of the cited files, in order of number."""
        return tuple(self._numbers)

    def rewritten(self, text: str, marks: Mapping[str, str]) -> str:
        """The text with numbers for marks; `marks` has the file that each mark stands for."""
        if marks:
            # The longest first: one mark may be the beginning of another.
            known = "|".join(re.escape(mark) for mark in sorted(marks, key=len, reverse=True))
            text = re.sub(known, lambda found: f"[{self._number(marks[found[0]])}]", text)
        return text

    def _number(self, file: str) -> int:
        return self._numbers.setdefault(file, len(self._numbers) + 1)


class GrowingText:
    """One message's text as it comes in: whatever may turn out to be a mark is held back until that is known."""

    def __init__(self, citations: Citations) -> None:
        self._citations = citations
        self._marks: dict[str, str] = {}
        self._held = ""

    def mark(self, text: str, file: str) -> None:
        """This mark in the text stands for this file."""
        self._marks[text] = file

    def grow(self, text: str) -> str:
        """Returns what can be shown now."""
        held = self._held + text
        cut = _settled(held, self._marks)
        self._held = held[cut:]
        return self._citations.rewritten(held[:cut], self._marks)


def _settled(text: str, marks: Mapping[str, str]) -> int:
    """How many characters of a text that goes on can be shown."""
    found = _BEGUN_MARK.search(text)
    if found is None:
        found = _LAST_MARK.search(text)
        if found and found[0] in marks:
            found = None
    return found.start() if found else len(text)

"""A run's text as it comes in."""

from collections.abc import Sequence

_BETWEEN = "\n\n"


class Transcript:
    """The messages of one run as one text, with a blank line between them."""

    def __init__(self) -> None:
        self._whole: list[str] = []
        #: The pieces of the open message: joined when somebody asks, not with each.
        self._growing: list[str] = []

    @property
    def text(self) -> str:
        return joined([*self._whole, "".join(self._growing)])

    @property
    def open(self) -> bool:
        """Whether the open message says anything yet."""
        return bool(self._growing)

    def grow(self, text: str) -> str:
        """Add to the open message. Returns what to add to the text: a blank line goes before a new message."""
        new = bool(self._whole) and not self._growing and bool(text)
        if text:
            self._growing.append(text)
        return _BETWEEN + text if new else text

    def close(self, message: str) -> str:
        """The open message is whole, and says this. Returns all of the text."""
        self._whole = [each for each in (*self._whole, message) if each]
        self._growing = []
        return self.text

    def settle(self, messages: Sequence[str], *, final: bool) -> str | None:
        """What the server keeps of the run's messages, after the stream. Returns the text as it is then, None
        where nothing is to be corrected: a run that broke off may have shown more than the server kept."""
        text = joined(messages)
        if not text or (not final and len(text) < len(self.text)):
            return None
        self._whole, self._growing = [text], []
        return text


def joined(messages: Sequence[str]) -> str:
    return _BETWEEN.join(message for message in messages if message)

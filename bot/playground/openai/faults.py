"""Faults: what a test makes the server do wrong, and where."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing to go wrong. Unset fields do nothing; several may be set together."""

    status: int | None = None
    """Answer with this HTTP status and the error envelope of the four fields below."""
    message: str = "The server had an error while processing your request. Sorry about that!"
    code: str | None = None
    type: str = "server_error"
    headers: dict[str, str] = field(default_factory=dict)
    when: Literal["before", "after"] = "before"
    """`after`: the request is carried out, only then its answer is replaced or lost."""
    cut: bool = False
    """Close the socket instead of answering."""
    hang: bool = False
    """Never answer."""
    delay: float = 0.0
    """Seconds to wait before the request is looked at."""
    cut_after_events: int | None = None
    """Close the socket after this many events of a stream."""
    no_terminal: bool = False
    """End the stream properly, but without the event that tells how the run ended."""
    error_event: Literal["flat", "nested"] | None = None
    """End the stream with an `error` event in place of its terminal one: OpenAI sends both forms."""
    run_status: str | None = None
    """How the run or the response ends, after its whole text was made. On a cancel: it lost the race to this."""
    last_error: dict[str, str] | None = None
    incomplete_reason: str | None = None

    @property
    def answers(self) -> bool:
        """Whether it takes the place of the answer."""
        return self.status is not None or self.cut or self.hang

    @property
    def loses_answer(self) -> bool:
        """Whether the request is carried out although its answer never arrives."""
        return self.answers and self.when == "after"

    def envelope(self) -> dict[str, Any]:
        """The JSON body that goes with `status`."""
        fields = {"message": self.message, "type": self.type, "param": None, "code": self.code}
        return {"error": fields}


@dataclass(slots=True)
class _Trap:
    method: str
    pattern: re.Pattern[str]
    fault: Fault
    left: int | None


class Faults:
    """Faults that wait for a request; the oldest that matches is taken."""

    def __init__(self) -> None:
        self._traps: list[_Trap] = []

    def add(self, *, method: str, path: str | re.Pattern[str], times: int | None = 1, **fault: Any) -> None:
        """Makes the next `times` requests to `path` go wrong (None: all). The rest are `Fault`'s fields.

        `path` is relative to /v1 and holds placeholders, as in "/threads/{t}/runs", or is a regular expression for the
        whole path.
        """
        pattern = path if isinstance(path, re.Pattern) else _pattern(path)
        self._traps.append(_Trap(method.upper(), pattern, Fault(**fault), times))

    def clear(self) -> None:
        """Forgets all faults."""
        self._traps.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The fault for this request, counted as used."""
        for trap in self._traps:
            if trap.method == method and trap.pattern.fullmatch(path):
                self._count(trap)
                return trap.fault
        return None

    def _count(self, trap: _Trap) -> None:
        if trap.left is None:
            return
        trap.left -= 1
        if trap.left <= 0:
            self._traps.remove(trap)


def _pattern(path: str) -> re.Pattern[str]:
    literal = re.split(r"\{\w+\}", path)
    return re.compile("[^/]+".join(re.escape(part) for part in literal))

"""Faults: what a test makes the local Slack do wrong, and where. The bytes of files go by the methods `download` and
`upload`, a Socket Mode handshake by `link`."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing to go wrong with a Web API call, or with the bytes of a file. Unset fields do nothing."""

    #: Answer `ok: false` with this code.
    error: str | None = None
    #: Answer with this HTTP status; 429 goes with `retry_after` seconds.
    status: int | None = None
    retry_after: float = 1.0
    #: Answer 200 with this text, whatever it is.
    body: str | None = None
    #: Cut the connection instead of answering.
    drop: bool = False
    #: `after`: the call is carried out, only then its answer is replaced or lost.
    when: Literal["before", "after"] = "before"
    #: Seconds to wait first.
    delay: float = 0.0
    #: Of a download: send whoever asks there instead, with 302.
    redirect: str | None = None
    #: Of a download: send so many bytes of it only, then cut the connection.
    cut: int | None = None


@dataclass(slots=True)
class _Trap:
    method: str
    channel: str | None
    fault: Fault
    left: int | None


class Faults:
    """Faults that wait for a call; the oldest that matches is taken."""

    def __init__(self) -> None:
        self._traps: list[_Trap] = []

    def add(self, *, method: str, channel: str | None = None, times: int | None = 1, **fault: Any) -> None:
        """Make the next `times` calls of `method` go wrong (None: all of them)."""
        self._traps.append(_Trap(method, channel, Fault(**fault), times))

    def clear(self) -> None:
        self._traps.clear()

    def take(self, method: str, channel: str | None) -> Fault | None:
        """The fault for this call, if one waits."""
        for trap in self._traps:
            if trap.method == method and trap.channel in (None, channel) and trap.left != 0:
                if trap.left is not None:
                    trap.left -= 1
                return trap.fault
        return None

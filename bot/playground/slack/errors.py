"""Slack's way to refuse: HTTP 200 with `ok: false` and a code."""

from collections.abc import Iterable
from typing import Any


class SlackError(Exception):
    """`code` is Slack's name for what is wrong; `details` go into the answer beside it."""

    def __init__(self, code: str, **details: Any) -> None:
        super().__init__(code)
        self.code = code
        self.details = details

    @property
    def body(self) -> dict[str, Any]:
        return {"ok": False, "error": self.code, **self.details}


class RateLimitedError(Exception):
    """HTTP 429; `retry_after` is in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("ratelimited")
        self.retry_after = retry_after


def invalid(*messages: str, code: str = "invalid_arguments") -> SlackError:
    """`invalid_arguments`, or a more particular code, with what is wrong."""
    return SlackError(code, response_metadata={"messages": [f"[ERROR] {each}" for each in messages]})


def require_scopes(needed: Iterable[str], granted: frozenset[str]) -> None:
    """Raises SlackError("missing_scope") with what a token lacks."""
    missing = set(needed) - granted
    if missing:
        raise SlackError("missing_scope", needed=",".join(sorted(missing)), provided=",".join(sorted(granted)))

"""Switches: what a test sets while the server runs, besides faults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from bot.playground.openai.errors import ApiError

if TYPE_CHECKING:
    from bot.playground.openai.lean import Lean


@dataclass(slots=True)
class Switches:
    """Each holds until it is set again."""

    indexing: Literal["completes", "stays", "fails"] = "completes"
    """What becomes of a file of a vector store at the next request: it is ready, stays in progress, or failed."""
    flagged: dict[str, str] = field(default_factory=dict)
    """Words that the moderation flags, each with its category, such as "violence"."""
    transcript: str = "This is the playground, where nobody listens to recordings."
    """What was said in every recording."""
    retired: set[str] = field(default_factory=set)
    """Models that are no longer there: 404 model_not_found."""
    overloaded: dict[str, int] = field(default_factory=dict)
    """Models that have no time, with the status that says so: 429 or 503."""

    lean: Lean | None = None
    """Whether /responses refuses what small servers refuse, and with which model."""

    def check_there(self, model: str) -> None:
        """Refuses a model that was retired."""
        if model in self.retired:
            raise ApiError(
                404,
                f"The model `{model}` has been deprecated, learn more here: "
                "https://platform.openai.com/docs/deprecations",
                code="model_not_found",
            )

    def check_load(self, model: str) -> None:
        """Refuses a model that was retired or that has no time."""
        self.check_there(model)
        status = self.overloaded.get(model)
        if status == 429:
            raise ApiError(
                429,
                f"Rate limit reached for {model} in organization org-local on requests per min (RPM): Limit 3, "
                "Used 3, Requested 1. Please try again in 20s.",
                code="rate_limit_exceeded",
                kind="requests",
            )
        if status is not None:
            raise ApiError(
                status,
                "Our servers are currently overloaded. Please try again later.",
                code="server_is_overloaded",
                kind="service_unavailable_error",
            )

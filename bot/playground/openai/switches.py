"""Switches: what a test sets while the server runs, besides faults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(slots=True)
class Switches:
    """Each holds until it is set again."""

    indexing: Literal["completes", "stays", "fails"] = "completes"
    """What becomes of a file of a vector store at the next request: it is ready, stays in progress, or failed."""

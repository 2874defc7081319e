"""Solutions: what there is to tell about a problem that was worked out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sympy import Symbol


class Unsolved(ValueError):
    """We know no way to the result; the message is a sentence for the person who asked."""


@dataclass(frozen=True, slots=True)
class Solution:
    """What to tell: where it starts, the steps, the result, and the check. `python` prints the result."""

    start: str
    steps: tuple[str, ...]
    result: str
    python: str
    check: str = ""


def program(symbols: Sequence[Symbol], last: str) -> str:
    """Python that prints `last`'s value, with these symbols declared."""
    names = ", ".join(str(each) for each in symbols)
    declared = f'{names} = symbols("{names}")\n' if symbols else ""
    return f"from sympy import *\n\n{declared}{last}\n"

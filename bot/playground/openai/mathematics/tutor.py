"""The tutor: finds the way to work a problem out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bot.playground.openai.mathematics.equations import solve_related
from bot.playground.openai.mathematics.expressions import TRANSFORMATIONS
from bot.playground.openai.mathematics.plots import plot
from bot.playground.openai.mathematics.solutions import Solution

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.playground.openai.mathematics.problems import Problem


def solve(problem: Problem) -> Solution:
    """Works the problem out. Raises `Unsolved`."""
    if problem.kind == "plot":
        return plot(problem)
    if len(problem.formulas) > 1 and not _is_system(problem):
        return _joined([solve(replace(problem, formulas=(each,))) for each in problem.formulas[:5]])
    if problem.kind in {"solve", "check"}:
        return solve_related(problem)
    return TRANSFORMATIONS[problem.kind](problem)


def _is_system(problem: Problem) -> bool:
    """Whether the equations only make sense together; several about one unknown are several problems."""
    if problem.kind not in {"solve", "check"}:
        return False
    unknowns = {symbol for formula in problem.formulas for symbol in formula.symbols}
    return len(unknowns) > 1 or any(formula.relation is None for formula in problem.formulas)


def _joined(parts: Sequence[Solution]) -> Solution:
    return Solution(
        start=" ".join(part.start for part in parts),
        steps=tuple(step for part in parts for step in part.steps),
        result="; ".join(part.result for part in parts),
        python="\n".join(part.python for part in parts),
        check="; ".join(part.check for part in parts if part.check),
    )

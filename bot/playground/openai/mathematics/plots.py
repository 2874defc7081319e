"""Plots: which function is to be drawn, from where to where, and the Python that draws it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sympy import Expr, Integer, Symbol

from bot.playground.openai.mathematics.notation import python, written
from bot.playground.openai.mathematics.solutions import Solution, Unsolved, program

if TYPE_CHECKING:
    from bot.playground.openai.mathematics.formulas import Formula
    from bot.playground.openai.mathematics.problems import Problem

PICTURE = "plot.png"
_BOUNDS = (Integer(-10), Integer(10))


def function_of(formula: Formula) -> Expr | None:
    """What is to be drawn: an expression of one variable, or the other side of y = ... and f(x) = ..."""
    value = formula.left
    if formula.relation == "=" and formula.right is not None:
        x = Symbol("x")
        if formula.left in {Symbol("y"), Symbol("f") * x, Symbol("g") * x}:
            value = formula.right
        else:
            return None
    elif formula.relation is not None:
        return None
    return value if len(value.free_symbols) == 1 else None


def plot(problem: Problem) -> Solution:
    """Draws the problem's first function. Raises `Unsolved`."""
    function = next((each for each in map(function_of, problem.formulas) if each is not None), None)
    if function is None:
        raise Unsolved("I can only draw a function of one variable.")
    (x,) = function.free_symbols
    low, high = problem.bounds or _BOUNDS
    last = (
        f'# draw() belongs to this sandbox.\ndraw("{PICTURE}", {python(function)}, {x}, {python(low)}, {python(high)})'
    )
    where = f"from `{x} = {written(low)}` to `{x} = {written(high)}`"
    return Solution(
        start=f"I draw `{written(function)}` {where}.",
        steps=(),
        result=f"y = {written(function)}",
        python=program([x], last),
    )

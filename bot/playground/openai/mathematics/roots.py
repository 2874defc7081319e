"""Roots: the values of the unknown for which an equation holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sympy
from sympy import Eq, Expr, Symbol

from bot.playground.openai.mathematics.solutions import Unsolved

if TYPE_CHECKING:
    from bot.playground.openai.mathematics.formulas import Formula


def solutions_of(equation: Formula, x: Symbol) -> list[Expr]:
    """The solutions, exact where there is a short exact form. Raises `Unsolved`."""
    try:
        found = sympy.solve(Eq(equation.left, equation.right), x)
    except NotImplementedError:
        found = _numerical(equation, x)
    if not isinstance(found, list):
        raise Unsolved("I cannot solve that: the solutions have no simple form.")
    return sorted((short(each) for each in found), key=_real_first)


def _numerical(equation: Formula, x: Symbol) -> list[Expr]:
    """The solutions that Newton's method finds from a few whole numbers."""
    if equation.symbols != [x]:
        raise Unsolved("I cannot solve that: the solutions have no simple form.")
    found: list[Expr] = []
    for start in range(-8, 9):
        try:
            value = sympy.N(sympy.nsolve(equation.difference, x, start), 6)
        except (ValueError, ZeroDivisionError):
            continue
        if value.is_real and all(abs(value - other) > 1e-4 for other in found):
            found.append(value)
    if not found:
        raise Unsolved("I cannot solve that: there is no closed form, and I found no solution near zero.")
    return sorted(found, key=abs)[:4]


def short(value: Expr) -> Expr:
    """The value, or its first digits when the exact form is longer than anybody reads."""
    if value.free_symbols or (len(str(value)) <= 40 and not value.has(sympy.CRootOf)):
        return value
    return sympy.N(value, 6)


def _real_first(value: Expr) -> tuple[bool, float]:
    number = complex(sympy.N(value)) if not value.free_symbols else 0
    return abs(number.imag) > 1e-9, number.real

"""The steps of solving one equation, as a tutor writes them."""

from __future__ import annotations

import sympy
from sympy import Expr, Poly, Symbol

from bot.playground.openai.mathematics.formulas import Formula
from bot.playground.openai.mathematics.notation import code, listed, written


def linear(equation: Formula, x: Symbol) -> list[str]:
    """Moves the unknowns to the left and the numbers to the right, then divides."""
    left, right = sympy.expand(equation.left), sympy.expand(equation.right)
    steps = []
    if (left, right) != (equation.left, equation.right):
        steps.append(f"Multiply out and collect: {_equation(left, right)}")
    steps += _moved(left, right, right.coeff(x) * x, "unknown")
    left, right = left - right.coeff(x) * x, right - right.coeff(x) * x
    constant = left.subs(x, 0)
    steps += _moved(left, right, constant, "number")
    left, right = sympy.expand(left - constant), sympy.expand(right - constant)
    return steps + _divided(left, right, x)


def _moved(left: Expr, right: Expr, term: Expr, what: str) -> list[str]:
    if term == 0:
        return []
    verb, size = ("Add", -term) if term.could_extract_minus_sign() else ("Subtract", term)
    way = "to" if verb == "Add" else "from"
    why = "so that the unknowns are together" if what == "unknown" else "which leaves the unknown alone"
    moved = _equation(sympy.expand(left - term), sympy.expand(right - term))
    return [f"{verb} {code(size)} {way} both sides, {why}: {moved}"]


def _divided(left: Expr, right: Expr, x: Symbol) -> list[str]:
    factor = left.coeff(x)
    if factor in {0, 1}:
        return []
    result = _equation(x, sympy.nsimplify(right / factor))
    if factor.is_Rational and abs(factor.p) == 1 and factor.q != 1:
        return [f"Multiply both sides by {code(1 / factor)}: {result}"]
    return [f"Divide both sides by {code(factor)}: {result}"]


def polynomial(equation: Formula, x: Symbol) -> list[str]:
    """The standard form, then factors, or the quadratic formula."""
    difference = sympy.expand(equation.difference)
    steps = [f"Bring everything to one side: {_equation(difference, sympy.S.Zero)}"]
    factored = sympy.factor(difference)
    if factored != difference and isinstance(factored, sympy.Mul | sympy.Pow):
        steps.append(f"Factor it: {_equation(factored, sympy.S.Zero)}")
        steps.append("A product is zero when one of its factors is, so each factor gives its solutions.")
    elif sympy.degree(difference, x) == 2:
        steps += _quadratic(Poly(difference, x))
    else:
        steps.append("There is no simple factor, so search for the points where it is zero.")
    return steps


def _quadratic(quadratic: Poly) -> list[str]:
    a, b, c = quadratic.all_coeffs()
    discriminant = sympy.expand(b**2 - 4 * a * c)
    steps = [
        f"This is quadratic with a = {written(a)}, b = {written(b)}, c = {written(c)}.",
        f"The discriminant is `b^2 - 4ac = {written(discriminant)}`.",
    ]
    if discriminant.is_negative:
        steps.append("It is negative: there is no real solution, only complex ones.")
    steps.append("The quadratic formula `x = (-b ± sqrt(b^2 - 4ac)) / (2a)` gives the solutions.")
    return steps


def rational(equation: Formula, x: Symbol) -> list[str]:
    """Multiplies with the denominator, after noting where it is zero."""
    numerator, denominator = sympy.fraction(sympy.together(equation.difference))
    excluded = sympy.solve(denominator, x)
    steps = []
    if excluded:
        steps.append(f"The denominator must not be zero, so `{listed(excluded, str(x))}` cannot be solutions.")
    steps.append(
        f"Bring everything to one side and multiply by {code(sympy.factor(denominator))}: "
        f"{_equation(sympy.expand(numerator), sympy.S.Zero)}"
    )
    return steps


def _equation(left: Expr, right: Expr) -> str:
    return code(Formula(left, "=", right))

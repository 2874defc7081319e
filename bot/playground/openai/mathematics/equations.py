"""Equations, inequalities and systems, worked out with their steps and their check."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sympy
from sympy import Eq, Expr, Symbol

from bot.playground.openai.mathematics import steps
from bot.playground.openai.mathematics.formulas import Formula
from bot.playground.openai.mathematics.notation import code, listed, python, written
from bot.playground.openai.mathematics.roots import short, solutions_of
from bot.playground.openai.mathematics.solutions import Solution, Unsolved, program

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bot.playground.openai.mathematics.problems import Problem

_RELATIONS: dict[str, Callable[[Expr, Expr], object]] = {
    "<": sympy.Lt,
    ">": sympy.Gt,
    "<=": sympy.Le,
    ">=": sympy.Ge,
}


def solve_related(problem: Problem) -> Solution:
    """Solves the problem's equations and inequalities. Raises `Unsolved`."""
    related = [formula for formula in problem.formulas if formula.relation is not None]
    if len(related) > 1:
        return _system(related)
    formula = related[0]
    x = problem.unknown if problem.unknown in formula.symbols else next(iter(formula.symbols), None)
    if x is None:
        return _comparison(formula)
    return _equation(formula, x) if formula.relation == "=" else _inequality(formula, x)


def _comparison(formula: Formula) -> Solution:
    left, right = sympy.simplify(formula.left), sympy.simplify(formula.right)
    holds = left == right if formula.relation == "=" else bool(_RELATIONS[str(formula.relation)](left, right))
    shown = (f"The left side is {code(left)}.", f"The right side is {code(right)}.")
    verdict = "true" if holds else "false"
    source = program([], f"print({python(left)}, {python(right)})")
    return Solution(f"Compare both sides of {code(formula)}.", shown, f"{written(formula)} is {verdict}", source)


def _equation(equation: Formula, x: Symbol) -> Solution:
    found = solutions_of(equation, x)
    source = program(equation.symbols, _solving(equation, x, found))
    start = f"Solve {code(equation)} for {x}."
    shown = tuple(_steps(equation, x))
    if not found:
        always = sympy.simplify(equation.difference) == 0
        result = f"every {x} is a solution" if always else f"no {x} is a solution"
        return Solution(start, shown, result, source)
    return Solution(start, shown, listed(found, str(x)), source, _substitution(equation, x, found))


def _solving(equation: Formula, x: Symbol, found: Sequence[Expr]) -> str:
    if not any(value.has(sympy.Float) for value in found):
        return f"print(solve(Eq({python(equation.left)}, {python(_sides(equation)[1])}), {x}))"
    difference = python(equation.difference)
    if equation.difference.is_polynomial(x):
        return f"print(Poly({difference}, {x}).nroots(n=6))"
    starts = ", ".join(str(value) for value in found)
    return f"print([N(nsolve({difference}, {x}, start), 6) for start in ({starts},)])"


def _steps(equation: Formula, x: Symbol) -> list[str]:
    difference = sympy.together(equation.difference)
    numerator, denominator = sympy.fraction(difference)
    if not numerator.is_polynomial(x):
        return _inside_function(equation)
    if denominator.has(x):
        return steps.rational(equation, x)
    degree = sympy.degree(sympy.expand(numerator), x)
    linear = degree <= 1 and equation.left.is_polynomial(x) and equation.right.is_polynomial(x)  # type: ignore[union-attr]
    return steps.linear(equation, x) if linear else steps.polynomial(equation, x)


def _inside_function(equation: Formula) -> list[str]:
    shown = ["The unknown is inside a function. Where there is no inverse for it, search for the solutions near zero."]
    if equation.difference.has(sympy.sin, sympy.cos, sympy.tan):
        shown.append("Sine, cosine and tangent repeat, so a full turn of `2pi` more or less is a solution as well.")
    return shown


def _substitution(equation: Formula, x: Symbol, found: Sequence[Expr]) -> str:
    shown = []
    for value in found:
        left, right = (_value_at(side, x, value) for side in _sides(equation))
        about = "≈" if value.has(sympy.Float) else "="
        shown.append(f"{x} = {written(value)} gives `{written(left)} {about} {written(right)}`")
    return "; ".join(shown)


def _value_at(side: Expr, x: Symbol, value: Expr) -> Expr:
    inserted = side.subs(x, value)
    if value.has(sympy.Float):
        return sympy.N(inserted, 4, chop=1e-3)
    return short(sympy.simplify(inserted))


def _sides(equation: Formula) -> tuple[Expr, Expr]:
    return equation.left, sympy.S.Zero if equation.right is None else equation.right


def _inequality(formula: Formula, x: Symbol) -> Solution:
    relation = _RELATIONS[str(formula.relation)](formula.left, formula.right)
    if formula.symbols != [x]:
        raise Unsolved("I can only solve inequalities with one unknown.")
    real = Symbol(str(x), real=True)
    try:
        found = sympy.solve_univariate_inequality(relation.subs(x, real), real, relational=False)  # type: ignore[attr-defined]
    except NotImplementedError as error:
        raise Unsolved("I know no way to solve that.") from error
    borders = sorted(found.boundary, key=str) if found.boundary.is_FiniteSet else []
    shown = [f"Find where both sides are equal: `{listed(borders, str(x))}`."] if borders else []
    shown.append("Between these points the inequality holds everywhere or nowhere, so one test in each tells.")
    source = program([x], f"print(solve({python(formula.left)} {formula.relation} {python(formula.right)}, {x}))")
    result = _set(found, str(x))
    return Solution(f"Solve {code(formula)} for {x}.", tuple(shown), result, source)


def _set(found: sympy.Set, x: str) -> str:
    if found is sympy.S.EmptySet:
        return f"no {x} is a solution"
    if found == sympy.S.Reals:
        return f"every {x} is a solution"
    parts = found.args if isinstance(found, sympy.Union) else (found,)
    return " or ".join(_interval(part, x) for part in parts)


def _interval(part: sympy.Set, x: str) -> str:
    if isinstance(part, sympy.FiniteSet):
        return listed(list(part), x)
    if not isinstance(part, sympy.Interval):
        raise Unsolved("I cannot solve that: the solutions have no simple form.")
    low = "" if part.start == -sympy.oo else f"{written(part.start)} {'<' if part.left_open else '<='} "
    high = "" if part.end == sympy.oo else f" {'<' if part.right_open else '<='} {written(part.end)}"
    if low and not high:
        return f"{x} {'>' if part.left_open else '>='} {written(part.start)}"
    return f"{low}{x}{high}"


def _system(equations: Sequence[Formula]) -> Solution:
    if any(each.relation != "=" for each in equations):
        raise Unsolved("I can only solve systems of equations, not of inequalities.")
    unknowns = sorted({symbol for each in equations for symbol in each.symbols}, key=str)
    if len(unknowns) > 4 or len(equations) > 4:
        raise Unsolved("I can only solve systems of up to four equations.")
    try:
        found = sympy.solve([Eq(each.left, each.right) for each in equations], unknowns, dict=True)
    except NotImplementedError as error:
        raise Unsolved("I know no way to solve that.") from error
    start = f"Solve {', '.join(code(each) for each in equations)} together."
    shown = tuple(_system_steps(equations, unknowns))
    pairs = ", ".join(f"Eq({python(each.left)}, {python(_sides(each)[1])})" for each in equations)
    source = program(unknowns, f"print(solve([{pairs}]))")
    if not found:
        return Solution(start, shown, "there is no solution", source)
    result = " or ".join(
        ", ".join(f"{name} = {written(short(value))}" for name, value in each.items()) for each in found
    )
    check = "; ".join(
        f"{code(each)} becomes `{written(each.left.subs(found[0]))} = {written(_sides(each)[1].subs(found[0]))}`"
        for each in equations
    )
    return Solution(start, shown, result, source, check)


def _system_steps(equations: Sequence[Formula], unknowns: Sequence[Symbol]) -> list[str]:
    first = equations[0]
    name = next((each for each in unknowns if sympy.expand(first.difference).coeff(each) != 0), None)
    if name is None or sympy.degree(first.difference, name) != 1 or len(equations) != 2:
        return ["Solve one equation for one unknown, put it into the others, and go on until one is left."]
    isolated = solutions_of(first, name)[0]
    other = equations[1]
    left, right = (side.subs(name, isolated) for side in _sides(other))
    return [
        f"Solve the first equation for {name}: `{name} = {written(isolated)}`",
        f"Put that into the second: {code(Formula(sympy.expand(left), '=', sympy.expand(right)))}",
        f"Solve it, and put the result back to get {name}.",
    ]

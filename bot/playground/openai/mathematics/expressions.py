"""Expressions, worked out: values, derivatives, integrals, and other forms of the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sympy
from sympy import Eq, Expr, Symbol

from bot.playground.openai.mathematics.notation import code, program_text, python, written
from bot.playground.openai.mathematics.solutions import Solution, Unsolved, program

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.playground.openai.mathematics.problems import Problem


def _evaluate(problem: Problem) -> Solution:
    expression = problem.formulas[0].left
    values = _values(problem)
    if not expression.free_symbols:
        result = sympy.simplify(expression)
        source = program([], f"print({program_text(problem.formulas[0])})")
        line = f"{written(problem.formulas[0])} = {_named_value(result)}"
        return Solution(_asked(problem), (), line, source)
    if values and expression.free_symbols <= set(values):
        result = sympy.simplify(expression.subs(values))
        given = ", ".join(f"{name} = {written(value)}" for name, value in values.items())
        inserted = f"We know that `{given}`. Put that into {code(expression)}."
        source = program(sorted(values, key=str), f"print(({python(expression)}).subs({{{_pairs(values)}}}))")
        return Solution(_asked(problem), (inserted,), f"{written(expression)} = {written(result)}", source)
    if sympy.simplify(expression) == expression:
        raise Unsolved(
            f"{code(expression)} is as simple as it gets. Shall I factor, expand or differentiate it, or what does "
            "it equal?"
        )
    return _transformed(problem, "simplify", sympy.simplify, "Collect what belongs together.")


def _values(problem: Problem) -> dict[Symbol, Expr]:
    """The unknowns that the earlier equations give one value."""
    if not problem.known:
        return {}
    found = sympy.solve([Eq(each.left, each.right) for each in problem.known if each.relation == "="], dict=True)
    if len(found) != 1:
        return {}
    return {name: value for name, value in found[0].items() if not value.free_symbols}


def _pairs(values: dict[Symbol, Expr]) -> str:
    return ", ".join(f"{name}: {python(value)}" for name, value in values.items())


def _named_value(value: Expr) -> str:
    exact = written(value)
    if value.is_Integer or not value.is_number:
        return exact
    rounded = sympy.N(value, 10)
    return f"{exact} ≈ {written(rounded).rstrip('0').rstrip('.')}" if str(rounded) != exact else exact


def _asked(problem: Problem) -> str:
    verb = {"derive": "Differentiate", "integrate": "Integrate", "evaluate": "Work out"}
    return f"{verb.get(problem.kind, problem.kind.capitalize())} {code(problem.formulas[0])}."


def _transformed(problem: Problem, name: str, transform: Callable[[Expr], Expr], reason: str) -> Solution:
    expression = problem.formulas[0].left
    result = transform(expression)
    source = program(problem.formulas[0].symbols, f"print({name}({python(expression)}))")
    return Solution(
        _asked(problem), (reason,), f"{written(expression)} = {written(result)}", source, _verdict(problem, result)
    )


def _factor(problem: Problem) -> Solution:
    return _transformed(problem, "factor", sympy.factor, "Look for common factors and for roots.")


def _expand(problem: Problem) -> Solution:
    return _transformed(problem, "expand", sympy.expand, "Multiply every term with every term, then collect.")


def _simplify(problem: Problem) -> Solution:
    return _transformed(problem, "simplify", sympy.simplify, "Collect what belongs together.")


def _derive(problem: Problem) -> Solution:
    expression = problem.formulas[0].left
    x = problem.unknown or Symbol("x")
    terms = sympy.Add.make_args(sympy.expand(expression))
    shown = [f"The derivative of {code(each)} is {code(sympy.diff(each, x))}." for each in terms[:8]]
    if len(terms) > 1:
        shown.insert(0, "A sum is differentiated term by term.")
    result = sympy.simplify(sympy.diff(expression, x))
    source = program(sorted({x, *expression.free_symbols}, key=str), f"print(diff({python(expression)}, {x}))")
    line = f"the derivative of {written(expression)} is {written(result)}"
    return Solution(_asked(problem), tuple(shown), line, source, _verdict(problem, result))


def _integrate(problem: Problem) -> Solution:
    expression = problem.formulas[0].left
    x = problem.unknown or Symbol("x")
    primitive = sympy.integrate(expression, x)
    if primitive.has(sympy.Integral):
        raise Unsolved("I cannot integrate that: I find no closed form.")
    shown = [f"An antiderivative is {code(primitive)}: its derivative is {code(expression)} again."]
    names = sorted({x, *expression.free_symbols}, key=str)
    if problem.bounds is None:
        source = program(names, f"print(integrate({python(expression)}, {x}))")
        line = f"the integral of {written(expression)} is {written(primitive)} + C"
        return Solution(_asked(problem), tuple(shown), line, source, _verdict(problem, primitive))
    low, high = problem.bounds
    shown.append(f"Take its value at {code(high)} less its value at {code(low)}.")
    result = sympy.simplify(sympy.integrate(expression, (x, low, high)))
    source = program(names, f"print(integrate({python(expression)}, ({x}, {python(low)}, {python(high)})))")
    line = f"the integral of {written(expression)} from {written(low)} to {written(high)} is {_named_value(result)}"
    return Solution(_asked(problem), tuple(shown), line, source)


def _verdict(problem: Problem, result: Expr) -> str:
    if problem.claim is None:
        return ""
    claimed = problem.claim.left
    if sympy.simplify(claimed - result) == 0:
        return f"{code(claimed)} is right"
    return f"{code(claimed)} is not right"


TRANSFORMATIONS: dict[str, Callable[[Problem], Solution]] = {
    "evaluate": _evaluate,
    "derive": _derive,
    "integrate": _integrate,
    "factor": _factor,
    "expand": _expand,
    "simplify": _simplify,
}
"""How a problem is worked out, by its kind."""

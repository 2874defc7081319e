"""Problems: what somebody wants done with which formulas, read from what they wrote and what came before."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sympy import Expr, S, Symbol

from bot.playground.openai.mathematics.formulas import Formula, NotAFormula, parse
from bot.playground.openai.mathematics.plots import function_of
from bot.playground.openai.mathematics.sentences import find, normalised

if TYPE_CHECKING:
    from collections.abc import Sequence

_INTENTS = (
    ("derive", r"\b(?:derivative|derive|differentiate|slope)\b"),
    ("integrate", r"\b(?:integral|integrate|antiderivative)\b"),
    ("factor", r"\bfactor(?:i[sz]e|ing)?\b"),
    ("expand", r"\b(?:expand|multiply out)\b"),
    ("simplify", r"\bsimplify\b"),
    ("plot", r"\b(?:plot|graph|sketch|draw)\b"),
)
_CHECK = re.compile(
    r"\b(?:check|verify|prove)\s+(?:it|that|this|your|the\s+(?:result|answer|solution))\b|\bare you sure\b", re.I
)
_CLAIM = re.compile(r"\b(?:right|correct|true)\b", re.I)
_INSTEAD = re.compile(r"(\d+(?:\.\d+)?)\s+instead\s+of\s+(\d+(?:\.\d+)?)", re.I)
_AGAIN = re.compile(
    r"\b(?:explain|show|why|how)\b.*\b(?:again|steps?|that|it|this|get|got|come)\b|^\s*(?:why|how)\s*\??\s*$", re.I
)
_ROOTS = re.compile(r"\b(?:solve|roots?|zeros?)\b", re.I)
_BOUNDS = re.compile(r"\b(?:from|between)\s+(-?\d+(?:\.\d+)?|-?pi)\s+(?:to|and)\s+(-?\d+(?:\.\d+)?|-?pi)\b", re.I)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something to work out.

    `kind` is solve, evaluate, derive, integrate, factor, expand, simplify, plot or check (of a problem's result).
    `known` holds the equations of earlier problems, for an expression that uses their unknowns.
    """

    kind: str
    formulas: tuple[Formula, ...]
    text: str
    variable: Symbol | None = None
    bounds: tuple[Expr, Expr] | None = None
    claim: Formula | None = None
    known: tuple[Formula, ...] = field(default=())

    @property
    def unknown(self) -> Symbol | None:
        """The variable that it is about: the one that was named, else x, else the first."""
        if self.variable is not None:
            return self.variable
        symbols = [symbol for formula in self.formulas for symbol in formula.symbols]
        return Symbol("x") if Symbol("x") in symbols else next(iter(symbols), None)


def read(texts: Sequence[str]) -> Problem | None:
    """The problem that the last of the texts poses, if any; the texts before it may be needed to understand it.

    Raises `TooBig` or `Undefined` when the last text holds a formula that is too big or has no value.
    """
    earlier: list[Problem] = []
    for text in texts[:-1]:
        problem = _read_quietly(text, earlier)
        if problem is not None:
            earlier.append(problem)
    return _read(texts[-1], earlier) if texts else None


def _read_quietly(text: str, earlier: Sequence[Problem]) -> Problem | None:
    try:
        return _read(text, earlier)
    except ValueError:
        # It was answered with its trouble when it was the last text; now it only poses no problem to go back to.
        return None


def _read(text: str, earlier: Sequence[Problem]) -> Problem | None:
    text = normalised(text)
    return _follow_up(text, earlier) or _fresh(text, earlier[-1] if earlier else None)


def _follow_up(text: str, earlier: Sequence[Problem]) -> Problem | None:
    if not earlier:
        return None
    change = _INSTEAD.search(text)
    if change is not None:
        return _changed(earlier, *change.groups())
    if _formulas(text):
        return None
    last = earlier[-1]
    if _CHECK.search(text):
        return replace(last, kind="check") if last.kind == "solve" else last
    return last if _AGAIN.search(text) else None


def _changed(earlier: Sequence[Problem], new: str, old: str) -> Problem | None:
    """The newest problem with this number in it, with the number replaced."""
    number = re.compile(rf"(?<![\d.]){re.escape(old)}(?![\d.])")
    changed = next((each for each in reversed(earlier) if number.search(each.text)), None)
    return None if changed is None else _fresh(number.sub(new, changed.text), None)


def _fresh(text: str, last: Problem | None) -> Problem | None:
    bounds = _BOUNDS.search(text)
    stripped = text if bounds is None else text.replace(bounds.group(), " ")
    kind = next((kind for kind, pattern in _INTENTS if re.search(pattern, stripped, re.I)), None)
    if kind == "integrate":
        stripped = re.sub(r"\bd[a-z]\b", " ", stripped)
    formulas = _formulas(stripped)
    if not formulas:
        return None
    if kind == "plot" and not any(function_of(each) is not None for each in formulas):
        kind = None
    if kind is None and _ROOTS.search(text):
        formulas = [_equated(each) for each in formulas]
    problem = Problem(_kind(kind, formulas), tuple(formulas), text, _variable(stripped))
    if bounds is not None and problem.kind in {"integrate", "plot"}:
        low, high = (parse(each).left for each in bounds.groups())
        problem = replace(problem, bounds=(low, high))
    return _with_claim(_with_known(problem, last))


def _kind(intent: str | None, formulas: Sequence[Formula]) -> str:
    related = any(formula.relation is not None for formula in formulas)
    if intent is None or (related and intent == "simplify"):
        return "solve" if related else "evaluate"
    return intent


def _formulas(text: str) -> list[Formula]:
    found = []
    for each in find(text):
        try:
            found.append(parse(each))
        except NotAFormula:
            continue
    return found


def _equated(formula: Formula) -> Formula:
    """ "Solve x^2 - 4" means that it is to be zero."""
    if formula.relation is not None or not formula.symbols:
        return formula
    return Formula(formula.left, "=", S.Zero, f"{formula.text} = 0")


def _variable(text: str) -> Symbol | None:
    named = re.search(r"\b(?:for|in|with respect to)\s+([a-z])\b", text)
    return Symbol(named.group(1)) if named else None


def _with_claim(problem: Problem) -> Problem:
    """ "The derivative of A is B. Is that right?": B is a claim, not another problem."""
    if len(problem.formulas) == 2 and problem.kind != "solve" and _CLAIM.search(problem.text):
        first, second = problem.formulas
        return replace(problem, formulas=(first,), claim=second)
    return problem


def _with_known(problem: Problem, last: Problem | None) -> Problem:
    if last is None or problem.kind != "evaluate" or not problem.formulas[0].symbols:
        return problem
    equations = last.formulas if last.kind in {"solve", "check"} else last.known
    return replace(problem, known=equations)

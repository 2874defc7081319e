"""How formulas are written: for people, and as Python."""

from __future__ import annotations

import re

from sympy import Expr, Rational, sstr

from bot.playground.openai.mathematics.formulas import Formula, Token, tokens


def written(value: Expr | Formula) -> str:
    """For people: `3x^2 + 1`, `x = 1`. A formula that somebody wrote stays as it was written."""
    if isinstance(value, Formula):
        if value.text:
            return value.text
        left = written(value.left)
        return left if value.right is None else f"{left} {value.relation} {written(value.right)}"
    text = re.sub(r"\*\*", "^", sstr(value)).replace("log(", "ln(")
    text = re.sub(r"\bE\b", "e", text)
    text = re.sub(r"\boo\b", "∞", text)
    text = re.sub(r"\bI\b", "i", text)
    return re.sub(r"(?<![A-Za-z^\d])(\d+)\*(?=[A-Za-z(])", r"\1", text).replace("*", "·")


def python(value: Expr) -> str:
    """As Python with sympy's names; exact, so that 1/2 stays a fraction."""
    fractions = any(not number.is_Integer for number in value.atoms(Rational))
    return str(sstr(value, sympy_integers=fractions))


def program_text(formula: Formula) -> str:
    """A formula without variables as Python that works it out, rather than as its value."""
    parts = tokens(formula.text)
    if any(part.kind == "function" or part.text == "!" for part in parts):
        return python(formula.left)
    exact = any(part.text in {"/", "%", "^", "**"} or "." in part.text for part in parts)
    text = ""
    for before, part in zip([None, *parts], parts, strict=False):
        if before is not None and before.kind in _ENDS and part.kind in _STARTS:
            text += "*"
        text += _as_python(part, exact=exact)
    return text


_ENDS = frozenset({"number", "close", "constant"})
_STARTS = frozenset({"number", "open", "constant"})


def _as_python(part: Token, *, exact: bool) -> str:
    plain = part.text.replace(",", "")
    if part.kind == "number" and exact:
        return f'Rational("{plain}")' if "." in plain else f"S({plain})"
    return {"^": "**", "%": "/100", "e": "E"}.get(plain, plain)


def code(value: Expr | Formula) -> str:
    """For people, as inline code."""
    return f"`{written(value)}`"


def listed(values: list[Expr], name: str) -> str:
    """`x = 2 or x = 3`."""
    return " or ".join(f"{name} = {written(each)}" for each in values)

"""Formulas: from text to sympy expressions, through a grammar of our own with caps on what it may build."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sympy
from sympy import Expr, Integer, Rational, Symbol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAXIMUM_LENGTH = 300
"""Characters of one formula."""
_MAXIMUM_DIGITS = 2_000
"""Digits of a number that a power or a factorial may make."""
_MAXIMUM_DEGREE = 24
"""The largest power of something with a variable in it: expanding it stays quick."""
_MAXIMUM_DEPTH = 40


class NotAFormula(ValueError):
    """The text does not follow the grammar."""


class Undefined(ValueError):
    """The text follows the grammar, but has no value, such as 1/0."""


class TooBig(ValueError):
    """The formula is fine, but working it out would take too long."""


@dataclass(frozen=True, slots=True)
class Token:
    """A part of a formula: its kind, its text, and where it was found."""

    kind: str
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Formula:
    """An expression, or with a `relation` (=, <, >, <=, >=) two of them; `text` is how it was written."""

    left: Expr
    relation: str | None = None
    right: Expr | None = None
    text: str = ""

    @property
    def symbols(self) -> list[Symbol]:
        """The variables, by name."""
        found = set(self.left.free_symbols) | (self.right.free_symbols if self.right is not None else set())
        return sorted(found, key=str)

    @property
    def difference(self) -> Expr:
        """Left minus right: zero where an equation holds."""
        return self.left if self.right is None else self.left - self.right


def _logarithm(value: Expr) -> Expr:
    return sympy.log(value, 10)


FUNCTIONS: dict[str, Callable[[Expr], Expr]] = {
    "sqrt": sympy.sqrt,
    "sin": sympy.sin,
    "cos": sympy.cos,
    "tan": sympy.tan,
    "asin": sympy.asin,
    "acos": sympy.acos,
    "atan": sympy.atan,
    "exp": sympy.exp,
    "ln": sympy.log,
    "log": _logarithm,
    "abs": sympy.Abs,
}
CONSTANTS = {"pi": sympy.pi, "e": sympy.E}
PRODUCTS = frozenset({"xy", "xz", "yz", "xyz"})
"""Words that are products of variables."""

_TOKEN = re.compile(
    r"""
    (?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d+(?:\.\d+)?|\.\d+)
  | (?P<word>[A-Za-z]+(?:['’][A-Za-z]+)*)
  | (?P<relation><=|>=|==|=|<|>)
  | (?P<operator>\*\*|[-+*/^!%])
  | (?P<open>\()
  | (?P<close>\))
  | (?P<space>[^\S\n]+)
  | (?P<stop>.|\n)
    """,
    re.VERBOSE,
)


def tokens(text: str) -> list[Token]:
    """The text's parts, without spaces. Words that mean something in a formula get a kind of their own."""
    found = [Token(str(match.lastgroup), match.group(), match.start(), match.end()) for match in _TOKEN.finditer(text)]
    return [_named(token) for token in found if token.kind != "space"]


def _named(token: Token) -> Token:
    name = token.text.lower()
    if token.kind != "word":
        return token
    if name in FUNCTIONS:
        return Token("function", name, token.start, token.end)
    if name in CONSTANTS:
        return Token("constant", name, token.start, token.end)
    if len(name) == 1 or name in PRODUCTS:
        return Token("variable", token.text, token.start, token.end)
    return token


def parse(text: str) -> Formula:
    """The formula that the text is. Raises `NotAFormula` or `TooBig`."""
    if len(text) > MAXIMUM_LENGTH:
        raise TooBig(f"a formula of {len(text)} characters")
    parts = tokens(text)
    at = [index for index, token in enumerate(parts) if token.kind == "relation"]
    if not at:
        return Formula(_Parser(parts).whole(), text=text)
    if len(at) > 1:
        raise NotAFormula("more than one relation")
    relation = parts[at[0]].text.replace("==", "=")
    left, right = parts[: at[0]], parts[at[0] + 1 :]
    return Formula(_Parser(left).whole(), relation, _Parser(right).whole(), text)


class _Parser:
    """Recursive descent: sum, product, sign, power, value."""

    def __init__(self, parts: Sequence[Token]) -> None:
        self._parts = parts
        self._position = 0
        self._depth = 0

    def whole(self) -> Expr:
        value = self._sum()
        if self._position < len(self._parts):
            raise NotAFormula(f"unexpected {self._parts[self._position].text!r}")
        return value

    def _sum(self) -> Expr:
        self._depth += 1
        if self._depth > _MAXIMUM_DEPTH:
            raise TooBig("too many brackets")
        value = self._product()
        while (sign := self._take("+", "-")) is not None:
            term = self._product()
            value = value + term if sign == "+" else value - term
        self._depth -= 1
        return value

    def _product(self) -> Expr:
        value = self._signed()
        while True:
            operator = self._take("*", "/")
            if operator is None and not self._starts_a_value():
                return value
            factor = self._signed() if operator else self._power()
            value = _divided(value, factor) if operator == "/" else value * factor

    def _signed(self) -> Expr:
        minus = False
        while (sign := self._take("+", "-")) is not None:
            minus ^= sign == "-"
        value = self._power()
        return -value if minus else value

    def _power(self) -> Expr:
        value = self._value()
        while (postfix := self._take("!", "%")) is not None:
            value = _factorial(value) if postfix == "!" else value / 100
        if self._take("^", "**") is None:
            return value
        self._depth += 1
        if self._depth > _MAXIMUM_DEPTH:
            raise TooBig("too many powers")
        exponent = self._signed()
        self._depth -= 1
        return _raised(value, exponent)

    def _value(self) -> Expr:
        token = self._next()
        if token.kind == "number":
            return Rational(token.text.replace(",", ""))
        if token.kind == "variable":
            return sympy.Mul(*(Symbol(letter) for letter in token.text))
        if token.kind == "constant":
            return CONSTANTS[token.text]
        if token.kind == "function":
            return FUNCTIONS[token.text](self._argument())
        if token.kind == "open":
            return self._closed(self._sum())
        raise NotAFormula(f"unexpected {token.text!r}")

    def _argument(self) -> Expr:
        if self._position < len(self._parts) and self._parts[self._position].kind == "open":
            return self._value()
        return self._power()

    def _closed(self, value: Expr) -> Expr:
        if self._next().kind != "close":
            raise NotAFormula("a bracket is not closed")
        return value

    def _starts_a_value(self) -> bool:
        if self._position == len(self._parts):
            return False
        kind = self._parts[self._position].kind
        before = self._parts[self._position - 1].kind
        # "2 3" is no product, it is two numbers.
        return kind in {"variable", "constant", "function", "open"} or (kind == "number" and before == "close")

    def _take(self, *operators: str) -> str | None:
        if self._position < len(self._parts) and self._parts[self._position].text in operators:
            return self._next().text
        return None

    def _next(self) -> Token:
        if self._position == len(self._parts):
            raise NotAFormula("it ends too early")
        self._position += 1
        return self._parts[self._position - 1]


def _divided(value: Expr, by: Expr) -> Expr:
    if by == 0:
        raise Undefined("a division by zero has no value")
    return value / by


def _factorial(value: Expr) -> Expr:
    if not isinstance(value, Integer) or value < 0:
        raise Undefined("there is no factorial of something that is no whole number")
    if value > 500:
        raise TooBig(f"{value}!")
    return sympy.factorial(value)


def _raised(base: Expr, exponent: Expr) -> Expr:
    if base == 0 and exponent.is_number and not exponent.is_positive:
        raise Undefined("zero to a power that is not positive has no value")
    if base.is_number and exponent.is_number:
        _check_digits(base, exponent)
    elif exponent.is_number:
        _check_degree(exponent)
    return base**exponent


def _check_digits(base: Expr, exponent: Expr) -> None:
    # Whole numbers are compared as logarithms: they may be too large for a float themselves.
    if not (base.is_Rational and exponent.is_Rational):
        _check_degree(exponent)
        return
    size = max(abs(base.p), abs(base.q))
    if exponent.q > _MAXIMUM_DEGREE or abs(exponent.p) > 10_000:
        raise TooBig("a power with such an exponent")
    if math.log10(max(size, 2)) * abs(exponent.p) / exponent.q > _MAXIMUM_DIGITS:
        raise TooBig("a number with that many digits")


def _check_degree(exponent: Expr) -> None:
    if not (exponent.is_Rational and abs(exponent.p) <= _MAXIMUM_DEGREE and exponent.q <= _MAXIMUM_DEGREE):
        raise TooBig("a power with such an exponent")

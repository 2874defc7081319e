"""The offline brain's mathematics: what it reads, what it solves, what it refuses."""

from __future__ import annotations

from contextlib import suppress

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.playground.openai.mathematics.formulas import TooBig, Undefined, parse
from bot.playground.openai.mathematics.problems import read
from bot.playground.openai.mathematics.roots import solutions_of
from bot.playground.openai.mathematics.sentences import find, normalised
from bot.playground.openai.mathematics.worker import work

x = sympy.Symbol("x")


def result(*texts: str) -> str:
    answer = work(list(texts))
    assert answer is not None
    return str(answer["result"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I need to solve the equation `3x + 11 = 14`. Can you help me?", "x = 1"),
        ("I need to solve the equation 3x + 11 = 14. Can you help me?", "x = 1"),
        ("please solve 2(x + 3) = 4x − 8", "x = 7"),
        ("x/2 - 1/3 = 1/6", "x = 1"),
        ("0.5x = 2", "x = 4"),
        ("x^2 - 5x + 6 = 0", "x = 2 or x = 3"),
        ("solve x² = 2 for x", "x = -sqrt(2) or x = sqrt(2)"),
        ("x^3 = 8", "x = 2 or x = -1 - sqrt(3)·i or x = -1 + sqrt(3)·i"),
        ("6/(x - 1) = 3", "x = 3"),
        ("(x^2 - 1)/(x - 1) = 2", "no x is a solution"),
        ("x = x + 1", "no x is a solution"),
        ("2x + 2 = 2(x + 1)", "every x is a solution"),
        ("x + y = 10 and x - y = 2", "x = 6, y = 4"),
        ("x + y = 1, x + y = 2", "there is no solution"),
        ("solve x^2 - 4", "x = -2 or x = 2"),
        ("x + 1 = 3, 2x = 8", "x = 2; x = 4"),
        ("what are 2+2 and 3*3?", "2+2 = 4; 3*3 = 9"),
        ("e^x = 5", "x = ln(5)"),
        ("2x + 3 < 7", "x < 2"),
        ("x^2 >= 4", "x <= -2 or x >= 2"),
        ("x^2 < 0", "no x is a solution"),
        ("-1 < x^2", "every x is a solution"),
        ("what is 17*23?", "17*23 = 391"),
        ("what is 17 times 23", "17 * 23 = 391"),
        ("what is 17 x 23", "17 * 23 = 391"),
        ("What's 15% of 80?", "15% * 80 = 12"),
        ("20% off $50", "50 - 20% * 50 = 40"),
        ("1,200 / 4", "1,200 / 4 = 300"),
        ("1/3 + 0.25", "1/3 + 0.25 = 7/12 ≈ 0.5833333333"),
        ("-2^2", "-2^2 = -4"),
        ("the square root of 16 plus 2^10", "sqrt 16 + 2^10 = 1028"),
        ("5!", "5! = 120"),
        ("is 2+2=5 right?", "2+2=5 is false"),
        ("simplify (x^2-1)/(x-1)", "(x^2 - 1)/(x - 1) = x + 1"),
        ("factor x^2 - 9", "x^2 - 9 = (x - 3)·(x + 3)"),
        ("expand (x+1)^3", "(x + 1)^3 = x^3 + 3x^2 + 3x + 1"),
        ("derivative of x^3 - 2x", "the derivative of x^3 - 2x is 3x^2 - 2"),
        ("d/dx sin(x)", "the derivative of sin(x) is cos(x)"),
        ("integrate x^2", "the integral of x^2 is x^3/3 + C"),
        ("the integral of x^2 from 0 to 3", "the integral of x^2 from 0 to 3 is 9"),
    ],
)
def test_results(text: str, expected: str) -> None:
    assert result(text) == expected


@pytest.mark.parametrize("text", ["x cos(x) = 1", "x^5 - x + 1 = 0"])
def test_equations_without_closed_form_are_solved_numerically(text: str) -> None:
    equation = parse(text)
    for value in solutions_of(equation, x):
        assert abs(complex(equation.difference.subs(x, value))) < 1e-3


def test_linear_equation_is_solved_in_steps() -> None:
    answer = work(["3x + 11 = 14"])
    assert answer is not None
    assert answer["steps"] == (
        "Subtract `11` from both sides, which leaves the unknown alone: `3x = 3`",
        "Divide both sides by `3`: `x = 1`",
    )
    assert answer["check"] == "x = 1 gives `14 = 14`"
    assert answer["logs"] == "[1]\n"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("solve 3x + 11 = 14", "and what is 2x + 1?"), "2x + 1 = 3"),
        (("solve 3x + 11 = 14", "and what is 2x + 1?", "and x^2 + 4?"), "x^2 + 4 = 5"),
        (("solve 3x + 11 = 14", "same with 20 instead of 14"), "x = 3"),
        (("solve 3x + 11 = 14", "what is 2x?", "same with 20 instead of 14", "check it"), "x = 3"),
        (("solve 3x + 11 = 14", "how did you get that?"), "x = 1"),
    ],
)
def test_follow_ups_know_what_came_before(texts: tuple[str, ...], expected: str) -> None:
    assert result(*texts) == expected


@pytest.mark.parametrize(("claim", "verdict"), [("3x^2 - 2", "is right"), ("3x^2", "is not right")])
def test_claims_are_judged(claim: str, verdict: str) -> None:
    answer = work([f"I say the derivative of x^3 - 2x is {claim}. Is that right?"])
    assert answer is not None
    assert answer["check"] == f"`{claim}` {verdict}"


@pytest.mark.parametrize(
    "text",
    [
        "What is the capital of France?",
        "Write me a poem",
        "I have a 3-day follow-up",
        "I'll be 5 minutes late",
        "see https://example.com/a/b?c=d",
        "import os; os.system",
        "",
    ],
)
def test_sentences_are_no_problems(text: str) -> None:
    assert work([text]) is None


@pytest.mark.parametrize(
    "text", ["9**9**9", "2^999999", "(x+1)^500", "1000!", "((((1+1)^99)^99)^99)", "(" * 60 + "1+1" + ")" * 60]
)
def test_what_would_take_forever_is_refused(text: str) -> None:
    with pytest.raises(TooBig):
        read([text])
    answer = work([text])
    assert answer is not None
    assert "too big" in answer["trouble"]


@pytest.mark.parametrize("text", ["1/0", "x/(2-2)", "0^0", "(0.5)!"])
def test_what_has_no_value_is_refused(text: str) -> None:
    with pytest.raises(Undefined):
        read([text])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x > y", "one unknown"),
        ("x + y > 1, x < 2", "systems of equations"),
        ("integrate e^x/x + sin(x)^x", "no closed form"),
        ("x^2 + 1", "Shall I factor, expand or differentiate it"),
        ("x^sin(x) > 3x", "no way to solve that"),
    ],
)
def test_what_is_beyond_it_is_said(text: str, sentence: str) -> None:
    answer = work([text])
    assert answer is not None
    assert sentence in answer["trouble"]


def test_formulas_are_found_in_sentences() -> None:
    assert find("If I have a 2x + 1 and `y = 3`, then 4 - 4?") == ["y = 3"]
    assert find("First (3x = 9), then a + 3 = 7.") == ["3x = 9", "a + 3 = 7"]
    assert find(normalised("17 × 23")) == ["17 * 23"]


# Everything that a formula may be made of, and a little that it may not.
_CONFUSING = st.text(alphabet="0123456789xyabIe+-*/^!%=<>().,` \nsqrtlogcin'_[]{}\\\"#@", max_size=60)


@settings(max_examples=400, deadline=None)
@given(st.one_of(_CONFUSING, st.text(max_size=60)))
def test_no_text_breaks_the_reading(text: str) -> None:
    with suppress(TooBig, Undefined):
        read([text, text])


_NUMBER = st.integers(-30, 30)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), _NUMBER, _NUMBER, _NUMBER)
def test_linear_solutions_hold(a: int, b: int, c: int, d: int) -> None:
    equation = parse(f"{a}x + {b} = {c}x + {d}")
    for value in solutions_of(equation, x):
        assert equation.left.subs(x, value) == equation.right.subs(x, value)  # type: ignore[union-attr]
    answer = work([equation.text])
    assert answer is not None
    if a != c:
        assert answer["result"] == f"x = {sympy.Rational(d - b, a - c)}"
        assert answer["steps"] == () or answer["steps"][-1].endswith(f"`{answer['result']}`")


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), _NUMBER, _NUMBER)
def test_quadratic_solutions_hold(a: int, b: int, c: int) -> None:
    equation = parse(f"{a}x^2 + {b}x + {c} = 0")
    found = solutions_of(equation, x)
    assert found
    for value in found:
        assert abs(complex(equation.difference.subs(x, value))) < 1e-3


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("+-*"), st.integers(0, 999)), min_size=1, max_size=6))
def test_arithmetic_is_pythons(parts: list[tuple[str, int]]) -> None:
    text = "7" + "".join(f" {sign} {number}" for sign, number in parts)
    expected = eval(text)  # made of digits and signs by this test
    assert result(f"what is {text}?") == f"{text} = {expected}"

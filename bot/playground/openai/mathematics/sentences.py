"""Sentences: where in what people write the formulas are, and the many ways to write an operation made one."""

from __future__ import annotations

import re

from bot.playground.openai.mathematics.formulas import Token, tokens

_MARKS = {
    "−": "-", "–": "-", "×": "*", "·": "*", "∙": "*", "⋅": "*", "÷": "/", "²": "^2", "³": "^3", "≤": "<=",
    "≥": ">=", "π": " pi ", "√": " sqrt ",
}  # fmt: skip
_NUMBER = r"(\d+(?:\.\d+)?)"
_PHRASES = (
    (r"(?<=\d)\s+x\s+(?=\d)", " * "),
    (rf"{_NUMBER}\s*(?:%|percent)\s+off\s+(?:of\s+)?\$?{_NUMBER}", r"\2 - \1% * \2"),
    (r"\bpercent\b", "%"),
    (r"%\s+of\s+\$?", "% * "),
    (r"\b(?:multiplied by|times)\b", "*"),
    (r"\bdivided by\b", "/"),
    (r"\bplus\b", "+"),
    (r"\bminus\b", "-"),
    (r"\b(?:is equal to|equals)\b", "="),
    (r"\bto the power of\b", "^"),
    (r"\bsquare root of\b", "sqrt"),
    (r"\s*\bsquared\b", "^2"),
    (r"\s*\bcubed\b", "^3"),
    (r"\bd\s*/\s*d([a-z])\b", r"derivative in \1 of "),
    (r"∫", " integral of "),
    (r"\b([fgh])\s*\(\s*[a-z]\s*\)\s*=", " "),
)


def normalised(text: str) -> str:
    """The text with the many ways to write an operation made one, as in "17 times 23" and "17 × 23"."""
    text = re.sub(r"https?://\S+", " ", text)
    for mark, plain in _MARKS.items():
        text = text.replace(mark, plain)
    for pattern, plain in _PHRASES:
        text = re.sub(pattern, plain, text, flags=re.IGNORECASE)
    return text


_PARTS = frozenset({"number", "variable", "constant", "function", "operator", "relation", "open", "close"})


def find(text: str) -> list[str]:
    """The formulas in a sentence that went through `normalised`, in order: those in backticks if there are any."""
    quoted = [part.strip() for part in re.findall(r"`+([^`]+)`+", text)]
    found = [formula for part in quoted for formula in _find(part)]
    return found or _find(text.replace("`", " "))


def _find(text: str) -> list[str]:
    parts = [token for token in tokens(text) if not _is_article(token, text)]
    runs: list[list[Token]] = [[]]
    for token in parts:
        gap = bool(runs[-1]) and text[runs[-1][-1].end : token.start].strip() != ""
        if token.kind not in _PARTS or gap:
            runs.append([])
        if token.kind in _PARTS:
            runs[-1].append(token)
    trimmed = (_trimmed(run) for run in runs)
    return [text[run[0].start : run[-1].end] for run in trimmed if _is_formula(run)]


def _is_article(token: Token, text: str) -> bool:
    """Whether a single letter is a word of the sentence: "a" and "I" away from any operation."""
    if token.kind != "variable" or token.text not in {"a", "A", "I"}:
        return False
    around = text[: token.start].rstrip()[-1:] + text[token.end :].lstrip()[:1]
    return not set(around) & set("+-*/^=<>()")


def _trimmed(run: list[Token]) -> list[Token]:
    """Without operators that have nothing to work on, and without brackets that have no partner."""
    while run and (run[0].text in "*/^!%**" or run[0].kind in {"relation", "close"}):
        run = run[1:]
    while run and (run[-1].text in "+-*/^**" or run[-1].kind in {"relation", "open", "function"}):
        run = run[:-1]
    opened = sum(token.kind == "open" for token in run) - sum(token.kind == "close" for token in run)
    if opened > 0 and run[0].kind == "open":
        return _trimmed(run[1:])
    if opened < 0 and run[-1].kind == "close":
        return _trimmed(run[:-1])
    inner = run[1:-1]
    if run and (run[0].kind, run[-1].kind) == ("open", "close") and any(t.kind == "relation" for t in inner):
        return inner
    return run


def _is_formula(run: list[Token]) -> bool:
    kinds = {token.kind for token in run}
    works = kinds & {"operator", "relation", "function"} or {"number", "variable"} <= kinds
    return bool(works) and bool(kinds & {"number", "variable", "constant"})

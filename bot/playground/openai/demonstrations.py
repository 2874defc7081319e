"""Demonstrations: long texts, tables and code that say that they are only that, for trying how Slack shows them."""

from __future__ import annotations

import re
from itertools import count, islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAXIMUM_CHARACTERS = 120_000
_SENTENCES = (
    "This sentence is demonstration text, made to try how a long answer arrives.",
    "Nothing in it was thought up by a language model.",
    "A long answer is streamed into the thread word by word.",
    "When a message is full, the answer goes on in the next one.",
    "Paragraphs stay whole where they can, and code blocks are never cut in the middle.",
    "You can close the window meanwhile: the answer is finished all the same.",
    "Read it, skip it, or ask for a shorter one.",
)
_AMOUNT = re.compile(
    r"\b(\d[\d,.]{0,9})\s*(k\b)?\s*[- ]?(word|sentence|paragraph|character|letter|line|page)s?\b", re.IGNORECASE
)
_WRITE = re.compile(r"\b(?:write|give|show|send|make|print|stream|produce|generate|say)\b", re.IGNORECASE)
_LONG = re.compile(
    r"\b(?:very )?(?:long|huge|endless)\s+(?:text|answer|reply|message|story|essay|one)\b", re.IGNORECASE
)
_TABLE = re.compile(r"\btable\b", re.IGNORECASE)
_CODE = re.compile(r"\b(?:code|snippet|function|program|script)\b", re.IGNORECASE)
_ROWS = re.compile(r"\b(\d{1,6})\s*rows?\b", re.IGNORECASE)


def demonstration(text: str) -> str | None:
    """The demonstration that the text asks for, in Markdown, or None."""
    amount = _AMOUNT.search(text)
    wants = _WRITE.search(text) is not None
    if _LONG.search(text) or (amount and wants):
        return _long(amount, with_code=_CODE.search(text) is not None)
    if wants and _TABLE.search(text):
        return _table(text)
    if wants and _CODE.search(text):
        return f"Here is some demonstration code:\n\n{_block(1)}"
    return None


def _long(amount: re.Match[str] | None, *, with_code: bool) -> str:
    if amount is None:
        return _characters(6_000, with_code=with_code)
    number = int(re.sub(r"\D", "", amount.group(1)) or 0) * (1_000 if amount.group(2) else 1)
    unit = amount.group(3).lower()
    if unit == "word":
        return " ".join(islice(_endless_words(), min(number, MAXIMUM_CHARACTERS // 6)))
    if unit in {"character", "letter"}:
        return _characters(min(number, MAXIMUM_CHARACTERS), with_code=with_code)
    per_unit = {"sentence": 70, "line": 70, "paragraph": 400, "page": 2_800}[unit]
    number = min(number, MAXIMUM_CHARACTERS // per_unit)
    if unit in {"sentence", "line"}:
        separator = " " if unit == "sentence" else "\n"
        return separator.join(_SENTENCES[index % len(_SENTENCES)] for index in range(number))
    if unit == "page":
        return _characters(number * per_unit, with_code=with_code)
    return "\n\n".join(_paragraph(index) for index in range(1, number + 1))


def _characters(number: int, *, with_code: bool) -> str:
    """Whole parts until there are at least `number` characters."""
    parts: list[str] = []
    length = 0
    for index in count(1):
        if length >= number:
            break
        parts.append(_part(index, with_code=with_code))
        length += len(parts[-1]) + 2
    return "\n\n".join(parts)


def _part(index: int, *, with_code: bool) -> str:
    if index % 6 == 1:
        return f"## Part {index // 6 + 1}"
    if with_code and index % 6 == 4:
        return _block(index)
    return _paragraph(index)


def _paragraph(index: int) -> str:
    first = index % len(_SENTENCES)
    turned = (*_SENTENCES[first:], *_SENTENCES[:first])
    return f"Paragraph {index}. " + " ".join(turned[:5])


def _endless_words() -> Iterator[str]:
    for index in count(1):
        yield from _paragraph(index).split()


def _table(text: str) -> str:
    rows = _ROWS.search(text)
    number = min(int(rows.group(1)), 200) if rows else 5
    lines = [f"| {index} | {index**2} | {index**3} |" for index in range(1, number + 1)]
    head = ["A demonstration table:", "", "| n | n squared | n cubed |", "|---:|---:|---:|"]
    return "\n".join([*head, *lines])


def _block(index: int) -> str:
    return (
        "```python\n"
        f"def fibonacci_{index}(count: int) -> list[int]:\n"
        '    """The first Fibonacci numbers."""\n'
        "    numbers = [0, 1]\n"
        "    while len(numbers) < count:\n"
        "        numbers.append(numbers[-1] + numbers[-2])\n"
        "    return numbers[:count]\n"
        "```"
    )

"""Markdown for Slack: harmless, and cut into messages that lose nothing and break no code block."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.render.harmless import harmless
from bot.render.limits import MARKDOWN_TEXT
from bot.render.markdown import Fences, fence_at, page_end, page_text, settled

_PARAGRAPHS = st.lists(st.sampled_from(["word", "longer-words", "a", "ä", "x = 1", "- item"]), min_size=1).map(" ".join)
_CODE = st.builds(
    lambda info, lines: "\n".join([f"```{info}", *lines, "```"]),
    st.sampled_from(["", "python", "c++"]),
    st.lists(st.sampled_from(["print(1)", "", "    return x", "| not a table"]), max_size=300),
)
_TABLES = st.integers(1, 60).map(lambda n: "\n".join(["| a | b |", "| - | - |", *["| 1 | 2 |"] * n]))
_BLOCKS = st.one_of(_PARAGRAPHS, _PARAGRAPHS.map(lambda p: p * 40), _CODE, _TABLES)
_DOCUMENTS = st.lists(_BLOCKS, min_size=1, max_size=40).map("\n\n".join)


def pages_of(text: str, steps: list[int]) -> list[str]:
    """Page a text as a reply does while it grows by `steps` characters at a time."""
    pages: list[str] = []
    start = shown = seen = index = 0
    while shown < len(text):
        seen = min(len(text), seen + steps[index % len(steps)])
        index += 1
        limit = len(text) if seen == len(text) else settled(text[:seen])
        while shown < limit:
            end = page_end(text[:seen], start, shown, limit)
            if end is None:
                shown = limit
            else:
                assert shown <= end <= limit
                pages.append(page_text(text[:seen], start, end, cut=True))
                start = shown = end
    pages.append(page_text(text, start, len(text), cut=False))
    return pages


def letters(text: str) -> str:
    """A text without white space and fences, to compare what is said."""
    return re.sub(r"\s+|```[a-z+]*", "", text)


@settings(max_examples=150, deadline=None)
@given(_DOCUMENTS, st.lists(st.integers(1, 4000), min_size=1, max_size=5))
def test_pages_hold_the_whole_text_and_no_page_is_too_long(document: str, steps: list[int]) -> None:
    pages = pages_of(document, steps)
    assert letters("".join(pages)) == letters(document)
    assert all(len(page) <= MARKDOWN_TEXT for page in pages)
    for page in pages:
        assert page.count("```") % 2 == 0


def test_a_long_text_without_spaces_is_looked_at_from_its_end_alone() -> None:
    """It once took the square of its length, and with it the event loop."""
    text = "x" * 1_000_000 + " end"
    assert [settled(text) for _ in range(1_000)] == [1_000_001] * 1_000


def test_a_code_block_that_fits_the_next_message_is_not_cut() -> None:
    text = "word " * 600 + "\n\n```\n" + "x = 1\n" * 1_500 + "```\n"
    assert page_end(text, 0, 0, len(text)) == text.index("```")


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=30_000), st.lists(st.integers(1, 9000), min_size=1, max_size=4))
def test_no_text_makes_paging_lose_characters_or_hang(text: str, steps: list[int]) -> None:
    pages = pages_of(text, steps)
    assert all(len(page) <= MARKDOWN_TEXT for page in pages)
    if "```" not in text and "~~~" not in text:
        assert "".join(pages).replace("\n", "") == text.replace("\n", "")


@pytest.mark.parametrize("size", [500, 3000, 7000])
def test_a_code_block_that_fits_a_message_is_never_cut(size: int) -> None:
    code = "```python\n" + "\n".join(f"print({n:06d})" for n in range(size // 14)) + "\n```"
    prose = "\n\n".join(["A sentence that goes on for a while. " * 20] * 4)
    document = "\n\n".join([prose, code] * 6)
    pages = pages_of(document, [37])
    assert sum(page.count(code) for page in pages) == 6


def test_a_code_block_longer_than_a_message_is_closed_and_opened_again() -> None:
    code = "```python\n" + "\n".join(f"line_{n} = {n}" for n in range(3000)) + "\n```"
    pages = pages_of(code, [400])
    assert len(pages) > 3
    assert all(page.startswith("```python\n") and page.rstrip().endswith("```") for page in pages)


@given(st.text(alphabet="ab <!@#`\n", max_size=60), st.integers(0, 60))
def test_what_is_settled_never_changes_when_more_comes(text: str, seen: int) -> None:
    part, whole = harmless(text[:seen]), harmless(text)
    end = settled(part)
    assert whole[:end] == part[:end]
    assert end == 0 or not whole[end : end + 1].isspace()


def test_a_word_without_spaces_is_shown_while_it_grows() -> None:
    assert settled("字" * 200) == 199


def test_fence_at_knows_the_open_code_block() -> None:
    text = "a\n```py\nx\n```\nb"
    assert fence_at(text, text.index("x")) is not None
    assert fence_at(text, text.index("b")) is None
    assert fence_at(text, text.index("```py")) is None


@given(_DOCUMENTS, st.lists(st.floats(0, 1), max_size=8))
def test_what_is_remembered_of_code_blocks_is_what_is_there(document: str, places: list[float]) -> None:
    fences = Fences()
    for place in places:
        offset = round(place * len(document))
        grown = document[: max(offset, len(document) // 2)]
        assert fences.at(grown, offset) == fence_at(document, offset)

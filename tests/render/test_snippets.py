"""What goes beside an answer as a file."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from bot.render.snippets import snippets


def test_what_a_message_shows_well_stays_in_it() -> None:
    assert not list(snippets("Hello\n\n```python\nx = 1\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"))


def test_a_table_in_code_is_code() -> None:
    table = "|" + "a|" * 30 + "\n"
    assert not list(snippets(f"```\n{table}```\n"))


_CELL = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="|\\`~"), max_size=8)


@given(st.lists(st.lists(_CELL.map(str.strip), min_size=21, max_size=24), min_size=1, max_size=5))
def test_a_wide_table_keeps_every_cell(rows: list[list[str]]) -> None:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    text = "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
    found = list(snippets(text))
    if not found:
        return  # a row of nothing but dashes is a rule
    [snippet] = found
    kept = list(csv.reader(io.StringIO(snippet.content)))
    assert all(row in rows for row in kept)


@given(st.text(max_size=500))
def test_any_text_can_be_looked_through(text: str) -> None:
    assert all(snippet.content for snippet in snippets(text))

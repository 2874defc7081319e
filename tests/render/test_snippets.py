"""What goes beside an answer as a file."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.render.snippets import snippets


def test_what_a_message_shows_well_stays_in_it() -> None:
    assert not list(snippets("Hello\n\n```python\nx = 1\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"))


def test_a_table_in_code_is_code() -> None:
    table = "|" + "a|" * 30 + "\n"
    assert not list(snippets(f"```\n{table}```\n"))


@pytest.mark.parametrize(
    ("language", "name"),
    [
        ("c", "code-1.c"), ("php", "code-1.php"), ("css", "code-1.css"), ("swift", "code-1.swift"),
        ("tsx", "code-1.tsx"), ("toml", "code-1.toml"), ("diff", "code-1.diff"), ("csv", "code-1.csv"),
        ("powershell", "code-1.ps1"), ("C++", "code-1.cpp"), ("Python", "code-1.py"), ("", "code-1.txt"),
        ("../../etc", "code-1.txt"),
    ],
)  # fmt: skip
def test_code_has_the_ending_of_its_language(language: str, name: str) -> None:
    assert [snippet.name for snippet in snippets(f"```{language}\n" + "x\n" * 100 + "```\n")] == [name]


def test_code_that_is_not_closed_goes_on_to_the_end() -> None:
    code = "x = 1\n" * 100
    assert [(each.name, each.content) for each in snippets(f"So:\n```py\n{code}")] == [("code-1.py", code)]


@pytest.mark.parametrize("indent", ["", "    "])
def test_a_table_needs_no_bar_at_the_beginning_of_its_lines(indent: str) -> None:
    rows = [" | ".join(f"{name}{column}" for column in range(30)) for name in "abc"]
    rule = " | ".join(["---"] * 30)
    table = "\n".join(f"{indent}{line}" for line in (rows[0], rule, *rows[1:]))
    [snippet] = snippets(f"a | b is no table\n\n{table}\n\nEnd | of it.\n")
    assert list(csv.reader(io.StringIO(snippet.content))) == [row.split(" | ") for row in rows]


def test_a_line_of_spaces_is_looked_at_in_time() -> None:
    assert not list(snippets("|" + " " * 200_000 + "x\n" + "- " * 100_000))


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

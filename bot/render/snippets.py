"""Long code and wide tables, which a message shows badly, as files beside it."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

from bot.render.markdown import code_blocks, lines_outside_code

#: From here on a code block is also posted as a snippet: about what a screen shows.
_LINES, _CHARACTERS = 80, 6_000
#: What Slack's table block takes (https://docs.slack.dev/reference/block-kit/blocks/table-block).
_ROWS, _COLUMNS, _CELLS = 100, 20, 10_000
_RULE = re.compile(r"^ {0,3}\|?[ \t]*:?-+:?[ \t]*(\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_CELL_EDGE = re.compile(r"(?<!\\)\|")
#: File endings of the languages that models name.
_ENDINGS = {
    "": "txt", "bash": "sh", "c++": "cpp", "csharp": "cs", "go": "go", "html": "html", "java": "java",
    "javascript": "js", "js": "js", "json": "json", "kotlin": "kt", "markdown": "md", "py": "py", "python": "py",
    "ruby": "rb", "rust": "rs", "sh": "sh", "shell": "sh", "sql": "sql", "ts": "ts", "typescript": "ts",
    "xml": "xml", "yaml": "yaml", "yml": "yaml",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Snippet:
    name: str
    content: str


def snippets(text: str) -> Iterator[Snippet]:
    """The snippets that should go with an answer."""
    number = 0
    for info, code in code_blocks(text):
        if code.count("\n") >= _LINES or len(code) >= _CHARACTERS:
            number += 1
            yield Snippet(f"code-{number}.{_ENDINGS.get(info.lower(), 'txt')}", code)
    for number, rows in enumerate(_tables(text), 1):
        if _unfit(rows):
            yield Snippet(f"table-{number}.csv", _as_csv(rows))


def _tables(text: str) -> Iterator[list[list[str]]]:
    """Markdown tables outside of code, as rows of cells without the rule."""
    rows: list[list[str]] = []
    for line in [*lines_outside_code(text), ""]:
        if line.lstrip().startswith("|"):
            if not _RULE.match(line):
                rows.append(_cells(line))
        elif rows:
            yield rows
            rows = []


def _cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|").removesuffix("|")
    return [cell.strip().replace(r"\|", "|") for cell in _CELL_EDGE.split(inner)]


def _unfit(rows: list[list[str]]) -> bool:
    cells = [cell for row in rows for cell in row]
    return len(rows) > _ROWS or max(map(len, rows)) > _COLUMNS or sum(map(len, cells)) > _CELLS


def _as_csv(rows: list[list[str]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()

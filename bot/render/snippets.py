"""Long code and wide tables, which a message shows badly, as files beside it."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from bot.render.markdown import code_blocks, lines_outside_code

#: From here on a code block is also posted as a snippet: about what a screen shows.
_LINES, _CHARACTERS = 80, 6_000
#: What Slack's table block takes (https://docs.slack.dev/reference/block-kit/blocks/table-block).
_ROWS, _COLUMNS, _CELLS = 100, 20, 10_000
_RULE = re.compile(r"^[ \t]*+(?:\|[ \t]*+)?:?-++:?[ \t]*+(?:\|[ \t]*+:?-++:?[ \t]*+)*+\|?[ \t]*+$")
_CELL_EDGE = re.compile(r"(?<!\\)\|")
#: File endings of the languages that models name; a name that is the ending itself is among _SAME.
_ENDINGS = {
    "bash": "sh", "batch": "bat", "c#": "cs", "c++": "cpp", "cmd": "bat", "console": "sh", "csharp": "cs",
    "cython": "pyx", "dockerfile": "dockerfile", "elixir": "ex", "erlang": "erl", "f#": "fs", "fortran": "f90",
    "fsharp": "fs", "golang": "go", "graphql": "graphql", "groovy": "groovy", "haskell": "hs", "hcl": "tf",
    "javascript": "js", "julia": "jl", "kotlin": "kt", "latex": "tex", "makefile": "mk", "markdown": "md",
    "matlab": "m", "mermaid": "mmd", "node": "js", "objective-c": "m", "objectivec": "m", "ocaml": "ml",
    "pascal": "pas", "perl": "pl", "postgresql": "sql", "powershell": "ps1", "protobuf": "proto", "python": "py",
    "python3": "py", "ruby": "rb", "rust": "rs", "shell": "sh", "solidity": "sol", "terraform": "tf",
    "typescript": "ts", "vbnet": "vb", "viml": "vim", "yml": "yaml", "zsh": "sh",
}  # fmt: skip
_SAME = frozenset(
    {
        "bat", "c", "clj", "cpp", "cs", "css", "csv", "dart", "diff", "ex", "go", "h", "hpp", "hs", "html", "http",
        "ini", "ipynb", "java", "jl", "js", "json", "jsonl", "jsx", "kt", "less", "log", "lua", "md", "ml", "nim",
        "patch", "php", "pl", "properties", "proto", "ps1", "py", "r", "rb", "rs", "sass", "scala", "scss", "sh",
        "sol", "sql", "svelte", "svg", "swift", "tex", "tf", "toml", "ts", "tsv", "tsx", "vb", "vim", "vue", "xml",
        "yaml", "zig",
    }
)  # fmt: skip


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
            yield Snippet(f"code-{number}.{_ending(info.lower())}", code)
    for number, rows in enumerate(_tables(text), 1):
        if _unfit(rows):
            yield Snippet(f"table-{number}.csv", _as_csv(rows))


def _ending(language: str) -> str:
    return _ENDINGS.get(language, language if language in _SAME else "txt")


def _tables(text: str) -> Iterator[list[list[str]]]:
    """Markdown tables outside of code, as rows of cells without the rule. A line without a bar at its beginning is a
    row where a rule follows, or where a row came before (https://github.github.com/gfm/#tables-extension-)."""
    rows: list[list[str]] = []
    for line, following in pairwise([*lines_outside_code(text), "", ""]):
        heads = "|" in following and bool(_RULE.match(following))
        if line.lstrip().startswith("|") or ("|" in line and (rows or heads)):
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

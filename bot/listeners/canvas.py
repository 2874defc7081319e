"""Slack's canvases, which are downloaded as HTML, as Markdown.

A canvas is a fragment in `<div class="quip-canvas-content">`: headings, `<p class="line">`, lists (a checklist's ticked
items have class `checked`), tables, links. Slack documents no format; this is what its downloads hold.
"""

import re
from html.parser import HTMLParser

#: What every canvas has near its beginning, and Slack's sign-in page has not.
CANVAS_MARK = b"quip-canvas-content"

_SILENT = frozenset({"script", "style", "head", "template"})
_MARKS = {"b": "**", "strong": "**", "i": "*", "em": "*", "s": "~~", "del": "~~", "code": "`"}
_BLOCKS = frozenset({"p", "div", "section", "article", "blockquote", "tbody", "thead"})
_HEADING = re.compile(r"h([1-6])")
_BLANKS = re.compile(r"[ \t\r\n\f]+")
#: How far lists are indented at most.
_DEEPEST = 10
_MANY_LINES = re.compile(r"\n{3,}")


def canvas_markdown(markup: str) -> str:
    """A canvas as Markdown. Whatever the markup, it comes to some text; nothing is raised."""
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    return reader.text()


class _Reader(HTMLParser):
    """Writes Markdown while it reads. Tags that do not match are taken as they come."""

    def __init__(self) -> None:
        super().__init__()
        self._written: list[str] = []
        self._silent = 0
        self._pre = 0
        #: Of each open list: its next number, None where it has bullets.
        self._lists: list[int | None] = []
        self._links: list[str] = []
        #: Of the table that is being read: the cells of its row, and whether its first row is done.
        self._cells: int | None = None
        self._in_body = False

    def text(self) -> str:
        lines = (line.rstrip() for line in "".join(self._written).split("\n"))
        return _MANY_LINES.sub("\n\n", "\n".join(lines)).strip() + "\n"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent += 1
        elif heading := _HEADING.fullmatch(tag):
            self._block(f"{'#' * int(heading[1])} ")
        elif tag in _MARKS:
            self._write("" if self._pre else _MARKS[tag])
        elif tag in ("ul", "ol"):
            self._line()
            self._lists.append(1 if tag == "ol" else None)
        elif tag == "a":
            self._links.append(dict(attrs).get("href") or "")
            self._write("[" if self._links[-1] else "")
        else:
            self._open(tag, dict(attrs))

    def _open(self, tag: str, attributes: dict[str, str | None]) -> None:
        if tag == "li":
            self._item(attributes)
        elif tag == "br":
            self._write(" " if self._cells is not None else "\n")
        elif tag == "hr":
            self._block("---\n")
        elif tag == "img":
            self._write(attributes.get("alt") or "")
        elif tag == "pre":
            self._block("```\n")
            self._pre += 1
        elif tag == "table":
            self._block("")
            self._in_body = False
        elif tag == "tr":
            self._line()
            self._cells = 0
        elif tag in ("td", "th"):
            self._write("| ")
        elif tag in _BLOCKS and not self._lists and self._cells is None:
            self._block("> " if tag == "blockquote" else "")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(self._silent - 1, 0)
        elif tag in _MARKS:
            self._write("" if self._pre else _MARKS[tag])
        elif tag in ("ul", "ol"):
            self._lists = self._lists[:-1]
            self._block("") if not self._lists else self._line()
        elif tag == "a" and self._links:
            address = self._links.pop()
            self._write(f"]({address})" if address else "")
        elif tag == "pre" and self._pre:
            self._pre -= 1
            self._line()
            self._write("```\n")
        elif tag in ("td", "th") and self._cells is not None:
            self._cells += 1
            self._write(" ")
        elif tag == "tr" and self._cells is not None:
            self._end_row(self._cells)
        elif tag == "table" or _HEADING.fullmatch(tag):
            self._block("")

    def handle_data(self, data: str) -> None:
        self._write(data if self._pre else _BLANKS.sub(" ", data))

    def _item(self, attributes: dict[str, str | None]) -> None:
        self._line()
        if not self._lists:
            self._lists.append(None)
        number = self._lists[-1]
        if number is not None:
            self._lists[-1] = number + 1
        sign = "-" if number is None else f"{number}."
        ticked = "[x] " if "checked" in (attributes.get("class") or "").split() else ""
        self._write(f"{'  ' * min(len(self._lists) - 1, _DEEPEST)}{sign} {ticked}")

    def _end_row(self, cells: int) -> None:
        self._cells = None
        self._write("|\n")
        if not self._in_body:
            self._write("| --- " * cells + "|\n")
        self._in_body = True

    def _write(self, text: str) -> None:
        if self._silent or not text:
            return
        if not self._pre and self._at_line_start() and text.isspace() and "\n" not in text:
            return
        self._written.append(text)

    def _line(self) -> None:
        if not self._at_line_start():
            self._write("\n")

    def _block(self, begin: str) -> None:
        self._line()
        self._write("\n")
        self._write(begin)

    def _at_line_start(self) -> bool:
        return not self._written or self._written[-1].endswith("\n")

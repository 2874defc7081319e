"""What a browser would make of markup, and what people have tried to smuggle into it."""

import re
from collections.abc import Sequence
from html.parser import HTMLParser

Attributes = Sequence[tuple[str, str | None]]

_TAGS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("p", "br", "hr", "em", "strong", "s", "pre", "blockquote", "ul", "li"), frozenset()),
    **dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr"), frozenset()),
    **dict.fromkeys(("th", "td"), frozenset({"class"})),
    "a": frozenset({"href", "rel", "target", "title"}),
    "code": frozenset({"class"}),
    "ol": frozenset({"start"}),
    "span": frozenset({"class"}),
}
_VALUES = {
    "class": re.compile(r"mention|to-(?:left|center|right)|language-.*", re.DOTALL),
    "href": re.compile(r"\s*(?:https?|mailto):.*", re.DOTALL | re.IGNORECASE),
    "rel": re.compile("noopener noreferrer"),
    "start": re.compile(r"\d+"),
    "target": re.compile("_blank"),
    "title": re.compile(".*", re.DOTALL),
}


class _Suspect(HTMLParser):
    """Collects whatever a browser would take for markup, beyond the allowed, and the words between."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.seen: list[str] = []

    def handle_data(self, data: str) -> None:
        self.seen.append(data)

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        if tag not in _TAGS:
            self.found.append(f"<{tag}>")
        for name, value in attrs:
            if name not in _TAGS.get(tag, ()) or not _VALUES[name].fullmatch(value or ""):
                self.found.append(f"<{tag} {name}={value!r}>")

    def handle_endtag(self, tag: str) -> None:
        if tag not in _TAGS:
            self.found.append(f"</{tag}>")

    def handle_comment(self, data: str) -> None:
        self.found.append(f"<!--{data}-->")

    def handle_decl(self, decl: str) -> None:
        self.found.append(f"<!{decl}>")

    def unknown_decl(self, data: str) -> None:
        self.found.append(f"<![{data}]>")

    def handle_pi(self, data: str) -> None:
        self.found.append(f"<?{data}>")


def strange(markup: str) -> list[str]:
    """Tags, attributes and their values that no rendering may hold."""
    suspect = _Suspect()
    suspect.feed(markup)
    suspect.close()
    return suspect.found


def words(markup: str) -> str:
    """What a reader sees of it."""
    parser = _Suspect()
    parser.feed(markup)
    parser.close()
    return "".join(parser.seen)


ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!-- x --><svg onload=alert(1)>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&amp;lt;script&amp;gt;",
    "&#60;script&#62;",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](java\nscript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    '[x](https://a.example/"onmouseover="alert(1))',
    "[x](https://a.example 'on\" onmouseover=\"alert(1)')",
    "![x](javascript:alert(1))",
    "![x](https://tracker.example/pixel.png)",
    "<javascript:alert(1)|x>",
    "<java\tscript:alert(1)|x>",
    "<\x01javascript:alert(1)|x>",
    "<data:text/html,x|x>",
    "<vbscript:x|x>",
    '<https://a.example/"onmouseover="alert(1)|x>',
    "<https://a.example|<img src=x onerror=alert(1)>>",
    "<https://a.example|`</a><script>`>",
    "<@U0ADA|<script>>",
    "<#C0GENERAL|</span><script>>",
    "<!subteam^S1|<script>>",
    '<@"onmouseover="alert(1)>',
    "```</code></pre><script>alert(1)</script>```",
    "`<script>`",
    '``` "onclick=x\n<script>\n```',
    "| a | <script> |\n|:--|--:|\n| `<b>` | <i> |",
    "<https://a.example/`onmouseover=x`|x>",
    "<@`U0ADA`|`<b>`>",
    "\x000\x00 `<script>` \x001\x00",
    "<!date^1^{date}<script>|<script>>",
    "<!date^`1`^`{date}`|`<b>`>",
]

"""Messages as safe HTML for the page. Everything is escaped first; only what is built here is markup."""

import html
import re
from datetime import datetime
from itertools import groupby
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from bot.playground.slack.emoji import with_signs
from bot.playground.slack.workspace import Workspace

Json = dict[str, Any]

_SCHEMES = ("http", "https", "mailto")
_CODE = re.compile(r"```\n?(?P<block>.*?)```|`(?P<inline>[^`\n]+)`", re.DOTALL)
#: Of an entity's label, a piece of code may be part; of its body, never: that becomes an attribute.
_ENTITY = re.compile(
    r"&lt;(?P<sigil>[@#!]?)(?P<body>(?:(?!&lt;|&gt;)[^\0\n])+?)(?:\|(?P<label>(?:(?!&lt;|&gt;)[^\n])*))?&gt;"
)
#: The place of what is markup already, while its surroundings are worked on.
_KEPT = re.compile(r"\0(\d+)\0")
_REST_QUOTE = re.compile(r"(?:^|\n)(?:(?:&amp;gt;|&gt;){3}) ?")
_QUOTE = re.compile(r"(?:&amp;gt;|&gt;) ?")
_MARKS = (
    (re.compile(r"(?<![\w*])\*(\S(?:[^*\n]*\S)?)\*(?![\w*])"), r"<strong>\1</strong>"),
    (re.compile(r"(?<![\w_])_(\S(?:[^_\n]*\S)?)_(?![\w_])"), r"<em>\1</em>"),
    (re.compile(r"(?<![\w~])~(\S(?:[^~\n]*\S)?)~(?![\w~])"), r"<s>\1</s>"),
)
#: https://docs.slack.dev/messaging/formatting-message-text#date-formatting, as strftime writes it.
_DATES = {
    "date_num": "%Y-%m-%d",
    "date_slash": "%m/%d/%Y",
    "date_long": "%A, %B %d, %Y",
    "date_short": "%b %d, %Y",
    "date": "%B %d, %Y",
    "time_secs": "%H:%M:%S",
    "time": "%H:%M",
}
_DATE_TOKEN = re.compile(r"\{(\w+?)(?:_pretty)?\}")


class Rendering:
    """Knows the workspace's names."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._markdown = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
        self._markdown.validateLink = _safe_link  # type: ignore[method-assign]
        self._markdown.add_render_rule("link_open", _link_open)
        self._markdown.add_render_rule("image", _image)
        for cell in ("th_open", "td_open"):
            self._markdown.add_render_rule(cell, _cell_open)

    def message(self, message: Json) -> str:
        """A message's text as HTML: Markdown where the bot wrote it so, else Slack's mrkdwn."""
        if message.get("markdown_text") is not None:
            return self.markdown(str(message["markdown_text"]))
        return self.mrkdwn(str(message.get("text") or ""))

    def markdown(self, text: str) -> str:
        """Standard Markdown. Slack's three escapes are undone first, as Slack does."""
        return str(self._markdown.render(html.unescape(text)))

    def mrkdwn(self, text: str) -> str:
        """Slack's own dialect (https://docs.slack.dev/messaging/formatting-message-text)."""
        kept: list[str] = []

        def keep(markup: str) -> str:
            kept.append(markup)
            return f"\0{len(kept) - 1}\0"

        escaped = html.escape(text.replace("\0", ""), quote=True)
        prose = _CODE.sub(lambda match: keep(_code(match)), escaped)
        prose = _ENTITY.sub(lambda match: keep(self._entity(match)), prose)
        marked = _lines(_marked(with_signs(prose)))
        for _ in ("entities", "code in their labels"):
            marked = _KEPT.sub(lambda match: kept[int(match[1])], marked)
        # Slack's own three escapes, which now stand escaped once more.
        return re.sub("&amp;(lt|gt|amp);", r"&\1;", marked)

    def _entity(self, match: re.Match[str]) -> str:
        sigil, body, label = match["sigil"], match["body"], match["label"]
        if sigil == "@":
            person = self._workspace.person(body)
            return _mention("@" + (label or (html.escape(person.real_name) if person else body)))
        if sigil == "#":
            channel = self._workspace.channel(body)
            return _mention("#" + (label or (html.escape(channel.name) if channel else body)))
        if sigil == "!":
            return _special(body, label)
        if not _safe_link(html.unescape(body)):
            return match[0]
        return f'<a href="{body}" rel="noopener noreferrer" target="_blank">{label or body}</a>'


def _special(body: str, label: str | None) -> str:
    """`<!here>`, `<!subteam^S1|@team>`, `<!date^1392734382^{date} at {time}|fallback>`; escaped already."""
    name, *arguments = body.split("^")
    if name == "date" and len(arguments) > 1:
        return _date(*arguments[:2]) or label or ""
    return _mention(label or f"@{name}")


def _date(seconds: str, pattern: str) -> str | None:
    """A moment in local time, the server's and the page's being the same; None where it cannot be said."""
    try:
        moment = datetime.fromtimestamp(int(seconds)).astimezone()
        return _DATE_TOKEN.sub(lambda match: moment.strftime(_DATES[match[1]]), pattern)
    except (ValueError, OverflowError, OSError, KeyError):
        return None


def _lines(prose: str) -> str:
    parts = []
    head, mark, rest = _rest_quoted(prose)
    if mark:
        return f"{_lines(head) if head else ''}<blockquote>{rest.replace(chr(10), '<br>')}</blockquote>"
    for quoted, lines in groupby(prose.split("\n"), lambda line: bool(_QUOTE.match(line))):
        if quoted:
            parts.append(f"<blockquote>{'<br>'.join(_QUOTE.sub('', line, count=1) for line in lines)}</blockquote>")
        else:
            parts.append("<br>".join(lines))
    return "".join(parts)


def _rest_quoted(prose: str) -> tuple[str, str, str]:
    """What stands before `>>>`, which quotes everything after it, the mark itself, and the rest."""
    match = _REST_QUOTE.search(prose)
    return (prose[: match.start()], match[0], prose[match.end() :]) if match else (prose, "", "")


def _marked(prose: str) -> str:
    for pattern, replacement in _MARKS:
        prose = pattern.sub(replacement, prose)
    return prose


def _mention(text: str) -> str:
    return f'<span class="mention">{text}</span>'


def _code(match: re.Match[str]) -> str:
    if match["block"] is not None:
        return f"<pre><code>{match['block']}</code></pre>"
    return f"<code>{match['inline']}</code>"


def _safe_link(url: str) -> bool:
    try:
        return urlsplit(url.strip()).scheme.lower() in _SCHEMES
    except ValueError:
        return False


def _link_open(renderer: RendererHTML, tokens: list[Token], index: int, options: Any, env: Any) -> str:
    tokens[index].attrSet("rel", "noopener noreferrer")
    tokens[index].attrSet("target", "_blank")
    return str(renderer.renderToken(tokens, index, options, env))


def _image(_renderer: RendererHTML, tokens: list[Token], index: int, _options: Any, _env: Any) -> str:
    """A link: an image from elsewhere would tell its server who looks."""
    source = html.escape(str(tokens[index].attrGet("src")), quote=True)
    text = html.escape(tokens[index].content or "image", quote=True)
    return f'<a href="{source}" rel="noopener noreferrer" target="_blank">{text}</a>'


def _cell_open(renderer: RendererHTML, tokens: list[Token], index: int, options: Any, env: Any) -> str:
    """Aligned by class: the page's policy allows no style attributes."""
    style = tokens[index].attrs.pop("style", None)
    if style:
        tokens[index].attrSet("class", str(style).replace("text-align:", "to-"))
    return str(renderer.renderToken(tokens, index, options, env))

"""Messages as safe HTML for the page. Everything is escaped first; only what is built here is markup."""

import html
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from bot.playground.slack.workspace import Workspace

Json = dict[str, Any]

_SCHEMES = ("http", "https", "mailto")
_ENTITY = re.compile(r"&lt;(?P<sigil>[@#!]?)(?P<body>(?:(?!&lt;|&gt;).)+?)(?:\|(?P<label>(?:(?!&lt;|&gt;).)*))?&gt;")
_CODE = re.compile(r"```\n?(?P<block>.*?)```|`(?P<inline>[^`\n]+)`", re.DOTALL)
_MARKS = (
    (re.compile(r"(?<![\w*])\*(\S(?:[^*\n]*\S)?)\*(?![\w*])"), r"<strong>\1</strong>"),
    (re.compile(r"(?<![\w_])_(\S(?:[^_\n]*\S)?)_(?![\w_])"), r"<em>\1</em>"),
    (re.compile(r"(?<![\w~])~(\S(?:[^~\n]*\S)?)~(?![\w~])"), r"<s>\1</s>"),
)


class Rendering:
    """Knows the workspace's names."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._markdown = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
        self._markdown.disable("image")
        self._markdown.validateLink = _safe_link  # type: ignore[method-assign]
        self._markdown.add_render_rule("link_open", _link_open)

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
        escaped = html.escape(text, quote=True)
        pieces, end = [], 0
        for code in _CODE.finditer(escaped):
            pieces += [self._prose(escaped[end : code.start()]), _code(code)]
            end = code.end()
        marked = "".join([*pieces, self._prose(escaped[end:])])
        # Slack's own three escapes, which now stand escaped once more.
        for entity in ("lt", "gt", "amp"):
            marked = marked.replace(f"&amp;{entity};", f"&{entity};")
        return marked

    def _prose(self, escaped: str) -> str:
        marked = _outside_entities(escaped, self._entity)
        return marked.replace("\n", "<br>")

    def _entity(self, match: re.Match[str]) -> str:
        sigil, body, label = match["sigil"], match["body"], match["label"]
        if sigil == "@":
            person = self._workspace.person(body)
            return f'<span class="mention">@{label or (html.escape(person.real_name) if person else body)}</span>'
        if sigil == "#":
            channel = self._workspace.channel(body)
            return f'<span class="mention">#{label or (html.escape(channel.name) if channel else body)}</span>'
        if sigil == "!":
            return f'<span class="mention">{label or "@" + body.partition("^")[0]}</span>'
        if not _safe_link(html.unescape(body)):
            return match[0]
        return f'<a href="{body}" rel="noopener noreferrer" target="_blank">{label or body}</a>'


def _outside_entities(escaped: str, entity: Callable[[re.Match[str]], str]) -> str:
    pieces, end = [], 0
    for match in _ENTITY.finditer(escaped):
        pieces += [_marked(escaped[end : match.start()]), entity(match)]
        end = match.end()
    return "".join([*pieces, _marked(escaped[end:])])


def _marked(escaped: str) -> str:
    for pattern, replacement in _MARKS:
        escaped = pattern.sub(replacement, escaped)
    return escaped


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

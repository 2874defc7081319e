"""Messages as HTML: they read as in Slack, and nothing that anybody writes becomes markup of its own."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.playground.slack.rendering import Rendering
from bot.playground.slack.workspace import Workspace
from tests.playground.markup import ATTACKS, strange, words


@pytest.fixture(scope="module")
def rendering() -> Rendering:
    return Rendering(Workspace.new(lambda: 1_790_000_000.0))


@pytest.mark.parametrize(
    "markup",
    ["<script>", "<a onclick=x>", '<a href="javascript:x">', "<img>", "<!-- x -->", '<p style="x">', "<?x>", "<!X>"],
)
def test_the_safety_check_itself_sees_what_is_strange(markup: str) -> None:
    assert strange(markup)


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_attack_becomes_markup(rendering: Rendering, attack: str) -> None:
    for text in (attack, f"a {attack} b", f"*{attack}*", f"**{attack}**", f"> {attack}", f"- {attack}"):
        for markup in (rendering.mrkdwn(text), rendering.markdown(text)):
            assert not strange(markup)
            assert "tracker.example" not in markup or "<img" not in markup


_PIECES = st.sampled_from(
    [
        *"<>&\"'`*_~|[]()!@#^:/\\\n\t ={}+-.",
        *("&lt;", "&gt;", "&amp;", "&quot;", "&#60;", "&#x3c;", "&colon;", "<!--", "-->", "<![CDATA[", "<?"),
        *("script", "img", "onerror=", "style=", "href=", "javascript:", "data:", "http://", "https:", "mailto:"),
        *("```", "```js\n", "](", "<@U0ADA", "<#C0GENERAL", "<!here", "|---|\n", "\n\n", "    ", "> ", "- ", "1. "),
    ]
)
_TEXTS = st.lists(_PIECES | st.text(st.characters(), max_size=4), max_size=24).map("".join)


@settings(max_examples=400, deadline=None)
@given(text=_TEXTS)
@example(text="<https://a|b\ud800>")
def test_no_text_yields_strange_markup(rendering: Rendering, text: str) -> None:
    assert not strange(rendering.mrkdwn(text))
    assert not strange(rendering.markdown(text))


@given(text=st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="`*_~"), max_size=60))
def test_what_is_escaped_for_slack_is_read_as_it_was_meant(rendering: Rendering, text: str) -> None:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert words(rendering.mrkdwn(escaped)) == text.removeprefix(">" if not text.startswith("> ") else "> ")


def test_three_marks_quote_all_that_follows(rendering: Rendering) -> None:
    markup = rendering.mrkdwn("Before\n&gt;&gt;&gt; one\n\ntwo")
    assert markup == "Before<blockquote>one<br><br>two</blockquote>"


def test_what_is_escaped_reads_the_same_in_markdown(rendering: Rendering) -> None:
    assert words(rendering.markdown("&lt;b&gt; &amp; &lt;@U0ADA&gt;")).strip() == "<b> & <@U0ADA>"


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("*b* _i_ ~s~", "<strong>b</strong> <em>i</em> <s>s</s>"),
        ("snake_case_name 2*3*4", "snake_case_name 2*3*4"),
        ("`*x*`", "<code>*x*</code>"),
        ("```\na\nb```", "<pre><code>a\nb</code></pre>"),
        ("<@U0ADA> <@U0X|ex> <#C0GENERAL>", "@Ada Lovelace @ex #general"),
        ("<!here> <!subteam^S1|@team>", "@here @team"),
        ("a\nb", "a<br>b"),
        ("&gt; a `b`\n> c\nd &gt; e", "<blockquote>a <code>b</code><br>c</blockquote>d &gt; e"),
        ("*<https://a.example|`A`>*", '<strong><a href="https://a.example" '),
        ("<https://a.example/`b`>", "&lt;https://a.example/<code>b</code>&gt;"),
        ("<!date^1000000000^{date_short_pretty}|then>", "Sep "),
        ("<!date^99999999999999999999^{date}|then>", "then"),
        ("<!date^1000000000^{ago}|then>", "then"),
        ("<https://a.example?x=1&amp;y=2|A>", '<a href="https://a.example?x=1&amp;y=2" '),
    ],
)
def test_mrkdwn(rendering: Rendering, text: str, markup: str) -> None:
    rendered = rendering.mrkdwn(text)
    if "mention" in rendered:
        assert words(rendered) == markup
    else:
        assert rendered.startswith(markup)


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("**b** *i* ~~s~~", "<p><strong>b</strong> <em>i</em> <s>s</s></p>\n"),
        ("1 &lt; 2 &amp; 3", "<p>1 &lt; 2 &amp; 3</p>\n"),
        ("`a &lt; b`", "<p><code>a &lt; b</code></p>\n"),
        ("# T", "<h1>T</h1>\n"),
        (
            "![A](https://a.example/a.png)",
            '<p><a href="https://a.example/a.png" rel="noopener noreferrer" target="_blank">A</a></p>\n',
        ),
        (
            "[A](https://a.example)",
            '<p><a href="https://a.example" rel="noopener noreferrer" target="_blank">A</a></p>\n',
        ),
    ],
)
def test_markdown(rendering: Rendering, text: str, markup: str) -> None:
    assert rendering.markdown(text) == markup

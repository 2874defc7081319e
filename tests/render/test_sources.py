"""What an answer rests on, below it: links that lead there, and titles that are text."""

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bot.engine.ports import Answered, Source
from bot.render.sources import listed
from tests.conftest import text_of
from tests.render.desk import desk


def line(source: Source) -> str:
    return listed([source]).rpartition("\n1. ")[2]


def links(markdown: str) -> list[tuple[str, str]]:
    """(title, address) of every link, as Slack and its local double read it: Slack's escapes are undone first."""
    [_, _, inline, *_] = MarkdownIt("commonmark", {"html": False}).parse(html.unescape(markdown))[1:]
    assert inline.children is not None
    found = []
    for opens, *inside in zip(inline.children, inline.children[1:], strict=False):
        if opens.type == "link_open":
            found.append((inside[0].content, str(opens.attrs["href"])))
    return found


async def test_sources_stand_numbered_below_the_answer() -> None:
    async with desk() as room:
        reply = room.open()
        sources = [
            Source("A [page]", "https://example.com/a"),
            Source("handbook_2026.pdf"),
            Source("Bad", "javascript:alert(1)"),
        ]
        await reply.finish("As it is written [1] [2].", Answered, sources)
        [message] = room.said
    assert message["text"].endswith(
        "**Sources**\n\n1. [A \\[page\\]](https://example.com/a)\n2. handbook_2026.pdf\n3. Bad"
    )


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("https://en.wikipedia.org/wiki/Python_(language)", "https://en.wikipedia.org/wiki/Python_%28language%29"),
        ("https://x.example/?a=1|2", "https://x.example/?a=1%7C2"),
        ("https://x.example/ü ü", "https://x.example/%C3%BC%20%C3%BC"),
        ("HTTPS://x.example/", "HTTPS://x.example/"),
        ("https://x.example/%28a%29?b=c&d#e", "https://x.example/%28a%29?b=c&d#e"),
        ("https://x.example/[<a>]", "https://x.example/%5B%3Ca%3E%5D"),
        ("https://x.example/\ud800", "https://x.example/?"),
    ],
)
def test_an_address_with_markdown_in_it_is_a_link_all_the_same(url: str, link: str) -> None:
    """Such addresses were left out: half of Wikipedia's."""
    assert line(Source("A page", url)) == f"[A page]({link})"


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "file:///etc", "https:///x", "//x.example", "", "https://x.example/" + "a" * 4_000]
)
def test_what_is_no_web_address_is_no_link(url: str) -> None:
    assert line(Source("A page", url)) == "A page"


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("<https://evil.example|click>", "‹https://evil.example|click›"),
        ("&lt;https://evil.example|click&gt;", "<https://evil.example|click>"),
        ("**bold** _it_ `code` ~~gone~~ my_file", "**bold** _it_ `code` ~~gone~~ my_file"),
        ("A](https://evil.example) [B", "A](https://evil.example) [B"),
        ("![p](https://evil.example/p.png)", "![p](https://evil.example/p.png)"),
        ("<!channel> <@U0ADA>", "‹!channel› ‹@U0ADA›"),
        ("two\nlines \\", "two lines \\"),
        ("", "a source"),
    ],
)
def test_a_title_reads_as_text_whatever_is_in_it(title: str, shown: str) -> None:
    for url in ("https://ok.example/", "javascript:x"):
        said = line(Source(title, url))
        assert "<" not in said
        assert links(f"1. {said}") == ([(shown, "https://ok.example/")] if url.startswith("https") else [])


@given(st.text(alphabet="ab <>[]()*_`~\\!|&;#x\n", max_size=40))
def test_no_title_makes_another_link(title: str) -> None:
    assert [address for _, address in links(f"1. {line(Source(title, 'https://ok.example/'))}")] == [
        "https://ok.example/"
    ]


async def test_a_long_title_leaves_its_link_in_one_piece() -> None:
    """Twenty thousand characters put the beginning of a link into one message and its end into the next."""
    async with desk() as room:
        reply = room.open()
        await reply.finish("See [1].", Answered, [Source("word " * 4_000, "https://x.example/1")])
        [message] = room.said
    [(title, address)] = links(text_of(message).rpartition("\n")[2])
    assert address == "https://x.example/1"
    assert len(title) <= 200

"""What a model writes pings nobody, and no link leads into its sandbox; also while the text still grows."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.engine.ports import Answered
from bot.render.harmless import HarmlessText, harmless
from tests.conftest import text_of
from tests.render.desk import desk


@pytest.mark.parametrize("text", ["<!channel>", "<!here|here>", "<@U123>", "<#C1|general>", "<!subteam^S1>", "a<@U1>b"])
def test_what_would_ping_is_harmless(text: str) -> None:
    assert not re.search(r"<[@#!]", harmless(f"see {text}."))


def test_links_and_comparisons_are_left_alone() -> None:
    text = "if a < b and <https://example.com|x> then `x<y`, [real](https://ok.example/a_(b)), x[i](sandbox) [ ] done"
    assert harmless(text) == text


_LINKS = {
    "[a](sandbox:/mnt/data/plot (1).png)": "a",
    "[the plot (1)](sandbox:/mnt/data/plot (1).png)": "the plot (1)",
    "![p](sandbox:/mnt/data/p.png)": "p",
    "[a](<sandbox:/mnt/data/my file.csv>)": "a",
    "[a]( sandbox:/a.csv)": "a",
    "[a](Sandbox:/a)": "a",
    "[a](/mnt/data/a.csv)": "a",
    "[a](attachment:/mnt/data/a.csv)": "a",
    "[](sandbox:/mnt/data/my file.csv)": "my file.csv",
    "[![p](sandbox:/a.png)](sandbox:/a.png)": "p",
    "[[1] a](sandbox:/a)": "[1] a",
    "[[[a](sandbox:/x)](sandbox:/y)](sandbox:/z)": "a",
    "`[a](sandbox:/a)`": "`a`",
    "[a\nb](sandbox:/a)": "[a\nb]",
    "[a](sandbox:/a(b.png) more": "[a](a(b.png) more",
    "bare sandbox:/mnt/data/a.csv end": "bare a.csv end",
    "<sandbox:/mnt/data/my file.csv>": "my file.csv",
    "[a][1]\n\n[1]: sandbox:/mnt/data/a.csv": "[a][1]\n\n\\[1\\]: a.csv",
    "[a][1]\n\n[1]: <sandbox:/mnt/data/my file.csv>": "[a][1]\n\n\\[1\\]: my file.csv",
    "<[](sandbox:/)!channel>": "&lt;!channel>",
}


@pytest.mark.parametrize(("text", "shown"), _LINKS.items())
def test_a_link_into_the_sandbox_is_what_it_is_called(text: str, shown: str) -> None:
    assert harmless(f"See {text}, then.") == f"See {shown}, then."


@pytest.mark.parametrize(("text", "shown"), _LINKS.items())
async def test_a_link_that_comes_a_character_at_a_time_is_never_shown(text: str, shown: str) -> None:
    text, shown = f"See {text}, then.", f"See {shown}, then."
    growing = HarmlessText()
    assert all(shown.startswith(growing.grow(text[:end])) for end in range(len(text) + 1))
    async with desk() as room:
        reply = room.open()
        for end in range(len(text)):
            reply.show(text[:end])
        await reply.finish(text, Answered)
        assert [text_of(message) for message in room.said] == [shown]


_PIECES = st.sampled_from(
    [
        *_LINKS, *"[]()<>!@#\\\n/s ", "](", "]:", "![", "sandbox:/", "<sandbox:/", "/mnt/data/", "a", "b c", "sand",
        "a" * 70, "a" * 290, "a" * 480,
    ]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=12).map("".join), st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_what_was_shown_is_the_beginning_of_the_whole(text: str, steps: list[int]) -> None:
    growing, shown, end, step = HarmlessText(), "", 0, 0
    while end < len(text):
        end, step = end + steps[step % len(steps)], step + 1
        more = growing.grow(text[:end])
        assert more.startswith(shown)
        shown = more
    assert harmless(text).startswith(shown)
    assert not re.search(r"<[@#!]", harmless(text))


def test_a_text_that_was_taken_back_begins_anew() -> None:
    growing = HarmlessText()
    growing.grow("One two three ")
    assert growing.grow("Four [a](sandbox:/a) ") == "Four a "


@pytest.mark.parametrize(
    "piece", ["[", "[a", "](", "](sandbox:/", "](sandbox:/(a)", "<sandbox:", "[ [a]", "[a](sandbox:/a("]
)
def test_brackets_without_end_are_read_in_time(piece: str) -> None:
    """What takes the square of a text's length takes hours here."""
    text = piece * (400_000 // len(piece))
    harmless(text)
    HarmlessText().grow(text)

"""Slack's entities become what a model can read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.listeners.entities import readable


async def person(user: str) -> str:
    return {"U1": "Ada Lovelace"}.get(user, user)


async def channel(slack_id: str) -> str:
    return {"C1": "#general"}.get(slack_id, slack_id)


@pytest.mark.parametrize(
    ("slack", "plain"),
    [
        ("hi <@U1>", "hi @Ada Lovelace"),
        ("hi <@U9|grace>", "hi @grace"),
        ("see <#C1> and <#C2|random>", "see #general and #random"),
        ("<#C1|>", "#general"),
        ("<!here> <!subteam^S1|@team> <!subteam^S2>", "@here @team @group"),
        ("<!date^1392734382^{date}|Feb 18, 2014>", "Feb 18, 2014"),
        ("<https://a.example/x?y=1&amp;z=2>", "https://a.example/x?y=1&z=2"),
        ("<https://a.example|docs>", "docs (https://a.example)"),
        ("<http://a.example|a.example>", "http://a.example"),
        ("<mailto:a@b.example|a@b.example>", "a@b.example"),
        ("3 &lt; 4 &amp;&amp; 5 &gt; 4", "3 < 4 && 5 > 4"),
        ("&lt;@U1&gt;", "<@U1>"),
        ("&amp;lt;", "&lt;"),
    ],
)
async def test_entities(slack: str, plain: str) -> None:
    assert await readable(slack, person, channel) == plain


@given(st.text(alphabet="<>@#!|U1C^& a", max_size=40))
async def test_no_text_makes_it_raise(text: str) -> None:
    await readable(text, person, channel)

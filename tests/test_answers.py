"""A mention in Slack gets its answer: end to end, with both backends."""

from tests.conftest import House


async def test_a_mention_is_answered_in_its_thread(house: House) -> None:
    async with house.bobbin():
        ts = await house.ask("I need to solve the equation `3x + 11 = 14`. Can you help me?")
        [answer] = await house.answers(ts)
    assert "x = 1" in answer
    assert not house.slack.pings
    assert not house.slack.unfurled

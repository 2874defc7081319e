"""Nothing lost, nothing twice: restarts, edits, deletions, bursts. Kills are in tests/chaos."""

import asyncio

import pytest

from tests.conftest import House, bot_messages


def general(house: House) -> str:
    return house.slack.channels["general"].id


def marks(house: House, ts: str) -> list[str]:
    """The reactions by which a post shows that it waits."""
    message = next(m for m in house.slack.messages(general(house)) if m["ts"] == ts)
    return [name for name, users in message.get("reactions", {}).items() if users]


async def test_a_run_that_a_stop_cuts_off_is_finished_after_the_next_start(house: House) -> None:
    gate = asyncio.Event()
    house.brain(lambda _: "One two three four five six.", gate=gate, open_words=3)
    async with house.bobbin(bobbin_grace=0):
        ts = await house.ask("count")
        await house.slack.wait_for(lambda slack: bot_messages(slack, general(house), ts))
    gate.set()
    async with house.bobbin():
        await house.slack.wait_for(
            lambda slack: (
                [m["text"] for m in bot_messages(slack, general(house), ts)] == ["One two three four five six."]
            )
        )
    users = [text for role, text in house.heard() if role == "user"]
    assert users == ["Ada Lovelace: count"]


async def test_a_stop_gives_a_run_its_grace(house: House) -> None:
    gate = asyncio.Event()
    house.brain(lambda _: "One two three four five six.", gate=gate, open_words=3)
    async with house.bobbin(bobbin_grace=10):
        ts = await house.ask("count")
        await house.slack.wait_for(lambda slack: bot_messages(slack, general(house), ts))
        asyncio.get_running_loop().call_later(0.2, gate.set)
    assert [m["text"] for m in bot_messages(house.slack, general(house), ts)] == ["One two three four five six."]
    assert not any(m.get("streaming") for m in bot_messages(house.slack, general(house), ts))


async def test_posts_that_came_while_nobody_was_there_are_answered_in_order(house: House) -> None:
    house.brain(lambda question: f"You said: {question.last}")
    first = await house.ask("one")
    await house.slack.post("grace", general(house), "two", thread_ts=first)
    async with house.bobbin():
        answers = await house.answers(first)
    assert answers[0].startswith("You said")
    assert "Ada Lovelace: one" in [text for _, text in house.heard()]


async def test_a_post_edited_while_it_waits_is_forwarded_as_edited(house: House) -> None:
    gate = asyncio.Event()
    house.brain(lambda question: f"You said: {question.last}", gate=gate)
    async with house.bobbin():
        ts = await house.ask("one")
        await house.slack.wait_for(lambda slack: bot_messages(slack, general(house), ts))
        second = await house.slack.post("ada", general(house), "tow", thread_ts=ts)
        await house.slack.wait_for(lambda slack: marks(house, second))
        await house.slack.edit("ada", general(house), second, "two")
        await house.slack.idle()
        gate.set()
        assert (await house.answers(ts, 2))[1] == "You said: Ada Lovelace: two"
        await house.slack.wait_for(lambda slack: not marks(house, second))


async def test_a_post_deleted_while_it_waits_is_dropped(house: House) -> None:
    gate = asyncio.Event()
    house.brain(lambda question: f"You said: {question.last}", gate=gate)
    async with house.bobbin():
        ts = await house.ask("one")
        await house.slack.wait_for(lambda slack: bot_messages(slack, general(house), ts))
        second = await house.slack.post("ada", general(house), "never mind", thread_ts=ts)
        await house.slack.post("ada", general(house), "three", thread_ts=ts)
        await house.slack.delete("ada", general(house), second)
        await house.slack.idle()
        gate.set()
        await house.answers(ts, 2)
    users = [text for role, text in house.heard() if role == "user"]
    assert users == ["Ada Lovelace: one", "Ada Lovelace: three"]


@pytest.mark.parametrize("backend", ["responses"])
async def test_five_hundred_posts_at_once_are_acknowledged_in_time_while_the_backend_hangs(house: House) -> None:
    house.openai.faults.add(method="POST", path="/conversations", hang=True, times=None)
    async with house.bobbin(bobbin_grace=0):
        posts = [await house.ask(f"number {number}") for number in range(500)]
        await house.slack.idle(30)
    assert len(posts) == 500
    assert len(house.slack.acks) == 1000  # each mention is a message too
    assert all(ack.attempts == 1 for ack in house.slack.acks)
    assert max(ack.seconds or 9 for ack in house.slack.acks) < 3

"""Answers that Slack, a restart or a person got in the way of: each ends whole, or says why not."""

import asyncio
from typing import Any

import pytest

from bot.playground.slack import LocalSlack
from tests.conftest import RUN_PATHS, House, bot_messages, text_of

_COUNT = "One two three four five six."


def general(house: House) -> str:
    return house.slack.channels["general"].id


def said(house: House, thread: str) -> list[str]:
    return [text_of(message) for message in bot_messages(house.slack, general(house), thread)]


async def until(house: House, thread: str, words: str, timeout: float = 30) -> None:
    """Until Bobbin says this in a thread, and no stream is open there."""

    def done(slack: LocalSlack) -> bool:
        shown = bot_messages(slack, general(house), thread)
        return words in "\n".join(map(text_of, shown)) and not any(m.get("streaming") for m in shown)

    await house.slack.wait_for(done, timeout)


async def half_an_answer(house: House) -> str:
    """A question whose answer stands still after its first words. Returns its thread."""
    ts = await house.ask("count")
    await house.slack.wait_for(lambda slack: bot_messages(slack, general(house), ts))
    return ts


@pytest.mark.parametrize("backend", ["assistants"])
async def test_an_outage_of_slack_in_mid_answer_loses_nothing(house: House) -> None:
    """It lasts longer than a handful of repetitions."""
    gate = asyncio.Event()
    house.brain(lambda _: _COUNT, gate=gate, open_words=3)
    async with house.bobbin():
        ts = await half_an_answer(house)
        for method in ("chat.appendStream", "chat.stopStream", "chat.update", "chat.postMessage"):
            house.slack.faults.add(method=method, status=503, times=None)
        failed = len(house.slack.calls) + 7
        gate.set()
        await house.slack.wait_for(lambda slack: len(slack.calls) >= failed, 60)
        house.slack.faults.clear()
        await until(house, ts, _COUNT, 40)
    assert said(house, ts) == [_COUNT]


async def test_a_run_that_fails_after_a_restart_says_so_and_keeps_what_was_shown(house: House) -> None:
    house.brain(lambda _: _COUNT, gate=asyncio.Event(), open_words=3)
    async with house.bobbin(bobbin_grace=0):
        ts = await half_an_answer(house)
        [shown] = said(house, ts)
    async with house.bobbin(openai_api_key="sk-wrong"):
        await until(house, ts, "refuses Bobbin's key")
    assert said(house, ts)[0] == shown


async def test_an_answer_whose_message_was_deleted_while_nobody_was_there_is_said_again(house: House) -> None:
    gate = asyncio.Event()
    house.brain(lambda _: _COUNT, gate=gate, open_words=3)
    async with house.bobbin(bobbin_grace=0):
        ts = await half_an_answer(house)
    [message] = bot_messages(house.slack, general(house), ts)
    del house.slack.workspace.messages[general(house)][message["ts"]]
    gate.set()
    async with house.bobbin():
        await until(house, ts, _COUNT)
    assert said(house, ts) == [_COUNT]


@pytest.mark.parametrize("backend", ["assistants"])
async def test_a_stream_that_ends_in_a_code_block_leaves_no_open_fence(house: House) -> None:
    asked = asyncio.Event()

    async def pieces() -> Any:
        yield "Look:\n\n```python\n" + "x = 1\n" * 10
        await asked.wait()
        house.slack.expire_streams()
        yield "x = 1\n" * 10
        await house.slack.wait_for(lambda _: said(house, ts)[0].count("```") == 2)
        yield "```\nThat was it."

    house.brain(lambda _: pieces())
    async with house.bobbin():
        ts = await half_an_answer(house)
        asked.set()
        await until(house, ts, "That was it.")
    first, second = said(house, ts)
    assert (first.count("```"), second.count("```")) == (2, 2)
    lines = [line for line in (first + "\n" + second).splitlines() if line and not line.startswith("```")]
    assert lines == ["Look:", *["x = 1"] * 20, "That was it."]


@pytest.mark.parametrize("backend", ["assistants"])
async def test_a_status_line_that_hangs_holds_no_words_up(house: House) -> None:
    house.brain(lambda _: "Fine.")
    for method in ("assistant.threads.setStatus", "agents.sessions.setStatus"):
        house.slack.faults.add(method=method, delay=25, times=None)
    async with house.bobbin(bobbin_grace=0):
        ts = await house.ask("hello")
        await house.slack.wait_for(lambda _: said(house, ts) == ["Fine."], 12)


@pytest.mark.parametrize("backend", ["assistants"])
async def test_stop_is_said_at_once_where_the_backend_hangs(house: House) -> None:
    house.brain(lambda _: _COUNT, gate=asyncio.Event(), open_words=3)
    house.openai.faults.add(method="POST", path="/threads/{t}/runs/{r}/cancel", hang=True, times=None)
    async with house.bobbin(bobbin_grace=0):
        ts = await half_an_answer(house)
        await house.ask("stop", thread=ts)
        await house.slack.wait_for(lambda _: said(house, ts)[-1] == "Stopped.", 5)


@pytest.mark.parametrize("backend", ["assistants"])
async def test_what_is_only_to_be_read_carries_no_hourglass_and_is_forgotten_by_a_reset(house: House) -> None:
    gate = asyncio.Event()
    house.brain(lambda _: _COUNT, gate=gate)
    grace = house.slack.users["grace"].id
    async with house.bobbin():
        ts = await half_an_answer(house)
        aside = await house.slack.post("ada", general(house), f"<@{grace}> a secret", thread_ts=ts)
        await house.slack.idle()
        gate.set()
        await until(house, ts, _COUNT)
        message = next(m for m in house.slack.messages(general(house)) if m["ts"] == aside)
        assert not message.get("reactions")
        await house.ask("reset", thread=ts)
        await house.slack.wait_for(lambda slack: slack.ephemerals)
        await house.ask("two", thread=ts)
        await house.answers(ts, 2)
    assert "secret" not in str(house.heard())


async def test_retry_keeps_the_line_that_says_who_pressed_it(house: House) -> None:
    house.brain(lambda _: "Fine.")
    house.openai.faults.add(method="POST", path=RUN_PATHS[house.settings["bobbin_backend"]], status=400, code="x")
    async with house.bobbin():
        ts = await house.ask("hello")
        await house.answers(ts)
        [notice] = bot_messages(house.slack, general(house), ts)
        await house.slack.click("ada", general(house), notice["ts"], "retry_run")
        await until(house, ts, "Fine.")
        await house.slack.wait_for(lambda _: "Tried again by" in said(house, ts)[0])
    assert said(house, ts)[1:] == ["Fine."]


@pytest.mark.parametrize("backend", ["assistants", "responses"])
async def test_a_run_goes_on_when_the_backend_was_changed_in_between(house: House) -> None:
    house.brain(lambda _: _COUNT, gate=asyncio.Event(), open_words=3)
    other = {"assistants": "responses", "responses": "assistants"}[house.settings["bobbin_backend"]]
    async with house.bobbin(bobbin_grace=0):
        ts = await half_an_answer(house)
    house.brain(lambda _: _COUNT)
    async with house.bobbin(bobbin_backend=other):
        await until(house, ts, _COUNT)
    assert said(house, ts) == [_COUNT]


@pytest.mark.parametrize("body", ["{bro", "[]", "<html>Bad gateway</html>"])
@pytest.mark.parametrize("backend", ["assistants"])
async def test_an_answer_of_slacks_that_is_no_object_is_a_cut_like_any_other(house: House, body: str) -> None:
    house.brain(lambda _: _COUNT)
    house.slack.faults.add(method="chat.stopStream", body=body)
    async with house.bobbin():
        ts = await house.ask("count")
        await until(house, ts, _COUNT)
    assert said(house, ts) == [_COUNT]


async def test_white_space_alone_is_never_sent(house: House) -> None:
    """Slack refuses it with no_text."""

    asked = asyncio.Event()

    async def pieces() -> Any:
        yield "Hello"
        await asked.wait()
        yield "\n"

    house.brain(lambda _: pieces())
    async with house.bobbin():
        ts = await half_an_answer(house)
        asked.set()
        await until(house, ts, "Hello")
    assert said(house, ts)[0].strip() == "Hello"
    assert len(said(house, ts)) == 1
    streamed = [call.arguments.get("chunks") or [] for call in house.slack.calls if "Stream" in call.method]
    texts = [chunk["text"] for chunks in streamed for chunk in chunks]
    assert texts
    assert all(text.strip() for text in texts)

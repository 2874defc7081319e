"""What breaks between Bobbin and the world: disks, locks, sockets, latency, and Slack's deliveries."""

import asyncio
import contextlib
import resource
import sqlite3
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bot.playground.slack import LocalSlack
from tests.conftest import House, bot_messages, text_of
from tests.wire import Wire, port_of, through


def general(house: House) -> str:
    return house.slack.channels["general"].id


def texts(slack: LocalSlack, thread: str) -> list[str]:
    return [text_of(message) for message in bot_messages(slack, slack.channels["general"].id, thread)]


def environment(house: House) -> dict[str, str]:
    return {name.upper(): str(value) for name, value in house.settings.items()} | {"BOBBIN_LOG_LEVEL": "ERROR"}


@contextlib.asynccontextmanager
async def serving(house: House) -> AsyncIterator[asyncio.subprocess.Process]:
    """A real `bobbin serve`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "serve", env=environment(house), stderr=asyncio.subprocess.PIPE
    )
    try:
        await house.slack.wait_for(lambda slack: slack.connections, 30)
        yield process
    finally:
        process.terminate()
        await process.communicate()


async def logged(process: asyncio.subprocess.Process, part: str) -> None:
    """Until the process logs this."""
    assert process.stderr
    async with asyncio.timeout(30):
        while part not in (await process.stderr.readline()).decode():
            pass


def limit_files(process: asyncio.subprocess.Process, size: int) -> None:
    """No file of the process may grow beyond `size` bytes: what a full disk is to it."""
    _, most = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, most))


@pytest.mark.parametrize("backend", ["assistants"])
async def test_on_a_full_disk_slack_is_not_told_received_and_sends_it_again(house: House) -> None:
    house.brain(lambda _: "Fine.")
    async with serving(house) as process:
        limit_files(process, 0)
        ts = await house.ask("hello")
        for _twin in ("message", "app_mention"):
            await logged(process, "listener-failed")
        limit_files(process, resource.RLIM_INFINITY)
        assert await house.answers(ts, timeout=30) == ["Fine."]
        await house.slack.idle(30)
    assert min(ack.attempts for ack in house.slack.acks) > 1


@pytest.mark.parametrize("backend", ["assistants"])
async def test_a_locked_database_delays_and_loses_nothing(house: House) -> None:
    house.brain(lambda _: "Fine.")
    path = house.settings["database_url"].removeprefix("sqlite:///")
    async with serving(house) as process:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            ts = await house.ask("hello")
            for _twin in ("message", "app_mention"):
                await logged(process, "listener-failed")
            other.execute("ROLLBACK")
        assert await house.answers(ts, timeout=30) == ["Fine."]


@pytest.mark.parametrize("method", ["chat.startStream", "chat.appendStream", "chat.stopStream"])
async def test_slow_slack_calls_delay_the_answer_and_change_nothing(house: House, method: str) -> None:
    house.slack.faults.add(method=method, delay=1.0, times=None)
    house.brain(lambda _: "word " * 40 + "end.")
    async with house.bobbin():
        ts = await house.ask("go on")
        assert await house.answers(ts, timeout=30) == ["word " * 40 + "end."]


@pytest.mark.parametrize("backend", ["assistants"])
async def test_a_half_open_connection_to_slack_ends_in_time_and_the_answer_is_whole(house: House) -> None:
    """The call that hangs is given up after the session's timeout; what it should have shown is shown all the same."""
    gate = asyncio.Event()
    house.brain(lambda _: "One two three four five six.", gate=gate, open_words=3)
    wire = Wire(port_of(house.slack.api_url))
    async with wire.open() as port, house.bobbin(slack_api_url=through(port, house.slack.api_url)):
        ts = await house.ask("count")
        await house.slack.wait_for(lambda slack: bot_messages(slack, general(house), ts))
        wire.fall_silent()
        gate.set()
        await house.slack.wait_for(lambda slack: texts(slack, ts) == ["One two three four five six."], 50)


async def test_deliveries_twice_late_and_in_another_order_make_one_answer_each(house: House) -> None:
    house.brain(lambda question: f"You said: {question.last}")
    ada = house.slack.users["ada"].id

    def event(kind: str, ts: str, text: str, thread: str | None) -> dict[str, Any]:
        place = {"channel": general(house), "channel_type": "channel"} | ({"thread_ts": thread} if thread else {})
        return {"type": kind, "user": ada, "text": text, "ts": ts, "event_ts": ts, **place}

    async with house.bobbin():
        root = await house.ask("one")
        await house.answers(root)
        second = await house.slack.post("ada", general(house), "two", thread_ts=root)
        assert len(await house.answers(root, 2)) == 2
        mention = f"<@{house.slack.bot_user_id}> one"
        for late in (
            event("message", second, "two", root),
            event("app_mention", root, mention, None),
            event("message", root, mention, None),
        ):
            await house.slack.deliver(late)
        third = await house.slack.post("ada", general(house), "three", thread_ts=root)
        said = await house.answers(root, 3)
    assert said[2] == "You said: Ada Lovelace: three"
    assert len(said) == 3
    assert third


async def test_a_reply_that_arrives_before_the_mention_it_answers_to_is_not_lost(house: House) -> None:
    house.brain(lambda question: f"You said: {question.last}")
    ada = house.slack.users["ada"].id

    def event(ts: str, text: str, thread: str | None) -> dict[str, Any]:
        place = {"channel": general(house), "channel_type": "channel"} | ({"thread_ts": thread} if thread else {})
        return {"type": "message", "user": ada, "text": text, "ts": ts, "event_ts": ts, **place}

    async with house.bobbin():
        root = await house.slack.post("ada", general(house), "nobody hears this one yet")
        early = f"{float(root) + 1:.6f}"
        await house.slack.deliver(event(early, "two", root))
        await house.slack.deliver(event(root, f"<@{house.slack.bot_user_id}> one", None))
        await house.slack.wait_for(lambda slack: "two" in str(bot_messages(slack, general(house), root)))

"""The rate governor, against a local Slack that counts."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.errors import SlackRefused
from bot.playground.slack import LocalSlack
from bot.render.governor import UNCERTAIN, Governor, Urgency


@contextlib.asynccontextmanager
async def office(**rates: float) -> AsyncIterator[tuple[LocalSlack, Governor]]:
    async with LocalSlack() as slack, aiohttp.ClientSession() as session:
        client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, session=session, retry_handlers=[])
        named = {name.replace("_", "."): rate for name, rate in rates.items()}
        yield slack, Governor(client, named) if named else Governor(client)


async def post(slack: LocalSlack) -> dict[str, str]:
    general = slack.channels["general"].id
    return {"channel": general, "ts": await slack.post("ada", general, "hi")}


async def test_a_429_is_waited_out_and_the_call_made() -> None:
    async with office() as (slack, governor):
        slack.faults.add(method="users.info", status=429, retry_after=1)
        response = await governor.call("users.info", {"user": "U0ADA"}, reads=True)
        assert response["ok"]
        assert [call.response["ok"] for call in slack.calls] == [False, True]


async def test_after_a_429_only_one_call_tries_the_water() -> None:
    async with office(users_info=600) as (slack, governor):
        slack.faults.add(method="users.info", status=429, retry_after=1)
        calls = [governor.call("users.info", {"user": "U0ADA"}, reads=True) for _ in range(5)]
        await asyncio.gather(*calls)
        refused = [call for call in slack.calls if not call.response["ok"]]
        assert len(refused) == 1


async def test_a_burst_that_is_refused_together_slows_down_once() -> None:
    """Each refusal used to lower the rate anew, so that fifty final texts took ten minutes."""
    async with office(users_info=600) as (slack, governor):
        slack.faults.add(method="users.info", status=429, retry_after=1, times=30)
        calls = [governor.call("users.info", {"user": "U0ADA"}, reads=True) for _ in range(30)]
        async with asyncio.timeout(15):
            await asyncio.gather(*calls)
        assert sum(1 for call in slack.calls if call.response["ok"]) == 30


async def test_urgent_calls_pass_those_that_can_wait() -> None:
    async with office(users_info=60) as (_, governor):
        await asyncio.gather(*(governor.call("users.info", {"user": "U0ADA"}, reads=True) for _ in range(60)))
        order: list[str] = []

        async def call(name: str, urgency: Urgency) -> None:
            await governor.call("users.info", {"user": "U0ADA"}, urgency=urgency, reads=True)
            order.append(name)

        update = asyncio.create_task(call("update", Urgency.UPDATE))
        await asyncio.sleep(0)
        final = asyncio.create_task(call("final", Urgency.FIRST_OR_FINAL))
        await asyncio.gather(update, final)
        assert order == ["final", "update"]


async def test_who_is_cancelled_in_line_takes_no_turn() -> None:
    async with office(users_info=60) as (slack, governor):
        await asyncio.gather(*(governor.call("users.info", {"user": "U0ADA"}, reads=True) for _ in range(60)))
        first = asyncio.create_task(governor.turn("users.info", "", Urgency.UPDATE))
        await asyncio.sleep(0)
        second = asyncio.create_task(governor.call("users.info", {"user": "U0ADA"}, urgency=Urgency.UPDATE, reads=True))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second)["ok"]
        assert len(slack.calls) == 61


async def test_a_repeatable_call_is_repeated_and_another_is_not() -> None:
    async with office() as (slack, governor):
        at = await post(slack)
        arguments = {"channel": at["channel"], "thread_ts": at["ts"], "text": "hello"}
        slack.faults.add(method="chat.postMessage", drop=True, when="after")
        with pytest.raises(SlackRefused) as raised:
            await governor.call("chat.postMessage", arguments, repeatable=False)
        assert raised.value.code == UNCERTAIN
        assert len(slack.messages(at["channel"], at["ts"])) == 2
        slack.faults.add(method="users.info", status=500, times=2)
        assert (await governor.call("users.info", {"user": "U0ADA"}, reads=True))["ok"]


async def test_what_slack_refuses_has_slacks_code() -> None:
    async with office() as (_, governor):
        with pytest.raises(SlackRefused) as raised:
            await governor.call("users.info", {"user": "U0NOBODY"}, reads=True)
        assert raised.value.code == "user_not_found"

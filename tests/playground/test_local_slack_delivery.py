"""How the local Slack's events reach an app: Socket Mode, signed HTTP, retries."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from slack_bolt.async_app import AsyncApp
from slack_sdk.signature import Clock, SignatureVerifier

from bot.playground.slack import LocalSlack
from tests.playground.slack_client import app_of, bolt_handler, client_of, connected, manifest_of, raw, served

GENERAL, LAB = "C0GENERAL", "G0LAB"


@pytest.fixture
async def slack() -> AsyncIterator[LocalSlack]:
    async with LocalSlack(ack_timeout=0.1, redeliver_after=(0.0, 0.05, 0.05)) as local:
        yield local


@pytest.fixture
def heard() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def app(slack: LocalSlack, heard: list[dict[str, Any]]) -> AsyncApp:
    """Hears everything."""
    bolt = app_of(slack)

    async def hear(body: dict[str, Any]) -> None:
        heard.append(body)

    for event in ("message", "app_mention", "agent_session_stopped", "app_home_opened"):
        bolt.event(event)(hear)
    return bolt


async def link(slack: LocalSlack) -> str:
    return str((await raw(slack, "apps.connections.open", slack.app_token))[1]["url"])


# What is told


async def test_a_mention_is_told_twice_and_looks_like_slacks(
    slack: LocalSlack, app: AsyncApp, heard: list[dict[str, Any]]
) -> None:
    async with connected(slack, app):
        ts = await slack.post("ada", GENERAL, f"<@{slack.bot_user_id}> hi &amp; <https://example.org|x>")
        await slack.idle()
    bodies = {body["event"]["type"]: body for body in heard}
    assert set(bodies) == {"message", "app_mention"}
    message, mention = bodies["message"], bodies["app_mention"]
    assert message["event"]["ts"] == mention["event"]["ts"] == ts
    assert message["event_id"] != mention["event_id"]
    assert message["event"]["channel_type"] == "channel"
    assert "channel_type" not in mention["event"]
    assert message["authorizations"][0]["user_id"] == slack.bot_user_id
    assert (message["team_id"], message["api_app_id"]) == (slack.team_id, slack.app_id)
    [section] = message["event"]["blocks"][0]["elements"]
    assert [part["type"] for part in section["elements"]] == ["user", "text", "link"]
    assert section["elements"][1]["text"] == " hi & "


async def test_direct_messages_have_no_app_mention(
    slack: LocalSlack, app: AsyncApp, heard: list[dict[str, Any]]
) -> None:
    async with connected(slack, app):
        await slack.post("ada", slack.dm("ada"), f"<@{slack.bot_user_id}> hi")
        await slack.idle()
    assert [(body["event"]["type"], body["event"]["channel_type"]) for body in heard] == [("message", "im")]


async def test_edits_and_deletions_are_told(slack: LocalSlack, app: AsyncApp, heard: list[dict[str, Any]]) -> None:
    async with connected(slack, app):
        ts = await slack.post("ada", GENERAL, "one")
        await slack.edit("ada", GENERAL, ts, "two")
        await slack.idle()
        await slack.delete("ada", GENERAL, ts)
        await slack.idle()
    changed, deleted = (body["event"] for body in heard[1:])
    assert (changed["subtype"], changed["message"]["text"], changed["previous_message"]["text"]) == (
        "message_changed",
        "two",
        "one",
    )
    assert (deleted["subtype"], deleted["deleted_ts"]) == ("message_deleted", ts)


async def test_an_app_hears_what_it_writes_itself(slack: LocalSlack) -> None:
    """Slack tells an app of its own posts too; a bot that does not look at bot_id answers itself."""
    app = AsyncApp(client=client_of(slack), ignoring_self_events_enabled=False)
    heard: list[dict[str, Any]] = []

    @app.event("message")
    async def hear(event: dict[str, Any]) -> None:
        heard.append(event)

    async with connected(slack, app):
        ts = (await app.client.chat_postMessage(channel=GENERAL, text=f"I am <@{slack.bot_user_id}>"))["ts"]
        await slack.idle()
        await app.client.chat_update(channel=GENERAL, ts=ts, text="two")
        await slack.idle()
        await app.client.chat_delete(channel=GENERAL, ts=ts)
        await slack.idle()
    assert [event.get("subtype") for event in heard] == [None, "message_changed", "message_deleted"]
    assert heard[0]["bot_id"] == slack.bot_id


async def test_the_app_hears_only_where_it_is_and_what_it_subscribed_to() -> None:
    manifest = manifest_of("channels:history", events=("message.channels",))
    async with LocalSlack(manifest=manifest) as slack:
        heard: list[str] = []
        app = app_of(slack)

        @app.event("message")
        async def hear(event: dict[str, Any]) -> None:
            heard.append(event["text"])

        async with connected(slack, app):
            await slack.post("ada", "C0RANDOM", "not there")
            await slack.post("ada", LAB, "not subscribed")
            await slack.post("ada", GENERAL, f"<@{slack.bot_user_id}> once")
            await slack.open_home("ada")
            await slack.stop_stream("ada", GENERAL, "1.1")
            await slack.idle()
        assert heard == [f"<@{slack.bot_user_id}> once"]
        assert len(slack.acks) == 1


async def test_any_event_can_be_sent(slack: LocalSlack, app: AsyncApp, heard: list[dict[str, Any]]) -> None:
    async with connected(slack, app):
        ack = await slack.deliver({"type": "message", "text": "raw"}, event_id="Ev1")
        assert (ack.event_type, ack.event_id, ack.attempts) == ("message", "Ev1", 1)
        assert ack.seconds is not None
        await slack.deliver_body({"type": "event_callback", "event": {"type": "app_mention"}, "event_id": "Ev2"})
    assert [body["event_id"] for body in heard] == ["Ev1", "Ev2"]


# Socket Mode


async def test_events_wait_for_the_app(slack: LocalSlack, app: AsyncApp, heard: list[dict[str, Any]]) -> None:
    await slack.post("ada", GENERAL, "is anybody there?")
    assert not slack.delivery.idle
    async with connected(slack, app):
        await slack.idle()
    assert heard[0]["event"]["text"] == "is anybody there?"


async def test_what_is_not_acknowledged_comes_again_three_times(slack: LocalSlack) -> None:
    frames: list[dict[str, Any]] = []
    async with aiohttp.ClientSession() as session, session.ws_connect(await link(slack)) as socket:
        hello = await socket.receive_json()
        assert (hello["type"], hello["num_connections"]) == ("hello", 1)
        await slack.post("ada", GENERAL, "hello?")
        frames += [await socket.receive_json() for _ in range(4)]
        await slack.idle()
    assert len({frame["envelope_id"] for frame in frames}) == 1
    assert len({frame["payload"]["event_id"] for frame in frames}) == 1
    assert [frame["retry_attempt"] for frame in frames] == [0, 1, 2, 3]
    assert [frame["retry_reason"] for frame in frames] == ["", "timeout", "timeout", "timeout"]
    assert (slack.acks[0].seconds, slack.acks[0].attempts) == (None, 4)


async def test_an_event_takes_no_answer(slack: LocalSlack) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(await link(slack)) as socket:
        await socket.receive_json()
        await slack.post("ada", GENERAL, "hello?")
        frame = await socket.receive_json()
        assert frame["accepts_response_payload"] is False
        await socket.send_json({"envelope_id": frame["envelope_id"], "payload": {"text": "hi"}})
        again = await socket.receive_json()
        await socket.send_json({"envelope_id": again["envelope_id"]})
        await slack.idle()
    assert len(slack.delivery.refused_acks) == 1
    assert slack.acks[0].attempts == 2


async def test_each_envelope_goes_to_one_of_several_connections(slack: LocalSlack) -> None:
    counts = [0, 0]

    async def client(number: int, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            frame = json.loads(message.data)
            if frame["type"] != "hello":
                counts[number] += 1
                await socket.send_json({"envelope_id": frame["envelope_id"]})

    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(await link(slack)) as one,
        session.ws_connect(await link(slack)) as two,
        asyncio.TaskGroup() as group,
    ):
        tasks = [group.create_task(client(number, socket)) for number, socket in enumerate((one, two))]
        await slack.wait_for(lambda each: each.connections == 2)
        for number in range(10):
            await slack.post("ada", GENERAL, str(number))
        await slack.idle()
        for task in tasks:
            task.cancel()
    assert sum(counts) == 10
    assert min(counts) > 0


async def test_connections_need_a_ticket_that_counts_once(slack: LocalSlack) -> None:
    """A page of another site may open a WebSocket to this machine, but cannot ask for a ticket."""
    url = await link(slack)
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url):
            pass
        for bad in (url, url.partition("?")[0], f"{url}x"):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
                await session.ws_connect(bad)
            assert refusal.value.status == 401


async def test_there_are_ten_connections_at_most(slack: LocalSlack) -> None:
    async with aiohttp.ClientSession() as session:
        sockets = [await session.ws_connect(await link(slack)) for _ in range(10)]
        await slack.wait_for(lambda each: each.connections == 10)
        eleventh = await session.ws_connect(await link(slack))
        assert (await eleventh.receive_json())["reason"] == "too_many_websockets"
        for socket in (*sockets, eleventh):
            await socket.close()


async def test_nonsense_ends_the_connection(slack: LocalSlack) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(await link(slack)) as socket:
        await socket.receive_json()
        await socket.send_str("not json")
        assert (await socket.receive()).data == 1007


async def test_a_refreshed_client_comes_back_and_loses_nothing(
    slack: LocalSlack, app: AsyncApp, heard: list[dict[str, Any]]
) -> None:
    async with connected(slack, app):
        await slack.disconnect("refresh_requested")
        await slack.post("ada", GENERAL, "during")
        await slack.wait_for(lambda _: heard)
        await slack.idle()
    assert [body["event"]["text"] for body in heard] == ["during"]


# Signed HTTP


async def test_http_requests_are_signed(slack: LocalSlack) -> None:
    verifier = SignatureVerifier(slack.signing_secret, clock=_ClockOf(slack))
    valid: list[bool] = []

    async def handle(request: web.Request) -> web.Response:
        valid.append(verifier.is_valid_request(await request.read(), dict(request.headers)))
        return web.Response()

    async with served(handle) as url:
        slack.set_delivery_http(url)
        await slack.post("ada", GENERAL, "hi ü")
        await slack.idle()
    assert valid == [True]


class _ClockOf(Clock):
    """The verifier's clock, which is the local Slack's."""

    def __init__(self, slack: LocalSlack) -> None:
        self._slack = slack

    def now(self) -> float:
        return self._slack.workspace.clock()


async def test_bolt_answers_over_http(slack: LocalSlack, app: AsyncApp, heard: list[dict[str, Any]]) -> None:
    async with served(bolt_handler(app)) as url:
        slack.set_delivery_http(url)
        assert await slack.verify_url()
        await slack.post("ada", GENERAL, "hi")
        await slack.idle()
    assert heard[0]["event"]["text"] == "hi"
    assert slack.acks[0].attempts == 1


@pytest.mark.parametrize(
    ("status", "headers", "attempts", "reason"),
    [(500, {}, 4, "http_error"), (302, {"Location": "/"}, 4, "http_error"), (500, {"X-Slack-No-Retry": "1"}, 1, None)],
)
async def test_http_failures_come_again_with_a_reason(
    slack: LocalSlack, status: int, headers: dict[str, str], attempts: int, reason: str | None
) -> None:
    seen: list[tuple[str | None, str | None]] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append((request.headers.get("x-slack-retry-num"), request.headers.get("x-slack-retry-reason")))
        return web.Response(status=status, headers=headers)

    async with served(handle) as url:
        slack.set_delivery_http(url)
        await slack.post("ada", GENERAL, "hi")
        await slack.idle()
    assert seen == [(None, None), ("1", reason), ("2", reason), ("3", reason)][:attempts]
    assert slack.acks[0].seconds is None


async def test_slow_and_absent_servers_have_their_own_reasons(slack: LocalSlack) -> None:
    seen: list[str | None] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append(request.headers.get("x-slack-retry-reason"))
        if len(seen) == 1:
            await asyncio.sleep(0.3)  # longer than the local Slack waits
        return web.Response()

    async with served(handle) as url:
        slack.set_delivery_http(url)
        await slack.post("ada", GENERAL, "hi")
        await slack.idle()
    assert seen == [None, "http_timeout"]
    await slack.post("ada", GENERAL, "nobody there now")
    await slack.idle()
    assert (slack.acks[1].seconds, slack.acks[1].attempts) == (None, 4)


async def test_waiting_in_vain_says_what_there_was(slack: LocalSlack) -> None:
    await slack.post("ada", "C0RANDOM", "the last words")
    with pytest.raises(TimeoutError, match="the last words"):
        await slack.wait_for(lambda _: False, timeout=0.01)

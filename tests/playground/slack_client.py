"""What the tests of the local Slack share: the real slack_sdk and slack_bolt as its clients."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.playground.slack import LocalSlack


class Clock:
    """A clock that a test moves; seconds."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


def client_of(slack: LocalSlack) -> AsyncWebClient:
    return AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, retry_handlers=[])


def app_of(slack: LocalSlack) -> AsyncApp:
    return AsyncApp(client=client_of(slack), signing_secret=slack.signing_secret)


@contextlib.asynccontextmanager
async def connected(slack: LocalSlack, app: AsyncApp) -> AsyncIterator[AsyncSocketModeHandler]:
    """The app, listening over Socket Mode."""
    handler = AsyncSocketModeHandler(app, slack.app_token)
    await handler.connect_async()
    try:
        await slack.wait_for(lambda each: each.connections)
        yield handler
    finally:
        await handler.close_async()


@contextlib.asynccontextmanager
async def served(handler: Any) -> AsyncIterator[str]:
    """An aiohttp handler behind an address of its own."""
    server = web.Application()
    server.router.add_post("/slack/events", handler)
    runner = web.AppRunner(server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
    finally:
        await runner.cleanup()


def bolt_handler(app: AsyncApp) -> Any:
    async def handle(request: web.Request) -> web.Response:
        return await to_aiohttp_response(await app.async_dispatch(await to_bolt_request(request)))

    return handle


async def refused(call: Any) -> str:
    """Slack's code for a call that it must refuse."""
    with pytest.raises(SlackApiError) as refusal:
        await call
    return str(refusal.value.response["error"])


async def raw(slack: LocalSlack, method: str, token: str | None = None, **request: Any) -> tuple[int, dict[str, Any]]:
    """A call without an SDK's manners: its status and answer."""
    headers = {"Authorization": f"Bearer {token or slack.bot_token}", **request.pop("headers", {})}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{slack.api_url}{method}", headers=headers, **request) as answer,
    ):
        return answer.status, await answer.json()


def manifest_of(*scopes: str, events: tuple[str, ...] = (), **features: Any) -> dict[str, Any]:
    """A manifest that asks for these scopes and events."""
    return {
        "features": features,
        "oauth_config": {"scopes": {"bot": list(scopes)}},
        "settings": {
            "event_subscriptions": {"bot_events": list(events)},
            "interactivity": {"is_enabled": True},
        },
    }

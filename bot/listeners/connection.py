"""How Bobbin gets to Slack: whose its tokens are, and the WebSocket of Socket Mode.

https://docs.slack.dev/apis/events-api/using-socket-mode
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
import structlog
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.errors import SettingsError, SlackRefused
from bot.render.governor import BROKEN_ANSWERS, is_passing, is_rate_limit, refusal, retry_after

_log = structlog.get_logger()

#: Seconds for one WebSocket handshake.
_HANDSHAKE = 15.0
_NOT_WELL = "Slack is not answering as it should ({why}). Nothing is wrong with the settings; please start again later."


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that Slack has at a start to be well again; before another attempt, at first and at most."""

    total: float = 30.0
    first: float = 0.5
    longest: float = 30.0


_PATIENCE = Patience()


async def identify(slack: AsyncWebClient, patience: Patience = _PATIENCE) -> AsyncSlackResponse:
    """Who the bot token belongs to (auth.test). Raises SettingsError where Slack refuses the token or cannot be
    reached, SlackRefused where Slack is not well for longer than `patience`."""
    return await _asked(
        slack,
        slack.auth_test,
        "SLACK_BOT_TOKEN: Slack refused it ({code}); copy the token again from OAuth & Permissions, on your app's page "
        "at api.slack.com/apps.",
        patience,
    )


async def open_socket_mode(slack: AsyncWebClient, app_token: str, patience: Patience = _PATIENCE) -> str:
    """The address of one Socket Mode connection (apps.connections.open). Raises as `identify` does."""

    async def opened() -> AsyncSlackResponse:
        return await slack.apps_connections_open(app_token=app_token)

    response = await _asked(
        slack,
        opened,
        "SLACK_APP_TOKEN: Slack refused it ({code}); make an app-level token with connections:write, and switch Socket "
        "Mode on, at api.slack.com/apps.",
        patience,
    )
    return str(response["url"])


@asynccontextmanager
async def socket_mode(app: AsyncApp, app_token: str, patience: Patience = _PATIENCE) -> AsyncIterator[None]:
    """Slack's events come to the app by a WebSocket. Raises as `identify` does."""
    # Asked for by ourselves, because the SDK's client would go on asking for ever with a token that Slack refuses.
    url = await open_socket_mode(app.client, app_token, patience)
    handler = AsyncSocketModeHandler(app, app_token)
    handshakes = _Handshakes(handler.client, patience)
    handler.client.wss_uri = url
    handler.client.aiohttp_client_session = handshakes  # type: ignore[assignment]  # it has what the client uses
    try:
        try:
            async with asyncio.timeout(patience.total):
                await handler.connect_async()
        except TimeoutError as error:
            raise SlackRefused(_NOT_WELL.format(why=handshakes.why), "socket_mode", passing=True) from error
        yield
    finally:
        await handler.close_async()


class _Handshakes:
    """Stands for the HTTP session of the SDK's client. Slack's addresses let one connection in, once, and soon
    expire; the client would knock with the same one for ever. Here each attempt has an address of its own."""

    def __init__(self, client: SocketModeClient, patience: Patience) -> None:
        self.why = "no answer in time"
        self._client = client
        self._patience = patience
        self._session = client.aiohttp_client_session

    @property
    def closed(self) -> bool:
        return self._session.closed

    async def close(self) -> None:
        await self._session.close()

    async def ws_connect(self, url: str, **options: Any) -> aiohttp.ClientWebSocketResponse:
        """A connection, after as many attempts as it takes. Raises ConnectionError where the client was closed."""
        pause = self._patience.first
        while not self._client.closed:
            try:
                async with asyncio.timeout(_HANDSHAKE):
                    socket = await self._session.ws_connect(url or await self._address(), **options)
            except (SlackApiError, *BROKEN_ANSWERS, aiohttp.ClientError, TimeoutError, OSError) as error:
                self.why = _cause(error)
                _log.warning("socket-mode-not-open", cause=self.why)
            else:
                return cast("aiohttp.ClientWebSocketResponse", socket)
            url = ""
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._patience.longest)
        raise ConnectionError("Socket Mode was closed")

    async def _address(self) -> str:
        return str((await self._client.web_client.apps_connections_open(app_token=self._client.app_token))["url"])


def _cause(error: Exception) -> str:
    """Not the error's words: they have the address in them, which is a key."""
    if isinstance(error, SlackApiError):
        code, status, _ = refusal(error)
        return code or f"HTTP {status}"
    refused = getattr(error, "status", None)
    return f"HTTP {refused}" if refused else type(error).__name__


async def _asked(
    slack: AsyncWebClient, ask: Callable[[], Awaitable[AsyncSlackResponse]], refused: str, patience: Patience
) -> AsyncSlackResponse:
    """What Slack answers, once it is well. `refused` is the sentence for what it refuses, with its `code`."""
    why, pause = "no answer in time", patience.first
    try:
        async with asyncio.timeout(patience.total):
            while True:
                try:
                    return await ask()
                except SlackApiError as error:
                    code, status, headers = refusal(error)
                    if not (is_rate_limit(code, status) or is_passing(code, status)):
                        raise SettingsError(refused.format(code=code)) from error
                    why = code or f"HTTP {status}"
                    wait = retry_after(headers) if is_rate_limit(code, status) else pause
                except BROKEN_ANSWERS as error:
                    why, wait = f"an answer that cannot be read, {type(error).__name__}", pause
                _log.warning("slack-not-well", cause=why, retry_after=round(wait, 1))
                await asyncio.sleep(wait)
                pause = min(pause * 2, patience.longest)
    except aiohttp.ClientError as error:
        raise SettingsError(_unreachable(slack, str(error))) from error
    except TimeoutError as error:
        if why == "no answer in time":
            raise SettingsError(_unreachable(slack, why)) from error
        raise SlackRefused(_NOT_WELL.format(why=why), "not_well", passing=True) from error


def _unreachable(slack: AsyncWebClient, why: str) -> str:
    return f"SLACK_API_URL: {slack.base_url} cannot be reached ({why}); check it, and the network."

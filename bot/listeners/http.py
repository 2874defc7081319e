"""Slack over HTTP: `/slack/events` for everything Slack sends, `/healthz` for whoever watches the process."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.async_app import AsyncApp
from slack_sdk.signature import SignatureVerifier

from bot.errors import SettingsError

#: The largest body that is read; Slack's own are far smaller.
_BODY_LIMIT = 4 * 1024 * 1024


@asynccontextmanager
async def serve_http(
    app: AsyncApp,
    signing_secret: str,
    port: int,
    host: str = "0.0.0.0",  # noqa: S104 - a server
) -> AsyncIterator[str]:
    """Serve until left; yields the address. Raises SettingsError where the port is taken.

    On leaving, requests under way are finished first.
    """
    verifier = SignatureVerifier(signing_secret)

    async def events(request: web.Request) -> web.Response:
        # Before Bolt, which reads a body first and looks at its signature later.
        if not _signed(verifier, request.headers, await request.read()):
            return web.Response(status=401, text="not signed by Slack")
        try:
            asked = await to_bolt_request(request)
        except (ValueError, AttributeError):  # no JSON, or no object
            return web.Response(status=400, text="not a payload of Slack's")
        return await to_aiohttp_response(await app.async_dispatch(asked))

    async def health(_request: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    server = web.Application(client_max_size=_BODY_LIMIT)
    server.router.add_post("/slack/events", events)
    server.router.add_get("/healthz", health)
    runner = web.AppRunner(server, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise SettingsError(
                f"PORT: {port} cannot be used ({os.strerror(error.errno or 0).lower()}); choose another."
            ) from error
        yield f"http://{host}:{port}/slack/events"
    finally:
        await runner.cleanup()


def _signed(verifier: SignatureVerifier, headers: Mapping[str, str], body: bytes) -> bool:
    """https://docs.slack.dev/authentication/verifying-requests-from-slack. The SDK takes the number for granted."""
    timestamp, signature = headers.get("x-slack-request-timestamp", ""), headers.get("x-slack-signature", "")
    return timestamp.isdecimal() and timestamp.isascii() and verifier.is_valid(body, timestamp, signature)

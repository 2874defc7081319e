"""Slack over HTTP: `/slack/events` for everything Slack sends, `/healthz` for whoever watches the process."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.async_app import AsyncApp

from bot.errors import SettingsError

#: The largest body that is read; Slack's own are far smaller.
_BODY_LIMIT = 4 * 1024 * 1024


@asynccontextmanager
async def serve_http(app: AsyncApp, port: int, host: str = "0.0.0.0") -> AsyncIterator[str]:  # noqa: S104 - a server
    """Serve until left; yields the address. Raises SettingsError where the port is taken.

    On leaving, requests under way are finished first.
    """

    async def events(request: web.Request) -> web.Response:
        # Bolt takes the header's number for granted, and would answer 500.
        if not request.headers.get("x-slack-request-timestamp", "").isdecimal():
            return web.Response(status=401, text="not signed by Slack")
        return await to_aiohttp_response(await app.async_dispatch(await to_bolt_request(request)))

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

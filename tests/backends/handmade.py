"""Servers made by hand, for what the local one would never say."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import openai
from aiohttp import web

EMPTY_LIST: dict[str, Any] = {"object": "list", "data": [], "has_more": False}

Handler = Callable[[web.Request], Any]


@asynccontextmanager
async def serving(routes: dict[str, Handler]) -> AsyncIterator[openai.AsyncOpenAI]:
    """A client of a server with these routes, such as "GET /models"."""
    app = web.Application()
    for route, handler in routes.items():
        method, path = route.split()
        app.router.add_route(method, f"/v1{path}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    try:
        async with openai.AsyncOpenAI(api_key="k", base_url=f"http://127.0.0.1:{port}/v1", max_retries=0) as client:
            yield client
    finally:
        await runner.cleanup()


def answering(body: Any, status: int = 200) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(body, status=status)

    return answer


def streaming(*lines: str) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="".join(f"{line}\n\n" for line in lines), content_type="text/event-stream")

    return answer


def event(kind: str, **fields: Any) -> str:
    """An event of a response's stream."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}"


def thread_event(name: str, data: Any) -> str:
    """An event of a run's stream."""
    return f"event: {name}\ndata: {json.dumps(data)}"

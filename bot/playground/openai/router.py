"""The shape of an endpoint, and of its entry in the routing table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiohttp import web

from bot.playground.openai.calls import Call
from bot.playground.openai.records import Json

Endpoint: TypeAlias = Callable[[Call], Awaitable[Json | web.StreamResponse]]
Route: TypeAlias = tuple[str, str, Endpoint]
"""Method, path below /v1 with its placeholders, endpoint."""

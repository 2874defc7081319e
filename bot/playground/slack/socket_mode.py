"""Socket Mode: WebSocket connections of the app (https://docs.slack.dev/apis/events-api/using-socket-mode)."""

import asyncio
import json
import secrets
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp import web

from bot.playground.slack import limits
from bot.playground.slack.faults import Faults

Json = dict[str, Any]

#: Seconds between pings; a connection that does not answer one is dropped.
_HEARTBEAT = 30
_BAD_MESSAGE = 1007


class SocketMode:
    """Several connections at once; each envelope goes to one of them."""

    def __init__(self, app_id: str, faults: Faults, changed: Callable[[], None]) -> None:
        """`faults` of the method `link` are a handshake's, by their status; `changed` is called when a client comes
        or goes."""
        self._app_id = app_id
        self._faults = faults
        self._changed = changed
        self._sockets: list[web.WebSocketResponse] = []
        self._tickets: set[str] = set()
        self._connected = asyncio.Event()
        self._turn = 0

    @property
    def connections(self) -> int:
        return len(self._sockets)

    def ticket(self) -> str:
        """Lets one connection in, once: a page of another site, which cannot ask for one, is kept out."""
        ticket = secrets.token_urlsafe(16)
        self._tickets.add(ticket)
        return ticket

    async def serve(self, request: web.Request, answered: Callable[[Json], None]) -> web.StreamResponse:
        """One connection, until it ends. `answered` gets each acknowledgement."""
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            return web.Response(status=401, text="this ticket is not valid, or was used")
        self._tickets.remove(ticket)
        if fault := self._faults.take("link", None):
            return web.Response(status=fault.status or 503, text="not now")
        socket = web.WebSocketResponse(heartbeat=_HEARTBEAT)
        await socket.prepare(request)
        if len(self._sockets) >= limits.CONNECTIONS:
            await socket.send_json({"type": "disconnect", "reason": "too_many_websockets"})
            await socket.close()
            return socket
        await socket.send_json(self._hello())
        self._sockets.append(socket)
        self._connected.set()
        self._changed()
        try:
            await self._listen(socket, answered)
        finally:
            self._sockets.remove(socket)
            if not self._sockets:
                self._connected.clear()
            self._changed()
        return socket

    async def write(self, frame: Json) -> None:
        """Send to one of the connections, as soon as there is one. Raises ConnectionError."""
        while not self._sockets:
            await self._connected.wait()
        self._turn += 1
        await self._sockets[self._turn % len(self._sockets)].send_json(frame)

    async def disconnect(self, reason: str) -> None:
        """Ask every client to connect anew, as Slack does every few hours."""
        for socket in list(self._sockets):
            await socket.send_json({"type": "disconnect", "reason": reason, "debug_info": {"host": "local"}})

    async def close(self) -> None:
        for socket in list(self._sockets):
            await socket.close()

    def _hello(self) -> Json:
        return {
            "type": "hello",
            "num_connections": len(self._sockets) + 1,
            "debug_info": {"host": "local", "approximate_connection_time": 18_060},
            "connection_info": {"app_id": self._app_id},
        }

    async def _listen(self, socket: web.WebSocketResponse, answered: Callable[[Json], None]) -> None:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            try:
                answer = json.loads(message.data)
            except ValueError:
                await socket.close(code=_BAD_MESSAGE, message=b"not JSON")
                return
            answered(answer)

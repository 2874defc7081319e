"""Envelopes on their way to the app: over Socket Mode or signed HTTP, until they are acknowledged.

https://docs.slack.dev/apis/events-api/using-socket-mode, https://docs.slack.dev/apis/events-api#retries
"""

import asyncio
import hashlib
import hmac
import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode

import aiohttp
from aiohttp import web

from bot.playground.slack import limits

Json = dict[str, Any]
Kind = Literal["events_api", "interactive", "slash_commands"]

#: Slack sends an event again almost at once, then after a minute, then after five.
_RETRIES = 3


@dataclass(frozen=True, slots=True)
class Ack:
    """How one envelope was acknowledged: seconds after it was first sent, None if it never was."""

    kind: Kind
    event_type: str
    event_id: str
    seconds: float | None
    attempts: int
    payload: Any = None


@dataclass(slots=True)
class _Envelope:
    kind: Kind
    payload: Json
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    answered: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Delivery:
    """Sends envelopes, and sends them again while nobody says "received"."""

    def __init__(
        self,
        signing_secret: str,
        clock: Callable[[], float],
        changed: Callable[[], None],
        *,
        ack_timeout: float = limits.ACK_TIMEOUT,
        redeliver_after: Sequence[float] = (0.0, 60.0, 300.0),
    ) -> None:
        self.acks: list[Ack] = []
        self.refused_acks: list[Json] = []
        self.http_url: str | None = None
        self._secret = signing_secret
        self._clock = clock
        self._changed = changed
        self._ack_timeout = ack_timeout
        self._redeliver_after = tuple(redeliver_after)[:_RETRIES]
        self._sockets: list[web.WebSocketResponse] = []
        self._connected = asyncio.Event()
        self._waiting: dict[str, _Envelope] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._turn = 0
        self._session: aiohttp.ClientSession | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way."""
        return not self._tasks

    @property
    def connections(self) -> int:
        return len(self._sockets)

    def send(self, kind: Kind, payload: Json) -> asyncio.Task[Any]:
        """Begin to deliver; the task ends with the acknowledgement's payload, None where there was none."""
        task = asyncio.create_task(self._deliver(_Envelope(kind, payload)))
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for socket in list(self._sockets):
            await socket.close()
        if self._session:
            await self._session.close()

    async def disconnect(self, reason: str) -> None:
        """Ask every client to connect anew, as Slack does every few hours."""
        for socket in list(self._sockets):
            await socket.send_json({"type": "disconnect", "reason": reason, "debug_info": {"host": "local"}})

    async def serve_socket(self, request: web.Request) -> web.WebSocketResponse:
        """One Socket Mode connection."""
        socket = web.WebSocketResponse(heartbeat=30)
        await socket.prepare(request)
        hello = {"type": "hello", "num_connections": len(self._sockets) + 1, "connection_info": {"app_id": "A0BOBBIN"}}
        await socket.send_json(hello)
        self._sockets.append(socket)
        self._connected.set()
        self._changed()
        try:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._acknowledge(json.loads(message.data))
        finally:
            self._sockets.remove(socket)
            if not self._sockets:
                self._connected.clear()
            self._changed()
        return socket

    def _acknowledge(self, answer: Json) -> None:
        envelope = self._waiting.get(str(answer.get("envelope_id")))
        payload = answer.get("payload")
        if payload and envelope and envelope.kind == "events_api":
            self.refused_acks.append(answer)  # accepts_response_payload was false
        elif envelope and not envelope.answered.done():
            envelope.answered.set_result(payload)

    async def _deliver(self, envelope: _Envelope) -> Any:
        began = self._clock()
        attempts = 0
        # Kinder than Slack, which drops what happens while no client is connected: a person at the page would wonder.
        for pause in (None, *self._redeliver_after):
            if pause:
                await asyncio.sleep(pause)
            attempts += 1
            if await self._attempt(envelope, attempts - 1):
                payload = envelope.answered.result()
                self._record(envelope, self._clock() - began, attempts, payload)
                return payload
        self._record(envelope, None, attempts, None)
        return None

    async def _attempt(self, envelope: _Envelope, retry: int) -> bool:
        if self.http_url:
            return await self._post(envelope, retry)
        self._waiting[envelope.id] = envelope
        try:
            await self._write(envelope, retry)
            async with asyncio.timeout(self._ack_timeout):
                await asyncio.shield(envelope.answered)
        except (TimeoutError, ConnectionError):
            return False
        finally:
            del self._waiting[envelope.id]
        return True

    async def _write(self, envelope: _Envelope, retry: int) -> None:
        await self._connected.wait()
        self._turn += 1
        socket = self._sockets[self._turn % len(self._sockets)]
        frame: Json = {
            "envelope_id": envelope.id,
            "type": envelope.kind,
            "payload": envelope.payload,
            "accepts_response_payload": envelope.kind != "events_api",
        }
        if envelope.kind == "events_api":
            frame |= {"retry_attempt": retry, "retry_reason": "timeout" if retry else ""}
        await socket.send_json(frame)

    async def _post(self, envelope: _Envelope, retry: int) -> bool:
        """Signed as Slack signs (https://docs.slack.dev/authentication/verifying-requests-from-slack)."""
        form = envelope.kind != "events_api"
        body = _form(envelope) if form else json.dumps(envelope.payload)
        stamp = str(int(self._clock()))
        signature = hmac.new(self._secret.encode(), f"v0:{stamp}:{body}".encode(), hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/x-www-form-urlencoded" if form else "application/json",
            "X-Slack-Request-Timestamp": stamp,
            "X-Slack-Signature": f"v0={signature}",
        }
        if retry:
            headers |= {"X-Slack-Retry-Num": str(retry), "X-Slack-Retry-Reason": "http_timeout"}
        self._session = self._session or aiohttp.ClientSession()
        timeout = aiohttp.ClientTimeout(total=self._ack_timeout)
        try:
            async with self._session.post(str(self.http_url), data=body, headers=headers, timeout=timeout) as answer:
                text = await answer.text()
                if answer.status != 200:
                    return False
        except (aiohttp.ClientError, TimeoutError):
            return False
        envelope.answered.set_result(_payload(text))
        return True

    def _record(self, envelope: _Envelope, seconds: float | None, attempts: int, payload: Any) -> None:
        event = envelope.payload.get("event") or {}
        event_type = str(event.get("type") or envelope.payload.get("type") or envelope.payload.get("command"))
        event_id = str(envelope.payload.get("event_id", ""))
        self.acks.append(Ack(envelope.kind, event_type, event_id, seconds, attempts, payload))

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._changed()


def _form(envelope: _Envelope) -> str:
    if envelope.kind == "slash_commands":
        return urlencode(envelope.payload)
    return urlencode({"payload": json.dumps(envelope.payload)})


def _payload(text: str) -> Any:
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return {"text": text}

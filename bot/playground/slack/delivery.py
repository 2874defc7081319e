"""Envelopes on their way to the app, until they are acknowledged.

https://docs.slack.dev/apis/events-api/using-socket-mode, https://docs.slack.dev/apis/events-api#retries
"""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from bot.playground.slack import limits
from bot.playground.slack.signed_http import NotTakenError, SignedHttp
from bot.playground.slack.socket_mode import SocketMode

Json = dict[str, Any]
Kind = Literal["events_api", "interactive", "slash_commands"]


@dataclass(frozen=True, slots=True)
class Ack:
    """How one envelope was acknowledged: seconds after it was first sent (None: never), and with what."""

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

    @property
    def accepts_payload(self) -> bool:
        """Whether the acknowledgement may say something: a command's answer, a form's errors, options."""
        return self.kind == "slash_commands" or self.payload.get("type") in ("view_submission", "block_suggestion")


class Delivery:
    """Sends envelopes; events again while nobody says "received"."""

    def __init__(
        self,
        socket_mode: SocketMode,
        http: SignedHttp,
        clock: Callable[[], float],
        changed: Callable[[], None],
        *,
        ack_timeout: float = limits.ACK_TIMEOUT,
        redeliver_after: Sequence[float] = limits.REDELIVER_AFTER,
    ) -> None:
        """Times in seconds; `changed` is called when an envelope is done with."""
        self.acks: list[Ack] = []
        #: Acknowledgements with a payload that the envelope did not ask for.
        self.refused_acks: list[Json] = []
        self._socket_mode = socket_mode
        self._http = http
        self._clock = clock
        self._changed = changed
        self._ack_timeout = ack_timeout
        self._redeliver_after = tuple(redeliver_after)
        self._waiting: dict[str, _Envelope] = {}
        self._tasks: set[asyncio.Task[Ack]] = set()

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way."""
        return not self._tasks

    def send(self, kind: Kind, payload: Json) -> asyncio.Task[Ack]:
        """Begin to deliver; the task ends when the envelope is acknowledged or given up."""
        task = asyncio.create_task(self._deliver(_Envelope(kind, payload)))
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._socket_mode.close()
        await self._http.close()

    async def serve_socket(self, request: web.Request) -> web.StreamResponse:
        """One Socket Mode connection."""
        return await self._socket_mode.serve(request, self._acknowledge)

    def _acknowledge(self, answer: Json) -> None:
        envelope = self._waiting.get(str(answer.get("envelope_id")))
        payload = answer.get("payload")
        if payload and envelope and not envelope.accepts_payload:
            self.refused_acks.append(answer)
        elif envelope and not envelope.answered.done():
            envelope.answered.set_result(payload)

    async def _deliver(self, envelope: _Envelope) -> Ack:
        began = self._clock()
        # Only events come again; somebody who clicked or typed a command sees that it failed.
        pauses = (0.0, *self._redeliver_after) if envelope.kind == "events_api" else (0.0,)
        attempts, reason = 0, ""
        for pause in pauses:
            await asyncio.sleep(pause)
            attempts += 1
            try:
                payload = await self._attempt(envelope, attempts - 1, reason)
            except NotTakenError as error:
                if error.final:
                    break
                reason = error.reason
            else:
                return self._record(envelope, self._clock() - began, attempts, payload)
        return self._record(envelope, None, attempts, None)

    async def _attempt(self, envelope: _Envelope, retry: int, reason: str) -> Any:
        if self._http.url:
            return await self._http.post(envelope.kind, envelope.payload, retry, reason)
        self._waiting[envelope.id] = envelope
        try:
            await self._write(envelope, retry, reason)
            async with asyncio.timeout(self._ack_timeout):
                return await asyncio.shield(envelope.answered)
        except (TimeoutError, ConnectionError) as error:
            raise NotTakenError("timeout") from error
        finally:
            del self._waiting[envelope.id]

    async def _write(self, envelope: _Envelope, retry: int, reason: str) -> None:
        event = envelope.kind == "events_api"
        frame: Json = {
            "envelope_id": envelope.id,
            "type": envelope.kind,
            "payload": envelope.payload,
            "accepts_response_payload": envelope.accepts_payload,
        }
        if event:
            frame |= {"retry_attempt": retry, "retry_reason": reason}
        # Kinder than Slack, which drops events while no client is connected: a person at the page would wonder.
        async with asyncio.timeout(None if event else self._ack_timeout):
            await self._socket_mode.write(frame)

    def _record(self, envelope: _Envelope, seconds: float | None, attempts: int, payload: Any) -> Ack:
        event = envelope.payload.get("event") or {}
        event_type = str(event.get("type") or envelope.payload.get("type") or envelope.payload.get("command"))
        event_id = str(envelope.payload.get("event_id", ""))
        ack = Ack(envelope.kind, event_type, event_id, seconds, attempts, payload)
        self.acks.append(ack)
        return ack

    def _done(self, task: asyncio.Task[Ack]) -> None:
        self._tasks.discard(task)
        self._changed()

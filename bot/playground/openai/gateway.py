"""What every request passes through: the record of it, authentication, headers, faults, OpenAI's error answers."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any

from aiohttp import web

from bot.playground.openai import limits
from bot.playground.openai.calls import Call, Cut
from bot.playground.openai.errors import ApiError, bad_request, invalid_url
from bot.playground.openai.faults import Fault, Faults
from bot.playground.openai.records import Json, new_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.typedefs import Handler

    from bot.playground.openai.router import Endpoint
    from bot.playground.openai.state import State

PREFIX = "/v1"
"""Where the API starts: the end of every client's base URL."""

_ASSISTANTS = ("/assistants", "/threads")
_AGENTS = "/agents"
_UPLOADS = ("/files", "/audio/transcriptions")
_API_VERSION = "2020-10-01"
_REQUESTS_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request that reached the server. `status` is None until it is answered."""

    method: str
    path: str
    """Below /v1, without the query."""
    query: dict[str, str]
    headers: dict[str, str]
    """Names in lower case."""
    body: Any
    """The JSON body, or None where there is none."""
    at: float
    status: int | None = None


@dataclass(slots=True)
class _Visit:
    """What is known of a request while it is served."""

    number: int
    started: float
    body: Json | ValueError | None
    fault: Fault | None = None


_VISIT = web.RequestKey("visit", _Visit)


class Gateway:
    """The aiohttp side of the endpoints."""

    def __init__(
        self, state: State, api_key: str | None, *, assistants_api: bool, before_each: Callable[[], None]
    ) -> None:
        """`before_each` is called as a request arrives: what is overdue is settled there."""
        self._state = state
        self._api_key = api_key
        self._assistants_api = assistants_api
        self._before_each = before_each
        self.stopping = asyncio.Event()
        self.faults = Faults()
        self.requests: dict[int, RecordedRequest] = {}
        self._arrivals = count()

    def application(self) -> web.Application:
        """An application without routes."""
        app = web.Application(middlewares=[self._pass], client_max_size=limits.REQUEST_BYTES)
        app.on_response_prepare.append(self._prepare)
        return app

    def handler(self, endpoint: Endpoint) -> Handler:
        """The endpoint as an aiohttp handler."""

        async def handle(request: web.Request) -> web.StreamResponse:
            self._check_headers(request)
            visit = request[_VISIT]
            body = {} if visit.body is None else visit.body
            if not isinstance(body, dict):
                raise bad_request("Invalid type for body: expected an object.", code="invalid_type")
            answer = await endpoint(Call(request, body, visit.fault))
            self._state.changed()
            return answer if isinstance(answer, web.StreamResponse) else web.json_response(answer)

        return handle

    @web.middleware
    async def _pass(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        started, body = time.monotonic(), await _json(request)
        visit = request[_VISIT] = _Visit(next(self._arrivals), started, body)
        self._record(request, visit)
        self._before_each()
        fault = visit.fault = self.faults.take(request.method, _path(request))
        try:
            return await self._with_fault(request, handler, fault)
        except ApiError as error:
            return web.json_response(error.envelope(), status=error.status)
        except Cut:
            if request.transport is not None:
                request.transport.abort()
            # Nobody reads it: the socket is closed.
            return web.Response(status=500)

    async def _with_fault(self, request: web.Request, handler: Handler, fault: Fault | None) -> web.StreamResponse:
        if fault is None:
            return await self._route(request, handler)
        await asyncio.sleep(fault.delay)
        if not fault.answers:
            return await self._route(request, handler)
        if fault.when == "after":
            await self._route(request, handler)
        return await self._fault_answer(fault)

    async def _fault_answer(self, fault: Fault) -> web.Response:
        if fault.hang:
            await self.stopping.wait()
        if fault.status is None:
            raise Cut
        return web.json_response(fault.envelope(), status=fault.status, headers=fault.headers)

    async def _route(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._authenticate(request)
        if _is_assistants(request) and not self._assistants_api:
            raise invalid_url(request.method, request.path)
        try:
            return await handler(request)
        except web.HTTPNotFound:
            raise invalid_url(request.method, request.path) from None
        except web.HTTPMethodNotAllowed:
            raise ApiError(
                405,
                f"Not allowed to {request.method} on {request.path}. "
                "(HINT: Perhaps you meant to use a different HTTP method?)",
                code="method_not_supported",
            ) from None

    def _authenticate(self, request: web.Request) -> None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise ApiError(
                401,
                "You didn't provide an API key. You need to provide your API key in an Authorization header using "
                "Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
            )
        if self._api_key not in {None, key}:
            raise ApiError(
                401,
                f"Incorrect API key provided: {key[:5]}***. You can find your API key at "
                "https://platform.openai.com/account/api-keys.",
                code="invalid_api_key",
            )

    def _check_headers(self, request: web.Request) -> None:
        if _is_assistants(request) and "assistants=v2" not in request.headers.get("OpenAI-Beta", ""):
            raise bad_request(
                "You must provide the 'OpenAI-Beta' header to access the Assistants API. Please try again by "
                "setting the header 'OpenAI-Beta: assistants=v2'.",
                code="invalid_beta",
            )
        if _path(request).startswith(_AGENTS) and "agents=v1" not in request.headers.get("OpenAI-Beta", ""):
            raise bad_request(
                "You must provide the 'OpenAI-Beta' header to access the Agents API. Please try again by setting the "
                "header 'OpenAI-Beta: agents=v1'.",
                code="invalid_beta",
            )
        is_upload = _path(request) in _UPLOADS
        if request.body_exists and not is_upload and request.content_type != "application/json":
            raise bad_request(
                f"Unsupported content type: '{request.content_type}'. This API method only accepts "
                f"'application/json' requests.",
                code="unsupported_content_type",
            )
        if isinstance(request[_VISIT].body, ValueError):
            raise bad_request(
                "We could not parse the JSON body of your request. The OpenAI API expects a JSON payload."
            )

    def _record(self, request: web.Request, visit: _Visit) -> None:
        body = None if isinstance(visit.body, ValueError) else visit.body
        headers = {name.lower(): value for name, value in request.headers.items()}
        query = dict(request.query)
        self.requests[visit.number] = RecordedRequest(
            request.method, _path(request), query, headers, body, self._state.clock()
        )
        if len(self.requests) > _REQUESTS_KEPT:
            del self.requests[next(iter(self.requests))]
        self._state.changed()

    async def _prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        visit = request[_VISIT]
        elapsed = (time.monotonic() - visit.started) * 1000
        response.headers["x-request-id"] = new_id("req_")
        response.headers["openai-version"] = _API_VERSION
        response.headers["openai-processing-ms"] = str(int(elapsed))
        if visit.number in self.requests:
            self.requests[visit.number] = replace(self.requests[visit.number], status=response.status)
        self._state.changed()


async def _json(request: web.Request) -> Json | ValueError | None:
    """The JSON body, nothing, or what is wrong with it: a request is recorded before it is refused."""
    if not request.body_exists or request.content_type.startswith("multipart/"):
        return None
    content = await request.read()
    try:
        return json.loads(content) if content.strip() else None
    except ValueError as error:
        return error


def _path(request: web.Request) -> str:
    return request.path.removeprefix(PREFIX)


def _is_assistants(request: web.Request) -> bool:
    return _path(request).startswith(_ASSISTANTS)

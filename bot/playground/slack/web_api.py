"""`/api/METHOD`: who calls, whether they may, how often, and what comes back."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from bot.playground.slack import limits
from bot.playground.slack.arguments import KNOWN, read
from bot.playground.slack.errors import RateLimitedError, SlackError, require_scopes
from bot.playground.slack.faults import Fault, Faults

Json = dict[str, Any]

#: What an app-level token is for (https://docs.slack.dev/reference/methods/apps.connections.open).
_APP_METHODS = frozenset({"apps.connections.open"})


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it came in and was answered. `at` is seconds of the server's clock."""

    method: str
    arguments: Mapping[str, Any]
    response: Mapping[str, Any]
    at: float
    token: str


class WebApi:
    """Answers Web API calls."""

    def __init__(
        self,
        methods: Mapping[str, Callable[[Json], Json]],
        faults: Faults,
        clock: Callable[[], float],
        *,
        tokens: Mapping[str, str],
        granted: frozenset[str],
        enforce_rate_limits: bool,
    ) -> None:
        """`tokens` maps a token to its kind, bot or app; `granted` are the bot's scopes."""
        self.calls: list[Call] = []
        self._methods = methods
        self._faults = faults
        self._clock = clock
        self._tokens = tokens
        self._granted = granted
        self._enforce = enforce_rate_limits
        self._times: dict[tuple[str, str], list[float]] = {}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        arguments: Json = {}
        kind = ""
        try:
            kind = self._authenticate(request, method)
            arguments = await read(request, method)
            fault = self._faults.take(method, arguments.get("channel") or arguments.get("channel_id"))
            if fault and fault.delay:
                await asyncio.sleep(fault.delay)
            body, status, headers = self._carry_out(method, arguments, fault)
        except SlackError as error:
            body, status, headers, fault = error.body, 200, {}, None
        except RateLimitedError as error:
            body, status, fault = {"ok": False, "error": "ratelimited"}, 429, None
            headers = {"Retry-After": str(max(1, round(error.retry_after)))}
        self.calls.append(Call(method, arguments, body, self._clock(), kind))
        if fault and fault.drop:
            assert request.transport
            request.transport.abort()
        if fault and fault.body is not None:
            return web.Response(text=fault.body)
        if kind == "bot":
            headers["x-oauth-scopes"] = ",".join(sorted(self._granted))
        return web.json_response(body, status=status, headers=headers)

    def _authenticate(self, request: web.Request, method: str) -> str:
        """The kind of token. Only the header's counts: other sites' pages can send forms here, but no such header."""
        if method not in KNOWN:
            raise SlackError("unknown_method", req_method=method)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if method == "api.test":
            return "none"
        if scheme != "Bearer" or not token:
            raise SlackError("not_authed")
        kind = self._tokens.get(token)
        if kind is None:
            raise SlackError("invalid_auth")
        if kind != ("app" if method in _APP_METHODS else "bot") and method != "auth.test":
            raise SlackError("not_allowed_token_type")
        if kind == "bot":
            require_scopes(limits.METHOD_SCOPES.get(method, ()), self._granted)
        return kind

    def _carry_out(self, method: str, arguments: Json, fault: Fault | None) -> tuple[Json, int, dict[str, str]]:
        self._count(method, str(arguments.get("channel", "")))
        replaced = fault is not None and bool(fault.error or fault.status or fault.drop)
        body: Json = {"ok": True}
        if not (fault and replaced and fault.when == "before"):
            body = {"ok": True, **self._methods[method](arguments)}
        if fault and fault.status == 429:
            raise RateLimitedError(fault.retry_after)
        if fault and fault.error:
            return {"ok": False, "error": fault.error}, 200, {}
        if fault and fault.status:
            return {"ok": False, "error": "internal_error"}, fault.status, {}
        return body, 200, {}

    def _count(self, method: str, channel: str) -> None:
        """Slack's tiers, over a sliding minute."""
        if not self._enforce:
            return
        posts = method == "chat.postMessage"
        limit = limits.POSTS_PER_MINUTE_AND_CHANNEL if posts else limits.CALLS_PER_MINUTE.get(method)
        if limit is None:
            return
        times = self._times.setdefault((method, channel if posts else ""), [])
        now = self._clock()
        times[:] = [at for at in times if now - at < 60]
        if len(times) >= limit:
            raise RateLimitedError(60 - (now - times[0]))
        times.append(now)

"""The rate governor: Slack's limits as a budget that all replies share.

One bucket for each method (and channel, where Slack counts so). A bucket starts full, refills at Slack's published
rate, and learns: a 429 closes it for as long as Slack says and lowers its rate, which then recovers. Updates wait for
their turn and then take whatever text has come by then, so under pressure all streams slow down together. First words
and final texts go before them, and go at once while Slack has not said 429. Nothing is dropped.
"""

import asyncio
import heapq
import itertools
import random
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.errors import SlackRefused
from bot.render.limits import CALLS_PER_MINUTE, POSTS_PER_MINUTE_AND_CHANNEL

_log = structlog.get_logger()

#: Calls a minute for a method that the table does not name: Slack's tier 3.
_USUAL_RATE = 50
#: What a 429 does to a bucket's rate, what a success does, and the least that is left of the published rate.
_SLOWER, _FASTER, _FLOOR = 0.75, 1.02, 0.4
#: How often a call is repeated that Slack could not carry out, and the seconds before a repetition, first and at most.
_REPEATS, _FIRST_PAUSE, _LONGEST_PAUSE = 4, 0.5, 15.0
#: What the SDK stumbles over in an answer that is no JSON object, from a proxy on the way.
BROKEN_ANSWERS = (AttributeError, TypeError, ValueError)
#: Slack's own failures, after which the same call may go through
#: (https://docs.slack.dev/reference/methods/chat.postMessage#errors).
_PASSING = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"})
#: The code of a SlackRefused for a call of which nobody knows whether Slack carried it out.
UNCERTAIN = "uncertain"


class Urgency(IntEnum):
    """Who goes first. First words and final texts are what people wait for."""

    FIRST_OR_FINAL = 0
    UPDATE = 1


class Governor:
    """Makes every write to Slack of one workspace."""

    def __init__(self, client: AsyncWebClient, rates: Mapping[str, float] = CALLS_PER_MINUTE) -> None:
        """`client` must not retry by itself; `rates` are calls a minute for a method."""
        self._client = client
        self._rates = rates
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    def free(self, method: str) -> bool:
        """Whether there is budget for a call, and nobody in line."""
        return self._bucket(method, {}).free()

    async def turn(self, method: str, channel: str, urgency: Urgency) -> None:
        """Wait until a call may be made. A caller who is cancelled while waiting uses no budget."""
        await self._bucket(method, {"channel": channel}).turn(urgency)

    async def call(
        self,
        method: str,
        arguments: Mapping[str, Any],
        *,
        urgency: Urgency = Urgency.FIRST_OR_FINAL,
        repeatable: bool = True,
        lasting: bool = False,
        reads: bool = False,
        turn_taken: bool = False,
    ) -> AsyncSlackResponse:
        """Call a Web API method when it is its turn, after 429s too, however long that takes.

        `reads` is for Slack's reading methods, which take no JSON. `repeatable` says that doing it twice is the
        same as once: then failures on the way are retried, a few times or, for what must not be lost (`lasting`), until
        Slack is there again; otherwise one raises SlackRefused(UNCERTAIN). Anything else that Slack refuses raises
        SlackRefused with Slack's code. `turn_taken` says that `turn` was awaited before.
        """
        pause = _FIRST_PAUSE
        for attempt in itertools.count(1):
            bucket = self._bucket(method, arguments)
            if attempt > 1 or not turn_taken:
                await bucket.turn(urgency)
            try:
                response = await self._send(method, arguments, reads=reads)
            except SlackApiError as error:
                code, status, headers = refusal(error)
                if is_rate_limit(code, status):
                    seconds = retry_after(headers)
                    bucket.close_for(seconds)
                    _log.info("slack-rate-limited", method=method, retry_after=seconds)
                    continue
                failed_on_the_way = is_passing(code, status)
                cause: Exception = error
            except (*BROKEN_ANSWERS, aiohttp.ClientError, TimeoutError, OSError) as error:
                code, failed_on_the_way, cause = UNCERTAIN, True, error
            else:
                bucket.went_well()
                return response
            if not failed_on_the_way:
                raise SlackRefused(f"Slack refused {method}: {code}.", code) from cause
            if not repeatable or (attempt > _REPEATS and not lasting):
                raise SlackRefused(f"Slack did not answer {method}.", UNCERTAIN, passing=True) from cause
            _log.info("slack-call-repeated", method=method, attempt=attempt, cause=type(cause).__name__)
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret
            pause = min(pause * 2, _LONGEST_PAUSE)
        raise AssertionError("unreachable")

    async def _send(self, method: str, arguments: Mapping[str, Any], *, reads: bool) -> AsyncSlackResponse:
        if reads:
            return await self._client.api_call(method, http_verb="GET", params=dict(arguments))
        return await self._client.api_call(method, json=dict(arguments))

    def _bucket(self, method: str, arguments: Mapping[str, Any]) -> "_Bucket":
        channel = str(arguments.get("channel", "")) if method == "chat.postMessage" else ""
        key = (method, channel)
        if key not in self._buckets:
            rate = POSTS_PER_MINUTE_AND_CHANNEL if channel else self._rates.get(method, _USUAL_RATE)
            self._buckets[key] = _Bucket(rate)
        return self._buckets[key]


class _Bucket:
    """Tokens for one method, and the line of those who wait for one."""

    def __init__(self, calls_per_minute: float) -> None:
        self._published = calls_per_minute / 60
        self._rate = self._published
        self._capacity = max(calls_per_minute, 1.0)
        self._tokens = self._capacity
        self._loop = asyncio.get_running_loop()
        self._counted_at = self._loop.time()
        self._closed_until = 0.0
        self._waiting: list[tuple[Urgency, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def free(self) -> bool:
        self._refill()
        return not self._waiting and self._tokens >= 1

    async def turn(self, urgency: Urgency) -> None:
        if self.free() or (urgency is Urgency.FIRST_OR_FINAL and self._overdraft()):
            self._tokens -= 1
            return
        future: asyncio.Future[None] = self._loop.create_future()
        heapq.heappush(self._waiting, (urgency, next(self._order), future))
        self._set_timer()
        await future

    def _overdraft(self) -> bool:
        """Whether what people wait for may go at once: Slack's published rates are what it guarantees, not all that
        it allows. What it takes from the budget the updates wait for."""
        urgent_in_line = bool(self._waiting) and self._waiting[0][0] is Urgency.FIRST_OR_FINAL
        return self._rate >= self._published and not urgent_in_line

    def close_for(self, seconds: float) -> None:
        """Slack said 429: nothing goes out for so long, and then more slowly. What was under way at the same time and
        is refused too says nothing new."""
        now = self._loop.time()
        if now >= self._closed_until:
            self._rate = max(self._rate * _SLOWER, self._published * _FLOOR)
        self._closed_until = max(self._closed_until, now + seconds)
        self._tokens = 0.0
        # Counting resumes one token early, so that exactly one call tries the water when the time is over.
        self._counted_at = self._closed_until - 1 / self._rate
        self._set_timer()

    def went_well(self) -> None:
        self._rate = min(self._rate * _FASTER, self._published)

    def _refill(self) -> None:
        now = self._loop.time()
        if now > self._counted_at:
            self._tokens = min(self._capacity, self._tokens + (now - self._counted_at) * self._rate)
            self._counted_at = now

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            self._refill()
            due = self._counted_at + max(1 - self._tokens, 0.0) / self._rate
            self._timer = self._loop.call_at(due + 0.001, self._serve)

    def _serve(self) -> None:
        self._timer = None
        self._refill()
        while self._waiting and self._tokens >= 1:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():  # its owner may have been cancelled in line
                self._tokens -= 1
                future.set_result(None)
        self._set_timer()


def refusal(error: SlackApiError) -> tuple[str, int, Mapping[str, Any]]:
    """Slack's code, empty where there is none, the HTTP status and the headers of an answer."""
    response: Any = error.response
    if isinstance(response, AsyncSlackResponse):
        data = response.data if isinstance(response.data, dict) else {}
        return str(data.get("error") or ""), response.status_code, response.headers
    # The SDK hands over the raw response where it could not read it.
    return "", int(getattr(response, "status", 0)), getattr(response, "headers", {})


def is_rate_limit(code: str, status: int) -> bool:
    """Whether Slack wants us to wait (https://docs.slack.dev/apis/web-api/rate-limits)."""
    return code in ("ratelimited", "rate_limited") or status == 429


def is_passing(code: str, status: int) -> bool:
    """Whether it is Slack, or somebody on the way, that failed, and not what was asked."""
    return status >= 500 or code in _PASSING or not code


def retry_after(headers: Mapping[str, Any]) -> float:
    """Seconds that Slack wants us to wait; one second where it does not say."""
    headers = {name.lower(): value for name, value in headers.items()}
    try:
        return max(float(headers.get("retry-after", 1)), 0.0)
    except ValueError:
        return 1.0

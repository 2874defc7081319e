"""Asking for a stream, and being content with less."""

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import httpx2
import openai
import structlog

_log = structlog.get_logger()
S = TypeVar("S")

#: What a stream can break with on its way: the SDK's errors, the transport's, and half a JSON document.
BREAKS = (openai.APIError, httpx2.HTTPError, ValueError)

_EVENT_STREAM = "text/event-stream"
#: Answers of servers that do not know `stream` (https://platform.openai.com/docs/guides/error-codes; FastAPI's 422).
_NOT_TAKEN = (400, 422, 501)
#: The word, and not "upstream".
_WORD = re.compile(r"\bstream(?:ing|ed)?\b", re.IGNORECASE)


def stream_timeout(silence: float) -> openai.Timeout:
    """For a call that streams: `silence` is the seconds without a byte after which it counts as broken."""
    return openai.Timeout(30.0, connect=5.0, read=silence)


class StreamedCall(Generic[S]):
    """A call that makes something and streams it. Remembers for the process where the server does not stream."""

    def __init__(self) -> None:
        self._supported = True

    async def make(self, call: Callable[..., Awaitable[Any]]) -> openai.AsyncStream[S] | dict[str, Any]:
        """Make the call, a method of the SDK's `with_raw_response`, once more without `stream` where the server
        refuses it. Returns the stream, or the JSON object that the server answered instead (empty where that
        cannot be read). Raises openai.APIError."""
        if self._supported:
            try:
                return await self._received(await call(stream=True))
            except openai.APIStatusError as error:
                if not _refuses_stream(error):
                    raise
        # Not `stream=False`: a server that does not know the parameter would refuse that too. What comes of it tells
        # whether it was the stream that was refused.
        return await self._received(await call())

    async def _received(self, raw: Any) -> openai.AsyncStream[S] | dict[str, Any]:
        if raw.headers.get("content-type", "").startswith(_EVENT_STREAM):
            stream: openai.AsyncStream[S] = raw.parse()
            return stream
        self._give_up()
        try:
            answer = json.loads(await raw.http_response.aread())
        except (httpx2.HTTPError, ValueError) as error:
            _log.info("backend-answer-unreadable", error=type(error).__name__)
            return {}
        return answer if isinstance(answer, dict) else {}

    def _give_up(self) -> None:
        if self._supported:
            _log.info("backend-does-not-stream")
        self._supported = False


def _refuses_stream(error: openai.APIStatusError) -> bool:
    if error.status_code not in _NOT_TAKEN or error.param not in (None, "", "stream"):
        return False
    return error.param == "stream" or bool(_WORD.search(str(error.message))) or _blames_stream(error.body)


def _blames_stream(body: object) -> bool:
    """Whether a refusal in FastAPI's form is about `stream`: the SDK makes no sentence of it."""
    details = body.get("detail") if isinstance(body, dict) else None
    fields = [each.get("loc") for each in details if isinstance(each, dict)] if isinstance(details, list) else []
    return any("stream" in field for field in fields if isinstance(field, list))

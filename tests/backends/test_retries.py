"""When a call is made again, without a server."""

import httpx2
import openai
import pytest

from bot.backends.retries import Patience, failed_on_the_way, patiently, poll_after, refused_for_now, retry_after

_REQUEST = httpx2.Request("POST", "http://localhost/v1/responses")
_PATIENT = Patience(total=5.0, first=0.0001, longest=0.0002)
_IMPATIENT = Patience(total=0.0, first=0.0001, longest=0.0001)


def status(code: int, *, error: str | None = None, **headers: str) -> openai.APIStatusError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = httpx2.Response(code, request=_REQUEST, headers=named)
    kind = openai.RateLimitError if code == 429 else openai.InternalServerError
    return kind("refused", response=response, body={"code": error})


def lost(cause: Exception) -> openai.APIConnectionError:
    error = openai.APIConnectionError(request=_REQUEST)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "for_now", "on_the_way"),
    [
        (status(429), True, False),
        (status(429, error="insufficient_quota"), False, False),
        (status(503, retry_after="1"), True, False),
        (status(503), False, True),
        (status(500), False, True),
        (status(408), False, True),
        (status(400), False, False),
        (lost(httpx2.ConnectError("refused")), True, False),
        (lost(httpx2.ConnectTimeout("slow")), True, False),
        (lost(httpx2.ReadError("reset")), False, True),
        (openai.APITimeoutError(_REQUEST), False, True),
    ],
    ids=repr,
)
def test_what_an_error_says_of_the_call(error: openai.APIError, for_now: bool, on_the_way: bool) -> None:
    assert (refused_for_now(error), failed_on_the_way(error)) == (for_now, on_the_way)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (status(429, retry_after="2"), 2.0),
        (status(429, retry_after_ms="1500", retry_after="2"), 1.5),
        (status(429, retry_after="Wed, 21 Oct 2026 07:28:00 GMT"), 0.0),
        (status(429, retry_after="-1"), 0.0),
        (status(429), 0.0),
        (lost(httpx2.ReadError("reset")), 0.0),
    ],
)
def test_how_long_a_server_asks_to_wait(error: openai.APIError, seconds: float) -> None:
    assert retry_after(error) == seconds


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("700", 0.7),
        ("700.5", 0.7005),
        ("20000", 20.0),
        ("0", 0.1),  # a busy loop, if it were obeyed
        ("-5", 1.0),
        ("nan", 1.0),
        ("inf", 1.0),
        ("soon", 1.0),
        (None, 1.0),
    ],
)
def test_a_look_is_neither_too_early_for_the_server_nor_a_busy_loop(header: str | None, seconds: float) -> None:
    headers = {} if header is None else {"openai-poll-after-ms": header}
    assert poll_after(headers, 1.0) == pytest.approx(seconds)


class Calls:
    """A call that fails in these ways before it goes through."""

    def __init__(self, *errors: openai.APIError) -> None:
        self.made = 0
        self._errors = errors

    async def __call__(self) -> str:
        self.made += 1
        if self.made <= len(self._errors):
            raise self._errors[self.made - 1]
        return "made"


async def test_a_refusal_for_now_is_repeated_until_it_passes() -> None:
    calls = Calls(status(429), status(503, retry_after="0.001"), lost(httpx2.ConnectError("refused")))
    assert await patiently(calls, _PATIENT) == "made"
    assert calls.made == 4


async def test_patience_ends_with_the_servers_own_error() -> None:
    last = status(429)
    with pytest.raises(openai.RateLimitError) as caught:
        await patiently(Calls(last), _IMPATIENT)
    assert caught.value is last


async def test_a_server_that_asks_for_more_patience_than_there_is_is_not_waited_for() -> None:
    calls = Calls(status(429, retry_after="3600"))
    with pytest.raises(openai.RateLimitError):
        await patiently(calls, _PATIENT)
    assert calls.made == 1


async def test_an_unclear_write_that_cannot_be_looked_up_is_not_repeated() -> None:
    calls = Calls(status(500))
    with pytest.raises(openai.InternalServerError):
        await patiently(calls, _PATIENT)
    assert calls.made == 1


async def test_an_unclear_write_that_left_a_trace_is_not_repeated() -> None:
    calls = Calls(lost(httpx2.ReadError("reset")))

    async def done() -> str | None:
        return "found"

    assert await patiently(calls, _PATIENT, done=done) == "found"
    assert calls.made == 1


async def test_an_unclear_write_is_looked_up_even_when_patience_has_ended() -> None:
    async def done() -> str | None:
        return "found"

    assert await patiently(Calls(openai.APITimeoutError(_REQUEST)), _IMPATIENT, done=done) == "found"


async def test_an_unclear_write_without_a_trace_is_repeated() -> None:
    calls = Calls(lost(httpx2.ReadError("reset")))

    async def done() -> str | None:
        return None

    assert await patiently(calls, _PATIENT, done=done) == "made"
    assert calls.made == 2


async def test_a_read_is_repeated_without_asking() -> None:
    assert await patiently(Calls(status(500), status(502)), _PATIENT, repeatable=True) == "made"

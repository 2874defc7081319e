"""Signed HTTP: the other way to the app (https://docs.slack.dev/authentication/verifying-requests-from-slack)."""

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import aiohttp

Json = dict[str, Any]

#: Slack's words for why it sends an event again (https://docs.slack.dev/apis/events-api#retries).
TIMEOUT, FAILED, REFUSED = "http_timeout", "connection_failed", "http_error"


class NotTakenError(Exception):
    """The app did not say "received"; `reason` is Slack's word for it, `final` forbids another attempt."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final


class SignedHttp:
    """Posts to the app's request URL."""

    def __init__(self, secret: str, clock: Callable[[], float], timeout: float) -> None:
        """`timeout` is how long the app may take to answer, in seconds."""
        self.url: str | None = None
        self._secret = secret
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def verify_url(self) -> bool:
        """Whether the app answers the challenge with which Slack tries a new request URL
        (https://docs.slack.dev/reference/events/url_verification)."""
        challenge = secrets.token_urlsafe(16)
        body = json.dumps({"type": "url_verification", "token": "local", "challenge": challenge})
        answer = await self._send(body, "application/json", {})
        return answer == challenge or _payload(answer) == {"challenge": challenge}

    async def post(self, kind: str, payload: Json, retry: int, reason: str) -> Any:
        """Returns what the app acknowledged with, None for nothing. Raises NotTakenError."""
        again = {"X-Slack-Retry-Num": str(retry), "X-Slack-Retry-Reason": reason} if retry else {}
        if kind == "events_api":
            return _payload(await self._send(json.dumps(payload), "application/json", again))
        form = payload if kind == "slash_commands" else {"payload": json.dumps(payload)}
        return _payload(await self._send(urlencode(form), "application/x-www-form-urlencoded", again))

    async def close(self) -> None:
        if self._session:
            await self._session.close()
            self._session = None

    async def _send(self, body: str, content_type: str, headers: Mapping[str, str]) -> str:
        stamp = str(int(self._clock()))
        signature = hmac.new(self._secret.encode(), f"v0:{stamp}:{body}".encode(), hashlib.sha256).hexdigest()
        signed = {
            "Content-Type": content_type,
            "X-Slack-Request-Timestamp": stamp,
            "X-Slack-Signature": f"v0={signature}",
            **headers,
        }
        self._session = self._session or aiohttp.ClientSession(timeout=self._timeout)
        try:
            async with self._session.post(
                str(self.url), data=body.encode(), headers=signed, allow_redirects=False
            ) as answer:
                text = await answer.text()
                if answer.status != 200:
                    raise NotTakenError(REFUSED, final=answer.headers.get("x-slack-no-retry") == "1")
                return text
        except TimeoutError as error:
            raise NotTakenError(TIMEOUT) from error
        except aiohttp.ClientError as error:
            raise NotTakenError(FAILED) from error


def _payload(text: str) -> Any:
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return {"text": text}

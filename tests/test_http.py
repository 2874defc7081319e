"""Slack over HTTP: signatures, URL verification, health."""

import hashlib
import hmac
import json
import time
from typing import Any

import aiohttp
import pytest

from tests.conftest import House

pytestmark = pytest.mark.parametrize("backend", ["responses"])
_SECRET = "a-secret"


async def post(port: int, body: str, **headers: str) -> tuple[int, str]:
    url = f"http://127.0.0.1:{port}/slack/events"
    base = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=base | headers) as answer:
        return answer.status, await answer.text()


def signed(body: str, *, secret: str = _SECRET, at: float | None = None) -> dict[str, str]:
    stamp = str(int(at or time.time()))
    digest = hmac.new(secret.encode(), f"v0:{stamp}:{body}".encode(), hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={digest}"}


@pytest.fixture
def http(unused_tcp_port: int) -> dict[str, Any]:
    return {"slack_app_token": None, "slack_signing_secret": _SECRET, "port": unused_tcp_port}


async def test_slack_verifies_the_url(house: House, http: dict[str, Any]) -> None:
    body = json.dumps({"type": "url_verification", "token": "x", "challenge": "abc"})
    async with house.bobbin(**http):
        status, answer = await post(http["port"], body, **signed(body))
    assert (status, json.loads(answer)) == (200, {"challenge": "abc"})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Slack-Request-Timestamp": "soon", "X-Slack-Signature": "v0=0"},
        signed("{}", secret="another"),
        signed("{}", at=time.time() - 600),
    ],
)
async def test_what_slack_did_not_sign_is_refused(house: House, http: dict[str, Any], headers: dict[str, str]) -> None:
    async with house.bobbin(**http):
        status, _ = await post(http["port"], "{}", **headers)
    assert status == 401


async def test_every_signed_event_is_acknowledged(house: House, http: dict[str, Any]) -> None:
    async with house.bobbin(**http):
        for event in ({"type": "team_join"}, {"type": "message", "subtype": "huddle_thread"}, {"type": "app_mention"}):
            body = json.dumps({"type": "event_callback", "team_id": "T0", "event": event})
            assert (await post(http["port"], body, **signed(body)))[0] == 200
        body = json.dumps({"type": "app_rate_limited", "team_id": "T0", "minute_rate_limited": 1})
        assert (await post(http["port"], body, **signed(body)))[0] == 200


@pytest.mark.parametrize("body", ["not json", "[]", '"x"', "\xff\xfe"])
async def test_what_is_no_payload_is_refused_without_a_crash(house: House, http: dict[str, Any], body: str) -> None:
    async with house.bobbin(**http):
        assert (await post(http["port"], body, **signed(body)))[0] == 400
        assert (await post(http["port"], body, **signed(body, secret="another")))[0] == 401
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert (await post(http["port"], "payload=xx", **signed("payload=xx"), **form))[0] == 400


async def test_health_is_told(house: House, http: dict[str, Any]) -> None:
    url = f"http://127.0.0.1:{http['port']}/healthz"
    async with house.bobbin(**http), aiohttp.ClientSession() as session, session.get(url) as answer:
        assert (answer.status, await answer.json()) == (200, {"ok": True})

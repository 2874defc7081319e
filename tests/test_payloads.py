"""Payloads that Slack has published: each is acknowledged, none makes an error, posts are kept once.

They are not in this repository; where they lie beside it (on CI they always do), they are replayed.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import structlog

from bot.manifest import manifest
from bot.playground.slack import LocalSlack
from tests.conftest import House

_FOLDER = Path("../shared/payloads")


def payloads() -> list[tuple[str, dict[str, Any]]]:
    found = []
    for path in sorted(_FOLDER.rglob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            continue
        payload = content.get("payload", content)
        if path.parent.name.startswith("socket_envelope"):
            payload = payload.get("payload", payload)
        # Slack verifies a URL over HTTP only (tests/test_http.py).
        if isinstance(payload, dict) and payload.get("type") != "url_verification":
            found.append((str(path.relative_to(_FOLDER)), payload))
    return found


def kind_of(payload: dict[str, Any]) -> str:
    if "command" in payload:
        return "slash_commands"
    return "events_api" if "event" in payload or payload.get("type") == "event_callback" else "interactive"


@pytest.fixture(scope="module")
def published() -> list[tuple[str, dict[str, Any]]]:
    found = payloads()
    if not found:
        if os.environ.get("CI"):
            pytest.fail(f"no payloads in {_FOLDER}")
        pytest.skip(f"no payloads in {_FOLDER}")
    return found


@pytest.mark.parametrize("backend", ["responses"])
@pytest.mark.timeout(180)
async def test_every_published_payload_is_acknowledged(
    house: House, published: list[tuple[str, dict[str, Any]]]
) -> None:
    house.brain(lambda _: "Fine.")
    unanswered: list[str] = []
    impatient = LocalSlack(manifest=manifest(), redeliver_after=())
    async with impatient as slack, house.bobbin(slack_api_url=slack.api_url):
        with structlog.testing.capture_logs() as logs:
            for name, payload in published:
                task = slack.delivery.send(kind_of(payload), payload)  # type: ignore[arg-type]
                await task
                if slack.acks[-1].seconds is None:
                    unanswered.append(name)
    assert not unanswered
    assert not [line for line in logs if line["log_level"] in ("error", "critical")]
    assert max(ack.seconds or 0 for ack in slack.acks) < 3
    assert len(published) > 200


@pytest.mark.parametrize("backend", ["responses"])
async def test_a_published_mention_is_answered_once_and_readable(
    house: House, published: list[tuple[str, dict[str, Any]]]
) -> None:
    """Its workspace, channel and people are not ours; only the answer's way out fails, and is logged."""
    mention = next(p for name, p in published if name == "bolt-python/event.app_mention/002.json")
    house.brain(lambda _: "Fine.")
    with structlog.testing.capture_logs() as logs:
        async with house.bobbin():
            await house.slack.deliver_body(mention)
            await house.slack.deliver_body(mention)
            await house.slack.wait_for(lambda slack: any(call.method == "chat.startStream" for call in slack.calls))
    events = [line["event"] for line in logs]
    assert (events.count("post-received"), events.count("reply-undeliverable")) == (1, 1)
    assert house.heard() == (("user", "U222: hey"),)

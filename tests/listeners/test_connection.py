"""Bobbin comes to Slack although Slack, or somebody on the way, is not well; and says whose fault it is."""

from typing import Any

import pytest
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.errors import SettingsError, SlackRefused
from bot.listeners.connection import Patience, identify, open_socket_mode, socket_mode
from bot.manifest import manifest
from bot.playground.slack import LocalSlack

QUICK = Patience(total=10, first=0.01)
BRIEF = Patience(total=0.3, first=0.01)


def client(slack: LocalSlack, token: str | None = None) -> AsyncWebClient:
    return AsyncWebClient(token=token or slack.bot_token, base_url=slack.api_url, retry_handlers=[])


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 429, "retry_after": 0.01},
        {"status": 503},
        {"error": "internal_error"},
        {"body": "<html>a proxy</html>"},
        {"body": "[1]"},
    ],
)
async def test_a_slack_that_is_not_well_for_a_moment_is_asked_again(fault: dict[str, Any]) -> None:
    async with LocalSlack(manifest=manifest()) as slack:
        slack.faults.add(method="auth.test", **fault)
        assert (await identify(client(slack), QUICK))["user_id"] == slack.bot_user_id
        slack.faults.add(method="apps.connections.open", **fault)
        assert (await open_socket_mode(client(slack), slack.app_token, QUICK)).startswith("ws://")


async def test_a_slack_that_stays_unwell_is_not_blamed_on_the_token() -> None:
    async with LocalSlack(manifest=manifest()) as slack:
        slack.faults.add(method="auth.test", times=None, status=503)
        with pytest.raises(SlackRefused) as error:
            await identify(client(slack), BRIEF)
    assert "not answering as it should (internal_error)" in error.value.sentence
    assert "TOKEN" not in error.value.sentence


async def test_a_refused_token_is_named_at_once() -> None:
    async with LocalSlack(manifest=manifest()) as slack:
        with pytest.raises(SettingsError, match=r"SLACK_BOT_TOKEN: Slack refused it \(invalid_auth\)"):
            await identify(client(slack, "xoxb-wrong"))
        with pytest.raises(SettingsError, match=r"SLACK_APP_TOKEN: Slack refused it"):
            await open_socket_mode(client(slack), "xapp-wrong")


async def test_a_slack_that_is_not_there_is_named_by_its_address() -> None:
    with pytest.raises(SettingsError, match=r"SLACK_API_URL: http://127\.0\.0\.1:9/ cannot be reached"):
        await identify(AsyncWebClient(token="xoxb-1", base_url="http://127.0.0.1:9/", retry_handlers=[]))


async def test_each_handshake_has_an_address_of_its_own() -> None:
    """The SDK knocks with a used one for ever."""
    async with LocalSlack(manifest=manifest()) as slack:
        slack.faults.add(method="link", times=3, status=503)
        app = AsyncApp(client=client(slack), request_verification_enabled=False)
        async with socket_mode(app, slack.app_token, QUICK):
            await slack.wait_for(lambda slack: slack.connections == 1)
            opened = [call for call in slack.calls if call.method == "apps.connections.open"]
            assert len(opened) == 4


async def test_a_connection_that_slack_renews_survives_a_failed_handshake() -> None:
    async with LocalSlack(manifest=manifest()) as slack:
        app = AsyncApp(client=client(slack), request_verification_enabled=False)
        async with socket_mode(app, slack.app_token, QUICK):
            await slack.wait_for(lambda slack: slack.connections == 1)
            slack.faults.add(method="link", times=2, status=503)
            opened = len([call for call in slack.calls if call.method == "apps.connections.open"])
            await slack.disconnect("refresh_requested")
            await slack.wait_for(
                lambda slack: (
                    len([c for c in slack.calls if c.method == "apps.connections.open"]) == opened + 3
                    and slack.connections == 1
                )
            )


async def test_a_start_whose_handshakes_keep_failing_ends_in_a_sentence() -> None:
    async with LocalSlack(manifest=manifest()) as slack:
        slack.faults.add(method="link", times=None, status=503)
        app = AsyncApp(client=client(slack), request_verification_enabled=False)
        with pytest.raises(SlackRefused, match="HTTP 503"):
            async with socket_mode(app, slack.app_token, BRIEF):
                raise AssertionError("connected")

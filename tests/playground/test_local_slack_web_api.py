"""The local Slack's Web API: who may call, with what, how often, and what goes wrong on demand."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.playground.slack import LocalSlack
from bot.playground.slack.arguments import FORM_ONLY, KNOWN
from tests.playground.slack_client import Clock, client_of, manifest_of, raw, refused


@pytest.fixture
async def slack() -> AsyncIterator[LocalSlack]:
    async with LocalSlack() as local:
        yield local


@pytest.fixture
def client(slack: LocalSlack) -> AsyncWebClient:
    return client_of(slack)


async def test_auth_test_names_the_bot_and_its_scopes(slack: LocalSlack, client: AsyncWebClient) -> None:
    answer = await client.auth_test()
    assert (answer["team_id"], answer["user_id"], answer["bot_id"]) == (slack.team_id, slack.bot_user_id, slack.bot_id)
    assert "chat:write" in answer.headers["x-oauth-scopes"].split(",")


async def test_tokens_are_asked_for_and_checked(slack: LocalSlack) -> None:
    nobody = AsyncWebClient(base_url=slack.api_url, retry_handlers=[])
    assert await refused(nobody.api_call("auth.test")) == "not_authed"
    stranger = AsyncWebClient(token="xoxb-other", base_url=slack.api_url, retry_handlers=[])
    assert await refused(stranger.auth_test()) == "invalid_auth"
    app = AsyncWebClient(token=slack.app_token, base_url=slack.api_url, retry_handlers=[])
    assert await refused(app.chat_postMessage(channel="C0GENERAL", text="hi")) == "not_allowed_token_type"
    assert (await app.apps_connections_open(app_token=slack.app_token))["url"].startswith("ws://127.0.0.1:")
    assert await refused(app.apps_connections_open(app_token=slack.bot_token)) == "not_allowed_token_type"


async def test_a_token_in_a_form_does_not_count(slack: LocalSlack) -> None:
    """Any site's page can send a form here, and the playground's token is no secret."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{slack.api_url}auth.test", data={"token": slack.bot_token}) as answer,
    ):
        assert (await answer.json())["error"] == "not_authed"


@pytest.mark.parametrize("name", ["evil.example", "slack.com"])
async def test_other_names_for_this_machine_are_refused(slack: LocalSlack, name: str) -> None:
    """DNS rebinding: a site points its own name at 127.0.0.1."""
    async with aiohttp.ClientSession() as session:
        for path in ("api/api.test", "", "link"):
            async with session.get(f"{slack.page_url}{path}", headers={"Host": f"{name}:{80}"}) as answer:
                assert answer.status == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org"])
def test_other_machines_are_kept_out(host: str) -> None:
    with pytest.raises(ValueError, match="this machine only"):
        LocalSlack(host=host)


async def test_unknown_methods_and_arguments_are_named(slack: LocalSlack, client: AsyncWebClient) -> None:
    assert await refused(client.api_call("chat.shout")) == "unknown_method"
    with pytest.raises(SlackApiError) as refusal:
        await client.chat_postMessage(channel="C0GENERAL", text="hi", colour="red")
    assert refusal.value.response["error"] == "invalid_arguments"
    assert "colour" in refusal.value.response["response_metadata"]["messages"][0]


@pytest.mark.parametrize(
    ("method", "body", "code"),
    [
        ("chat.postMessage", {"text": "hi"}, "invalid_arguments"),
        ("chat.postMessage", {"channel": 5, "text": "hi"}, "invalid_arguments"),
        ("chat.postMessage", {"channel": "C0GENERAL", "text": "hi", "unfurl_links": "perhaps"}, "invalid_arguments"),
        ("chat.postMessage", {"channel": "C0GENERAL", "blocks": "[{"}, "invalid_blocks_format"),
        ("chat.update", {"channel": "C0GENERAL", "text": "hi"}, "invalid_arguments"),
        ("users.info", {"user": "U0ADA"}, "invalid_arguments"),
        ("chat.postMessage", [], "json_not_object"),
    ],
)
async def test_arguments_are_checked(slack: LocalSlack, method: str, body: Any, code: str) -> None:
    assert (await raw(slack, method, json=body))[1]["error"] == code


async def test_bodies_that_are_no_json_are_refused(slack: LocalSlack) -> None:
    headers = {"Content-Type": "application/json"}
    assert (await raw(slack, "chat.postMessage", data="{", headers=headers))[1]["error"] == "invalid_json"


async def test_forms_json_and_the_sdks_own_team_id_are_taken(slack: LocalSlack, client: AsyncWebClient) -> None:
    post: dict[str, Any] = {"channel": "C0GENERAL", "text": "hi", "team_id": slack.team_id}
    requests: list[dict[str, Any]] = [
        {"data": {**post, "unfurl_links": "false"}},
        {"json": {**post, "unfurl_links": False}},
    ]
    for request in requests:
        assert (await raw(slack, "chat.postMessage", **request))[1]["ok"]
    assert [call.arguments["unfurl_links"] for call in slack.calls] == [False, False]
    assert (await client.users_info(user="U0ADA"))["user"]["real_name"] == "Ada Lovelace"


async def test_api_test_echoes(client: AsyncWebClient) -> None:
    assert (await client.api_test(foo="bar"))["args"] == {"foo": "bar"}
    assert await refused(client.api_test(error="my_error")) == "my_error"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(sorted(set(KNOWN) - {"apps.connections.open"})),
    values=st.dictionaries(st.sampled_from(sorted({n for m in KNOWN.values() for n in m})), st.text(max_size=8)),
)
async def test_no_arguments_break_the_server(slack: LocalSlack, method: str, values: dict[str, str]) -> None:
    known = {name: value for name, value in values.items() if name in KNOWN[method]}
    requests: list[dict[str, Any]] = [{"data": known}]
    if method not in FORM_ONLY:
        requests.append({"json": known})
    for request in requests:
        status, answer = await raw(slack, method, **request)
        assert status == 200
        assert answer["ok"] in (True, False)


# Scopes


async def test_a_missing_scope_is_named() -> None:
    async with LocalSlack(manifest=manifest_of("channels:history")) as slack:
        status, answer = await raw(slack, "chat.postMessage", json={"channel": "C0GENERAL", "text": "hi"})
        assert (status, answer["error"], answer["needed"]) == (200, "missing_scope", "chat:write")
        assert answer["provided"] == "channels:history"
        history = client_of(slack)
        assert (await history.conversations_history(channel="C0GENERAL"))["ok"]
        assert await refused(history.conversations_history(channel="G0LAB")) == "missing_scope"


async def test_another_name_needs_a_scope_of_its_own() -> None:
    async with LocalSlack(manifest=manifest_of("chat:write")) as slack:
        client = client_of(slack)
        assert await refused(client.chat_postMessage(channel="C0GENERAL", text="hi", username="X")) == "missing_scope"
        assert not slack.messages("C0GENERAL")


def test_a_manifest_that_slack_would_not_save_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks app_mentions:read"):
        LocalSlack(manifest=manifest_of("chat:write", events=("app_mention",)))
    with pytest.raises(ValueError, match="lacks commands"):
        LocalSlack(manifest=manifest_of("chat:write", slash_commands=[{"command": "/x"}]))


async def test_only_agents_may_use_agent_methods() -> None:
    async with LocalSlack(manifest=manifest_of("chat:write", "assistant:write")) as slack:
        call = client_of(slack).agents_sessions_setStatus(channel_id="D0ADA", status="active", thread_ts="1.1")
        assert await refused(call) == "feature_disabled"


# Rate limits


async def test_tiers_are_counted_over_a_minute() -> None:
    clock = Clock()
    async with LocalSlack(enforce_rate_limits=True, clock=clock) as slack:
        client = client_of(slack)
        for _ in range(20):
            await client.users_list()
        with pytest.raises(SlackApiError) as refusal:
            await client.users_list()
        assert refusal.value.response.status_code == 429
        assert refusal.value.response["error"] == "ratelimited"
        assert refusal.value.response.headers["Retry-After"] == "60"
        await client.users_info(user="U0ADA")  # a method's limit is its own
        clock.now += 61
        await client.users_list()


async def test_posting_is_limited_by_channel() -> None:
    async with LocalSlack(enforce_rate_limits=True, clock=Clock()) as slack:
        client = client_of(slack)
        for _ in range(60):
            await client.chat_postMessage(channel="C0GENERAL", text="hi")
        assert await refused(client.chat_postMessage(channel="C0GENERAL", text="hi")) == "ratelimited"
        assert len(slack.messages("C0GENERAL")) == 60
        await client.chat_postMessage(channel="G0LAB", text="hi")


# Faults


async def test_faults_answer_instead_of_slack(slack: LocalSlack, client: AsyncWebClient) -> None:
    post: dict[str, Any] = {"channel": "C0GENERAL", "text": "hi"}
    slack.faults.add(method="chat.postMessage", error="restricted_action", channel="G0LAB")
    slack.faults.add(method="chat.postMessage", error="fatal_error", times=2)
    assert await refused(client.chat_postMessage(**post)) == "fatal_error"
    assert await refused(client.chat_postMessage(**post)) == "fatal_error"
    assert (await client.chat_postMessage(**post))["ok"]
    assert await refused(client.chat_postMessage(channel="G0LAB", text="hi")) == "restricted_action"
    slack.faults.add(method="chat.postMessage", status=429, retry_after=7)
    status, _ = await raw(slack, "chat.postMessage", json=post)
    slack.faults.add(method="chat.postMessage", status=503, times=None)
    assert (status, (await raw(slack, "chat.postMessage", json=post))[0]) == (429, 503)
    slack.faults.clear()
    assert (await client.chat_postMessage(**post))["ok"]
    assert len(slack.messages("C0GENERAL")) == 2


@pytest.mark.parametrize(("when", "written"), [("before", 0), ("after", 1)])
async def test_a_cut_connection_comes_before_or_after_the_deed(
    slack: LocalSlack, client: AsyncWebClient, when: str, written: int
) -> None:
    slack.faults.add(method="chat.postMessage", drop=True, when=when)
    with pytest.raises(aiohttp.ClientError):
        await client.chat_postMessage(channel="C0GENERAL", text="hi")
    assert len(slack.messages("C0GENERAL")) == written


async def test_calls_are_remembered(slack: LocalSlack, client: AsyncWebClient) -> None:
    await client.chat_postMessage(channel="C0GENERAL", text="hi")
    await refused(client.chat_delete(channel="C0GENERAL", ts="1.1"))
    post, deletion = slack.calls
    assert (post.method, post.arguments["text"], post.token, post.response["ok"]) == (
        "chat.postMessage",
        "hi",
        "bot",
        True,
    )
    assert deletion.response == {"ok": False, "error": "message_not_found"}

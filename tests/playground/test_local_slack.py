"""The local Slack and nonsense: refused by name, never with a server's error; nothing is lost or misplaced."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.playground.slack import LocalSlack
from bot.playground.slack.errors import SlackError
from tests.playground.slack_client import app_of, client_of, connected, raw, refused

GENERAL = "C0GENERAL"
HOME: dict[str, Any] = {"type": "home", "blocks": [{"type": "divider"}]}


@pytest.fixture
async def slack() -> AsyncIterator[LocalSlack]:
    async with LocalSlack() as local:
        yield local


@pytest.fixture
def client(slack: LocalSlack) -> AsyncWebClient:
    return client_of(slack)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "true", "[]", '"5"'])
@pytest.mark.parametrize(
    ("method", "name", "others"),
    [
        ("conversations.history", "limit", {"channel": GENERAL}),
        ("files.getUploadURLExternal", "length", {"filename": "x"}),
    ],
)
async def test_numbers_are_jsons_own(
    slack: LocalSlack, method: str, name: str, others: dict[str, str], number: str
) -> None:
    status, answer = await raw(slack, method, data={**others, name: number})
    assert (status, answer["error"]) == (200, "invalid_arguments")


@pytest.mark.parametrize("body", [b"\xff\xfe{", b'{"text": "\xff"}', b"[" * 200_000, b'{"a":' * 200_000])
async def test_bodies_that_nothing_can_read(slack: LocalSlack, body: bytes) -> None:
    status, answer = await raw(slack, "chat.postMessage", data=body, headers={"Content-Type": "application/json"})
    assert (status, answer["error"]) == (200, "invalid_json")


@pytest.mark.parametrize(
    "block",
    [
        {"type": []},
        {"type": {}},
        {"type": None},
        {"type": "divider", "block_id": []},
        {"type": "image", "image_url": "http://[x", "alt_text": "x"},
        {"type": "image", "image_url": 5, "alt_text": "x"},
        {"type": "actions", "elements": [{"type": []}]},
        {"type": "actions", "elements": [5]},
        {"type": "actions", "elements": [{"type": "static_select", "options": [5]}]},
        {"type": "section", "text": {"type": [], "text": "x"}},
        {"type": "task_card", "task_id": "1", "title": "x", "status": []},
    ],
)
async def test_blocks_of_odd_types_are_invalid(client: AsyncWebClient, block: Any) -> None:
    assert await refused(client.chat_postMessage(channel=GENERAL, text="x", blocks=[block])) == "invalid_blocks"


@pytest.mark.parametrize("name", ["private_metadata", "callback_id", "external_id"])
@pytest.mark.parametrize("value", [5, [], "x" * 3_001])
async def test_a_views_own_fields_are_text(client: AsyncWebClient, name: str, value: Any) -> None:
    assert await refused(client.views_publish(user_id="U0ADA", view={**HOME, name: value})) == "invalid_arguments"


@pytest.mark.parametrize("file", [5, [], {"id": []}, {"id": {}}, {}])
async def test_files_that_were_never_announced(slack: LocalSlack, file: Any) -> None:
    _, answer = await raw(slack, "files.completeUploadExternal", json={"files": [file]})
    assert answer["error"] == "file_not_found"


async def test_the_bot_has_no_direct_message_with_itself(slack: LocalSlack, client: AsyncWebClient) -> None:
    own = client.chat_postMessage(channel=slack.bot_user_id, text="note to self")
    assert await refused(own) == "channel_not_found"
    assert not any(slack.messages(slack.dm(name)) for name in ("ada", "grace", "linus"))
    assert (await client.chat_postMessage(channel="U0GRACE", text="hi"))["channel"] == slack.dm("grace")


@pytest.mark.parametrize("body", ["{", "[]", "5", "null", '{"text": "x", "response_type": []}', '{"blocks": 5}'])
async def test_response_urls_refuse_nonsense_and_do_not_count_it(slack: LocalSlack, body: str) -> None:
    app, urls = app_of(slack), []

    @app.command("/x")
    async def _x(ack: Any, command: dict[str, Any]) -> None:
        urls.append(command["response_url"])
        await ack()

    async with connected(slack, app), aiohttp.ClientSession() as session:
        await slack.command("ada", GENERAL, "/x")
        async with session.post(urls[0], data=body) as answer:
            assert (answer.status, (await answer.json())["ok"]) == (400, False)
        for status in (200, 200, 200, 200, 200, 404):
            async with session.post(urls[0], json={"text": "fine"}) as answer:
                assert answer.status == status
    assert [each["text"] for each in slack.ephemerals] == ["fine"] * 5


async def test_archiving_and_leaving_survive_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "slack.json"
    async with LocalSlack(state_file=state) as slack:
        slack.archive("general")
        slack.remove_bot("lab")
    async with LocalSlack(state_file=state) as slack:
        client = client_of(slack)
        assert await refused(client.chat_postMessage(channel=GENERAL, text="x")) == "is_archived"
        assert await refused(client.chat_postMessage(channel="G0LAB", text="x")) == "channel_not_found"


async def test_streams_expire_at_a_tests_word(slack: LocalSlack, client: AsyncWebClient) -> None:
    place = slack.dm("ada")
    root = await slack.post("ada", place, "x")
    await client.chat_startStream(channel=place, thread_ts=root)
    slack.expire_streams()
    await slack.wait_for(lambda each: not any(m.get("streaming") for m in each.messages(place)), timeout=1)
    late = client.chat_appendStream(channel=place, ts=slack.messages(place)[-1]["ts"], markdown_text="x")
    assert await refused(late) == "message_not_in_streaming_state"


async def test_people_change_only_what_is_theirs(slack: LocalSlack) -> None:
    ts = await slack.post("ada", GENERAL, "mine")
    with pytest.raises(SlackError, match="cant_update_message"):
        await slack.edit("grace", GENERAL, ts, "hers")
    with pytest.raises(SlackError, match="cant_delete_message"):
        await slack.delete("grace", GENERAL, ts)
    with pytest.raises(SlackError, match="message_not_found"):
        await slack.delete("ada", GENERAL, "1.1")
    assert [m["text"] for m in slack.messages(GENERAL)] == ["mine"]

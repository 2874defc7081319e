"""Files of the local Slack, and what it keeps across restarts."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.playground.slack import LocalSlack
from tests.playground.slack_client import app_of, client_of, connected, manifest_of, refused

GENERAL = "C0GENERAL"


@pytest.fixture
async def slack() -> AsyncIterator[LocalSlack]:
    async with LocalSlack() as local:
        yield local


@pytest.fixture
def client(slack: LocalSlack) -> AsyncWebClient:
    return client_of(slack)


async def fetch(url: str, token: str | None = None) -> tuple[int, str, bytes]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status, answer.content_type, await answer.read()


async def upload(url: str, content: bytes) -> int:
    async with aiohttp.ClientSession() as session, session.post(url, data=content) as answer:
        return answer.status


async def test_a_persons_file_reaches_the_app(slack: LocalSlack) -> None:
    app = app_of(slack)
    heard: list[dict[str, Any]] = []

    @app.event("message")
    async def hear(event: dict[str, Any]) -> None:
        heard.append(event)

    async with connected(slack, app):
        await slack.post("ada", slack.dm("ada"), "see", files=[("a table.csv", b"1,2")])
        await slack.idle()
    [file] = heard[0]["files"]
    assert (heard[0]["subtype"], file["mimetype"], file["filetype"], file["size"]) == (
        "file_share",
        "text/csv",
        "csv",
        3,
    )
    assert await fetch(file["url_private_download"], slack.bot_token) == (200, "text/csv", b"1,2")


async def test_a_download_without_a_token_is_a_login_page(slack: LocalSlack) -> None:
    await slack.post("ada", GENERAL, "see", files=[("a.txt", b"secret")])
    [file] = slack.messages(GENERAL)[0]["files"]
    for token in (None, slack.app_token):
        status, kind, content = await fetch(file["url_private"], token)
        assert (status, kind) == (200, "text/html")
        assert b"secret" not in content


async def test_a_download_needs_its_scope() -> None:
    async with LocalSlack(manifest=manifest_of("chat:write")) as slack:
        await slack.post("ada", GENERAL, "see", files=[("a.txt", b"secret")])
        [file] = slack.messages(GENERAL)[0]["files"]
        assert (await fetch(file["url_private"], slack.bot_token))[1] == "text/html"
        assert await refused(client_of(slack).files_info(file=file["id"])) == "missing_scope"


async def test_the_sdk_uploads_into_a_thread(slack: LocalSlack, client: AsyncWebClient) -> None:
    root = await slack.post("ada", GENERAL, "root")
    await client.files_upload_v2(
        content="x = 1", filename="x.py", title="Answer", channel=GENERAL, thread_ts=root, initial_comment="here"
    )
    message = slack.messages(GENERAL, root)[1]
    assert (message["text"], message["files"][0]["title"]) == ("here", "Answer")
    info = (await client.files_info(file=message["files"][0]["id"]))["file"]
    assert (await fetch(info["url_private"], slack.bot_token))[2] == b"x = 1"


async def test_an_upload_takes_three_steps_in_order(slack: LocalSlack, client: AsyncWebClient) -> None:
    made = await client.files_getUploadURLExternal(filename="x.txt", length=3)
    file = [{"id": made["file_id"]}]
    assert await refused(client.files_completeUploadExternal(files=file)) == "file_not_found"
    assert await upload(made["upload_url"], b"four") == 400
    assert await upload(f"{made['upload_url']}x", b"abc") == 404
    assert await upload(made["upload_url"], b"abc") == 200
    assert await refused(client.files_info(file=made["file_id"])) == "file_not_found"
    lost = client.files_completeUploadExternal(files=file, channel_id=GENERAL, thread_ts="1.1")
    assert await refused(lost) == "thread_not_found"
    elsewhere = client.files_completeUploadExternal(files=file, channel_id="C0RANDOM")
    assert await refused(elsewhere) == "not_in_channel"
    await client.files_completeUploadExternal(files=file)
    assert (await client.files_info(file=made["file_id"]))["file"]["size"] == 3
    assert not slack.messages(GENERAL)
    assert await refused(client.files_completeUploadExternal(files=file)) == "file_not_found"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"length": 0}, "file_upload_size_restricted"),
        ({"length": 1_000_000_001}, "file_upload_size_restricted"),
        ({"length": 3, "alt_txt": "x" * 1_001}, "alt_txt_too_large"),
        ({"length": 1_000_001, "snippet_type": "python"}, "snippet_too_large"),
    ],
)
async def test_uploads_are_limited(client: AsyncWebClient, fields: dict[str, Any], code: str) -> None:
    assert await refused(client.files_getUploadURLExternal(filename="x.txt", **fields)) == code


async def test_snippets_and_descriptions_are_kept(slack: LocalSlack, client: AsyncWebClient) -> None:
    for fields in ({"snippet_type": "python"}, {"alt_txt": "a plot"}):
        made = await client.files_getUploadURLExternal(filename="x", length=1, **fields)
        await upload(made["upload_url"], b"x")
        await client.files_completeUploadExternal(files=[{"id": made["file_id"]}])
        file = (await client.files_info(file=made["file_id"]))["file"]
        assert (file["mode"], file.get("alt_txt")) == (
            ("snippet", None) if "snippet_type" in fields else ("hosted", "a plot")
        )


async def test_a_canvas_is_downloaded_as_html(slack: LocalSlack) -> None:
    file = await slack.add_file("ada", "Plan", b"<div>", mimetype="application/vnd.slack-docs", mode="quip")
    assert await fetch(file["url_private"], slack.bot_token) == (200, "text/html", b"<div>")
    older = await slack.add_file("ada", "Plan", b"<p>", mimetype="text/plain", mode="space")
    assert await fetch(older["url_private"], slack.bot_token) == (200, "text/html", b"<p>")


async def test_who_asked_for_bytes_is_remembered(slack: LocalSlack) -> None:
    file = await slack.add_file("ada", "a.txt", b"abc")
    await fetch(file["url_private"])
    await fetch(file["url_private"], "xoxb-other")
    assert [(each.kind, each.file, each.authorization) for each in slack.transfers] == [
        ("download", file["id"], None),
        ("download", file["id"], "Bearer xoxb-other"),
    ]


# Restarts


async def test_everything_said_survives_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "slack.json"
    async with LocalSlack(state_file=state) as slack:
        root = await slack.post("ada", GENERAL, "root")
        answer = await client_of(slack).chat_postMessage(channel=GENERAL, thread_ts=root, markdown_text="**x**")
        await client_of(slack).chat_postEphemeral(channel=GENERAL, user="U0ADA", text="psst")
        await slack.post("ada", GENERAL, "file", files=[("a.txt", b"abc")])
        await client_of(slack).conversations_join(channel="C0RANDOM")
    async with LocalSlack(state_file=state) as slack:
        assert [message["text"] for message in slack.messages(GENERAL, root)] == ["root", "**x**"]
        assert slack.ephemerals[0]["text"] == "psst"
        assert slack.bot_user_id in slack.channels["random"].members
        [file] = slack.messages(GENERAL)[-1]["files"]
        info = (await client_of(slack).files_info(file=file["id"]))["file"]
        url = f"{slack.page_url}files-pri/{info['id']}/a.txt"
        assert (await fetch(url, slack.bot_token))[2] == b"abc"
        assert await slack.post("ada", GENERAL, "later") > answer["ts"]


async def test_a_stream_that_was_open_at_the_end_is_over(tmp_path: Path) -> None:
    state = tmp_path / "slack.json"
    async with LocalSlack(state_file=state) as slack:
        dm = slack.dm("ada")
        root = await slack.post("ada", dm, "root")
        ts = (await client_of(slack).chat_startStream(channel=dm, thread_ts=root, markdown_text="half"))["ts"]
    async with LocalSlack(state_file=state) as slack:
        append = client_of(slack).chat_appendStream(channel=dm, ts=ts, markdown_text="!")
        assert await refused(append) == "message_not_in_streaming_state"
        assert slack.messages(dm, root)[1]["text"] == "half"


async def test_a_state_file_that_is_none_is_named(tmp_path: Path) -> None:
    state = tmp_path / "slack.json"
    state.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"slack\.json is not a state file"):
        await LocalSlack(state_file=state).start()


async def test_a_port_in_use_is_an_error_and_leaves_nothing_behind(slack: LocalSlack) -> None:
    port = int(slack.page_url.rstrip("/").rpartition(":")[2])
    with pytest.raises(OSError, match="address already in use"):
        await LocalSlack(port=port).start()

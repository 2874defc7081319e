"""The local Slack's streams, agent sessions, statuses and suggested prompts."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.playground.slack import LocalSlack
from tests.playground.slack_client import Clock, client_of, manifest_of, refused

GENERAL = "C0GENERAL"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def slack(clock: Clock) -> AsyncIterator[LocalSlack]:
    async with LocalSlack(clock=clock) as local:
        yield local


@pytest.fixture
def client(slack: LocalSlack) -> AsyncWebClient:
    return client_of(slack)


@pytest.fixture
async def root(slack: LocalSlack) -> str:
    return await slack.post("ada", GENERAL, "question")


@pytest.fixture
def start(slack: LocalSlack, root: str) -> dict[str, Any]:
    """The arguments of a stream that Slack takes."""
    recipient = {"recipient_user_id": "U0ADA", "recipient_team_id": slack.team_id}
    return {"channel": GENERAL, "thread_ts": root, **recipient}


async def test_a_stream_grows_and_ends(slack: LocalSlack, client: AsyncWebClient, start: dict[str, Any]) -> None:
    ts = (await client.chat_startStream(**start))["ts"]
    assert slack.sessions[(GENERAL, start["thread_ts"])] == "processing"
    await client.chat_appendStream(channel=GENERAL, ts=ts, markdown_text="x = ")
    await client.chat_appendStream(channel=GENERAL, ts=ts, markdown_text="1")
    blocks = [{"type": "divider"}]
    stopped = await client.chat_stopStream(channel=GENERAL, ts=ts, markdown_text=".", blocks=blocks)
    assert stopped["message"]["text"] == "x = 1."
    assert "streaming" not in stopped["message"]
    assert slack.messages(GENERAL, start["thread_ts"])[1]["blocks"] == blocks
    assert slack.sessions[(GENERAL, start["thread_ts"])] == "active"
    again = client.chat_appendStream(channel=GENERAL, ts=ts, markdown_text="!")
    assert await refused(again) == "message_not_in_streaming_state"


async def test_the_sdks_own_stream_works(slack: LocalSlack, client: AsyncWebClient, start: dict[str, Any]) -> None:
    stream = await client.chat_stream(buffer_size=4, **start)
    for piece in ("one ", "two ", "three"):
        await stream.append(markdown_text=piece)
    await stream.stop(session_status="suspended")
    assert slack.messages(GENERAL, start["thread_ts"])[1]["text"] == "one two three"
    assert slack.sessions[(GENERAL, start["thread_ts"])] == "suspended"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"recipient_user_id": None}, "missing_recipient_user_id"),
        ({"recipient_team_id": None}, "missing_recipient_team_id"),
        ({"recipient_team_id": "T0OTHER"}, "team_not_found"),
        ({"recipient_user_id": "U0NOBODY"}, "user_not_found"),
        ({"thread_ts": ""}, "invalid_thread_ts"),
        ({"thread_ts": None}, "invalid_thread_ts"),
        ({"thread_ts": "1.1"}, "invalid_thread_ts"),
        ({"channel": "C0RANDOM"}, "not_in_channel"),
        ({"task_display_mode": "comic"}, "invalid_arguments"),
        ({"markdown_text": "x" * 12_001}, "msg_too_long"),
        ({"markdown_text": "x", "chunks": []}, "cannot_provide_both_markdown_text_and_chunks"),
    ],
)
async def test_starts_are_checked(
    slack: LocalSlack, client: AsyncWebClient, start: dict[str, Any], change: dict[str, Any], code: str
) -> None:
    call = {name: value for name, value in {**start, **change}.items() if value is not None}
    assert await refused(client.api_call("chat.startStream", json=call)) == code
    assert len(slack.messages(GENERAL)) == 1


async def test_a_direct_message_needs_no_recipient(slack: LocalSlack, client: AsyncWebClient) -> None:
    ts = await slack.post("ada", slack.dm("ada"), "question")
    assert (await client.chat_startStream(channel=slack.dm("ada"), thread_ts=ts))["ok"]


@pytest.mark.parametrize(
    "chunk",
    [
        "text",
        {"type": "song"},
        {"type": "markdown_text"},
        {"type": "task_update", "id": "1", "title": "x"},
        {"type": "task_update", "id": "1", "title": "x", "status": "asleep"},
        {"type": "task_update", "id": "", "title": "x", "status": "pending"},
        {"type": "task_update", "id": "1", "title": "x" * 257, "status": "pending"},
        {"type": "task_update", "id": "1", "title": "x", "status": "pending", "details": "x" * 257},
        {"type": "plan_update", "title": ""},
        {"type": "plan_update", "title": "x" * 257},
    ],
)
async def test_bad_chunks_are_refused(client: AsyncWebClient, start: dict[str, Any], chunk: Any) -> None:
    ts = (await client.chat_startStream(**start))["ts"]
    assert await refused(client.chat_appendStream(channel=GENERAL, ts=ts, chunks=[chunk])) == "invalid_chunks"


async def test_chunks_are_text_tasks_plans_and_blocks(
    slack: LocalSlack, client: AsyncWebClient, start: dict[str, Any]
) -> None:
    task = {"type": "task_update", "id": "1", "title": "Look", "status": "in_progress", "details": "here "}
    ts = (await client.chat_startStream(chunks=[{"type": "plan_update", "title": "Plan"}, task], **start))["ts"]
    done = {**task, "status": "complete", "details": "there"}
    blocks = {"type": "blocks", "blocks": [{"type": "divider"}]}
    text = {"type": "markdown_text", "text": "hi"}
    await client.chat_appendStream(channel=GENERAL, ts=ts, chunks=[done, text, blocks])
    tail = [{"type": "header", "text": {"type": "plain_text", "text": "end"}}]
    await client.chat_stopStream(channel=GENERAL, ts=ts, blocks=tail)
    message = slack.messages(GENERAL, start["thread_ts"])[1]
    assert (message["plan"], message["text"]) == ("Plan", "hi")
    assert (message["tasks"]["1"]["status"], message["tasks"]["1"]["details"]) == ("complete", "here there")
    assert [block["type"] for block in message["blocks"]] == ["divider", "header"]


@pytest.mark.parametrize("method", ["chat.appendStream", "chat.stopStream"])
@pytest.mark.parametrize("begun_with", ["markdown_text", "chunks"])
async def test_a_stream_takes_either_text_or_chunks(
    client: AsyncWebClient, start: dict[str, Any], begun_with: str, method: str
) -> None:
    """https://github.com/NousResearch/hermes-agent/pull/104173"""
    ways = {"markdown_text": "x", "chunks": [{"type": "markdown_text", "text": "x"}]}
    ts = (await client.api_call("chat.startStream", json={**start, begun_with: ways.pop(begun_with)}))["ts"]
    assert await refused(client.api_call(method, json={"channel": GENERAL, "ts": ts, **ways})) == (
        "streaming_mode_mismatch"
    )


async def test_an_append_says_something(client: AsyncWebClient, start: dict[str, Any]) -> None:
    ts = (await client.chat_startStream(**start))["ts"]
    assert await refused(client.api_call("chat.appendStream", json={"channel": GENERAL, "ts": ts})) == "no_text"


async def test_only_own_streams(slack: LocalSlack, client: AsyncWebClient, root: str) -> None:
    append = client.chat_appendStream(channel=GENERAL, ts=root, markdown_text="x")
    assert await refused(append) == "message_not_owned_by_app"
    assert await refused(client.chat_stopStream(channel=GENERAL, ts="1.1")) == "message_not_found"


async def test_a_live_stream_is_not_updated(client: AsyncWebClient, start: dict[str, Any]) -> None:
    ts = (await client.chat_startStream(markdown_text="x", **start))["ts"]
    assert await refused(client.chat_update(channel=GENERAL, ts=ts, text="y")) == "streaming_state_conflict"
    await client.chat_stopStream(channel=GENERAL, ts=ts)
    assert (await client.chat_update(channel=GENERAL, ts=ts, text="y"))["ok"]


async def test_a_stream_lives_five_minutes_whatever_is_appended(
    slack: LocalSlack, client: AsyncWebClient, clock: Clock, start: dict[str, Any]
) -> None:
    ts = (await client.chat_startStream(markdown_text="one", **start))["ts"]
    clock.now += 299
    await client.chat_appendStream(channel=GENERAL, ts=ts, markdown_text=" two")
    clock.now += 2
    append = client.chat_appendStream(channel=GENERAL, ts=ts, markdown_text=" three")
    assert await refused(append) == "message_not_in_streaming_state"
    assert await refused(client.chat_stopStream(channel=GENERAL, ts=ts)) == "message_not_in_streaming_state"
    assert slack.sessions[(GENERAL, start["thread_ts"])] == "active"
    assert (await client.chat_update(channel=GENERAL, ts=ts, markdown_text="one two three"))["ok"]


async def test_a_stream_expires_without_being_touched(
    slack: LocalSlack, client: AsyncWebClient, clock: Clock, start: dict[str, Any]
) -> None:
    await client.chat_startStream(markdown_text="one", **start)
    clock.now += 301
    await slack.wait_for(lambda each: each.messages(GENERAL, start["thread_ts"])[1].get("expired"))


async def test_a_person_stops_a_stream(slack: LocalSlack, client: AsyncWebClient, start: dict[str, Any]) -> None:
    ts = (await client.chat_startStream(markdown_text="one", **start))["ts"]
    await slack.stop_stream("ada", GENERAL, start["thread_ts"])
    assert await refused(client.chat_appendStream(channel=GENERAL, ts=ts, markdown_text="x")) == "stopped_by_user"
    assert await refused(client.chat_stopStream(channel=GENERAL, ts=ts)) == "message_not_in_streaming_state"
    # Slack leaves it to the app to say that it has stopped.
    assert slack.sessions[(GENERAL, start["thread_ts"])] == "processing"


# Statuses, sessions, titles, prompts


async def test_a_status_is_cleared_by_a_reply_or_by_time(
    slack: LocalSlack, client: AsyncWebClient, clock: Clock, root: str
) -> None:
    thread: dict[str, Any] = {"channel_id": GENERAL, "thread_ts": root}
    await client.assistant_threads_setStatus(status="is thinking…", **thread)
    assert slack.statuses[(GENERAL, root)]["status"] == "is thinking…"
    assert slack.sessions[(GENERAL, root)] == "processing"
    await client.chat_postMessage(channel=GENERAL, thread_ts=root, text="hi")
    assert not slack.statuses
    await client.assistant_threads_setStatus(status="is thinking…", **thread)
    await client.assistant_threads_setStatus(status="", **thread)
    assert not slack.statuses
    assert slack.sessions[(GENERAL, root)] == "active"
    await client.assistant_threads_setStatus(status="is thinking…", **thread)
    clock.now += 121
    await slack.wait_for(lambda each: not each.statuses)
    lost = client.assistant_threads_setStatus(channel_id=GENERAL, thread_ts="1.1", status="x")
    assert await refused(lost) == "invalid_thread_ts"
    many = client.assistant_threads_setStatus(status="x", loading_messages=["x"] * 11, **thread)
    assert await refused(many) == "invalid_arguments"


async def test_sessions(slack: LocalSlack, client: AsyncWebClient, root: str) -> None:
    thread: dict[str, Any] = {"channel_id": GENERAL, "thread_ts": root}
    assert await refused(client.agents_sessions_rename(title="Early", **thread)) == "not_authorized"
    made = await client.agents_sessions_setStatus(status="processing", title="Algebra", **thread)
    assert (made["status"], made["title"]) == ("processing", "Algebra")
    assert (await client.agents_sessions_setStatus(status="active", title="Other", **thread))["title"] == "Algebra"
    await client.agents_sessions_rename(title="Geometry", **thread)
    assert slack.workspace.titles[(GENERAL, root)] == "Geometry"
    assert await refused(client.agents_sessions_rename(title="x" * 201, **thread)) == "invalid_arguments"
    assert await refused(client.agents_sessions_setStatus(status="asleep", **thread)) == "invalid_status"
    bare = client.agents_sessions_setStatus(channel_id=GENERAL, status="active")
    assert await refused(bare) == "thread_ts_required"


async def test_an_app_that_cannot_hear_stop_is_warned() -> None:
    manifest = manifest_of("chat:write", agent_view={})
    async with LocalSlack(manifest=manifest) as slack:
        root = await slack.post("ada", GENERAL, "question")
        thread: dict[str, Any] = {"channel_id": GENERAL, "thread_ts": root}
        answer = await client_of(slack).agents_sessions_setStatus(status="processing", **thread)
        assert answer["warning"] == "missing_agent_session_stopped_event_subscription"


async def test_prompts_are_for_direct_messages(slack: LocalSlack, client: AsyncWebClient) -> None:
    prompts = [{"title": "Solve", "message": "Solve x = 1"}]
    await client.assistant_threads_setSuggestedPrompts(channel_id=slack.dm("ada"), prompts=prompts)
    assert slack.workspace.prompts == {slack.dm("ada"): prompts}
    elsewhere = client.assistant_threads_setSuggestedPrompts(channel_id=GENERAL, prompts=prompts)
    assert await refused(elsewhere) == "method_not_supported_for_channel_type"
    empty = client.assistant_threads_setSuggestedPrompts(channel_id=slack.dm("ada"), prompts=[{"title": "x"}])
    assert await refused(empty) == "invalid_arguments"

"""The local Slack's messages, blocks, reactions and conversations."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.web.async_client import AsyncWebClient

from bot.playground.slack import LocalSlack
from bot.playground.slack.blocks import check_blocks
from bot.playground.slack.errors import SlackError
from bot.playground.slack.limits import BLOCK_TYPES, ELEMENT_TYPES
from tests.playground.slack_client import Clock, client_of, refused

GENERAL, RANDOM, LAB = "C0GENERAL", "C0RANDOM", "G0LAB"


@pytest.fixture
async def slack() -> AsyncIterator[LocalSlack]:
    async with LocalSlack() as local:
        yield local


@pytest.fixture
def client(slack: LocalSlack) -> AsyncWebClient:
    return client_of(slack)


# Where the bot may write


async def test_channels_that_the_bot_cannot_write_in(slack: LocalSlack, client: AsyncWebClient) -> None:
    assert await refused(client.chat_postMessage(channel="C0NOWHERE", text="hi")) == "channel_not_found"
    assert await refused(client.chat_postMessage(channel=RANDOM, text="hi")) == "not_in_channel"
    slack.remove_bot("lab")
    assert await refused(client.chat_postMessage(channel=LAB, text="hi")) == "channel_not_found"
    slack.archive("general")
    assert await refused(client.chat_postMessage(channel=GENERAL, text="hi")) == "is_archived"


async def test_a_persons_id_stands_for_their_direct_message(slack: LocalSlack, client: AsyncWebClient) -> None:
    assert (await client.chat_postMessage(channel="U0ADA", text="hi"))["channel"] == slack.dm("ada")


async def test_threads_must_exist(slack: LocalSlack, client: AsyncWebClient) -> None:
    assert await refused(client.chat_postMessage(channel=GENERAL, text="hi", thread_ts="1.1")) == "thread_not_found"
    root = await slack.post("ada", GENERAL, "root")
    posted = await client.chat_postMessage(channel=GENERAL, text="hi", thread_ts=root)
    assert posted["message"]["parent_user_id"] == slack.users["ada"].id
    with pytest.raises(SlackError, match="thread_not_found"):
        await slack.post("ada", GENERAL, "lost", thread_ts="1.1")


# What it may write


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({}, "no_text"),
        ({"text": ""}, "no_text"),
        ({"markdown_text": ""}, "no_text"),
        ({"markdown_text": "x" * 12_001}, "msg_too_long"),
        ({"markdown_text": "x", "text": "y"}, "markdown_text_conflict"),
        ({"markdown_text": "x", "blocks": [{"type": "divider"}]}, "markdown_text_conflict"),
        ({"text": "x", "metadata": {"event_type": 5}}, "invalid_metadata_format"),
        ({"blocks": [{"type": "divider"}] * 51}, "msg_blocks_too_many"),
        ({"blocks": [{"type": "markdown", "text": "x" * 6_001}] * 2}, "msg_blocks_too_long"),
    ],
)
async def test_content_is_checked(client: AsyncWebClient, content: dict[str, Any], code: str) -> None:
    assert await refused(client.api_call("chat.postMessage", json={"channel": GENERAL, **content})) == code


async def test_long_text_is_cut_when_posted_and_refused_in_an_update(slack: LocalSlack, client: AsyncWebClient) -> None:
    posted = await client.chat_postMessage(channel=GENERAL, text="x" * 40_001)
    assert len(slack.messages(GENERAL)[0]["text"]) == 40_000
    too_long = client.chat_update(channel=GENERAL, ts=posted["ts"], text="x" * 4_001)
    assert await refused(too_long) == "msg_too_long"
    await client.chat_update(channel=GENERAL, ts=posted["ts"], text="x" * 4_000)
    await client.chat_update(channel=GENERAL, ts=posted["ts"], markdown_text="x" * 12_000)


PLAIN: dict[str, Any] = {"type": "plain_text", "text": "Go"}
BUTTON: dict[str, Any] = {"type": "button", "text": PLAIN, "action_id": "go"}
OPTION: dict[str, Any] = {"text": PLAIN, "value": "1"}


@pytest.mark.parametrize(
    "block",
    [
        "text",
        {"type": "paragraph"},
        {"type": "section"},
        {"type": "section", "text": "plain"},
        {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3_001}},
        {"type": "section", "text": {"type": "mrkdwn", "text": ""}},
        {"type": "section", "fields": [PLAIN] * 11},
        {"type": "section", "text": PLAIN, "accessory": {"type": "lever"}},
        {"type": "section", "text": PLAIN, "block_id": "x" * 256},
        {"type": "header", "text": {"type": "mrkdwn", "text": "no"}},
        {"type": "header", "text": {"type": "plain_text", "text": "x" * 151}},
        {"type": "markdown"},
        {"type": "context", "elements": [PLAIN] * 11},
        {"type": "context", "elements": [BUTTON]},
        {"type": "actions", "elements": []},
        {"type": "actions", "elements": [BUTTON] * 26},
        {"type": "actions", "elements": [BUTTON, BUTTON]},
        {"type": "actions", "elements": [{"type": "button", "text": {"type": "plain_text", "text": "x" * 76}}]},
        {"type": "actions", "elements": [{**BUTTON, "value": "x" * 2_001}]},
        {"type": "actions", "elements": [{"type": "static_select", "options": []}]},
        {"type": "actions", "elements": [{"type": "static_select", "options": [OPTION] * 101}]},
        {"type": "actions", "elements": [{"type": "static_select", "options": [{**OPTION, "value": "x" * 151}]}]},
        {
            "type": "actions",
            "elements": [
                {"type": "static_select", "options": [OPTION], "initial_option": {"text": PLAIN, "value": "2"}}
            ],
        },
        {"type": "context_actions", "elements": [{"type": "icon_button"}] * 6},
        {"type": "image", "alt_text": "x"},
        {"type": "image", "image_url": "https://example.org/x.png"},
        {"type": "image", "image_url": "javascript:alert(1)", "alt_text": "x"},
        {"type": "input", "label": PLAIN},
        {"type": "task_card", "task_id": "1", "title": {"type": "plain_text", "text": "x"}, "status": "pending"},
        {"type": "task_card", "task_id": "1", "title": "x", "status": "asleep"},
    ],
)
async def test_bad_blocks_are_refused(client: AsyncWebClient, block: Any) -> None:
    assert await refused(client.chat_postMessage(channel=GENERAL, text="x", blocks=[block])) == "invalid_blocks"


async def test_good_blocks_are_taken(slack: LocalSlack, client: AsyncWebClient) -> None:
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": PLAIN},
        {"type": "section", "text": {"type": "mrkdwn", "text": "*x*"}, "accessory": BUTTON},
        {"type": "markdown", "text": "**x**"},
        {"type": "divider"},
        {"type": "context", "elements": [{"type": "image", "image_url": "https://example.org/x", "alt_text": "x"}]},
        {"type": "actions", "elements": [BUTTON, {"type": "static_select", "options": [OPTION]}]},
        {"type": "task_card", "task_id": "1", "title": "x", "status": "in_progress"},
    ]
    await client.chat_postMessage(channel=GENERAL, text="x", blocks=blocks)
    assert slack.messages(GENERAL)[0]["blocks"] == blocks


async def test_a_block_id_names_one_block(client: AsyncWebClient) -> None:
    twice = [{"type": "divider", "block_id": "same"}] * 2
    assert await refused(client.chat_postMessage(channel=GENERAL, text="x", blocks=twice)) == "invalid_blocks"


_LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from(["plain_text", "mrkdwn"])
_KEYS = st.sampled_from(
    ["type", "text", "fields", "elements", "accessory", "element", "label", "options", "value", "block_id", "action_id"]
)
_JSON = st.recursive(
    _LEAVES | st.sampled_from(sorted(BLOCK_TYPES | ELEMENT_TYPES)),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(_KEYS, each, max_size=5),
    max_leaves=12,
)


@given(
    st.lists(
        st.dictionaries(_KEYS, _JSON, max_size=4).flatmap(
            lambda block: st.sampled_from(sorted(BLOCK_TYPES)).map(lambda kind: {**block, "type": kind})
        ),
        max_size=3,
    )
)
def test_any_json_is_blocks_or_refused(blocks: Any) -> None:
    """Whatever a model makes up is refused by name, never with a server's error."""
    try:
        check_blocks(blocks)
    except SlackError as error:
        code = error.code
    else:
        code = ""
    assert code in ("", "invalid_blocks", "msg_blocks_too_long")


# Its own messages and others'


async def test_only_own_messages_are_changed(slack: LocalSlack, client: AsyncWebClient) -> None:
    theirs = await slack.post("ada", GENERAL, "mine")
    assert await refused(client.chat_update(channel=GENERAL, ts=theirs, text="x")) == "cant_update_message"
    assert await refused(client.chat_delete(channel=GENERAL, ts=theirs)) == "cant_delete_message"
    assert await refused(client.chat_update(channel=GENERAL, ts="1.1", text="x")) == "message_not_found"
    own = (await client.chat_postMessage(channel=GENERAL, text="one"))["ts"]
    assert (await client.chat_update(channel=GENERAL, ts=own, text="two"))["message"]["edited"]
    await client.chat_delete(channel=GENERAL, ts=own)
    assert [message["text"] for message in slack.messages(GENERAL)] == ["mine"]


async def test_ephemeral_messages_are_for_one_member_and_not_kept(slack: LocalSlack, client: AsyncWebClient) -> None:
    said = await client.chat_postEphemeral(channel=LAB, user="U0ADA", text="psst")
    assert slack.ephemerals[0]["to"] == "U0ADA"
    assert not slack.messages(LAB)
    assert await refused(client.chat_postEphemeral(channel=LAB, user="U0LINUS", text="x")) == "user_not_in_channel"
    assert await refused(client.chat_update(channel=LAB, ts=said["message_ts"], text="x")) == "message_not_found"


async def test_permalinks_and_reactions(slack: LocalSlack, client: AsyncWebClient) -> None:
    ts = await slack.post("ada", GENERAL, "look")
    link = await client.chat_getPermalink(channel=GENERAL, message_ts=ts)
    assert link["permalink"].endswith(f"archives/{GENERAL}/p{ts.replace('.', '')}")
    await client.reactions_add(channel=GENERAL, timestamp=ts, name="eyes")
    assert await refused(client.reactions_add(channel=GENERAL, timestamp=ts, name="eyes")) == "already_reacted"
    got = await client.reactions_get(channel=GENERAL, timestamp=ts)
    assert got["message"]["reactions"] == [{"name": "eyes", "users": [slack.bot_user_id], "count": 1}]
    await client.reactions_remove(channel=GENERAL, timestamp=ts, name="eyes")
    assert await refused(client.reactions_remove(channel=GENERAL, timestamp=ts, name="eyes")) == "no_reaction"


# What people would have to bear


@pytest.mark.parametrize("entity", ["<!channel>", "<!here>", "<!everyone>", "<!subteam^S1>", "<@U0ADA>", "<@U0ADA|x>"])
@pytest.mark.parametrize("how", ["text", "markdown_text", "section", "markdown"])
async def test_pings_are_noticed(slack: LocalSlack, client: AsyncWebClient, entity: str, how: str) -> None:
    said: dict[str, Any] = {how: f"see {entity}"}
    if how == "section":
        said = {"text": "x", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": entity}}]}
    elif how == "markdown":
        said = {"text": "x", "blocks": [{"type": "markdown", "text": entity}]}
    await client.chat_postMessage(channel=GENERAL, **said)
    assert slack.pings == [entity]


async def test_a_ping_that_a_stream_joins_of_pieces_is_noticed(slack: LocalSlack, client: AsyncWebClient) -> None:
    root = await slack.post("ada", slack.dm("ada"), "hi")
    stream: dict[str, Any] = {"channel": slack.dm("ada")}
    ts = (await client.chat_startStream(thread_ts=root, markdown_text="<!cha", **stream))["ts"]
    await client.chat_appendStream(ts=ts, markdown_text="nnel>", **stream)
    assert slack.pings == ["<!channel>"]


async def test_escaped_entities_and_dates_ping_nobody(slack: LocalSlack, client: AsyncWebClient) -> None:
    await client.chat_postMessage(channel=GENERAL, text="&lt;!channel&gt; <!date^1^{date}|then> <https://x.org|x> 1<2")
    plain = [{"type": "header", "text": {"type": "plain_text", "text": "<!here>"}}]
    await client.chat_postMessage(channel=GENERAL, text="x", blocks=plain)
    assert not slack.pings


async def test_links_that_would_unfurl_are_noticed(slack: LocalSlack, client: AsyncWebClient) -> None:
    quiet: dict[str, Any] = {"channel": GENERAL, "unfurl_links": False, "unfurl_media": False}
    await client.chat_postMessage(text="https://example.org", **quiet)
    assert not slack.unfurled
    await client.chat_postMessage(text="https://example.org", **{**quiet, "unfurl_media": True})
    assert len(slack.unfurled) == 1


# Reading


async def test_conversations_are_described(slack: LocalSlack, client: AsyncWebClient) -> None:
    assert (await client.conversations_info(channel=GENERAL))["channel"]["name"] == "general"
    assert (await client.conversations_info(channel=RANDOM))["channel"]["is_member"] is False
    dm = (await client.conversations_info(channel=slack.dm("ada")))["channel"]
    assert (dm["is_im"], dm["user"]) == (True, "U0ADA")
    listed = (await client.conversations_list(types="public_channel,private_channel"))["channels"]
    assert {channel["name"] for channel in listed} == {"general", "random", "lab"}
    assert (await client.conversations_members(channel=LAB))["members"] == ["U0ADA", "U0GRACE", slack.bot_user_id]
    assert await refused(client.conversations_list(types="secret")) == "invalid_types"
    slack.remove_bot("lab")
    assert await refused(client.conversations_info(channel=LAB)) == "channel_not_found"


async def test_joining_and_opening(slack: LocalSlack, client: AsyncWebClient) -> None:
    assert await refused(client.conversations_join(channel=LAB)) == "method_not_supported_for_channel_type"
    await client.conversations_join(channel=RANDOM)
    assert (await client.chat_postMessage(channel=RANDOM, text="hi"))["ok"]
    assert (await client.conversations_open(users="U0ADA"))["channel"]["id"] == slack.dm("ada")
    group = (await client.conversations_open(users="U0ADA,U0LINUS", return_im=True))["channel"]
    assert group["is_mpim"]
    assert (await client.conversations_open(users="U0LINUS,U0ADA"))["channel"]["id"] == group["id"]
    assert await refused(client.conversations_open(users="U0NOBODY")) == "user_not_found"
    assert await refused(client.conversations_open(users="")) == "invalid_arguments"


async def test_a_thread_is_read_root_first_and_described(slack: LocalSlack, client: AsyncWebClient) -> None:
    root = await slack.post("ada", GENERAL, "root")
    await client.chat_postMessage(channel=GENERAL, markdown_text="**hi**", thread_ts=root)
    last = await slack.post("grace", GENERAL, "last", thread_ts=root)
    read = await client.conversations_replies(channel=GENERAL, ts=root)
    first, second, third = read["messages"]
    assert (first["reply_count"], first["latest_reply"]) == (2, last)
    assert set(first["reply_users"]) == {slack.bot_user_id, "U0GRACE"}
    assert [each["thread_ts"] for each in (first, second, third)] == [root] * 3
    assert "markdown_text" not in second
    after = await client.conversations_replies(channel=GENERAL, ts=root, oldest=second["ts"])
    assert [message["ts"] for message in after["messages"]] == [root, last]
    assert await refused(client.conversations_replies(channel=GENERAL, ts="1.1")) == "thread_not_found"
    assert await refused(client.conversations_replies(channel=RANDOM, ts=root)) == "not_in_channel"


async def test_history_has_no_replies_and_the_newest_first(slack: LocalSlack, client: AsyncWebClient) -> None:
    one = await slack.post("ada", GENERAL, "one")
    await slack.post("ada", GENERAL, "reply", thread_ts=one)
    two = await slack.post("ada", GENERAL, "two")
    await client.chat_postMessage(channel=GENERAL, text="for all", thread_ts=one, reply_broadcast=True)
    texts = [message["text"] for message in (await client.conversations_history(channel=GENERAL))["messages"]]
    assert texts == ["for all", "two", "one"]
    upto = await client.conversations_history(channel=GENERAL, latest=two, inclusive=True)
    assert [message["text"] for message in upto["messages"]] == ["two", "one"]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_pages_give_everything_once(slack: LocalSlack, client: AsyncWebClient, limit: int) -> None:
    posted = [await slack.post("ada", GENERAL, str(number)) for number in range(7)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await client.conversations_history(channel=GENERAL, limit=limit, cursor=cursor)
        assert len(page["messages"]) <= limit
        seen += [message["ts"] for message in page["messages"]]
        cursor = page["response_metadata"]["next_cursor"] or None
        assert page["has_more"] is (cursor is not None)
    assert seen == posted[::-1]
    assert await refused(client.conversations_history(channel=GENERAL, cursor="later")) == "invalid_cursor"
    assert await refused(client.conversations_history(channel=GENERAL, limit=1_001)) == "invalid_limit"


async def test_people(client: AsyncWebClient) -> None:
    assert await refused(client.users_info(user="U0NOBODY")) == "user_not_found"
    assert {user["name"] for user in (await client.users_list())["members"]} == {"ada", "grace", "linus", "bobbin"}


async def test_timestamps_only_grow_even_when_the_clock_stands_still() -> None:
    async with LocalSlack(clock=Clock()) as slack:
        stamps = [await slack.post("ada", GENERAL, "hi") for _ in range(20)]
    assert stamps == sorted(set(stamps))

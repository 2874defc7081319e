"""Payloads become arrivals: which count, whose they are, and what is taken off."""

from typing import Any

import pytest

from bot.engine.ports import ThreadKey
from bot.listeners.posts import arrival_from, deletion_from, edit_from, stopped_thread

_BOT = "U0BOT"


def event(**changes: Any) -> dict[str, Any]:
    fields = {
        "type": "message",
        "user": "U1",
        "text": "hello",
        "ts": "1700000000.000100",
        "channel": "C1",
        "channel_type": "channel",
        "team": "T1",
    }
    fields.update(changes)
    return {"team_id": "T1", "event_id": "Ev1", "event": {k: v for k, v in fields.items() if v is not None}}


def test_a_mention_is_addressed_and_its_text_is_without_it() -> None:
    arrival = arrival_from(event(text=f"  <@{_BOT}>: what is 1+1?"), _BOT)
    assert arrival is not None
    assert (arrival.post.text, arrival.addressed, arrival.mentioned) == ("what is 1+1?", True, True)
    assert arrival.post.thread == ThreadKey("T1", "C1", "1700000000.000100")


def test_the_payload_says_which_user_the_bot_is() -> None:
    body = event(text="<@U9> hi")
    body["authorizations"] = [{"user_id": "U9", "is_bot": True, "team_id": "T9"}]
    arrival = arrival_from(body, _BOT)
    assert arrival is not None
    assert (arrival.post.text, arrival.post.thread.team, arrival.mentioned) == ("hi", "T9", True)


def test_a_direct_message_is_addressed_without_a_mention() -> None:
    arrival = arrival_from(event(channel="D1", channel_type="im"), _BOT)
    assert arrival is not None
    assert (arrival.addressed, arrival.mentioned, arrival.post.surface) == (True, False, "im")


def test_a_mention_without_channel_type_in_a_direct_message_is_one() -> None:
    arrival = arrival_from(event(type="app_mention", channel="D1", channel_type=None), _BOT)
    assert arrival is not None
    assert arrival.post.surface == "im"


def test_a_reply_that_begins_with_somebody_else_is_to_others() -> None:
    arrival = arrival_from(event(text="<@U2> can you look?", thread_ts="1600000000.000000"), _BOT)
    assert arrival is not None
    assert (arrival.addressed, arrival.to_others, arrival.post.thread.ts) == (False, True, "1600000000.000000")


def test_a_slack_connect_author_keeps_their_own_team() -> None:
    arrival = arrival_from(event(user_team="T2", source_team="T2"), _BOT)
    assert arrival is not None
    assert (arrival.post.author_team, arrival.post.thread.team) == ("T2", "T1")


def test_files_are_named_in_the_text() -> None:
    arrival = arrival_from(event(subtype="file_share", text="", files=[{"name": "a.pdf"}, {"id": "F2"}]), _BOT)
    assert arrival is not None
    assert arrival.post.text == "[Attached, but not readable for you yet: a.pdf, a file]"


@pytest.mark.parametrize(
    "changes",
    [
        {"user": _BOT},
        {"user": "USLACKBOT"},
        {"bot_id": "B1"},
        {"subtype": "bot_message"},
        {"subtype": "channel_join"},
        {"subtype": "message_replied"},
        {"hidden": True},
        {"user": None},
        {"ts": None},
        {"channel": None},
        {"type": "app_mention", "user": None, "text": None, "ts": None},
    ],
)
def test_what_no_person_wrote_is_left_alone(changes: dict[str, Any]) -> None:
    assert arrival_from(event(**changes), _BOT) is None


def changed(**message: Any) -> dict[str, Any]:
    new = {"ts": "1.000001", "text": f"<@{_BOT}> new", "edited": {"user": "U1", "ts": "2.000000"}, **message}
    return event(subtype="message_changed", message=new, previous_message={"text": "old", "ts": "1.000001"})


def test_an_edit_has_its_new_text() -> None:
    edit = edit_from(changed(), _BOT)
    assert edit is not None
    assert (edit.ts, edit.text, edit.edited_ts) == ("1.000001", "new", "2.000000")


@pytest.mark.parametrize("message", [{"text": "old"}, {"edited": None}, {"ts": None}])
def test_an_unfurl_is_no_edit(message: dict[str, Any]) -> None:
    assert edit_from(changed(**message), _BOT) is None


def test_a_deletion_names_its_post() -> None:
    gone = deletion_from(event(subtype="message_deleted", deleted_ts="1.000001", text=None))
    assert gone is not None
    assert gone.ts == "1.000001"
    assert deletion_from(event(subtype="message_deleted")) is None


def test_stop_names_its_thread() -> None:
    body = event(type="agent_session_stopped", thread_ts="1.000001")
    assert stopped_thread(body) == ThreadKey("T1", "C1", "1.000001")
    assert stopped_thread(event(type="agent_session_stopped")) is None

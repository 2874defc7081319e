"""Payloads become arrivals: which count, whose they are, and what is taken off."""

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.engine.ports import PostFile, ThreadKey
from bot.listeners.posts import arrival_from, channel_of, deletion_from, edit_from, plain_name, stopped_thread, team_of

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


def files_of(*files: Any, **changes: Any) -> tuple[PostFile, ...]:
    arrival = arrival_from(event(**{"subtype": "file_share", "text": "", "files": list(files), **changes}), _BOT)
    assert arrival is not None
    assert not arrival.post.text
    return arrival.post.files


def test_a_posts_files_come_with_it() -> None:
    url = "https://files.slack.com/files-pri/T1-F1/a.pdf"
    described = {
        "id": "F1",
        "name": "a.pdf",
        "title": "A",
        "mimetype": "application/pdf",
        "size": 3,
        "mode": "hosted",
        "url_private": url,
        "url_private_download": f"{url}?download",
    }
    assert files_of(described) == (PostFile("F1", "a.pdf", "application/pdf", 3, f"{url}?download", "hosted"),)
    assert files_of(described, type="app_mention", subtype=None) == files_of(described)


def test_a_slack_connect_file_has_to_be_asked_for() -> None:
    """https://docs.slack.dev/reference/events/message/file_share"""
    [file] = files_of({"id": "F1", "mode": "file_access", "file_access": "check_file_info", "name": None})
    assert (file.id, file.url, file.mode) == ("F1", "", "file_access")
    [file] = files_of({"id": "F1", "file_access": "check_file_info"})
    assert file.mode == "file_access"
    [file] = files_of({"id": "F1", "mode": "hosted", "file_access": "visible"})
    assert file.mode == "hosted"
    [file] = files_of({"id": "F1", "mode": "tombstone", "file_access": "file_not_found"})
    assert file.mode == "tombstone"


def test_odd_files_make_no_arrival_fail() -> None:
    odd: list[Any] = [
        None,
        5,
        "x",
        [],
        {},
        {"id": None, "name": 7, "size": "3", "url_private": [], "mode": {}},
        {"size": True},
    ]
    assert files_of(*odd) == (PostFile("", "a file", "", 0, ""),) * 3
    assert files_of({"name": "x", "size": -1, "mimetype": "Text/Plain; charset=utf-8"})[0].media_type == "text/plain"
    for files in (None, "x", 5, {"id": "F1"}):
        arrival = arrival_from(event(files=files), _BOT)
        assert arrival is not None
        assert arrival.post.files == ()


@pytest.mark.parametrize(
    ("transcription", "transcript"),
    [
        ({"status": "complete", "locale": "en-US", "preview": {"content": " Hi\0 ", "has_more": False}}, "Hi"),
        ({"status": "complete", "preview": {"content": "Hi", "has_more": True}}, "Hi […] (only its beginning)"),
        ({"status": "complete", "preview": {"content": "", "has_more": True}}, ""),
        ({"status": "processing", "preview": {"content": "Hi"}}, ""),
        ({"status": "complete", "preview": None}, ""),
        ({"status": "complete"}, ""),
        ({"status": "none"}, ""),
        ("complete", ""),
        (None, ""),
    ],
)
def test_slacks_own_transcript_comes_with_a_recording(transcription: Any, transcript: str) -> None:
    [file] = files_of({"id": "F1", "name": "clip.m4a", "transcription": transcription})
    assert file.transcript == transcript


@given(st.dictionaries(st.text(max_size=3), st.none() | st.integers() | st.text(), max_size=2), st.text())
def test_whatever_a_file_says_it_becomes_one(noise: dict[str, Any], name: str) -> None:
    [file] = files_of({**noise, "name": name, "size": noise.get("size", 1)})
    assert file.name


@given(st.text() | st.text(alphabet="./\\ a\n\u202e\x00", max_size=400))
def test_names_are_one_line_short_and_no_path(name: str) -> None:
    plain = plain_name(name)
    assert 0 < len(plain) <= 200
    assert plain == " ".join(plain.split())
    assert not any(unicodedata.category(each)[0] == "C" for each in plain)
    assert not set("/\\") & set(plain)
    assert plain not in (".", "..")
    assert plain_name(plain) == plain


def test_a_long_name_keeps_its_ending() -> None:
    assert plain_name("x" * 300 + ".pdf") == "x" * 196 + ".pdf"
    assert plain_name("../../etc/passwd") == ".._.._etc_passwd"
    assert plain_name("fdp\u202egpj.exe") == "fdp gpj.exe"
    assert len(plain_name("x." + "y" * 300)) == 200


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


def test_an_edits_text_says_nothing_of_files() -> None:
    edit = edit_from(changed(files=[{"id": "F1", "name": "a.pdf"}]), _BOT)
    assert edit is not None
    assert edit.text == "new"


@pytest.mark.parametrize("message", [{"text": "old"}, {"edited": None}, {"ts": None}])
def test_an_unfurl_is_no_edit(message: dict[str, Any]) -> None:
    assert edit_from(changed(**message), _BOT) is None


def test_a_deleted_message_with_replies_is_deleted_and_not_edited() -> None:
    left = {"subtype": "tombstone", "hidden": True, "user": "USLACKBOT", "text": "This message was deleted."}
    body = changed(**left, edited=None)
    assert edit_from(body, _BOT) is None
    gone = deletion_from(body)
    assert gone is not None
    assert gone.ts == "1.000001"
    assert deletion_from(changed()) is None


def test_a_forwarded_message_is_quoted_with_its_files() -> None:
    shared = {
        "is_share": True,
        "author_name": "Grace",
        "text": "It fell over\n&lt;again&gt;",
        "files": [{"id": "F1", "name": "log.txt"}],
    }
    arrival = arrival_from(event(text=f"<@{_BOT}> what is this?", attachments=[shared, {"text": "an ad"}, "odd"]), _BOT)
    assert arrival is not None
    assert arrival.post.text == "what is this?\n\n&gt; Grace: It fell over\n&gt; &lt;again&gt;"
    assert [file.name for file in arrival.post.files] == ["log.txt"]
    bare = arrival_from(event(text="", channel="D1", channel_type="im", attachments=[shared]), _BOT)
    assert bare is not None
    assert bare.post.text.startswith("&gt; Grace: It fell")


@pytest.mark.parametrize(
    ("body", "team"),
    [
        ({"team_id": "T1", "command": "/reset"}, "T1"),
        ({"team": {"id": "T1"}, "user": {"id": "U1", "team_id": "T2"}}, "T1"),
        ({"team": None, "enterprise": {"id": "E1"}, "user": {"id": "U1", "team_id": "T2"}}, "E1"),
        ({"team_id": None, "authorizations": [{"team_id": None}], "context_team_id": "T3", "event": {}}, "T3"),
        ({"authorizations": [], "event": {"team": "T4"}}, "T4"),
        ({"team_id": None, "enterprise_id": "E1", "command": "/reset"}, "E1"),
        ({}, ""),
    ],
)
def test_the_workspace_is_found_in_every_payload(body: dict[str, Any], team: str) -> None:
    assert team_of(body) == team


def test_an_organisation_is_no_authors_workspace() -> None:
    arrival = arrival_from(event(user_team="E1", source_team="T2"), _BOT)
    assert arrival is not None
    assert arrival.post.author_team == "T2"


def test_a_click_may_name_its_channel_in_its_container_alone() -> None:
    assert channel_of({"channel": {"id": "C1"}}) == "C1"
    assert channel_of({"container": {"channel_id": "C2"}}) == "C2"


def test_a_deletion_names_its_post() -> None:
    gone = deletion_from(event(subtype="message_deleted", deleted_ts="1.000001", text=None))
    assert gone is not None
    assert gone.ts == "1.000001"
    assert deletion_from(event(subtype="message_deleted")) is None


def test_stop_names_its_thread() -> None:
    body = event(type="agent_session_stopped", thread_ts="1.000001")
    assert stopped_thread(body) == ThreadKey("T1", "C1", "1.000001")
    assert stopped_thread(event(type="agent_session_stopped")) is None

"""The local Slack's page: who may use it, what it shows, live, and that nothing anybody writes becomes markup."""

import contextlib
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from bot.manifest import manifest
from bot.playground.slack import LocalSlack
from tests.playground.markup import ATTACKS, strange
from tests.playground.slack_client import app_of, client_of, connected

Json = dict[str, Any]


@pytest.fixture
async def slack() -> AsyncIterator[LocalSlack]:
    async with LocalSlack(manifest=manifest()) as local:
        yield local


@pytest.fixture
async def browser(slack: LocalSlack) -> AsyncIterator[aiohttp.ClientSession]:
    """Whoever has the page open: requests carry its Origin."""
    origin = slack.page_url.removesuffix("/")
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(slack.page_url, headers={"Origin": origin}, timeout=timeout) as session:
        yield session


async def act(browser: aiohttp.ClientSession, deed: str, **said: Any) -> tuple[int, Json]:
    async with browser.post(f"page/{deed}", json=said) as answer:
        return answer.status, await answer.json()


class Stream:
    """The page's event stream, frame by frame, and what a page would hold after them."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.shown: Json = {}

    async def frame(self) -> Json | None:
        """The next frame; None at the end."""
        async for line in self._response.content:
            if line.startswith(b"data: "):
                return self._take(json.loads(line.removeprefix(b"data: ")))
        return None

    def _take(self, frame: Json) -> Json:
        for part, changes in frame.items():
            if part != "all":
                kept = self.shown.setdefault(part, {}) | changes
                self.shown[part] = {key: value for key, value in kept.items() if value is not None}
        return frame

    async def until(self, part: str, key: str) -> Any:
        """Read on until the page shows this."""
        while key not in self.shown.get(part, {}):
            assert await self.frame() is not None
        return self.shown[part][key]


@contextlib.asynccontextmanager
async def watching(browser: aiohttp.ClientSession, person: str = "ada") -> AsyncIterator[Stream]:
    async with browser.get("page/events", params={"person": person}) as response:
        assert response.content_type == "text/event-stream"
        stream = Stream(response)
        first = await stream.frame()
        assert first
        assert first["all"] is True
        yield stream


# Who may


async def test_the_page_loads_nothing_from_elsewhere_and_is_framed_nowhere(browser: aiohttp.ClientSession) -> None:
    scripts = (f"page/{name}.js" for name in ("page", "state", "messages", "mrkdwn", "composer", "files"))
    kinds = {"": "text/html", "page/page.css": "text/css", **dict.fromkeys(scripts, "text/javascript")}
    for path, kind in kinds.items():
        async with browser.get(f"/{path}") as answer:
            assert (answer.status, answer.content_type) == (200, kind)
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "script-src 'self';" in policy
            assert "frame-ancestors 'none'" in policy
            assert "://" not in policy
            assert "unsafe" not in policy


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example"]
)
async def test_other_hosts_are_refused_even_with_their_own_origin(browser: aiohttp.ClientSession, host: str) -> None:
    """DNS rebinding: another site's name points at this port, so its Origin and its Host agree."""
    headers = {"Host": host, "Origin": f"http://{host}"}
    for path in ("", "page/events", "page/state", "page/page.js"):
        async with browser.get(f"/{path}", headers=headers) as answer:
            assert answer.status == 403
    async with browser.post("page/post", json={}, headers=headers) as answer:
        assert answer.status == 403


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "", "http://127.0.0.1", "http://127.0.0.1:1", "http://[", "file://"],
)
async def test_other_origins_may_not_act(slack: LocalSlack, browser: aiohttp.ClientSession, origin: str) -> None:
    said = {"person": "ada", "channel": "C0GENERAL", "text": "hi", "ts": "1.1", "thread_ts": "1.1", "command": "/reset"}
    for deed in ("post", "edit", "delete", "command", "click", "shortcut", "stop", "open"):
        async with browser.post(f"page/{deed}", json=said, headers={"Origin": origin}) as answer:
            assert answer.status == 403
    assert not slack.messages("C0GENERAL")


async def test_without_an_origin_nobody_acts(slack: LocalSlack) -> None:
    said = {"person": "ada", "channel": "C0GENERAL", "text": "hi"}
    async with aiohttp.ClientSession() as session, session.post(f"{slack.page_url}page/post", json=said) as answer:
        assert answer.status == 403
    assert not slack.messages("C0GENERAL")


async def test_another_name_of_this_machine_is_as_good(slack: LocalSlack, browser: aiohttp.ClientSession) -> None:
    port = slack.page_url.rsplit(":", 1)[1].rstrip("/")
    said = {"person": "ada", "channel": "C0GENERAL", "text": "hi"}
    headers = {"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}"}
    async with browser.post("page/post", json=said, headers=headers) as answer:
        assert answer.status == 200


# What people do


async def test_posting_replying_editing_deleting(slack: LocalSlack, browser: aiohttp.ClientSession) -> None:
    status, answer = await act(browser, "post", person="ada", channel="C0GENERAL", text="hello")
    assert (status, answer["ok"]) == (200, True)
    root = answer["done"]
    _, answer = await act(browser, "post", person="grace", channel="C0GENERAL", text="hi", thread_ts=root)
    assert [m["text"] for m in slack.messages("C0GENERAL", root)] == ["hello", "hi"]
    await act(browser, "edit", person="ada", channel="C0GENERAL", ts=root, text="hello!")
    await act(browser, "delete", person="grace", channel="C0GENERAL", ts=answer["done"])
    assert [m["text"] for m in slack.messages("C0GENERAL")] == ["hello!"]


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        ("post", {"person": "nobody", "channel": "C0GENERAL", "text": "hi"}),
        ("post", {"person": "ada", "channel": "C0NOWHERE", "text": "hi"}),
        ("post", {"person": "linus", "channel": "G0LAB", "text": "hi"}),
        ("post", {"person": "ada", "channel": "C0GENERAL"}),
        ("post", {"person": "ada", "channel": "C0GENERAL", "text": "hi", "thread_ts": "1.1"}),
        ("post", {"person": [], "channel": "C0GENERAL", "text": "hi"}),
        ("edit", {"person": "ada", "channel": "C0GENERAL", "ts": "1.1", "text": "hi"}),
        ("delete", {"person": "ada", "channel": "C0NOWHERE", "ts": "1.1"}),
        ("click", {"person": "ada", "channel": "C0GENERAL", "ts": "1.1", "action_id": "x"}),
        ("shortcut", {"person": "ada", "channel": "C0GENERAL", "ts": "1.1", "callback_id": "no_such"}),
        ("open", {"person": "nobody"}),
        ("stop", {}),
    ],
)
async def test_what_cannot_be_done_is_said(browser: aiohttp.ClientSession, deed: str, said: Json) -> None:
    status, answer = await act(browser, deed, **said)
    assert status == 400
    assert answer["error"]


async def test_bodies_that_are_no_objects_are_refused(browser: aiohttp.ClientSession) -> None:
    for body in ("{", "[]", "null", '"x"', "5"):
        async with browser.post("page/post", data=body) as answer:
            assert answer.status == 400


@pytest.mark.parametrize("deed", ["edit", "delete"])
async def test_nobody_changes_what_others_wrote(slack: LocalSlack, browser: aiohttp.ClientSession, deed: str) -> None:
    ts = await slack.post("ada", "C0GENERAL", "mine")
    status, answer = await act(browser, deed, person="grace", channel="C0GENERAL", ts=ts, text="hers")
    assert status == 400
    assert answer["error"]
    assert [m["text"] for m in slack.messages("C0GENERAL")] == ["mine"]


async def test_commands_clicks_and_shortcuts_reach_the_app(slack: LocalSlack, browser: aiohttp.ClientSession) -> None:
    app = app_of(slack)
    heard: list[str] = []

    @app.command("/reset")
    async def _reset(ack: Any, command: Json) -> None:
        heard.append(f"{command['command']} {command['text']}")
        await ack(text="Forgotten.")

    @app.action("go")
    async def _go(ack: Any, action: Json) -> None:
        heard.append(action["value"])
        await ack()

    @app.shortcut("reset_thread")
    async def _shortcut(ack: Any, shortcut: Json) -> None:
        heard.append(shortcut["message"]["text"])
        await ack()

    button = {"type": "button", "action_id": "go", "value": "1", "text": {"type": "plain_text", "text": "Go"}}
    async with connected(slack, app):
        posted = await client_of(slack).chat_postMessage(
            channel="C0GENERAL", text="choose", blocks=[{"type": "actions", "elements": [button]}]
        )
        place = {"person": "ada", "channel": "C0GENERAL"}
        for deed, said in (
            ("command", {"command": "/reset", "text": "all"}),
            ("click", {"ts": posted["ts"], "action_id": "go", "value": "1"}),
            ("shortcut", {"ts": posted["ts"], "callback_id": "reset_thread"}),
        ):
            assert await act(browser, deed, **place, **said) == (200, {"ok": True, "done": None})
    assert heard == ["/reset all", "1", "choose"]
    assert [(e["to"], e["text"]) for e in slack.ephemerals] == [("U0ADA", "Forgotten.")]


async def test_stopping_a_stream_from_the_page(slack: LocalSlack, browser: aiohttp.ClientSession) -> None:
    place = slack.dm("ada")
    root = await slack.post("ada", place, "hello")
    started = await client_of(slack).chat_startStream(channel=place, thread_ts=root, markdown_text="one")
    async with watching(browser) as stream:
        assert stream.shown["messages"][f"{place}/{started['ts']}"]["streaming"] is True
        assert stream.shown["sessions"][f"{place}/{root}"] == "processing"
        assert (await act(browser, "stop", person="ada", channel=place, thread_ts=root))[0] == 200
        frame = await stream.frame()
        assert frame
        assert frame["messages"][f"{place}/{started['ts']}"]["streaming"] is False


# What people see


async def test_first_everything_then_only_what_changed(slack: LocalSlack, browser: aiohttp.ClientSession) -> None:
    old = await slack.post("ada", "C0GENERAL", "before")
    async with watching(browser) as stream:
        assert set(stream.shown["messages"]) == {f"C0GENERAL/{old}"}
        assert stream.shown["me"] == {"me": {"name": "ada", "id": "U0ADA"}}
        assert {"/assistant", "/reset"} == set(stream.shown["commands"])
        assert {"reset_thread", "switch_assistant"} == set(stream.shown["shortcuts"])
        new = await slack.post("grace", "C0GENERAL", "after *all*")
        frame = await stream.frame()
        assert frame
        assert frame.keys() == {"messages"}
        assert frame["messages"].keys() == {f"C0GENERAL/{new}"}
        assert frame["messages"][f"C0GENERAL/{new}"]["html"] == "after <strong>all</strong>"
        await slack.delete("grace", "C0GENERAL", new)
        assert await stream.frame() == {"messages": {f"C0GENERAL/{new}": None}}


async def test_the_state_is_what_the_stream_begins_with(slack: LocalSlack, browser: aiohttp.ClientSession) -> None:
    await slack.post("ada", "C0GENERAL", "hello", files=[("notes.txt", b"one")])
    async with watching(browser) as stream, browser.get("page/state", params={"person": "ada"}) as answer:
        state = await answer.json()
        assert state == stream.shown
        [[file]] = [message["files"] for message in state["messages"].values()]
        assert (file["name"], file["size"], file["image"]) == ("notes.txt", 3, False)


async def test_images_come_from_this_server_only(slack: LocalSlack, browser: aiohttp.ClientSession) -> None:
    own, alien = f"{slack.page_url}files-pri/F1/x.png", "https://tracker.example/x.png"
    blocks = [{"type": "image", "image_url": url, "alt_text": "a plot"} for url in (own, alien)]
    await client_of(slack).chat_postMessage(channel="C0GENERAL", text="x", blocks=blocks)
    async with watching(browser) as stream:
        [message] = stream.shown["messages"].values()
        assert [(each["source"], each["alt"]) for each in message["blocks"]] == [
            ("F1", "a plot"),
            (None, "a plot"),
        ]


# Files


async def post_files(browser: aiohttp.ClientSession, said: Json, *files: tuple[str, bytes]) -> tuple[int, Json]:
    form = aiohttp.FormData({"said": json.dumps(said)}, quote_fields=False)  # as browsers do
    for name, content in files:
        form.add_field("file", io.BytesIO(content), filename=name)
    async with browser.post("page/post", data=form) as answer:
        return answer.status, await answer.json()


async def bytes_of(browser: aiohttp.ClientSession, file: str, person: str = "ada") -> tuple[int, str, bytes]:
    async with browser.get(f"page/files/{file}", params={"person": person}) as answer:
        return answer.status, answer.headers.get("Content-Disposition", ""), await answer.read()


async def test_files_come_along_with_a_post(slack: LocalSlack, browser: aiohttp.ClientSession) -> None:
    said = {"person": "ada", "channel": "C0GENERAL", "text": ""}
    status, answer = await post_files(browser, said, ("größe.csv", b"1,2"), ("a.png", b"\x89PNG"))
    assert status == 200
    [message] = slack.messages("C0GENERAL")
    assert (message["ts"], message["subtype"]) == (answer["done"], "file_share")
    assert [file["name"] for file in message["files"]] == ["größe.csv", "a.png"]
    table, picture = message["files"]
    status, disposition, content = await bytes_of(browser, table["id"])
    assert (status, disposition.partition(";")[0], content) == (200, "attachment", b"1,2")
    status, disposition, content = await bytes_of(browser, picture["id"])
    assert (status, disposition.partition(";")[0], content) == (200, "inline", b"\x89PNG")


async def test_files_are_for_those_who_see_their_message(slack: LocalSlack, browser: aiohttp.ClientSession) -> None:
    await slack.post("ada", "G0LAB", "secret", files=[("a.txt", b"secret")])
    loose = await slack.add_file("ada", "b.txt", b"loose")
    [file] = slack.messages("G0LAB")[0]["files"]
    assert (await bytes_of(browser, file["id"]))[0] == 200
    assert (await bytes_of(browser, file["id"], "linus"))[0] == 404
    assert (await bytes_of(browser, loose["id"]))[0] == 404
    assert (await bytes_of(browser, "F0NONE"))[0] == 404
    assert (await bytes_of(browser, file["id"], "nobody"))[0] == 400


async def test_no_file_acts_as_a_page(slack: LocalSlack, browser: aiohttp.ClientSession) -> None:
    await slack.post("ada", "C0GENERAL", "", files=[("a.html", b"<script>"), ("a.svg", b"<svg onload=alert(1)>")])
    for file in slack.messages("C0GENERAL")[0]["files"]:
        async with browser.get(f"page/files/{file['id']}", params={"person": "ada"}) as answer:
            assert answer.content_type == "application/octet-stream"
            assert answer.headers["Content-Disposition"].startswith("attachment")
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "sandbox" in answer.headers["Content-Security-Policy"]
    async with watching(browser) as stream:
        [message] = stream.shown["messages"].values()
        assert [file["image"] for file in message["files"]] == [False, False]


async def test_a_slack_connect_file_is_shown_to_people(slack: LocalSlack, browser: aiohttp.ClientSession) -> None:
    file = await slack.add_file("ada", "a.png", b"x")
    stub = {"id": file["id"], "mode": "file_access", "file_access": "check_file_info"}
    await slack.post("ada", "C0GENERAL", "", files=[stub, {"id": "F0GONE", "mode": "tombstone"}])
    async with watching(browser) as stream:
        [message] = stream.shown["messages"].values()
        assert [(each["name"], each["there"]) for each in message["files"]] == [("a.png", True), ("a file", False)]
    assert (await bytes_of(browser, file["id"]))[2] == b"x"


async def test_more_than_fits_is_said(slack: LocalSlack, browser: aiohttp.ClientSession) -> None:
    said = {"person": "ada", "channel": "C0GENERAL", "text": ""}
    status, answer = await post_files(browser, said, ("big.bin", bytes(65 * 1024 * 1024)))
    assert (status, answer["error"]) == (413, "That is more than fits at once.")
    assert not slack.messages("C0GENERAL")


async def test_file_objects_come_from_no_browser(slack: LocalSlack, browser: aiohttp.ClientSession) -> None:
    """Only bytes: what a file is, the server says."""
    await act(browser, "post", person="ada", channel="C0GENERAL", text="hi", files=[{"id": "F1", "name": "x"}])
    assert "files" not in slack.messages("C0GENERAL")[0]


async def test_a_form_without_words_is_refused(browser: aiohttp.ClientSession) -> None:
    form = aiohttp.FormData()
    form.add_field("file", b"x", filename="a.txt")
    async with browser.post("page/post", data=form) as answer:
        assert answer.status == 400


async def test_everybody_sees_their_own_channels(slack: LocalSlack, browser: aiohttp.ClientSession) -> None:
    secret = await slack.post("ada", "G0LAB", "secret")
    whisper = await slack.post("ada", slack.dm("ada"), "whisper")
    await client_of(slack).chat_postEphemeral(channel="C0GENERAL", user="U0ADA", text="for ada")
    async with watching(browser) as ada, watching(browser, "linus") as linus:
        assert {f"G0LAB/{secret}", f"D0ADA/{whisper}"} == set(ada.shown["messages"])
        assert [each["text"] for each in ada.shown["ephemerals"].values()] == ["for ada"]
        assert {"C0GENERAL", "C0RANDOM", "D0LINUS"} == set(linus.shown["channels"])
        assert not linus.shown["messages"]
        assert not linus.shown["ephemerals"]


@pytest.mark.parametrize("path", ["page/events", "page/state"])
async def test_nobody_of_that_name(browser: aiohttp.ClientSession, path: str) -> None:
    async with browser.get(path, params={"person": "nobody"}) as answer:
        assert answer.status == 400


async def test_streams_grow_and_statuses_come_and_go(slack: LocalSlack, browser: aiohttp.ClientSession) -> None:
    client, place = client_of(slack), slack.dm("ada")
    root = await slack.post("ada", place, "hello")
    async with watching(browser) as stream:
        await client.assistant_threads_setStatus(channel_id=place, thread_ts=root, status="is thinking")
        assert await stream.until("statuses", f"{place}/{root}") == "is thinking"
        one, two = ({"type": "markdown_text", "text": text} for text in ("**one", " two**"))
        ts = (await client.chat_startStream(channel=place, thread_ts=root, chunks=[one]))["ts"]
        assert (await stream.until("messages", f"{place}/{ts}"))["streaming"] is True
        assert not stream.shown["statuses"]
        task = {"type": "task_update", "id": "t", "title": "<b>Looking", "status": "in_progress", "details": "far"}
        await client.chat_appendStream(channel=place, ts=ts, chunks=[two, task])
        await client.chat_stopStream(channel=place, ts=ts)
        while stream.shown["messages"][f"{place}/{ts}"]["streaming"]:
            assert await stream.frame()
        shown = stream.shown["messages"][f"{place}/{ts}"]
        assert shown["html"] == "<p><strong>one two</strong></p>\n"
        assert [(each["title"], each["details"]) for each in shown["tasks"]] == [("<b>Looking", "far")]
        assert stream.shown["sessions"][f"{place}/{root}"] == "active"


async def test_streams_that_expire_are_seen_to(slack: LocalSlack, browser: aiohttp.ClientSession) -> None:
    place = slack.dm("ada")
    root = await slack.post("ada", place, "hello")
    ts = (await client_of(slack).chat_startStream(channel=place, thread_ts=root, markdown_text="one"))["ts"]
    async with watching(browser) as stream:
        slack.expire_streams()
        frame = await stream.frame()
        assert frame
        assert frame["messages"][f"{place}/{ts}"]["streaming"] is False


async def test_the_stream_ends_when_the_server_stops() -> None:
    async with aiohttp.ClientSession() as session:
        async with LocalSlack() as slack:
            response = await session.get(f"{slack.page_url}page/events", timeout=aiohttp.ClientTimeout(total=20))
            stream = Stream(response)
            assert await stream.frame()
        assert await stream.frame() is None
        response.close()


async def test_a_browser_that_leaves_is_forgotten(slack: LocalSlack, browser: aiohttp.ClientSession) -> None:
    for _ in range(3):
        async with watching(browser):
            pass
    async with watching(browser) as stream:
        ts = await slack.post("ada", "C0GENERAL", "still here")
        assert await stream.until("messages", f"C0GENERAL/{ts}")


@pytest.mark.parametrize(
    "block",
    [
        {"type": "alert", "text": "plain"},
        {"type": "card", "text": ["odd"], "fields": ["odd"]},
        {"type": "video", "text": 5, "fields": 7},
        {"type": "rich_text", "elements": "odd"},
        {"type": "container", "accessory": "odd", "elements": {"odd": 1}},
        {"type": "divider"},
        {"type": "image", "image_url": "https://example.org/x.png", "alt_text": "x"},
        {"type": "context", "elements": [{"type": "plain_text", "text": "<i>"}]},
    ],
)
async def test_no_block_ends_the_stream(slack: LocalSlack, browser: aiohttp.ClientSession, block: Json) -> None:
    """What Slack's checks let through is shown somehow; the page lives on."""
    async with watching(browser) as stream:
        ts = (await client_of(slack).chat_postMessage(channel="C0GENERAL", text="x", blocks=[block]))["ts"]
        shown = await stream.until("messages", f"C0GENERAL/{ts}")
        assert [each["type"] for each in shown["blocks"]] == [block["type"]]
        assert not strange(shown["blocks"][0].get("html", ""))


async def test_half_a_character_does_not_end_the_stream(slack: LocalSlack, browser: aiohttp.ClientSession) -> None:
    """A lone surrogate is JSON, though no UTF-8; models' tokens may end inside of a pair."""
    async with watching(browser) as stream:
        _, answer = await act(browser, "post", person="ada", channel="C0GENERAL", text="half \ud83d")
        assert await stream.until("messages", f"C0GENERAL/{answer['done']}")


@pytest.mark.parametrize("attack", ATTACKS[:12])
async def test_no_attack_comes_through_the_page(slack: LocalSlack, browser: aiohttp.ClientSession, attack: str) -> None:
    """By whatever way it is said: a person, the bot's two dialects, blocks, an ephemeral."""
    client, place = client_of(slack), "C0GENERAL"
    plain, live = ({"type": kind, "text": attack} for kind in ("plain_text", "mrkdwn"))
    blocks: list[Json] = [
        {"type": "markdown", "text": attack},
        {"type": "header", "text": plain},
        {"type": "section", "text": live, "fields": [plain, live]},
        {"type": "context", "elements": [plain, live]},
    ]
    await act(browser, "post", person="ada", channel="C0GENERAL", text=attack)
    await client.chat_postMessage(channel=place, text=attack)
    await client.chat_postMessage(channel=place, markdown_text=attack)
    await client.chat_postMessage(channel=place, text="x", blocks=blocks)
    await client.chat_postEphemeral(channel=place, user="U0ADA", text=attack)
    async with watching(browser) as stream:
        shown = [*stream.shown["messages"].values(), *stream.shown["ephemerals"].values()]
        assert len(shown) == 5
        for message in shown:
            for markup in (message["html"], *(block["html"] for block in message["blocks"])):
                assert not strange(markup)


async def test_whoever_mentions_somebody_that_is_not_there_is_told_so_by_slack(
    slack: LocalSlack, browser: aiohttp.ClientSession
) -> None:
    mention = f"<@{slack.bot_user_id}> hello"
    async with watching(browser) as stream:
        ts = await slack.post("ada", "C0RANDOM", mention)
        await slack.post("ada", "C0RANDOM", "hello", ts)
        await slack.post("ada", "C0RANDOM", mention, ts)
        await slack.post("ada", "C0GENERAL", mention)
        while len(stream.shown.get("ephemerals", {})) < 2:
            assert await stream.frame()
        told = list(stream.shown["ephemerals"].values())
    assert [(each["user"], each["thread_ts"]) for each in told] == [("USLACKBOT", None), ("USLACKBOT", ts)]
    assert "You mentioned" in told[0]["html"]
    assert stream.shown["people"]["USLACKBOT"]["real_name"] == "Slackbot"
    async with watching(browser, "linus") as other:
        assert not other.shown["ephemerals"]


async def test_emoji_are_shown_as_what_they_are(slack: LocalSlack, browser: aiohttp.ClientSession) -> None:
    client = client_of(slack)
    async with watching(browser) as stream:
        ts = await slack.post("ada", "C0GENERAL", ":warning: at 10:30:45, `:warning:` and :bobbin:")
        await client.reactions_add(channel="C0GENERAL", timestamp=ts, name="hourglass_flowing_sand")
        await client.reactions_add(channel="C0GENERAL", timestamp=ts, name="bobbin")
        while len((message := await stream.until("messages", f"C0GENERAL/{ts}"))["reactions"]) < 2:
            assert await stream.frame()
    assert message["html"] == "⚠️ at 10:30:45, <code>:warning:</code> and :bobbin:"
    assert message["reactions"] == {"⏳": 1, ":bobbin:": 1}

"""Files that a run made reach their thread, and no upload carries the bot token."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.web.async_client import AsyncWebClient

from bot.engine.ports import FileMade, ReplyTarget, ThreadKey
from bot.errors import FileUnusable
from bot.playground.slack import LocalSlack
from bot.render.governor import Governor
from bot.render.uploads import SlackUploads, title_of
from tests.playground.slack_client import manifest_of

GENERAL = "C0GENERAL"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)


@dataclass
class Desk:
    """A local Slack, a thread in it, and what uploads there."""

    slack: LocalSlack
    uploads: SlackUploads
    target: ReplyTarget
    folder: Path

    def made(self, name: str, content: bytes, media_type: str = "") -> FileMade:
        path = self.folder / f"f{len(list(self.folder.iterdir()))}"
        path.write_bytes(content)
        return FileMade(name, path, media_type)

    async def upload(self, *files: FileMade) -> None:
        await self.uploads.upload(self.target, files)

    async def refusal(self, *files: FileMade) -> str:
        with pytest.raises(FileUnusable) as error:
            await self.upload(*files)
        return error.value.sentence

    def posted(self) -> list[dict[str, Any]]:
        """The files of the bot's messages in the thread."""
        said = self.slack.messages(GENERAL, self.target.thread.ts)
        return [file for message in said for file in message.get("files", ())]

    def announced(self) -> dict[str, Any]:
        """What the last announcement said."""
        [*_, call] = [call for call in self.slack.calls if call.method == "files.getUploadURLExternal"]
        return dict(call.arguments)

    def completions(self) -> list[bool]:
        return [bool(c.response["ok"]) for c in self.slack.calls if c.method == "files.completeUploadExternal"]


@contextlib.asynccontextmanager
async def opened(tmp_path: Path, **options: Any) -> AsyncIterator[Desk]:
    async with LocalSlack(**options) as slack, aiohttp.ClientSession() as session:
        client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, session=session, retry_handlers=[])
        root = await slack.post("ada", GENERAL, "plot it")
        target = ReplyTarget(ThreadKey(slack.team_id, GENERAL, root), "U0ADA", slack.team_id, "channel")
        yield Desk(slack, SlackUploads(Governor(client), session, slack.api_url), target, tmp_path)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path) as each:
        yield each


async def bytes_of(desk: Desk, file: dict[str, Any]) -> bytes:
    headers = {"Authorization": f"Bearer {desk.slack.bot_token}"}
    async with aiohttp.ClientSession() as session, session.get(file["url_private"], headers=headers) as answer:
        return await answer.read()


# What is posted


async def test_files_come_into_the_thread_as_one_message(desk: Desk) -> None:
    large = bytes(range(256)) * 8_000
    await desk.upload(desk.made("plot.png", PNG, "image/png"), desk.made("data.bin", large))
    [message] = desk.slack.messages(GENERAL, desk.target.thread.ts)[1:]
    assert message["user"] == desk.slack.bot_user_id
    plot, data = message["files"]
    assert (plot["name"], plot["title"], data["name"]) == ("plot.png", "plot.png", "data.bin")
    assert (await bytes_of(desk, plot), await bytes_of(desk, data)) == (PNG, large)


async def test_no_upload_carries_a_token(desk: Desk) -> None:
    await desk.upload(desk.made("plot.png", PNG), desk.made("a.txt", b"x"))
    uploads = [transfer for transfer in desk.slack.transfers if transfer.kind == "upload"]
    assert [transfer.authorization for transfer in uploads] == [None, None]


async def test_a_picture_says_what_it_is_to_those_who_cannot_see_it(desk: Desk) -> None:
    for media_type in ("image/png", ""):
        await desk.upload(desk.made("sales plot.png", PNG, media_type))
        assert desk.announced()["alt_txt"] == "A picture made for this answer: sales plot.png"
    assert "snippet_type" not in desk.announced()


@pytest.mark.parametrize(
    ("name", "content", "snippet"),
    [
        ("a.py", b"x = 1", "python"),
        ("a.CSV", b"1,2", "csv"),
        ("notes.md", "größer".encode(), "markdown"),
        ("a.py", b"\xff\x00", None),
        ("a.py", b"x" * 1_000_001, None),
        ("a.pdf", b"%PDF-1.7", None),
        ("Makefile", b"all:", None),
    ],
)
async def test_short_texts_are_snippets(desk: Desk, name: str, content: bytes, snippet: str | None) -> None:
    await desk.upload(desk.made(name, content))
    assert desk.announced().get("snippet_type") == snippet
    [file] = desk.posted()
    assert (file["mode"], await bytes_of(desk, file)) == ("snippet" if snippet else "hosted", content)


async def test_nothing_to_post_is_nothing(desk: Desk) -> None:
    await desk.upload()
    assert not desk.slack.calls


@pytest.mark.parametrize(
    ("name", "title"),
    [("/mnt/data/a.csv", "a.csv"), ("..\\..\\a.csv", "a.csv"), ("a\nb\x00.txt", "a b .txt"), ("", "file")],
)
async def test_a_models_file_name_is_made_plain(desk: Desk, name: str, title: str) -> None:
    await desk.upload(desk.made(name, b"x"))
    assert desk.posted()[0]["name"] == title


@given(st.text())
def test_titles_are_one_short_line(name: str) -> None:
    title = title_of(FileMade(name, Path("x")))
    assert 0 < len(title) <= 200
    assert title.isprintable()
    assert "/" not in title


# What goes wrong


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("file_uploads_disabled", "this workspace has switched uploads off"),
        ("file_uploads_except_images_disabled", "this workspace allows pictures only"),
        ("storage_limit_reached", "this workspace has no storage left"),
        ("file_type_not_allowed", "this workspace does not allow files of this type"),
        ("surprise", "Slack refused it (surprise)"),
    ],
)
async def test_what_slack_refuses_is_said(desk: Desk, code: str, reason: str) -> None:
    desk.slack.faults.add(method="files.getUploadURLExternal", error=code)
    assert await desk.refusal(desk.made("a.exe", b"x")) == f"Not everything could be posted here. a.exe: {reason}."
    assert not desk.posted()


async def test_one_that_is_refused_keeps_no_other_back(desk: Desk) -> None:
    desk.slack.faults.add(method="files.getUploadURLExternal", error="file_type_not_allowed")
    gone = FileMade("gone.txt", desk.folder / "gone")
    files = [desk.made("a.exe", b"x"), desk.made("empty.txt", b""), gone, desk.made("b.txt", b"y")]
    assert await desk.refusal(*files) == (
        "Not everything could be posted here. a.exe: this workspace does not allow files of this type; "
        "empty.txt: it is empty; gone.txt: it is no longer there."
    )
    assert [file["name"] for file in desk.posted()] == ["b.txt"]


async def test_a_missing_scope_is_named(tmp_path: Path) -> None:
    async with opened(tmp_path, manifest=manifest_of("chat:write")) as desk:
        assert "Slack does not let me (scope files:write)" in await desk.refusal(desk.made("a.txt", b"x"))


async def test_a_conversation_without_the_bot_is_said(desk: Desk) -> None:
    desk.slack.remove_bot("general")
    assert "a.txt, b.txt: I am not in this conversation" in await desk.refusal(
        desk.made("a.txt", b"x"), desk.made("b.txt", b"x")
    )


@pytest.mark.parametrize("fault", [{"status": 503}, {"drop": True}, {"status": 503, "when": "after"}])
async def test_bytes_that_got_lost_are_sent_again(desk: Desk, fault: dict[str, Any]) -> None:
    desk.slack.faults.add(method="upload", **fault)
    await desk.upload(desk.made("a.txt", b"abc"))
    assert await bytes_of(desk, desk.posted()[0]) == b"abc"


async def test_bytes_that_slack_never_takes_are_said(desk: Desk) -> None:
    desk.slack.faults.add(method="upload", status=503, times=None)
    assert "a.txt: Slack did not take it" in await desk.refusal(desk.made("a.txt", b"abc"))
    assert len(desk.slack.transfers) == 3


async def test_a_file_that_slack_does_not_know_yet_keeps_no_other_back(desk: Desk) -> None:
    """One answer of file_not_found lost all files of a message."""
    desk.slack.faults.add(method="files.completeUploadExternal", error="file_not_found")
    await desk.upload(desk.made("a.txt", b"x"), desk.made("b.txt", b"y"))
    assert [file["name"] for file in desk.posted()] == ["a.txt", "b.txt"]
    desk.slack.faults.add(method="files.completeUploadExternal", error="file_not_found")
    await desk.upload(desk.made("c.txt", b"z"))
    assert [file["name"] for file in desk.posted()] == ["a.txt", "b.txt", "c.txt"]


async def test_a_file_that_slack_lost_is_named_and_the_others_are_posted(desk: Desk) -> None:
    desk.slack.faults.add(method="files.completeUploadExternal", error="file_not_found", times=2)
    assert await desk.refusal(desk.made("a.txt", b"x"), desk.made("b.txt", b"y")) == (
        "Not everything could be posted here. a.txt: Slack lost it on the way."
    )
    assert [file["name"] for file in desk.posted()] == ["b.txt"]


@pytest.mark.parametrize("fault", [{"drop": True}, {"status": 500}, {"error": "internal_error"}])
@pytest.mark.parametrize(("when", "completions"), [("before", 2), ("after", 1)])
async def test_an_answer_that_got_lost_posts_nothing_twice(
    desk: Desk, fault: dict[str, Any], when: str, completions: int
) -> None:
    """Whether the call went through is looked up before it is made again."""
    desk.slack.faults.add(method="files.completeUploadExternal", when=when, **fault)
    await desk.upload(desk.made("a.txt", b"abc"))
    assert len(desk.posted()) == 1
    assert len(desk.completions()) == completions


async def test_a_slack_that_stays_silent_is_said(desk: Desk) -> None:
    desk.slack.faults.add(method="files.completeUploadExternal", status=500, times=None)
    assert "a.txt: Slack did not answer" in await desk.refusal(desk.made("a.txt", b"abc"))


async def test_a_slack_that_is_not_well_for_a_moment_loses_no_file(desk: Desk) -> None:
    desk.slack.faults.add(method="files.completeUploadExternal", status=503, times=2)
    await desk.upload(desk.made("a.txt", b"abc"))
    assert [file["name"] for file in desk.posted()] == ["a.txt"]


async def test_bytes_go_to_slacks_hosts_only(desk: Desk, tmp_path: Path) -> None:
    """A Web API that names a foreign upload address gets no byte sent there, nor does a redirect."""
    heard: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        heard.append(request.path)
        if request.path.startswith("/api/"):
            return web.json_response({"ok": True, "file_id": "F1", "upload_url": address["upload"]})
        return web.Response(status=307, headers={"Location": address["foreign"]})

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    own = f"http://127.0.0.1:{runner.addresses[0][1]}"
    foreign = f"{desk.slack.page_url}upload/F1"
    address = {"foreign": foreign, "upload": foreign}
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(token="xoxb-1", base_url=f"{own}/api/", session=session, retry_handlers=[])
        uploads = SlackUploads(Governor(client), session, f"{own}/api/")
        with pytest.raises(FileUnusable, match="Slack names a place for it that is not Slack's"):
            await uploads.upload(desk.target, [desk.made("a.txt", b"x")])
        address["upload"] = f"{own}/upload"
        with pytest.raises(FileUnusable, match="Slack did not take it"):
            await uploads.upload(desk.target, [desk.made("a.txt", b"x")])
    assert heard.count("/upload") == 3
    assert not desk.slack.transfers
    await runner.cleanup()

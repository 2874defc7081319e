"""Files of posts are downloaded from a local Slack: what arrives, what is refused and how that is said, and that the
bot token goes to Slack alone."""

import asyncio
import contextlib
import io
import zipfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.web.async_client import AsyncWebClient
from yarl import URL

from bot.engine.ports import Attachment, PostFile
from bot.errors import FileUnusable
from bot.listeners.canvas import canvas_markdown
from bot.listeners.files import SlackFiles
from bot.listeners.media_types import is_text, media_type_of, sniff
from bot.listeners.posts import arrival_from, file_from
from bot.playground.slack import LocalSlack
from bot.render.governor import Governor
from bot.render.hosts import SlackHosts, parse
from tests.playground.slack_client import manifest_of

MB = 1024 * 1024
LIMIT = 512 * MB
PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)
PDF = b"%PDF-1.7\n" + bytes(range(256))
CANVAS = (
    b'<div class="quip-canvas-content"><h1 id="temp:C:1">Plan</h1><p class="line">Ship on <b>Friday</b>, see '
    b'<a href="https://example.org/x">the notes</a>.</p></div>'
)
CANVAS_FIELDS = {"mimetype": "application/vnd.slack-docs", "mode": "quip", "filetype": "quip"}


def archive(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name in names:
            packed.writestr(name, "x")
    return out.getvalue()


ZIP, DOCX = archive("a.txt"), archive("[Content_Types].xml", "word/document.xml")


@dataclass
class Office:
    """A local Slack and what fetches from it."""

    slack: LocalSlack
    files: SlackFiles
    folder: Path

    async def keep(self, name: str, content: bytes, **fields: Any) -> PostFile:
        """A person's file, as an event tells of it."""
        return file_from(await self.slack.add_file("ada", name, content, **fields))

    async def fetch(self, file: PostFile, limit: int = LIMIT) -> Attachment:
        return await self.files.fetch(file, self.folder, limit)

    async def refusal(self, file: PostFile, limit: int = LIMIT) -> str:
        """Why a file cannot be used; nothing of it is left on the disk then."""
        with pytest.raises(FileUnusable) as error:
            await self.fetch(file, limit)
        assert not self.folder.exists() or not list(self.folder.iterdir())
        return error.value.sentence


@contextlib.asynccontextmanager
async def opened(tmp_path: Path, **options: Any) -> AsyncIterator[Office]:
    async with LocalSlack(**options) as slack, aiohttp.ClientSession() as session:
        client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, session=session, retry_handlers=[])
        files = SlackFiles(Governor(client), session, slack.bot_token, slack.api_url)
        yield Office(slack, files, tmp_path / "files")


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with opened(tmp_path) as each:
        yield each


@contextlib.asynccontextmanager
async def stranger() -> AsyncIterator[tuple[str, list[dict[str, str]]]]:
    """Somebody else's server: its address, and the headers of whoever asked."""
    heard: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        heard.append(dict(request.headers))
        return web.Response(body=b"stolen")

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", heard
    finally:
        await runner.cleanup()


# What arrives


async def test_a_posts_file_lands_on_the_disk(office: Office) -> None:
    ts = await office.slack.post("ada", "C0GENERAL", "see", files=[("a table.csv", b"1,2\n")])
    message = next(m for m in office.slack.messages("C0GENERAL") if m["ts"] == ts)
    arrival = arrival_from({"team_id": "T", "event": {**message, "channel": "C0GENERAL"}}, "U0BOBBIN")
    assert arrival is not None
    attachment = await office.fetch(arrival.post.files[0])
    assert (attachment.name, attachment.media_type, attachment.size) == ("a table.csv", "text/csv", 4)
    assert attachment.path.read_bytes() == b"1,2\n"
    [transfer] = office.slack.transfers
    assert transfer.authorization == f"Bearer {office.slack.bot_token}"


async def test_a_large_file_comes_whole_and_two_of_a_name_do_not_meet(office: Office) -> None:
    content = PDF * 20_000
    file = await office.keep("a.pdf", content)
    one, other = await asyncio.gather(office.fetch(file), office.fetch(file))
    assert one.path != other.path
    assert one.path.read_bytes() == other.path.read_bytes() == content


@pytest.mark.parametrize("name", ["../../evil.txt", "/etc/passwd", "..", "a\nb\x00.txt", "x" * 500 + ".txt", ""])
async def test_no_name_leads_out_of_the_folder(office: Office, name: str) -> None:
    file = replace(await office.keep("a.txt", b"abc"), name=name)
    attachment = await office.fetch(file)
    assert attachment.path.parent == office.folder
    assert attachment.path.name.isalnum()
    assert 0 < len(attachment.name) <= 200
    assert attachment.name.isprintable()


@pytest.mark.parametrize("foreign", [{"file_access": "check_file_info", "mode": "file_access"}, {"name": "a.pdf"}])
async def test_a_slack_connect_file_is_asked_for_first(office: Office, foreign: dict[str, Any]) -> None:
    known = await office.slack.add_file("ada", "plan.pdf", PDF)
    attachment = await office.fetch(file_from({"id": known["id"], **foreign}))
    assert (attachment.name, attachment.media_type) == ("plan.pdf", "application/pdf")
    assert [call.method for call in office.slack.calls] == ["files.info"]


async def test_a_file_without_a_size_is_asked_for(office: Office) -> None:
    file = await office.keep("a.pdf", PDF)
    assert (await office.fetch(replace(file, size=0))).size == len(PDF)
    assert [call.method for call in office.slack.calls] == ["files.info"]


async def test_a_canvas_comes_as_markdown(office: Office) -> None:
    file = await office.keep("Plan", CANVAS, **CANVAS_FIELDS)
    attachment = await office.fetch(file)
    assert (attachment.name, attachment.media_type) == ("Plan.md", "text/markdown")
    text = attachment.path.read_text()
    assert text == "# Plan\n\nShip on **Friday**, see [the notes](https://example.org/x).\n"
    assert attachment.size == len(text)


async def test_a_web_page_that_somebody_posted_is_no_sign_in_page(office: Office) -> None:
    page = b"<!doctype html><title>About Slack</title><p>hello"
    attachment = await office.fetch(await office.keep("a.html", page))
    assert (attachment.media_type, attachment.path.read_bytes()) == ("text/html", page)


async def test_a_redirect_within_slack_is_followed(office: Office) -> None:
    file = await office.keep("a.pdf", PDF)
    office.slack.faults.add(method="download", redirect=URL(file.url).path)
    assert (await office.fetch(file)).size == len(PDF)
    assert len(office.slack.transfers) == 2


@pytest.mark.parametrize("fault", [{"status": 503}, {"drop": True}, {"cut": 100}, {"status": 429, "retry_after": 0}])
async def test_what_passes_is_tried_again(office: Office, fault: dict[str, Any]) -> None:
    file = await office.keep("a.pdf", PDF)
    office.slack.faults.add(method="download", **fault)
    attachment = await office.fetch(file)
    assert attachment.path.read_bytes() == PDF


# What is refused, and how that is said


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("tombstone", "was deleted"),
        ("hidden_by_limit", "is hidden, because this workspace's Slack plan shows only newer files"),
        ("external", "is only linked from another service; upload it to Slack itself, and I can read it"),
    ],
)
async def test_what_has_nothing_to_download_is_refused_without_a_call(office: Office, mode: str, reason: str) -> None:
    assert await office.refusal(file_from({"id": "F1", "mode": mode})) == reason
    assert not office.slack.calls


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"mode": "tombstone"}, "was deleted"),
        ({"file_access": "access_denied"}, "is not shared with me"),
        ({"file_access": "file_not_found"}, "was deleted"),
        ({"size": 0}, "is empty"),
        ({"size": 3 * 1024 * MB}, "is 3 GB; at most 512 MB can be used"),
        ({"url_private": "", "url_private_download": ""}, "Slack does not let me read it (scope files:read)"),
    ],
)
async def test_what_files_info_tells_is_believed(office: Office, fields: dict[str, Any], reason: str) -> None:
    known = await office.slack.add_file("ada", "a.pdf", PDF, **fields)
    foreign = file_from({"id": known["id"], "mode": "file_access", "file_access": "check_file_info"})
    assert await office.refusal(foreign) == reason
    assert not office.slack.transfers


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("file_not_found", "was deleted"),
        ("file_deleted", "was deleted"),
        ("missing_scope", "Slack does not let me read it (scope files:read)"),
        ("slack_connect_blocked", "Slack does not let me read it (slack_connect_blocked)"),
    ],
)
async def test_files_infos_errors_are_said(office: Office, code: str, reason: str) -> None:
    office.slack.faults.add(method="files.info", error=code)
    assert await office.refusal(file_from({"id": "F1", "file_access": "check_file_info"})) == reason


async def test_a_file_of_two_gigabytes_is_refused_without_a_byte(office: Office) -> None:
    file = await office.keep("film.mp4", b"x", size=2_254_857_830)
    assert await office.refusal(file) == "is 2.1 GB; at most 512 MB can be used"
    assert await office.refusal(replace(file, size=LIMIT + 1)) == "is larger than 512 MB, the most that can be used"
    assert not office.slack.transfers
    assert not office.slack.calls


async def test_a_file_that_lies_about_its_size_stays_within_the_limit(office: Office) -> None:
    file = await office.keep("a.txt", b"x" * 3_000_000, size=3)
    assert await office.refusal(file, MB) == "is 2.9 MB; at most 1 MB can be used"


async def test_a_body_that_has_no_end_stops_at_the_limit(tmp_path: Path) -> None:
    """No Content-Length, and more bytes than the limit: what is written never exceeds it."""
    sizes: list[int] = []
    folder = tmp_path / "files"

    async def pour(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b"x" * 65_536)
                sizes.extend(path.stat().st_size for path in folder.iterdir())
        return response

    app = web.Application()
    app.router.add_get("/f", pour)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(token="xoxb-1", base_url=f"{address}/api/", session=session)
        files = SlackFiles(Governor(client), session, "xoxb-1", f"{address}/api/")
        with pytest.raises(FileUnusable, match=r"^is larger than 1 MB, the most that can be used$"):
            await files.fetch(PostFile("F1", "a.txt", "text/plain", 5, f"{address}/f"), folder, MB)
    assert max(sizes) <= MB
    assert not list(folder.iterdir())
    await runner.cleanup()


@pytest.mark.parametrize(("name", "fields"), [("a.png", {}), ("a.html", {}), ("Plan", CANVAS_FIELDS), ("a.txt", {})])
async def test_the_sign_in_page_is_told_from_a_file(tmp_path: Path, name: str, fields: dict[str, Any]) -> None:
    """Without files:read, Slack answers every download with a page, and 200."""
    async with opened(tmp_path, manifest=manifest_of("chat:write")) as office:
        file = await office.keep(name, PNG * 10, **fields)
        assert await office.refusal(file) == "Slack does not let me read it (scope files:read)"


async def test_a_redirect_to_the_sign_in_page_is_not_followed(office: Office) -> None:
    file = await office.keep("a.png", PNG)
    office.slack.faults.add(method="download", redirect="/?redir=%2Ffiles-pri%2FF1")
    assert await office.refusal(file) == "Slack does not let me read it (scope files:read)"
    assert len(office.slack.transfers) == 1


@pytest.mark.parametrize(
    ("fault", "reason", "asked"),
    [
        ({"status": 404}, "was deleted", 1),
        ({"status": 403}, "Slack does not let me read it (scope files:read)", 1),
        ({"status": 418}, "could not be fetched from Slack just now", 1),
        ({"status": 503}, "could not be fetched from Slack just now", 3),
        ({"status": 429, "retry_after": 3600}, "could not be fetched from Slack just now", 1),
        ({"cut": 100}, "could not be fetched from Slack just now", 3),
        ({"redirect": "/files-pri/F1/a.png"}, "was deleted", 2),
    ],
)
async def test_failures_are_said(office: Office, fault: dict[str, Any], reason: str, asked: int) -> None:
    file = await office.keep("a.pdf", PDF)
    office.slack.faults.add(method="download", times=None, **fault)
    assert await office.refusal(file) == reason
    assert len(office.slack.transfers) == asked


async def test_redirects_in_a_circle_end(office: Office) -> None:
    file = await office.keep("a.pdf", PDF)
    office.slack.faults.add(method="download", times=None, redirect=URL(file.url).path)
    assert await office.refusal(file) == "could not be fetched from Slack just now"
    assert len(office.slack.transfers) == 6


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.pdf", ZIP, "says it is a PDF but is a ZIP archive"),
        ("a.pdf", DOCX, "says it is a PDF but is a Word document"),
        ("a.png", PDF, "says it is a PNG picture but is a PDF"),
        ("a.png", b"\x00\x01\x02", "says it is a PNG picture but is not"),
        ("a.docx", ZIP, "says it is a Word document but is a ZIP archive"),
        ("a.txt", PNG, "says it is text but is a PNG picture"),
        ("a.csv", b"\x00\x01\x02", "says it is text but is not"),
        ("a.mp3", b"hello", "says it is an MP3 recording but is text"),
    ],
)
async def test_a_file_that_is_something_else_is_refused(office: Office, name: str, content: bytes, reason: str) -> None:
    assert await office.refusal(await office.keep(name, content)) == reason
    assert await office.refusal(await office.keep(name, content, mimetype="application/octet-stream")) == reason


@pytest.mark.parametrize("name", ["a.png", "a.txt", "Plan"])
async def test_an_empty_file_is_said_to_be_empty(office: Office, name: str) -> None:
    assert await office.refusal(await office.keep(name, b"")) == "is empty"
    assert await office.refusal(await office.keep(name, b"", size=100)) == "is empty"


async def test_a_canvas_with_nothing_in_it_is_empty(office: Office) -> None:
    bare = b'<div class="quip-canvas-content"><p class="line"></p></div>'
    assert await office.refusal(await office.keep("Plan", bare, **CANVAS_FIELDS)) == "is empty"


async def test_a_file_without_address_and_id_is_refused(office: Office) -> None:
    assert await office.refusal(file_from({})) == "Slack does not let me read it (scope files:read)"


async def test_a_disk_that_takes_nothing_is_said(office: Office) -> None:
    office.folder.parent.mkdir(exist_ok=True)
    office.folder.touch()
    with pytest.raises(FileUnusable, match=r"^could not be kept on Bobbin's disk$"):
        await office.fetch(await office.keep("a.pdf", PDF))


async def test_a_fetch_that_is_cancelled_leaves_nothing(office: Office) -> None:
    file = await office.keep("a.pdf", PDF)
    office.slack.faults.add(method="download", delay=30)
    task = asyncio.create_task(office.fetch(file))
    async with asyncio.timeout(10):
        while not office.slack.transfers:
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not list(office.folder.iterdir())


# The token goes to Slack alone


@pytest.mark.parametrize("target", ["{stranger}/x", "//{host}/x", "{stranger}/?redir=/x"])
async def test_a_redirect_to_a_foreign_host_never_gets_the_token(office: Office, target: str) -> None:
    async with stranger() as (address, heard):
        file = await office.keep("a.pdf", PDF)
        redirect = target.format(stranger=address, host=address.removeprefix("http://"))
        office.slack.faults.add(method="download", redirect=redirect)
        assert await office.refusal(file) == "lies outside of Slack, where I do not fetch files"
        assert not heard
        async with aiohttp.ClientSession() as session, session.get(address):
            assert len(heard) == 1  # it does listen


async def test_a_foreign_address_in_an_event_is_never_asked(office: Office) -> None:
    async with stranger() as (address, heard):
        file = replace(await office.keep("a.pdf", PDF), url=f"{address}/a.pdf")
        assert await office.refusal(file) == "lies outside of Slack, where I do not fetch files"
        known = await office.slack.add_file("ada", "a.pdf", PDF, url_private_download=f"{address}/a.pdf")
        foreign = file_from({"id": known["id"], "file_access": "check_file_info"})
        assert await office.refusal(foreign) == "lies outside of Slack, where I do not fetch files"
        assert not heard


_NO_WEB_ADDRESSES = ["javascript:alert(1)", "file:///etc/passwd", "ftp://files.slack.com/x", "http://[", "https://"]


@pytest.mark.parametrize("address", [*_NO_WEB_ADDRESSES, "x", "http://\x00"])
async def test_what_is_no_web_address_is_refused(office: Office, address: str) -> None:
    file = replace(await office.keep("a.pdf", PDF), url=address)
    assert await office.refusal(file) == "lies outside of Slack, where I do not fetch files"


@pytest.mark.parametrize("address", _NO_WEB_ADDRESSES)
async def test_a_redirect_to_no_web_address_is_refused(office: Office, address: str) -> None:
    office.slack.faults.add(method="download", redirect=address)
    assert await office.refusal(await office.keep("a.pdf", PDF)) == "lies outside of Slack, where I do not fetch files"


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("https://files.slack.com/files-pri/T1-F1/a.png", True),
        ("https://FILES.slack.com/x", True),
        ("https://slack.com/files-pri/x", True),
        ("https://acme.enterprise.slack.com/x", True),
        ("https://slack-files.com/x", True),
        ("http://files.slack.com/x", False),
        ("https://files.slack.com:8443/x", False),
        ("https://files.slack.com@evil.example/x", False),
        ("https://user@files.slack.com/x", False),
        ("https://evilslack.com/x", False),
        ("https://slack.com.evil.example/x", False),
        ("https://evil.example/#@files.slack.com", False),
        ("https://evil.example/files.slack.com", False),
        ("https://slack.com./x", False),
        ("https://169.254.169.254/x", False),
    ],
)
def test_slacks_hosts(address: str, own: bool) -> None:
    url = parse(address)
    assert url is not None
    assert SlackHosts("https://slack.com/api/").own(url) is own


def test_the_host_of_the_api_url_counts_exactly_as_it_is_set() -> None:
    hosts = SlackHosts("http://127.0.0.1:4000/api/")
    own: Callable[[str], bool] = lambda address: hosts.own(URL(address))  # noqa: E731
    assert own("http://127.0.0.1:4000/files-pri/x")
    assert own("https://files.slack.com/x")
    assert not own("http://127.0.0.1:4001/x")
    assert not own("https://127.0.0.1:4000/x")
    assert not own("http://localhost:4000/x")
    assert not own("http://files.slack.com/x")
    assert SlackHosts("https://proxy.example/api/").own(URL("https://proxy.example:443/x"))
    assert not SlackHosts("https://proxy.example/api/").own(URL("http://proxy.example/x"))


# What a file is


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (PDF, "application/pdf"),
        (b"\xef\xbb\xbf\n%PDF-1.4", "application/pdf"),
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0rest", "image/jpeg"),
        (b"GIF89a\x00", "image/gif"),
        (b"RIFF\x01\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"RIFF\x01\x00\x00\x00WAVEfmt ", "audio/wav"),
        (b"ID3\x04\x00", "audio/mpeg"),
        (b"\xff\xfb\x90\x00", "audio/mpeg"),
        (b"\x00\x00\x00\x20ftypM4A \x00", "audio/mp4"),
        (b"\x00\x00\x00\x20ftypisom\x00", "video/mp4"),
        (b"\x00\x00\x00\x20ftypheic\x00", "image/heic"),
        (b"OggS\x00\x02", "audio/ogg"),
        (b"\x1aE\xdf\xa3\x01", "video/webm"),
        (ZIP, "application/zip"),
        (DOCX, "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        (
            archive("[Content_Types].xml", "xl/workbook.xml"),
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ),
        (
            archive("[Content_Types].xml", "ppt/presentation.xml"),
            "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        ),
        ("größer".encode(), "text/plain"),
        ("größer".encode("latin-1"), "text/plain"),
        ("größer".encode("utf-16"), "text/plain"),
        (b"ID3 tags are explained here", "text/plain"),
        (b"\x00\x01\x02", None),
    ],
)
def test_bytes_say_what_they_are(content: bytes, found: str | None) -> None:
    assert sniff(content, content) == found


@pytest.mark.parametrize(
    ("content", "said", "name", "is_type"),
    [
        (b"\x00\x00\x00\x20ftypisom\x00", "audio/mp4", "voice.m4a", "audio/mp4"),
        (b"\x1aE\xdf\xa3", "audio/webm", "voice.webm", "audio/webm"),
        (b"\xff\xd8\xff", "image/png", "a.png", "image/jpeg"),
        (b"\xff\xd8\xff", "image/heic", "a.heic", "image/jpeg"),
        (b"{}", "application/json", "a.json", "application/json"),
        (b"x", "text/x-python", "a.py", "text/x-python"),
        (b"x", "application/octet-stream", "Makefile", "text/plain"),
        (PDF, "", "scan", "application/pdf"),
        (ZIP, "application/java-archive", "a.jar", "application/java-archive"),
        (DOCX, "application/zip", "a.zip", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        (b"\x00\x01", "application/x-secret", "a.bin", "application/x-secret"),
        (b"\x00\x01", "", "a.bin", "application/octet-stream"),
        (b"<svg/>", "image/svg+xml", "a.svg", "image/svg+xml"),
    ],
)
def test_what_agrees_is_called_by_its_best_name(content: bytes, said: str, name: str, is_type: str) -> None:
    assert media_type_of(content, content, said, name) == is_type


_TYPES = (
    st.sampled_from(["", "application/pdf", "text/plain", "image/png", "video/mp4", "application/x-odd"]) | st.text()
)
_BEGINNINGS = st.sampled_from(
    [b"", b"%PDF-", b"PK\x03\x04", b"RIFF", b"\xff\xfe", b"\xfe\xff", b"\x00\x00\x00\x18ftyp", b"ID3", b"\xef\xbb\xbf"]
)


@given(_BEGINNINGS, st.binary(max_size=200), st.binary(max_size=50), _TYPES, st.text(max_size=8))
def test_no_bytes_make_the_look_fail(begin: bytes, head: bytes, tail: bytes, said: str, name: str) -> None:
    """Whatever they are, there is a type, or one sentence."""
    try:
        outcome = media_type_of(begin + head, tail, said, name)
    except FileUnusable as error:
        outcome = error.sentence
    assert "/" in outcome or outcome.startswith("says it is ") or outcome == said


@given(st.text(st.characters(min_codepoint=0x20), min_size=2), st.integers(0, 3))
def test_a_character_that_is_cut_leaves_text_text(text: str, cut: int) -> None:
    for encoding in ("utf-8", "utf-16"):
        whole = text.encode(encoding, "ignore")
        assert is_text(whole[: len(whole) - cut])


# Canvases


def test_a_canvas_keeps_its_form() -> None:
    markup = """
      <div class="quip-canvas-content"><h2>To do</h2>
      <ul><li class="checked">first</li><li>second<ul><li>below</li></ul></li></ul>
      <ol><li>one</li><li>two</li></ol>
      <table><tr><td><p class="line">a</p></td><td>b</td></tr><tr><td>1</td><td>2</td></tr></table>
      <p>x &lt; <i>y</i> <code>z</code><br>next</p><pre>a
  b</pre><blockquote>said</blockquote><hr><script>alert(1)</script><style>p {}</style><img alt=":smile:"></div>
    """
    assert canvas_markdown(markup) == (
        "## To do\n\n- [x] first\n- second\n  - below\n\n1. one\n2. two\n\n"
        "| a | b |\n| --- | --- |\n| 1 | 2 |\n\nx < *y* `z`\nnext\n\n```\na\n  b\n```\n\n> said\n\n---\n:smile:\n"
    )


@given(st.text(alphabet="<>/ulipretabdsc h1=\"'&;!-x\n", max_size=300))
def test_no_markup_makes_a_canvas_fail(markup: str) -> None:
    assert canvas_markdown(markup).endswith("\n")


def test_lists_without_end_stay_small() -> None:
    assert len(canvas_markdown("<ul><li>x" * 20_000)) < 1_000_000

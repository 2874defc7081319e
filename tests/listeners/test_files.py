"""Files of posts are downloaded from a local Slack: what arrives, what is refused and how that is said, and that the
bot token goes to Slack alone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from slack_sdk.web.async_client import AsyncWebClient
from yarl import URL

from bot.engine.ports import Attachment, PostFile
from bot.errors import FileUnusable
from bot.listeners.files import SlackFiles
from bot.listeners.posts import arrival_from, file_from
from bot.playground.slack import LocalSlack
from bot.render.governor import Governor
from bot.render.hosts import SlackHosts, parse
from tests.listeners.samples import DOCX, PDF, PNG, ZIP, gif, jpeg, png, webp
from tests.playground.slack_client import manifest_of

MB = 1024 * 1024
LIMIT = 512 * MB
CANVAS = (
    b'<div class="quip-canvas-content"><h1 id="temp:C:1">Plan</h1><p class="line">Ship on <b>Friday</b>, see '
    b'<a href="https://example.org/x">the notes</a>.</p></div>'
)
CANVAS_FIELDS = {"mimetype": "application/vnd.slack-docs", "mode": "quip", "filetype": "quip"}


_PICTURES = [("a.png", png()), ("a.jpg", jpeg()), ("a.gif", gif()), ("a.webp", webp())]


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
        return await self.files.fetch(await self.files.described(file), self.folder, limit)

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


async def test_a_canvas_without_slacks_mark_is_read(office: Office) -> None:
    """It was taken for the sign-in page."""
    page = b"<html><head><title>Plan</title></head><body><h1>Plan</h1><p>Ship on Friday</p></body></html>"
    attachment = await office.fetch(await office.keep("Plan", page, **CANVAS_FIELDS))
    assert attachment.path.read_text() == "# Plan\n\nShip on Friday\n"


async def test_a_post_from_before_there_were_canvases_is_read(office: Office) -> None:
    page = b"<html><body><p>Post text</p></body></html>"
    file = await office.keep("Notes", page, mimetype="text/plain", mode="space", filetype="space")
    attachment = await office.fetch(file)
    assert (attachment.name, attachment.media_type) == ("Notes.md", "text/markdown")
    assert attachment.path.read_text() == "Post text\n"
    plain = await office.keep("Notes", b"Post\ntext", mimetype="text/plain", mode="space", filetype="space")
    assert (await office.fetch(plain)).path.read_bytes() == b"Post\ntext"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
async def test_text_in_another_encoding_lands_as_utf8(office: Office, encoding: str) -> None:
    attachment = await office.fetch(await office.keep("a.csv", "Größe;Maß\n".encode(encoding)))
    assert (attachment.media_type, attachment.path.read_text(encoding="utf-8")) == ("text/csv", "Größe;Maß\n")
    assert attachment.size == attachment.path.stat().st_size


@pytest.mark.parametrize(("name", "picture"), _PICTURES)
async def test_a_picture_with_something_after_its_end_is_whole(office: Office, name: str, picture: bytes) -> None:
    """Phones put a film after it."""
    for content in (picture, picture + bytes(200_000)):
        attachment = await office.fetch(await office.keep(name, content))
        assert attachment.path.read_bytes() == content


async def test_a_picture_that_ends_without_the_mark_of_its_end_is_whole(office: Office) -> None:
    assert (await office.fetch(await office.keep("a.gif", gif()[:-2]))).media_type == "image/gif"


async def test_slacks_own_transcript_is_found(office: Office) -> None:
    """Slack may have written it down only after the post."""
    done = {"status": "complete", "locale": "en-US", "preview": {"content": "Hello there", "has_more": False}}
    file = await office.keep("clip.m4a", b"x", transcription=done)
    assert await office.files.transcript(file) == "Hello there"
    assert not office.slack.calls
    assert await office.files.transcript(replace(file, transcript="")) == "Hello there"
    assert await office.files.transcript(PostFile("F1", "clip.m4a", "audio/mp4", 1, "", "")) == ""


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


@contextlib.asynccontextmanager
async def serving(
    answer: Callable[[web.StreamResponse], Awaitable[None]], **options: Any
) -> AsyncIterator[tuple[str, SlackFiles]]:
    """A file server whose answers have no Content-Length, and what fetches from it: `answer` writes the body."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            await answer(response)
        return response

    app = web.Application()
    app.router.add_get("/f", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(token="xoxb-1", base_url=f"{address}/api/", session=session)
        yield f"{address}/f", SlackFiles(Governor(client), session, "xoxb-1", f"{address}/api/", **options)
    await runner.cleanup()


async def test_a_body_that_has_no_end_stops_at_the_limit(tmp_path: Path) -> None:
    """What is written never exceeds it, nor much more than Slack said that there is."""
    sizes: list[int] = []
    folder = tmp_path / "files"

    async def pour(response: web.StreamResponse) -> None:
        while True:
            await response.write(b"x" * 65_536)
            sizes.extend(path.stat().st_size for path in folder.iterdir())

    async with serving(pour) as (address, files):
        file = PostFile("F1", "a.txt", "text/plain", 5, address)
        with pytest.raises(FileUnusable, match=r"^is larger than 1 MB, the most that can be used$"):
            await files.fetch(file, folder, MB)
        with pytest.raises(FileUnusable, match=r"^has more bytes than Slack says, so I did not read it; please upload"):
            await files.fetch(file, folder, LIMIT)
    assert max(sizes) <= 5 + MB
    assert not list(folder.iterdir())


async def test_a_file_that_comes_drop_by_drop_is_given_up(tmp_path: Path) -> None:
    """It took the whole run's time."""
    over = asyncio.Event()

    async def drip(response: web.StreamResponse) -> None:
        await response.write(b"x")
        await over.wait()

    async with serving(drip, longest=0.1) as (address, files):
        with pytest.raises(FileUnusable, match=r"^came too slowly from Slack, so I did not wait for it$"):
            await files.fetch(PostFile("F1", "a.txt", "text/plain", 5, address), tmp_path, LIMIT)
        over.set()
    assert not list(tmp_path.iterdir())


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


@pytest.mark.parametrize(("name", "picture"), _PICTURES)
async def test_a_picture_that_is_cut_off_is_refused(office: Office, name: str, picture: bytes) -> None:
    """A server refuses the whole request for it, text and all."""
    for length in (len(picture) // 2, len(picture) - 20):
        assert await office.refusal(await office.keep(name, picture[:length])) == "is cut off or damaged"


async def test_what_cannot_be_used_of_another_workspace_has_its_name(office: Office) -> None:
    known = await office.slack.add_file("ada", "budget.zip", ZIP, file_access="access_denied")
    file = await office.files.described(file_from({"id": known["id"], "file_access": "check_file_info"}))
    assert (file.name, file.media_type, file.size) == ("budget.zip", "application/zip", len(ZIP))
    assert await office.refusal(file) == "is not shared with me"


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

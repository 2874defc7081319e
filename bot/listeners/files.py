"""Files of posts, from Slack to the disk (https://docs.slack.dev/messaging/working-with-files).

Slack serves a file to whoever shows the bot token; so the token goes to Slack's own hosts and nowhere else, whatever
an event or a redirect says. A file is never in memory as a whole.
"""

import asyncio
import contextlib
import re
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import aiohttp
import structlog
from yarl import URL

from bot.engine.ports import Attachment, PostFile
from bot.errors import FileUnusable, SlackRefused
from bot.listeners import media_types
from bot.listeners.canvas import CANVAS_MARK, canvas_markdown
from bot.listeners.encodings import LOOK, as_utf8
from bot.listeners.pictures import is_cut
from bot.listeners.posts import ASK_FOR_FILE, file_from, plain_name
from bot.render.governor import UNCERTAIN, Governor
from bot.render.hosts import SlackHosts, parse

_log = structlog.get_logger()

_UNREADABLE = "Slack does not let me read it (scope files:read)"
_DELETED = "was deleted"
_NOT_NOW = "could not be fetched from Slack just now"
_FOREIGN = "lies outside of Slack, where I do not fetch files"
_TOO_SLOW = "came too slowly from Slack, so I did not wait for it"
_MORE_THAN_SAID = "has more bytes than Slack says, so I did not read it; please upload it again"

#: Why there is nothing to download: modes of a file (https://docs.slack.dev/reference/objects/file-object), what the
#: answer of files.info says of who may see it, and its errors
#: (https://docs.slack.dev/reference/methods/files.info#errors).
_REASONS = {
    "tombstone": _DELETED,
    "deleted": _DELETED,
    "hidden_by_limit": "is hidden, because this workspace's Slack plan shows only newer files",
    "external": "is only linked from another service; upload it to Slack itself, and I can read it",
    "file_not_found": _DELETED,
    "file_deleted": _DELETED,
    "access_denied": "is not shared with me",
    "not_visible": "is not shared with me",
    "missing_scope": _UNREADABLE,
    UNCERTAIN: _NOT_NOW,
}
#: Canvases, and the posts that were there before them, are downloaded as pages.
_CANVAS_MODES, _CANVAS_TYPE = frozenset({"canvas", "quip", "space"}), "application/vnd.slack-docs"
#: Bytes of a canvas as HTML, and of a text that is made UTF-8: they are read as a whole.
_CANVAS_LIMIT, _TEXT_LIMIT = 4 * 1024 * 1024, 8 * 1024 * 1024

_CHUNK = 256 * 1024
#: Bytes that a file may have more than Slack says.
_MARGIN = 1024 * 1024
#: However long a file takes, something has to come within these seconds.
_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=10, sock_read=30)
#: The seconds that any file may take, and the bytes for which it may take one more.
_LONGEST, _SLOWEST = 120.0, 512 * 1024
_REDIRECTS = 5
#: How often a download is begun, the seconds between, and the most that Slack may make us wait.
_ATTEMPTS, _PAUSE, _PATIENCE = 3, 0.5, 30.0
#: The title of Slack's sign-in page, which it sends with 200 instead of a file that one may not read.
_SIGN_IN = re.compile(rb"<title>[^<]*\bslack\b", re.IGNORECASE)
_HTML = "text/html"
#: What may stand before a page's first tag.
_BLANK = b"\xef\xbb\xbf \t\r\n"


@dataclass(frozen=True, slots=True)
class _Landed:
    """A file on the disk: its size, its first and last bytes (LOOK of each), and whether it came as HTML."""

    path: Path
    size: int
    head: bytes
    tail: bytes
    html: bool


class _PassingError(Exception):
    """A download failed in a way that may be over soon; `pause` is the seconds that Slack asks for."""

    def __init__(self, pause: float | None = None) -> None:
        super().__init__()
        self.pause = pause


class SlackFiles:
    """Downloads files of posts."""

    def __init__(
        self,
        governor: Governor,
        session: aiohttp.ClientSession,
        token: str,
        api_url: str,
        *,
        longest: float = _LONGEST,
    ) -> None:
        """`token` is the bot's; `api_url` is SLACK_API_URL, whose host counts as one of Slack's own. `longest` is the
        seconds that a small file may take."""
        self._governor = governor
        self._session = session
        self._token = token
        self._hosts = SlackHosts(api_url)
        self._longest = longest

    async def described(self, file: PostFile) -> PostFile:
        """The file with its name, type, size and URL, after asking Slack where the event did not say (Slack Connect).
        Raises FileUnusable where Slack does not answer."""
        tells = file.url and file.size and file.mode != ASK_FOR_FILE
        return file if tells or not file.id or file.mode in _REASONS else await self._asked(file)

    async def transcript(self, file: PostFile) -> str:
        """What Slack itself has written down of a recording, which it may have done only by now; empty where it has
        not. Raises nothing."""
        if file.transcript or not file.id:
            return file.transcript
        try:
            return (await self._asked(file)).transcript
        except FileUnusable:
            return ""

    async def fetch(self, file: PostFile, folder: Path, limit: int) -> Attachment:
        """Put a file, as it is `described`, into `folder`, under a name of our own. At most `limit` bytes are ever
        written. Text becomes UTF-8, and canvases Markdown.

        Raises FileUnusable with the reason, which reads on from the file's name.
        """
        if reason := _REASONS.get(file.mode) or ("" if file.url else _UNREADABLE):
            raise FileUnusable(reason)
        if file.size > limit:
            raise FileUnusable(_too_large(file.size, limit))
        path = folder / uuid.uuid4().hex
        try:
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
            landed = await self._in_time(file, path, min(limit, _CANVAS_LIMIT) if _is_canvas(file) else limit)
            return await asyncio.to_thread(_attachment, file, landed, limit)
        except BaseException as error:
            with contextlib.suppress(OSError):
                await asyncio.shield(asyncio.to_thread(path.unlink, missing_ok=True))
            if isinstance(error, OSError):
                _log.warning("file-not-kept", file=file.id, error=repr(error))
                raise FileUnusable("could not be kept on Bobbin's disk") from error
            raise

    # What Slack says of it

    async def _asked(self, file: PostFile) -> PostFile:
        try:
            response = await self._governor.call("files.info", {"file": file.id}, reads=True)
        except SlackRefused as error:
            if error.code == "missing_scope" and file.url:
                return file  # the download will tell, and is what the scope is for
            raise FileUnusable(_REASONS.get(error.code, f"Slack does not let me read it ({error.code})")) from error
        found = response.get("file")
        found = found if isinstance(found, Mapping) else {}
        told = file_from(found)
        access = str(found.get("file_access"))
        named = bool(found.get("name") or found.get("title"))
        return replace(
            told,
            id=file.id,
            name=told.name if named else file.name,
            media_type=told.media_type or file.media_type,
            size=told.size or file.size,
            url=told.url or file.url,
            mode=access if access in _REASONS else told.mode,
        )

    # Its bytes

    async def _in_time(self, file: PostFile, path: Path, limit: int) -> _Landed:
        """Downloaded, or given up: one file must not take the time of all."""
        try:
            async with asyncio.timeout(self._longest + file.size / _SLOWEST):
                return await self._downloaded(file, path, limit)
        except TimeoutError as error:
            raise FileUnusable(_TOO_SLOW) from error

    async def _downloaded(self, file: PostFile, path: Path, limit: int) -> _Landed:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                landed = await self._saved(file, path, limit)
            except (_PassingError, aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                pause = error.pause if isinstance(error, _PassingError) else None
                _log.info("file-download-failed", file=file.id, attempt=attempt, error=repr(error))
                if attempt == _ATTEMPTS or (pause or 0) > _PATIENCE:
                    raise FileUnusable(_NOT_NOW) from error
                await asyncio.sleep(_PAUSE * attempt if pause is None else pause)
            else:
                if not landed.size:
                    raise FileUnusable("is empty")
                if landed.html and _is_sign_in(file, landed):
                    raise FileUnusable(_UNREADABLE)
                return landed
        raise AssertionError("unreachable")

    async def _saved(self, file: PostFile, path: Path, limit: int) -> _Landed:
        # A canvas's size is that of what it is made of, not of the page that it is downloaded as.
        most = limit if _is_canvas(file) or not file.size else min(limit, file.size + _MARGIN)
        async with self._opened(file.url) as response:
            if (response.content_length or 0) > most:
                raise FileUnusable(_excess(response.content_length, most, limit))
            head, tail, size = b"", b"", 0
            async with _file(path) as out:
                async for chunk in response.content.iter_chunked(_CHUNK):
                    size += len(chunk)
                    if size > most:
                        raise FileUnusable(_excess(None, most, limit))
                    head += chunk[: LOOK - len(head)]
                    tail = (tail + chunk)[-LOOK:]
                    await asyncio.to_thread(out.write, chunk)
            return _Landed(path, size, head, tail, response.content_type == _HTML)

    @asynccontextmanager
    async def _opened(self, address: str) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        """The answer with the file, after redirects within Slack."""
        url = parse(address)
        headers = {"Authorization": f"Bearer {self._token}", "Accept-Encoding": "identity"}
        for _ in range(_REDIRECTS + 1):
            if url is None or not self._hosts.own(url):
                raise FileUnusable(_FOREIGN)
            async with self._session.get(url, headers=headers, allow_redirects=False, timeout=_TIMEOUT) as response:
                if response.status == 200:
                    yield response
                    return
                url = _redirected(response)
                # Slack's way to its sign-in page: https://WORKSPACE.slack.com/?redir=...
                if url is not None and "redir" in url.query and self._hosts.own(url):
                    raise FileUnusable(_UNREADABLE)
        raise FileUnusable(_NOT_NOW)


def _redirected(response: aiohttp.ClientResponse) -> URL | None:
    """Where an answer without a file sends us; None for what is no URL. Raises FileUnusable where it sends us nowhere,
    _PassingError where it is worth another try."""
    status = response.status
    if status == 429 or status >= 500:
        raise _PassingError(_seconds(response.headers.get("Retry-After")))
    if status in (404, 410):
        raise FileUnusable(_DELETED)
    if status not in (301, 302, 303, 307, 308) or "Location" not in response.headers:
        raise FileUnusable(_UNREADABLE if status in (401, 403) else _NOT_NOW)
    return parse(response.headers["Location"]) or _relative(response)


def _relative(response: aiohttp.ClientResponse) -> URL | None:
    try:
        return response.url.join(URL(response.headers["Location"]))
    except ValueError:
        return None


def _seconds(value: str | None) -> float | None:
    try:
        return max(float(value), 0.0) if value else None
    except ValueError:
        return None


def _is_canvas(file: PostFile) -> bool:
    return file.media_type == _CANVAS_TYPE or file.mode in _CANVAS_MODES


def _is_sign_in(file: PostFile, landed: _Landed) -> bool:
    """Whether HTML that came is Slack's sign-in page. Where HTML is what a file comes as, its size and title tell."""
    pages = _is_canvas(file) or file.mode == "email"
    if pages or file.media_type == _HTML or file.name.lower().endswith((".html", ".htm")):
        own = landed.size == file.size or CANVAS_MARK in landed.head
        return not own and _SIGN_IN.search(landed.head) is not None
    return True


def _attachment(file: PostFile, landed: _Landed, limit: int) -> Attachment:
    """What a file on the disk is, once it is as models can read it. Raises FileUnusable, OSError."""
    if _is_canvas(file) and landed.head.lstrip(_BLANK).startswith(b"<"):
        return _as_markdown(file, landed, limit)
    media_type = media_types.media_type_of(landed.head, landed.tail, file.media_type, file.name)
    size = landed.size
    if media_types.is_text(media_type) and size <= _TEXT_LIMIT:
        size = landed.path.write_bytes(as_utf8(landed.path.read_bytes()))
    elif is_cut(landed.path, media_type):
        raise FileUnusable("is cut off or damaged")
    return Attachment(plain_name(file.name), media_type, size, landed.path)


def _as_markdown(file: PostFile, landed: _Landed, limit: int) -> Attachment:
    """Put a canvas's text in the place of its HTML."""
    text = canvas_markdown(as_utf8(landed.path.read_bytes()).decode()).encode()
    if not text.strip():
        raise FileUnusable("is empty")
    if len(text) > limit:
        raise FileUnusable(_too_large(len(text), limit))
    landed.path.write_bytes(text)
    name = file.name if file.name.lower().endswith(".md") else f"{file.name.removesuffix('.html')}.md"
    return Attachment(plain_name(name), "text/markdown", len(text), landed.path)


@asynccontextmanager
async def _file(path: Path) -> AsyncGenerator[BinaryIO, None]:
    """A file to write, opened and closed off the event loop."""
    out = await asyncio.to_thread(path.open, "wb")
    try:
        yield out
    finally:
        await asyncio.shield(asyncio.to_thread(out.close))


def _excess(size: int | None, most: int, limit: int) -> str:
    """Why a download ends after `most` bytes; `size` is None where it is not known how many there are."""
    return _too_large(size, limit) if most == limit else _MORE_THAN_SAID


def _too_large(size: int | None, limit: int) -> str:
    """`size` is None where it is only known to be over the limit."""
    most = _in_words(limit)
    if size is None or _in_words(size) == most:
        return f"is larger than {most}, the most that can be used"
    return f"is {_in_words(size)}; at most {most} can be used"


def _in_words(size: int) -> str:
    """Bytes as people read them: 2.1 GB, 512 MB."""
    number, unit = float(size), "bytes"
    for larger in ("KB", "MB", "GB"):
        if number < 1024:
            break
        number, unit = number / 1024, larger
    return f"{number:.1f}".removesuffix(".0") + f" {unit}"

"""Files that a run made, into their thread: announced, sent, completed (https://docs.slack.dev/messaging/working-with-files).

The bytes go to an address that Slack gives, which is a permission by itself: that request carries no token.
"""

import asyncio
import codecs
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, BinaryIO

import aiohttp
import structlog

from bot.engine.ports import FileMade, ReplyTarget
from bot.errors import FileUnusable, SlackRefused
from bot.render.governor import UNCERTAIN, Governor
from bot.render.hosts import SlackHosts, parse
from bot.render.limits import ALT_TEXT, SNIPPET_BYTES

_log = structlog.get_logger()

#: Errors of both methods that people can do something about
#: (https://docs.slack.dev/reference/methods/files.getUploadURLExternal#errors, and files.completeUploadExternal's).
_REASONS = {
    "channel_not_found": "I am not in this conversation",
    "file_not_found": "Slack lost it on the way",
    "file_type_not_allowed": "this workspace does not allow files of this type",
    "file_upload_size_restricted": "it is larger than this workspace allows",
    "file_uploads_disabled": "this workspace has switched uploads off",
    "file_uploads_except_images_disabled": "this workspace allows pictures only",
    "invalid_channel": "I am not in this conversation",
    "is_archived": "this conversation is archived",
    "missing_scope": "Slack does not let me (scope files:write)",
    "not_in_channel": "I am not in this conversation",
    "posting_to_channel_denied": "I may not post here",
    "storage_limit_reached": "this workspace has no storage left",
    "thread_not_found": "this thread is gone",
    "user_is_external_guest": "I am a guest here",
    UNCERTAIN: "Slack did not answer",
}
#: Slack knows of no such file, or not yet: it takes files in at its own pace
#: (https://github.com/slackapi/python-slack-sdk/issues/1277).
_MISSING = "file_not_found"
_CHUNK = 256 * 1024
_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=10, sock_read=60)
#: How often the bytes are sent, and the seconds between.
_ATTEMPTS, _PAUSE = 3, 0.5
#: Seconds that Slack may have us wait between two of them.
_LONGEST_PAUSE = 30.0

#: A text's snippet type by its ending; only texts that people read here rather than save
#: (https://docs.slack.dev/reference/objects/file-object#types).
_SNIPPETS = {
    ".bash": "shell", ".c": "c", ".cpp": "cpp", ".cs": "csharp", ".css": "css", ".csv": "csv", ".diff": "diff",
    ".go": "go", ".h": "c", ".html": "html", ".java": "java", ".js": "javascript", ".json": "javascript",
    ".jsx": "javascript", ".kt": "kotlin", ".lua": "lua", ".md": "markdown", ".patch": "diff", ".php": "php",
    ".pl": "perl", ".ps1": "powershell", ".py": "python", ".r": "r", ".rb": "ruby", ".rs": "rust", ".scala": "scala",
    ".sh": "shell", ".sql": "sql", ".swift": "swift", ".tex": "latex", ".ts": "typescript", ".tsx": "typescript",
    ".txt": "text", ".xml": "xml", ".yaml": "yaml", ".yml": "yaml",
}  # fmt: skip
_IMAGES = frozenset({".gif", ".jpeg", ".jpg", ".png", ".webp"})


@dataclass(frozen=True, slots=True)
class _Content:
    """What is known of a file before it is announced."""

    size: int
    text: bool


#: Hears of files by their ids.
Sent = Callable[[Mapping[str, FileMade]], Awaitable[None]]


class SlackUploads:
    """Posts files into threads."""

    def __init__(self, governor: Governor, session: aiohttp.ClientSession, api_url: str) -> None:
        """`api_url` is SLACK_API_URL, whose host counts as one of Slack's own."""
        self._governor = governor
        self._session = session
        self._hosts = SlackHosts(api_url)

    async def upload(self, target: ReplyTarget, files: Sequence[FileMade], sent: Sent | None = None) -> None:
        """Post the files as one message of the thread. `sent` hears their ids once Slack has their bytes, and before
        anybody sees them.

        Raises FileUnusable with a whole sentence for those that Slack does not take; the others were posted then.
        """
        ids: dict[str, FileMade] = {}
        problems: list[str] = []
        for file in files:
            try:
                ids[await self._sent(file)] = file
            except FileUnusable as error:
                problems.append(f"{title_of(file)}: {error.sentence}")
        if ids:
            if sent is not None:
                await sent(ids)
            problems += await self._completed(target, ids)
        if problems:
            raise FileUnusable(f"Not everything could be posted here. {'; '.join(problems)}.")

    async def _sent(self, file: FileMade) -> str:
        """Announce a file and send its bytes; returns its id. Nobody sees it yet."""
        try:
            content = await asyncio.to_thread(_look, file.path)
        except OSError as error:
            raise FileUnusable("it is no longer there") from error
        if not content.size:
            raise FileUnusable("it is empty")
        try:
            announced = await self._governor.call(
                "files.getUploadURLExternal", _announcement(file, content), reads=True
            )
        except SlackRefused as error:
            raise _unusable(error) from error
        await self._send(str(announced["upload_url"]), file.path, content.size)
        return str(announced["file_id"])

    async def _send(self, address: str, path: Path, size: int) -> None:
        url = parse(address)
        if url is None or not self._hosts.own(url):
            raise FileUnusable("Slack names a place for it that is not Slack's")
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with (
                    _opened(path) as source,
                    self._session.post(
                        url, data=_chunks(source), headers=headers, allow_redirects=False, timeout=_TIMEOUT
                    ) as response,
                ):
                    if response.status == 200:
                        return
                    problem, asked = f"status {response.status}", _seconds(response.headers.get("Retry-After"))
            except (aiohttp.ClientError, OSError) as error:
                problem, asked = repr(error), 0.0
            _log.info("file-upload-failed", attempt=attempt, problem=problem)
            if attempt < _ATTEMPTS:
                await asyncio.sleep(max(_PAUSE * attempt, min(asked, _LONGEST_PAUSE)))
        raise FileUnusable("Slack did not take it")

    async def _completed(self, target: ReplyTarget, ids: Mapping[str, FileMade]) -> list[str]:
        """Make a message of these; of several in which Slack misses one, a message of each. Returns what did not
        become one, and why."""
        try:
            await self._complete(target, ids)
        except SlackRefused as error:
            if error.code != _MISSING:
                names = ", ".join(title_of(file) for file in ids.values())
                return [f"{names}: {_unusable(error).sentence}"]
        else:
            return []
        problems = []
        for file_id, file in ids.items():
            try:
                await self._complete(target, {file_id: file})
            except SlackRefused as error:
                problems.append(f"{title_of(file)}: {_unusable(error).sentence}")
        return problems

    async def _complete(self, target: ReplyTarget, ids: Mapping[str, FileMade]) -> None:
        """Raises SlackRefused."""
        arguments = {
            "files": [{"id": file_id, "title": title_of(file)} for file_id, file in ids.items()],
            "channel_id": target.thread.channel,
            "thread_ts": target.thread.ts,
        }
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                await self._governor.call("files.completeUploadExternal", arguments, repeatable=False)
            except SlackRefused as error:
                if error.code != UNCERTAIN:
                    raise
                if await self._is_there(next(iter(ids))):
                    return
                if attempt == _ATTEMPTS:
                    raise
                await asyncio.sleep(_PAUSE * attempt)
            else:
                return

    async def is_there(self, file_id: str) -> bool:
        """Whether a file of an earlier attempt was posted. Where Slack does not say, it was not: twice is better than
        never."""
        try:
            return await self._is_there(file_id)
        except SlackRefused as error:
            _log.info("file-not-looked-for", file=file_id, code=error.code)
            return False

    async def _is_there(self, file_id: str) -> bool:
        """Whether an upload was completed after all: until then it is no file that Slack would tell of. Raises
        SlackRefused."""
        try:
            await self._governor.call("files.info", {"file": file_id}, reads=True)
        except SlackRefused as error:
            if error.code == _MISSING:
                return False
            raise
        return True


def _seconds(retry_after: str | None) -> float:
    """What a Retry-After header asks for; 0 for what is no number of seconds."""
    try:
        return max(float(retry_after or 0), 0.0)
    except ValueError:
        return 0.0


def _announcement(file: FileMade, content: _Content) -> dict[str, Any]:
    suffix = PurePath(file.name).suffix.lower()
    arguments: dict[str, Any] = {"filename": title_of(file), "length": content.size}
    if file.media_type.startswith("image/") or (not file.media_type and suffix in _IMAGES):
        arguments["alt_txt"] = f"A picture made for this answer: {title_of(file)}"[:ALT_TEXT]
    elif content.text and content.size <= SNIPPET_BYTES and suffix in _SNIPPETS:
        arguments["snippet_type"] = _SNIPPETS[suffix]
    return arguments


def title_of(file: FileMade) -> str:
    """A file's name on one line, without folders: a model may have chosen it."""
    name = PurePath(file.name.replace("\\", "/")).name
    return " ".join("".join(each if each.isprintable() else " " for each in name).split())[:200] or "file"


def _look(path: Path) -> _Content:
    """A file's size, and whether it can be a snippet: small, and text."""
    size = path.stat().st_size
    return _Content(size, size <= SNIPPET_BYTES and _is_utf8(path.read_bytes()))


def _is_utf8(content: bytes) -> bool:
    try:
        codecs.decode(content, "utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in content


@asynccontextmanager
async def _opened(path: Path) -> AsyncGenerator[BinaryIO, None]:
    """A file to read, opened and closed off the event loop; closed too where Slack answers before it is sent."""
    source = await asyncio.to_thread(path.open, "rb")
    try:
        yield source
    finally:
        await asyncio.shield(asyncio.to_thread(source.close))


async def _chunks(source: BinaryIO) -> AsyncGenerator[bytes, None]:
    while chunk := await asyncio.to_thread(source.read, _CHUNK):
        yield chunk


def _unusable(error: SlackRefused) -> FileUnusable:
    return FileUnusable(_REASONS.get(error.code, f"Slack refused it ({error.code})"))

"""Files of posts on their way to the model: fetched, checked, recordings written down. What cannot be used is named."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from bot.engine.ports import Assistant, Attachment, Backend, Files, PostFile
from bot.errors import BackendError, FileUnusable

_log = structlog.get_logger()

#: Bytes of a file that is fetched at all: what OpenAI takes (https://platform.openai.com/docs/api-reference/files).
_LIMIT = 512 * 1024 * 1024
#: Files of one message that are used.
_MOST = 20


@dataclass(frozen=True, slots=True)
class Attached:
    """What became of a message's files: those that go along, what recordings say, and why the rest cannot be used."""

    files: tuple[Attachment, ...] = ()
    spoken: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """What the model reads of it, besides the files that it gets."""
        unread = [f"[A file that you cannot read: {problem}]" for problem in self.problems]
        return "\n\n".join([*self.spoken, *unread])


class Attachments:
    """Makes files usable for one assistant, at one backend."""

    def __init__(self, files: Files, backend: Backend) -> None:
        self._files = files
        self._backend = backend

    async def of(self, files: Sequence[PostFile], assistant: Assistant, folder: Path) -> Attached:
        """Fetch a message's files into a folder. Raises nothing: what goes wrong is a problem with a name."""
        fetched = await asyncio.gather(*(self._usable(file, assistant, folder) for file in files[:_MOST]))
        results = self._together(fetched, assistant)
        problems = [result for result in results if isinstance(result, _Problem)]
        problems += [_Problem(file.name, f"only {_MOST} files of one message are read") for file in files[_MOST:]]
        return Attached(
            tuple(result for result in results if isinstance(result, Attachment)),
            tuple(result.text for result in results if isinstance(result, _Spoken)),
            tuple(f"{problem.name}: {problem.reason}" for problem in problems),
        )

    async def _usable(self, file: PostFile, assistant: Assistant, folder: Path) -> "Attachment | _Spoken | _Problem":
        try:
            if file.url and file.size and not _may_be_read_otherwise(file):
                self._check(assistant, file.name, file.media_type, file.size)
            fetched = await self._files.fetch(file, folder, _LIMIT)
            if _is_recording(fetched.media_type):
                return _Spoken(f"[Recording {fetched.name}, written down: {await self._backend.transcribe(fetched)}]")
            self._check(assistant, fetched.name, fetched.media_type, fetched.size)
        except (FileUnusable, BackendError) as error:
            _log.info("file-unusable", file=file.id, type=file.media_type, size=file.size, error=type(error).__name__)
            return _Problem(file.name, error.sentence.rstrip("."))
        return fetched

    def _together(
        self, results: Sequence["Attachment | _Spoken | _Problem"], assistant: Assistant
    ) -> list["Attachment | _Spoken | _Problem"]:
        """The same, without files that are too much beside those before them."""
        checked: list[Attachment | _Spoken | _Problem] = []
        before = 0
        for each in results:
            if isinstance(each, Attachment):
                problem = self._backend.file_problem(assistant, each.name, each.media_type, each.size, before)
                checked.append(_Problem(each.name, problem) if problem else each)
                before += 0 if problem else each.size
            else:
                checked.append(each)
        return checked

    def _check(self, assistant: Assistant, name: str, media_type: str, size: int) -> None:
        problem = self._backend.file_problem(assistant, name, media_type, size)
        if problem is not None:
            raise FileUnusable(problem)


@dataclass(frozen=True, slots=True)
class _Spoken:
    text: str


@dataclass(frozen=True, slots=True)
class _Problem:
    name: str
    reason: str


def _is_recording(media_type: str) -> bool:
    """Voice and video clips of Slack's own are MP4 and WebM."""
    return media_type.startswith(("audio/", "video/"))


def _may_be_read_otherwise(file: PostFile) -> bool:
    """Recordings are written down, canvases become text: what Slack says of them is not what the model gets."""
    return _is_recording(file.media_type) or file.mode in ("canvas", "quip") or "slack-docs" in file.media_type

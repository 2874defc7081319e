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
#: Files of one message that are used, and how many are fetched at once.
_MOST, _AT_ONCE = 20, 4
#: What a file may turn out to be, whatever Slack calls it by its name's ending: code is called a video (.ts), say.
_DISGUISES = ("text/plain", "application/pdf", "image/png")
#: Bytes of what is called a recording and is looked at all the same: text is hardly ever longer.
_DISGUISED = 1024 * 1024


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

    async def of(self, files: Sequence[PostFile], assistant: Assistant, folder: Path, before: int = 0) -> Attached:
        """Fetch a message's files into a folder. `before` are the bytes of the run's files before them. Raises nothing:
        what goes wrong is a problem with a name."""
        room = asyncio.Semaphore(_AT_ONCE)

        async def usable(file: PostFile) -> Attachment | _Spoken | _Problem:
            async with room:
                return await self._usable(file, assistant, folder)

        fetched = await asyncio.gather(*map(usable, files[:_MOST]))
        results = self._together(fetched, assistant, before)
        problems = [result for result in results if isinstance(result, _Problem)]
        problems += [_Problem(file.name, f"only {_MOST} files of one message are read") for file in files[_MOST:]]
        return Attached(
            tuple(result for result in results if isinstance(result, Attachment)),
            tuple(result.text for result in results if isinstance(result, _Spoken)),
            tuple(f"{problem.name}: {problem.reason}" for problem in problems),
        )

    async def _usable(self, file: PostFile, assistant: Assistant, folder: Path) -> "Attachment | _Spoken | _Problem":
        try:
            file = await self._files.described(file)
            self._check_before(assistant, file)
            fetched = await self._files.fetch(file, folder, _LIMIT)
            if _is_recording(fetched.media_type):
                self._check_recording(fetched.size)
                return _Spoken(f"[Recording {fetched.name}, written down: {await self._backend.transcribe(fetched)}]")
            self._check(assistant, fetched.name, fetched.media_type, fetched.size)
        except (FileUnusable, BackendError) as error:
            _log.info("file-unusable", file=file.id, type=file.media_type, size=file.size, error=type(error).__name__)
            if _is_recording(file.media_type) and (words := await self._files.transcript(file)):
                return _Spoken(f"[Recording {file.name}, as Slack's own transcript has it: {words}]")
            return _Problem(file.name, error.sentence.rstrip("."))
        return fetched

    def _together(
        self, results: Sequence["Attachment | _Spoken | _Problem"], assistant: Assistant, before: int
    ) -> list["Attachment | _Spoken | _Problem"]:
        """The same, without files that are too much beside those before them."""
        checked: list[Attachment | _Spoken | _Problem] = []
        for each in results:
            if isinstance(each, Attachment):
                problem = self._backend.file_problem(assistant, each.name, each.media_type, each.size, before)
                checked.append(_Problem(each.name, problem) if problem else each)
                before += 0 if problem else each.size
            else:
                checked.append(each)
        return checked

    def _check_before(self, assistant: Assistant, file: PostFile) -> None:
        """Raise for a file that is too large to be of use, whatever it turns out to be: then it is not fetched."""
        if _is_recording(file.media_type):
            if file.size > _DISGUISED:
                self._check_recording(file.size)
        elif file.url and file.size and not any(self._fits(assistant, file, each) for each in _DISGUISES):
            self._check(assistant, file.name, file.media_type, file.size)

    def _fits(self, assistant: Assistant, file: PostFile, media_type: str) -> bool:
        return self._backend.file_problem(assistant, file.name, media_type, file.size) is None

    def _check_recording(self, size: int) -> None:
        most = self._backend.recording_limit
        if not most:
            raise FileUnusable("is a recording, and this backend cannot listen to recordings")
        if size > most:
            raise FileUnusable(f"is a recording of {_large(size)}; I can listen to at most {_large(most)}")

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


def _large(size: int) -> str:
    megabytes = -(-size // 2**20)
    return f"{megabytes} MB" if megabytes < 1024 else f"{megabytes / 1024:.2g} GB"


def _is_recording(media_type: str) -> bool:
    """Voice and video clips of Slack's own are MP4 and WebM."""
    return media_type.startswith(("audio/", "video/"))

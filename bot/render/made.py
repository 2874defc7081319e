"""The files of a reply, each with where in its text it belongs."""

import asyncio
import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path

import structlog

from bot.engine.ports import FileMade, Ledger, ReplyTarget
from bot.errors import FileUnusable
from bot.render.snippets import Snippet, snippets
from bot.render.uploads import SlackUploads

_log = structlog.get_logger()

#: Stands before the id of a file whose bytes Slack has, and its mark: whether it was posted, Slack knows.
_SENT = "sent "


class MadeFiles:
    """Each is posted once, although a run that is taken up makes its files again."""

    def __init__(self, uploads: SlackUploads, ledger: Ledger, run: str, target: ReplyTarget, folder: Path) -> None:
        """`folder` is for snippets, and lasts as long as the reply."""
        self._uploads = uploads
        self._ledger = ledger
        self._run = run
        self._target = target
        self._waiting: list[tuple[int, FileMade]] = []
        self._folder = folder

    @property
    def place(self) -> int | None:
        """Where in the text the first one belongs that is not posted; None where there is none."""
        return self._waiting[0][0] if self._waiting else None

    def add(self, file: FileMade, place: int) -> None:
        self._waiting.append((place, file))

    async def add_snippets(self, text: str, place: int) -> None:
        """Long code and wide tables are files too, below the answer: as the model wrote them, since a file pings
        nobody. They are in the message too, so that a disk without room for them costs nobody the answer."""
        try:
            for snippet in snippets(text):
                path = await asyncio.to_thread(_written, self._folder / "snippets", snippet)
                self.add(FileMade(snippet.name, path), place)
        except OSError as error:
            _log.warning("snippets-not-kept", run=self._run, error=repr(error))

    async def due(self, shown: int) -> dict[str, FileMade]:
        """Those that belong after so much of the text, by what marks them."""
        due = [file for place, file in self._waiting if place <= shown]
        self._waiting = [(place, file) for place, file in self._waiting if place > shown]
        if not due:
            return {}
        marks = {await asyncio.to_thread(_mark, file): file for file in due}
        known = await self._ledger.posted_files(self._run)
        return {mark: file for mark, file in marks.items() if mark not in known and not await self._sent(mark, known)}

    async def _sent(self, mark: str, known: Collection[str]) -> bool:
        """Whether an earlier process posted a file, and ended before it could keep that."""
        ids = [each.split()[1] for each in known if each.startswith(_SENT) and each.endswith(mark)]
        return any([await self._uploads.is_there(file_id) for file_id in ids])

    async def post(self, files: Mapping[str, FileMade]) -> str | None:
        """Post them as one message. Returns a sentence about those that Slack did not take."""
        problem = None
        marks = {id(file): mark for mark, file in files.items()}

        async def sent(ids: Mapping[str, FileMade]) -> None:
            keep = [f"{_SENT}{file_id} {marks[id(file)]}" for file_id, file in ids.items()]
            await self._ledger.add_posted_files(self._run, keep)

        try:
            await self._uploads.upload(self._target, list(files.values()), sent)
        except FileUnusable as error:
            problem = error.sentence
        await self._ledger.add_posted_files(self._run, list(files))
        return problem


def _written(folder: Path, snippet: Snippet) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / snippet.name
    path.write_text(snippet.content, "utf-8", "replace")
    return path


def _mark(file: FileMade) -> str:
    """A file's hash and name; its name alone where it cannot be read, which is told when it is to be posted."""
    try:
        with file.path.open("rb") as content:
            return f"{hashlib.file_digest(content, 'sha256').hexdigest()} {file.name}"
    except OSError:
        return file.name

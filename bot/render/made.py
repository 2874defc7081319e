"""The files of a reply, each with where in its text it belongs."""

import asyncio
import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bot.engine.ports import FileMade, Ledger, ReplyTarget
from bot.errors import FileUnusable
from bot.render.snippets import snippets
from bot.render.uploads import SlackUploads


class MadeFiles:
    """Each is posted once, although a run that is taken up makes its files again."""

    def __init__(self, uploads: SlackUploads, ledger: Ledger, run: str, target: ReplyTarget) -> None:
        self._uploads = uploads
        self._ledger = ledger
        self._run = run
        self._target = target
        self._waiting: list[tuple[int, FileMade]] = []
        self._folder: str | None = None

    @property
    def place(self) -> int | None:
        """Where in the text the first one belongs that is not posted; None where there is none."""
        return self._waiting[0][0] if self._waiting else None

    def add(self, file: FileMade, place: int) -> None:
        self._waiting.append((place, file))

    async def add_snippets(self, text: str, place: int) -> None:
        """Long code and wide tables are files too, below the answer: as the model wrote them, since a file pings
        nobody."""
        for snippet in snippets(text):
            if self._folder is None:
                self._folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="bobbin-")
            path = Path(self._folder) / snippet.name
            await asyncio.to_thread(path.write_text, snippet.content, "utf-8", "replace")
            self.add(FileMade(snippet.name, path), place)

    async def due(self, shown: int) -> dict[str, FileMade]:
        """Those that belong after so much of the text, by what marks them."""
        due = [file for place, file in self._waiting if place <= shown]
        self._waiting = [(place, file) for place, file in self._waiting if place > shown]
        if not due:
            return {}
        marks = {await asyncio.to_thread(_mark, file): file for file in due}
        posted = await self._ledger.posted_files(self._run)
        return {mark: file for mark, file in marks.items() if mark not in posted}

    async def post(self, files: Mapping[str, FileMade]) -> str | None:
        """Post them as one message. Returns a sentence about those that Slack did not take."""
        problem = None
        try:
            await self._uploads.upload(self._target, list(files.values()))
        except FileUnusable as error:
            problem = error.sentence
        await self._ledger.add_posted_files(self._run, list(files))
        return problem

    def abandon(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _mark(file: FileMade) -> str:
    with file.path.open("rb") as content:
        return f"{hashlib.file_digest(content, 'sha256').hexdigest()} {file.name}"

"""Files of an Assistants server: their names, and those that a run made.

https://platform.openai.com/docs/assistants/tools/code-interpreter#reading-images-and-files-generated-by-code-interpreter
"""

from functools import partial
from pathlib import Path, PurePosixPath

import openai
import structlog

from bot.backends.downloads import fetched
from bot.backends.retries import Patience, patiently
from bot.engine.ports import FileMade, Task

_log = structlog.get_logger()


class FileNames:
    """What the server's files are called, asked once each."""

    def __init__(self, client: openai.AsyncOpenAI, patience: Patience) -> None:
        self._client = client
        self.patience = patience
        self._known: dict[str, str] = {}

    async def name(self, file: str) -> str:
        """A file's name without its folder; its id where the server does not tell."""
        if file not in self._known:
            try:
                found = await patiently(partial(self._client.files.retrieve, file), self.patience, repeatable=True)
            except openai.APIError as error:
                _log.info("file-nameless", file=file, error=type(error).__name__)
                return file
            self._known[file] = PurePosixPath(found.filename or "").name or file
        return self._known[file]


class RunFiles:
    """The files of one run, each fetched once."""

    def __init__(self, client: openai.AsyncOpenAI, names: FileNames, folder: Path | None) -> None:
        """`folder` is where they are put; None, and nothing is fetched."""
        self._client = client
        self._names = names
        self._folder = folder
        self._seen: set[str] = set()

    def skip(self, file: str) -> None:
        """This one was handed out before."""
        self._seen.add(file)

    async def made(self, file: str) -> FileMade | Task | None:
        """A file that the run made: fetched, or a task that failed. None where it was told before."""
        if file in self._seen or self._folder is None:
            return None
        self._seen.add(file)
        opening = partial(self._client.files.with_streaming_response.content, file)
        return await fetched(opening, self._names.patience, self._folder, file=file, name=await self._names.name(file))

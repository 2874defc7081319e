"""The files of posts on an Assistants server: uploaded, and named where the server does not take them.

https://platform.openai.com/docs/api-reference/messages/createMessage
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import openai
import structlog

from bot.backends.assistants.message_files import Part, Tool
from bot.backends.limits import ASSISTANTS_MESSAGE
from bot.backends.retries import Patience
from bot.backends.uploads import NOT_NOW, NOT_TAKEN, uploaded, why_not_taken
from bot.engine.ports import Attachment

_log = structlog.get_logger()

#: Where in a message a server's refusal points to: content[1].image_file.file_id
_PLACE = re.compile(r"(content|attachments)\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class _OnServer:
    """An uploaded file, and the tools that it is for: none for an image."""

    id: str
    name: str
    tools: tuple[Tool, ...] = ()


@dataclass(frozen=True, slots=True)
class Content:
    """A message as the API takes it. `unused` are the files that are not a part of it, and why."""

    text: str
    files: tuple[_OnServer, ...] = ()
    unused: tuple[str, ...] = ()

    @property
    def wire(self) -> dict[str, Any]:
        unread = "".join(f"\n\n[A file that you cannot read: {problem}]" for problem in self.unused)
        text = self.text[: ASSISTANTS_MESSAGE - len(unread)] + unread
        images = [{"type": "image_file", "image_file": {"file_id": file.id}} for file in self._images]
        attached = [{"file_id": file.id, "tools": [{"type": tool} for tool in file.tools]} for file in self._attached]
        return {
            "content": [{"type": "text", "text": text}, *images] if images else text,
            **({"attachments": attached} if attached else {}),
        }

    def refused(self, error: openai.APIStatusError) -> Sequence[_OnServer]:
        """The files for which a server may have refused the message: those that it names, or else all of them."""
        if error.status_code not in (400, 413, 415, 422):
            return ()
        named = [file for file in self.files if file.id in str(error.message)]
        if found := _PLACE.search(error.param or ""):
            # The text comes before the images.
            listed = self._attached if found[1] == "attachments" else (None, *self._images)
            named += [file for file in listed[int(found[2]) :][:1] if file is not None]
        return named or self.files

    def without(self, refused: Collection[_OnServer]) -> "Content":
        """The same, with these named instead."""
        left = tuple(file for file in self.files if file not in refused)
        named = tuple(f"{file.name}: {NOT_TAKEN}" for file in self.files if file in refused)
        return replace(self, files=left, unused=(*self.unused, *named))

    @property
    def _images(self) -> tuple[_OnServer, ...]:
        return tuple(file for file in self.files if not file.tools)

    @property
    def _attached(self) -> tuple[_OnServer, ...]:
        return tuple(file for file in self.files if file.tools)


@dataclass(slots=True)
class PostFiles:
    """Uploads the files of one run's posts. One that the server does not take costs nothing but itself; with `lenient`,
    which is for what was said before, so does one that cannot be sent for whatever reason."""

    client: openai.AsyncOpenAI
    patience: Patience
    lenient: bool = False
    #: Why nothing more is uploaded: patience ended once, and would for each of the others.
    _given_up: str | None = field(default=None, init=False)

    async def content(self, part: Part) -> Content:
        """A part of a post, its files uploaded. Raises openai.APIError, and RunBroken where a file is gone."""
        files: list[_OnServer] = []
        unused = list(part.unused)
        for file, tools in part.files:
            sent = await self._uploaded(file, tools)
            if isinstance(sent, str):
                unused.append(f"{file.name}: {sent}")
            else:
                files.append(sent)
        return Content(part.text, tuple(files), tuple(unused))

    async def _uploaded(self, file: Attachment, tools: tuple[Tool, ...]) -> _OnServer | str:
        """A file on the server, or why it is not there: a part of a sentence."""
        if self._given_up is not None:
            return self._given_up
        try:
            file_id = await uploaded(
                self.client,
                self.patience,
                path=file.path,
                name=file.name,
                media_type=file.media_type,
                purpose="assistants" if tools else "vision",
            )
        except openai.APIError as error:
            why = why_not_taken(error) or (NOT_NOW if self.lenient else None)
            if why is None:
                raise
            _log.info("file-not-taken", type=file.media_type, size=file.size, error=type(error).__name__)
            self._given_up = None if why == NOT_TAKEN else why
            return why
        return _OnServer(file_id, file.name, tools)

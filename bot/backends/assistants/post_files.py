"""The files of posts on an Assistants server: uploaded, and named where the server does not take them.

https://platform.openai.com/docs/api-reference/messages/createMessage
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import openai

from bot.backends.assistants.message_files import Part, Tool
from bot.backends.limits import ASSISTANTS_MESSAGE
from bot.backends.uploads import NOT_TAKEN, NotSent, PostUploads, unread

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
        named = "".join(f"\n\n{unread(problem)}" for problem in self.unused)
        text = self.text[: ASSISTANTS_MESSAGE - len(named)] + named
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


async def uploaded_content(part: Part, uploads: PostUploads) -> Content:
    """A part of a post, its files uploaded. Raises openai.APIError, and RunBroken where a file is gone."""
    files: list[_OnServer] = []
    unused = list(part.unused)
    for file, tools in part.files:
        sent = await uploads.sent(file, "assistants" if tools else "vision")
        if isinstance(sent, NotSent):
            unused.append(f"{file.name}: {sent.why}")
        else:
            files.append(_OnServer(sent, file.name, tools))
    return Content(part.text, tuple(files), tuple(unused))

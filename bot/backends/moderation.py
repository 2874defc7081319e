"""The provider's safety check, before a post goes out and before an answer is shown.

https://platform.openai.com/docs/guides/moderation
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path

import openai
import structlog
from openai.types import ModerationImageURLInputParam

from bot.backends.downloads import lost
from bot.backends.limits import IMAGE_TYPES
from bot.backends.retries import Patience, patiently
from bot.backends.uploads import data_url
from bot.engine.ports import (
    Attachment,
    CallsWanted,
    FileMade,
    Message,
    RunEnded,
    RunEvent,
    RunRequest,
    Sources,
    Task,
    TextDelta,
    TextDone,
)
from bot.errors import BackendUnsupported, Moderated

_log = structlog.get_logger()

_MODEL = "omni-moderation-latest"
_POSTS = "I can't help with that post: the model provider's safety check objects to it. Please put it in other words."
_ANSWER = "I keep my answer back: the model provider's safety check objects to it. Please ask in other words."
_LEFT_OUT = "[A message that is left out: the model provider's safety check objects to it.]"
_UNSEEN = "could not be looked at by the model provider's safety check"
_NONE = "This model server has no safety check; an admin can take `moderation` out of the assistant's file."
#: Characters of a text file that are looked at.
_READ = 100_000


class Moderation:
    """Judges texts and pictures. Every method raises Moderated, BackendUnsupported where the server has no such check,
    and openai.APIError."""

    def __init__(self, client: openai.AsyncOpenAI, patience: Patience) -> None:
        self._client = client
        self._patience = patience

    async def around(
        self, request: RunRequest, events: AsyncGenerator[RunEvent, None]
    ) -> AsyncGenerator[RunEvent, None]:
        """A run's events; for an assistant with `moderation` after a look at what was asked, if the backend has not
        got it yet, and with one at what is answered."""
        wanted = request.assistant.moderation
        async with aclosing(events), aclosing(self._held_back(events)) as checked:
            if wanted and not (request.outputs or request.backend_run):
                await self._check_posts(request.messages)
            async for event in checked if wanted else events:
                yield event

    async def allowed(self, history: Sequence[Message]) -> list[Message]:
        """What was said before, without what is objected to: a few words stand for that, and its files stay away."""
        try:
            await self._check_posts(history)
        except Moderated:
            return [await self._allowed(message) for message in history]
        return list(history)

    async def _allowed(self, message: Message) -> Message:
        try:
            await self._check_posts([message])
        except Moderated:
            return replace(message, text=_LEFT_OUT, files=())
        return message

    async def _check_posts(self, messages: Sequence[Message]) -> None:
        """Raises Moderated where one of them is objected to, or a text or a picture in it. Other documents are not
        looked into."""
        files = [file for message in messages for file in message.files if file.media_type.startswith("text/")]
        texts = [message.text for message in messages if message.text.strip()]
        texts += [text for file in files if (text := await asyncio.to_thread(_beginning, file.path)).strip()]
        pictures = [file for message in messages for file in message.files if file.media_type in IMAGE_TYPES]
        if texts and await self._flagged(texts):
            raise Moderated(_POSTS)
        for picture in pictures:  # the check takes one at a time
            if await self._flagged([await _shown(picture)]):
                raise Moderated(_POSTS)

    async def _held_back(self, events: AsyncIterator[RunEvent]) -> AsyncGenerator[RunEvent, None]:
        """The events of a run, its text and all that belongs to it only once the whole text was checked."""
        text, made = "", list[RunEvent]()
        async for event in events:
            match event:
                case TextDelta(more):
                    text += more
                case TextDone(whole):
                    text = whole
                case FileMade() | Sources():
                    made.append(event)
                case RunEnded() | CallsWanted():
                    checked = await self._checked(text, made, event)
                    if text.strip():
                        yield TextDone(text)
                    for each in checked:
                        yield each
                    yield event
                case Task():
                    # That something is done may be seen; what the model wrote for it nobody has checked.
                    yield replace(event, details="", output="")
                case _:
                    yield event

    async def _checked(self, text: str, made: Sequence[RunEvent], last: RunEnded | CallsWanted) -> Sequence[RunEvent]:
        """What a run made, once its text, its pictures and what it wants of tools were looked at: people see all of
        that. A picture that cannot be looked at is a task that failed. Raises Moderated."""
        arguments = [call.arguments for call in last.calls] if isinstance(last, CallsWanted) else []
        texts = [each for each in (text, *arguments) if each.strip() not in ("", "{}")]
        kept_back = Moderated(_ANSWER)
        kept_back.usage, kept_back.model = last.usage, last.model
        if texts and await self._flagged(texts):
            raise kept_back
        checked: list[RunEvent] = []
        for event in made:
            if not isinstance(event, FileMade) or event.media_type not in IMAGE_TYPES:
                checked.append(event)
                continue
            picture = Attachment(event.name, event.media_type, 0, event.path)
            try:
                if await self._flagged([await _shown(picture)]):
                    raise kept_back
                checked.append(event)
            except openai.BadRequestError:
                checked.append(lost(event.name, f"{event.name} {_UNSEEN}"))
        return checked

    async def _flagged(self, judged: list[str] | list[ModerationImageURLInputParam]) -> bool:
        judge = partial(self._client.moderations.create, model=_MODEL, input=judged)
        try:
            verdict = await patiently(judge, self._patience, repeatable=True)
        except openai.APIStatusError as error:
            if error.status_code in (404, 405, 501):
                raise BackendUnsupported(_NONE) from error
            raise
        flagged = [result for result in verdict.results if result.flagged]
        if flagged:
            kinds = sorted({kind for each in flagged for kind, found in each.categories.to_dict().items() if found})
            _log.info("moderation-objected", kinds=kinds)
        return bool(flagged)


async def _shown(picture: Attachment) -> ModerationImageURLInputParam:
    return {"type": "image_url", "image_url": {"url": await data_url(picture)}}


def _beginning(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(_READ)

"""The messages of a thread on an Assistants server.

https://platform.openai.com/docs/api-reference/messages
"""

import asyncio
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, Literal

import openai
from openai.types.beta import threads

from bot.backends.assistants.lock import ThreadLock
from bot.backends.assistants.message_files import Part, parts_of
from bot.backends.limits import ASSISTANTS_FIRST_MESSAGES, ASSISTANTS_MESSAGE, PAGE
from bot.backends.retries import Patience, patiently
from bot.backends.uploads import uploaded
from bot.engine.ports import Attachment, Message, ThreadKey
from bot.errors import RunBroken

#: Metadata by which a message is recognised after a call whose outcome nobody knows: the post, and which of its
#: messages, where it is more than one.
_POST, _PART = "slack_ts", "slack_part"


class ThreadMessages:
    """Forwards posts, each once, and reads answers. Every method raises openai.APIError."""

    def __init__(self, client: openai.AsyncOpenAI, patience: Patience, lock: ThreadLock) -> None:
        self._client = client
        self._patience = patience
        self._lock = lock

    async def create_thread(self, key: ThreadKey, history: Sequence[Message]) -> str:
        """A thread that begins with `history`. Returns its id."""
        messages = [message for message in history if message.text.strip() or message.files]
        # What has files is added one by one: it has to be uploaded, and may become several messages.
        with_files = next((place for place, message in enumerate(messages) if message.files), len(messages))
        cut = min(with_files, ASSISTANTS_FIRST_MESSAGES)
        thread = await patiently(
            lambda: self._client.beta.threads.create(
                messages=[
                    {"role": m.role, "content": m.text[:ASSISTANTS_MESSAGE], "metadata": {_POST: m.id}}
                    for m in messages[:cut]
                ],
                metadata={"slack_team": key.team, "slack_channel": key.channel, "slack_ts": key.ts},
            ),
            self._patience,
            # A thread that nobody points at costs nothing and is never answered.
            repeatable=True,
        )
        for message in messages[cut:]:
            await self.add(thread.id, message)
        return thread.id

    async def add_missing(self, thread: str, messages: Sequence[Message], tools: Collection[str] = ()) -> None:
        """Add the messages that an earlier attempt did not get to; `tools` are as in `add`."""
        known = await self._known(thread, min((message.id for message in messages), default=""))
        for message in messages:
            await self.add(thread, message, tools, known)

    async def add(
        self, thread: str, message: Message, tools: Collection[str] = (), known: Collection[str] = frozenset()
    ) -> None:
        """Add one message, once, as soon as no run holds the thread. An empty one is left out: servers refuse it.

        `tools` are the assistant's, for which files are attached; what is `known` is not added, nor its files sent.
        Raises ThreadLocked, and RunBroken where a file is not there any more.
        """
        for number, part in enumerate(await _parts(message, tools), 1):
            if _mark(message.id, number) not in known:
                sent = await self._sent(part)
                create = partial(self._create, thread, message, number, sent)
                added = partial(self._added, thread, message.id, number)
                await self._lock.freed(thread, partial(patiently, create, self._patience, done=added), added)

    async def answer(self, thread: str, run_id: str) -> list[threads.Message]:
        """A run's messages, oldest first."""
        return await patiently(lambda: self._answer(thread, run_id), self._patience, repeatable=True)

    async def _sent(self, part: Part) -> dict[str, Any]:
        """A part as the API takes it, its files uploaded."""
        content: list[dict[str, Any]] = [{"type": "text", "text": part.text}]
        for image in part.images:
            content.append({"type": "image_file", "image_file": {"file_id": await self._upload(image, "vision")}})
        attachments = [
            {"file_id": await self._upload(file, "assistants"), "tools": [{"type": tool} for tool in tools]}
            for file, tools in part.attached
        ]
        return {
            "content": content if part.images else part.text,
            **({"attachments": attachments} if attachments else {}),
        }

    async def _upload(self, file: Attachment, purpose: Literal["assistants", "vision"]) -> str:
        return await uploaded(
            self._client,
            self._patience,
            path=file.path,
            name=file.name,
            media_type=file.media_type,
            purpose=purpose,
        )

    async def _create(self, thread: str, message: Message, number: int, sent: dict[str, Any]) -> bool:
        metadata = {_POST: message.id} if number == 1 else {_POST: message.id, _PART: str(number)}
        await self._client.beta.threads.messages.create(thread, role=message.role, metadata=metadata, **sent)
        return True

    async def _added(self, thread: str, post: str, number: int) -> bool | None:
        return _mark(post, number) in await self._known(thread, post) or None

    async def _known(self, thread: str, since: str) -> set[str]:
        """The marks of the messages that the thread has, from the Slack timestamp `since` on."""
        return await patiently(lambda: self._list_known(thread, since), self._patience, repeatable=True)

    async def _list_known(self, thread: str, since: str) -> set[str]:
        known: set[str] = set()
        async for message in self._client.beta.threads.messages.list(thread, limit=PAGE, order="desc"):
            metadata = message.metadata or {}
            post = metadata.get(_POST)
            if post is not None:
                known.add(_mark(post, int(metadata.get(_PART, "1"))))
                # The text order of timestamps is their order in time; older posts were forwarded earlier.
                if post < since:
                    break
        return known

    async def _answer(self, thread: str, run_id: str) -> list[threads.Message]:
        listed = self._client.beta.threads.messages.list(thread, run_id=run_id, order="asc", limit=PAGE)
        return _of_run(run_id, [message async for message in listed])


async def _parts(message: Message, tools: Collection[str]) -> list[Part]:
    try:
        return await asyncio.to_thread(parts_of, message, tools)
    except OSError as error:
        raise RunBroken("A file of this post cannot be read from Bobbin's disk any more. Please try again.") from error


def _of_run(run_id: str, listed: Sequence[threads.Message]) -> list[threads.Message]:
    """A run's messages among those that were listed as such, oldest first. Some servers say of none whose it is, and
    some list the whole thread: there, the run's are those after what people said."""
    if any(message.run_id for message in listed):
        return [message for message in listed if message.run_id == run_id]
    last = max((place for place, message in enumerate(listed, 1) if message.role == "user"), default=0)
    return list(listed[last:])


def _mark(post: str, number: int) -> str:
    """What tells the messages of one post apart: the first bears the post's own timestamp."""
    return f"{post}/{number}"

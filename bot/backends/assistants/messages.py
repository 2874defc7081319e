"""The messages of a thread on an Assistants server.

https://platform.openai.com/docs/api-reference/messages
"""

import asyncio
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import openai
import structlog
from openai.types.beta import threads

from bot.backends.assistants.lock import ThreadLock
from bot.backends.assistants.message_files import Part, parts_of
from bot.backends.assistants.post_files import Content, uploaded_content
from bot.backends.limits import ASSISTANTS_FIRST_MESSAGES, ASSISTANTS_MESSAGE, PAGE
from bot.backends.retries import Patience, patiently
from bot.backends.uploads import PostUploads
from bot.engine.ports import Message, ThreadKey
from bot.errors import RunBroken

_log = structlog.get_logger()

#: Metadata by which a message is recognised after a call whose outcome nobody knows: the post, and which of its
#: messages, where it is more than one.
_POST, _PART = "slack_ts", "slack_part"


class ThreadMessages:
    """Forwards posts, each once, and reads answers. Every method raises openai.APIError."""

    def __init__(self, client: openai.AsyncOpenAI, patience: Patience, lock: ThreadLock) -> None:
        self._client = client
        self._patience = patience
        self._lock = lock

    async def create_thread(self, key: ThreadKey, history: Sequence[Message], tools: Collection[str]) -> str:
        """A thread that begins with `history`, its files attached for these tools. Returns its id."""
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
        uploads = PostUploads(self._client, self._patience, lenient=True)
        for message in messages[cut:]:
            await self._add(thread.id, message, tools, uploads)
        return thread.id

    async def add(
        self, thread: str, messages: Sequence[Message], tools: Collection[str], *, missing: bool = False
    ) -> tuple[str, ...]:
        """Add messages, each once, as soon as no run holds the thread. An empty one is left out: servers refuse it.

        `tools` are the assistant's, for which files are attached; with `missing`, only what an earlier attempt did not
        get to is added. Returns which files the server did not take, and why. Raises ThreadLocked, and RunBroken where
        a file is not there any more.
        """
        since = min((message.id for message in messages), default="")
        known = await self._known(thread, since) if missing else set()
        uploads = PostUploads(self._client, self._patience)
        unused = [await self._add(thread, message, tools, uploads, known) for message in messages]
        return tuple(problem for problems in unused for problem in problems)

    async def _add(
        self, thread: str, message: Message, tools: Collection[str], uploads: PostUploads, known: Collection[str] = ()
    ) -> list[str]:
        unused: list[str] = []
        for number, part in enumerate(await _parts(message, tools), 1):
            if _mark(message.id, number) not in known:
                unused += await self._put(thread, message, number, await uploaded_content(part, uploads))
        return unused

    async def answer(self, thread: str, run_id: str) -> list[threads.Message]:
        """A run's messages, oldest first."""
        return await patiently(lambda: self._answer(thread, run_id), self._patience, repeatable=True)

    async def _put(self, thread: str, message: Message, number: int, content: Content) -> tuple[str, ...]:
        """Add one message, without the files for which the server refuses it. Returns what is not among them."""
        added = partial(self._added, thread, message.id, number)
        while True:
            create = partial(self._create, thread, message, number, content.wire)
            try:
                await self._lock.freed(thread, partial(patiently, create, self._patience, done=added), added)
            except openai.APIStatusError as error:
                refused = content.refused(error)
                if not refused:
                    raise
                _log.info("message-files-refused", count=len(refused), status=error.status_code)
                content = content.without(refused)
            else:
                return content.unused

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

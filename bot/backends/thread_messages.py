"""The messages of a thread on an Assistants server.

https://platform.openai.com/docs/api-reference/messages
"""

from collections.abc import Sequence
from functools import partial

import openai
from openai.types.beta import threads

from bot.backends.limits import ASSISTANTS_FIRST_MESSAGES, ASSISTANTS_MESSAGE, PAGE
from bot.backends.retries import Patience, patiently
from bot.backends.thread_lock import ThreadLock
from bot.engine.ports import Message, ThreadKey

#: Metadata by which a message is recognised after a call whose outcome nobody knows.
_POST = "slack_ts"


class ThreadMessages:
    """Forwards posts, each once, and reads answers. Every method raises openai.APIError."""

    def __init__(self, client: openai.AsyncOpenAI, patience: Patience, lock: ThreadLock) -> None:
        self._client = client
        self._patience = patience
        self._lock = lock

    async def create_thread(self, key: ThreadKey, history: Sequence[Message]) -> str:
        """A thread that begins with `history`. Returns its id."""
        messages = [message for message in history if message.text.strip()]
        first, rest = messages[:ASSISTANTS_FIRST_MESSAGES], messages[ASSISTANTS_FIRST_MESSAGES:]
        thread = await patiently(
            lambda: self._client.beta.threads.create(
                messages=[
                    {"role": m.role, "content": m.text[:ASSISTANTS_MESSAGE], "metadata": {_POST: m.id}} for m in first
                ],
                metadata={"slack_team": key.team, "slack_channel": key.channel, "slack_ts": key.ts},
            ),
            self._patience,
            # A thread that nobody points at costs nothing and is never answered.
            repeatable=True,
        )
        for message in rest:
            await self.add(thread.id, message)
        return thread.id

    async def add_missing(self, thread: str, messages: Sequence[Message]) -> None:
        """Add the messages that an earlier attempt did not get to."""
        known = await self._known(thread, min((message.id for message in messages), default=""))
        for message in messages:
            if message.id not in known:
                await self.add(thread, message)

    async def add(self, thread: str, message: Message) -> None:
        """Add one message, once, as soon as no run holds the thread. An empty one is left out: servers refuse it.

        Raises ThreadLocked.
        """
        if message.text.strip():
            create = partial(self._create, thread, message)
            added = partial(self._added, thread, message)
            await self._lock.freed(thread, lambda: patiently(create, self._patience, done=added), added)

    async def answer(self, thread: str, run_id: str) -> list[threads.Message]:
        """A run's messages, oldest first."""
        return await patiently(lambda: self._answer(thread, run_id), self._patience, repeatable=True)

    async def _create(self, thread: str, message: Message) -> bool:
        await self._client.beta.threads.messages.create(
            thread, role=message.role, content=message.text[:ASSISTANTS_MESSAGE], metadata={_POST: message.id}
        )
        return True

    async def _added(self, thread: str, message: Message) -> bool | None:
        return message.id in await self._known(thread, message.id) or None

    async def _known(self, thread: str, since: str) -> set[str]:
        """The posts that the thread has, from the Slack timestamp `since` on."""
        return await patiently(lambda: self._list_known(thread, since), self._patience, repeatable=True)

    async def _list_known(self, thread: str, since: str) -> set[str]:
        known: set[str] = set()
        async for message in self._client.beta.threads.messages.list(thread, limit=PAGE, order="desc"):
            post = (message.metadata or {}).get(_POST)
            if post is not None:
                known.add(post)
                # The text order of timestamps is their order in time; older posts were forwarded earlier.
                if post < since:
                    break
        return known

    async def _answer(self, thread: str, run_id: str) -> list[threads.Message]:
        listed = self._client.beta.threads.messages.list(thread, run_id=run_id, order="asc", limit=PAGE)
        return [message async for message in listed if message.run_id == run_id]

"""Conversations: what was said in a thread, as OpenAI keeps it.

https://platform.openai.com/docs/api-reference/conversations. Items have no time and no metadata; a response's are
added, its input and its output together, when it ends. So an item is known by those before it.
"""

from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any, TypeVar

import openai
from openai.types.conversations import ConversationItem
from openai.types.conversations import Message as ConversationMessage

from bot.backends.limits import CONVERSATION_ITEMS, PAGE, RESPONSES_MESSAGE
from bot.backends.retries import Attempts, Patience, patiently
from bot.engine.ports import Message, ThreadKey
from bot.errors import ThreadLocked

T = TypeVar("T")


class Conversations:
    """Makes conversations and looks into them. Every method raises openai.APIError."""

    def __init__(self, client: openai.AsyncOpenAI, patience: Patience, lock_patience: Patience) -> None:
        """`lock_patience` is for whatever else works on a conversation, `patience` for single calls."""
        self._client = client
        self._patience = patience
        self._lock_patience = lock_patience

    async def create(self, key: ThreadKey, items: Sequence[Any]) -> str:
        """A conversation that begins with these items. Returns its id. Raises ThreadLocked."""
        conversation = await patiently(
            lambda: self._client.conversations.create(
                items=list(items[:CONVERSATION_ITEMS]),
                metadata={"slack_team": key.team, "slack_channel": key.channel, "slack_ts": key.ts},
            ),
            self._patience,
            # A conversation that nobody points at costs nothing and is never answered.
            repeatable=True,
        )
        await self._add_all(conversation.id, items[CONVERSATION_ITEMS:])
        return conversation.id

    async def say(self, conversation: str, messages: Sequence[Message]) -> None:
        """Add messages, once. Raises ThreadLocked."""
        await self._add_all(conversation, [item_of(message) for message in messages])

    async def _add_all(self, conversation: str, items: Sequence[Any]) -> None:
        for start in range(0, len(items), CONVERSATION_ITEMS):
            await self.add(conversation, items[start : start + CONVERSATION_ITEMS])

    async def add(self, conversation: str, items: Sequence[Any]) -> None:
        """Add items, once. Raises ThreadLocked."""
        before = await self.last_item(conversation)

        async def add() -> bool:
            await self._client.conversations.items.create(conversation, items=items)
            return True

        async def added() -> bool | None:
            return bool(await self.items_after(conversation, before)) or None

        await self.unlocked(lambda: patiently(add, self._patience, done=added), added)

    async def answer_calls(self, conversation: str, *, except_for: AbstractSet[str] = frozenset()) -> bool:
        """Answer the calls of tools among the newest items that nobody answered: left so, they would make every later
        request fail. Returns whether there were any. Raises ThreadLocked."""
        newest = await self.items_after(conversation, "")
        answered = {item.call_id for item in newest if item.type == "function_call_output"}
        open_calls = [item.call_id for item in newest if item.type == "function_call" if item.call_id not in answered]
        outputs = [_not_carried_out(call) for call in open_calls if call not in except_for]
        if outputs:
            await self._add_all(conversation, outputs)
        return bool(outputs)

    async def last_item(self, conversation: str) -> str:
        """The id of the newest item; empty where there is none."""
        page = await self._page(conversation, 1)
        return page[0].id or "" if page else ""

    async def items_after(self, conversation: str, item: str, *, messages: int = 0) -> list[ConversationItem]:
        """The newest items that came after the item with this id, oldest first: so many `messages` that a run sent,
        and up to one page besides."""
        most = messages + PAGE
        return await patiently(lambda: self._newest(conversation, item, most), self._patience, repeatable=True)

    async def unlocked(self, call: Callable[[], Awaitable[T]], done: Callable[[], Awaitable[T | None]]) -> T:
        """Make a call; where something else works on the conversation, again after a while.

        `done` is asked first then: the call may have been carried out before, and have been what held the lock.
        Raises ThreadLocked where the lock lasts beyond all patience.
        """
        attempts = Attempts(self._lock_patience)
        while True:
            try:
                return await call()
            except openai.APIStatusError as error:
                if error.code != "conversation_locked":
                    raise
                if not await attempts.pause():
                    raise ThreadLocked(
                        "Something else is at work in this conversation on the server. Please try again in a minute."
                    ) from error
                found = await done()
                if found is not None:
                    return found

    async def _newest(self, conversation: str, item: str, most: int) -> list[ConversationItem]:
        newer: list[ConversationItem] = []
        async for each in self._client.conversations.items.list(conversation, limit=PAGE, order="desc"):
            if each.id == item:
                break
            newer.append(each)
            if len(newer) == most:
                break
        return newer[::-1]

    async def _page(self, conversation: str, limit: int) -> list[ConversationItem]:
        listing = partial(self._client.conversations.items.list, conversation, limit=limit, order="desc")
        page = await patiently(lambda: _first_page(listing), self._patience, repeatable=True)
        return page[:limit]


async def _first_page(listing: Callable[[], Any]) -> list[ConversationItem]:
    page = await listing()
    return list(page.data)


def item_of(message: Message) -> Any:
    """A message as an item for the API."""
    return {"type": "message", "role": message.role, "content": message.text[:RESPONSES_MESSAGE]}


def _not_carried_out(call: str) -> dict[str, str]:
    output = "Error: this was cancelled. Nothing was done."
    return {"type": "function_call_output", "call_id": call, "output": output}


def answer_to(asked: Sequence[str], items: Sequence[ConversationItem]) -> list[str]:
    """What the assistant says in `items` (oldest first) right after somebody said all that was `asked`.

    Empty where it has not answered. Nothing asked means that the items begin with the answer.
    """
    spoken = [item for item in items if isinstance(item, ConversationMessage)]
    for start in range(len(spoken) - len(asked)):
        end = start + len(asked)
        if [text_of(message) for message in spoken[start:end]] == list(asked):
            answer = _assistants_run(spoken[end:])
            if answer:
                return answer
    return []


def has_unanswered(asked: Sequence[str], items: Sequence[ConversationItem]) -> bool:
    """Whether `items` (oldest first) end with all that was `asked`, with no more than the beginning of an answer."""
    spoken = [item for item in items if isinstance(item, ConversationMessage)]
    while spoken and spoken[-1].role == "assistant" and spoken[-1].status != "completed":
        spoken.pop()
    return bool(asked) and [text_of(message) for message in spoken[-len(asked) :]] == list(asked)


def text_of(message: ConversationMessage) -> str:
    """What a message in a conversation says."""
    parts = message.content or []
    texts = [part.refusal if part.type == "refusal" else getattr(part, "text", "") for part in parts]
    return "".join(text or "" for text in texts)


def _assistants_run(spoken: Sequence[ConversationMessage]) -> list[str]:
    answer = []
    for message in spoken:
        if message.role != "assistant":
            break
        answer.append(text_of(message))
    return [text for text in answer if text]

"""Conversations: what was said in a thread, as OpenAI keeps it.

https://platform.openai.com/docs/api-reference/conversations. Items have no time and no metadata; a response's are
added, its input and its output together, when it ends. So an item is known by those before it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any, TypeVar

import openai
import structlog
from openai.types.conversations import Conversation, ConversationItem
from openai.types.conversations import Message as ConversationMessage

from bot.backends.failures import OUTCOME_UNKNOWN
from bot.backends.limits import (
    CONTAINER_FILES,
    CONVERSATION_ITEMS,
    METADATA_PAIRS,
    METADATA_VALUE,
    PAGE,
    RESPONSES_MESSAGE,
)
from bot.backends.responses.items import approval_call, wanted_calls
from bot.backends.responses.notes import without_notes
from bot.backends.responses.parameters import output_item
from bot.backends.retries import Attempts, Patience, patiently
from bot.engine.ports import Message, ThreadKey, ToolOutput
from bot.errors import ThreadLocked

_log = structlog.get_logger()
T = TypeVar("T")

#: Metadata in which a conversation remembers the files that only code can open, and how many there may be: three are
#: the Slack thread's.
_FILES = "bobbin_files_"
_PLACES = METADATA_PAIRS - 3
#: HTTP statuses of a server that does not keep metadata; where it has not got the conversation, the next call tells.
_NOT_KEPT = (400, 404, 405, 422, 501)
#: What a response ends with that waits for tools, and what comes of them.
_WAITING = frozenset({"function_call", "function_call_output", "mcp_approval_request", "mcp_approval_response"})


class Conversations:
    """Makes conversations and looks into them. Every method raises openai.APIError."""

    def __init__(self, client: openai.AsyncOpenAI, patience: Patience, lock_patience: Patience) -> None:
        """`lock_patience` is for whatever else works on a conversation, `patience` for single calls."""
        self._client = client
        self._patience = patience
        self._lock_patience = lock_patience
        #: The files of conversations whose server does not keep what it is to remember.
        self._not_kept: dict[str, list[str]] = {}

    async def create(self, key: ThreadKey, items: Sequence[Any], files: Sequence[str] = ()) -> str:
        """A conversation that begins with these items, and remembers files. Returns its id. Raises ThreadLocked."""
        conversation = await patiently(
            lambda: self._client.conversations.create(
                items=list(items[:CONVERSATION_ITEMS]),
                metadata={
                    "slack_team": key.team,
                    "slack_channel": key.channel,
                    "slack_ts": key.ts,
                    **_remembered(files),
                },
            ),
            self._patience,
            # A conversation that nobody points at costs nothing and is never answered.
            repeatable=True,
        )
        if files and not _files_in(conversation):
            self._not_kept[conversation.id] = list(files)
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

    async def answer_calls(
        self, conversation: str, outputs: Sequence[ToolOutput] = (), *, except_for: AbstractSet[str] = frozenset()
    ) -> bool:
        """Answer the calls of tools among the newest items that nobody answered: left so, they would make every later
        request fail. `outputs` are what calls came to, as far as known. Returns whether there were any. Raises
        ThreadLocked."""
        known = {output.call: output for output in outputs}
        open_calls = [call for call in _open_calls(await self.items_after(conversation, "")) if call not in except_for]
        answers = [known.get(call) or ToolOutput(call, OUTCOME_UNKNOWN, approved=False) for call in open_calls]
        if answers:
            await self._add_all(conversation, [output_item(answer) for answer in answers])
        return bool(answers)

    async def remove(self, conversation: str, items: Sequence[ConversationMessage]) -> None:
        """Take items out, as far as the server lets us: one that stays is there twice, and no more."""
        for item in items:
            delete = partial(self._client.conversations.items.delete, item.id, conversation_id=conversation)
            try:
                await patiently(delete, self._patience, repeatable=True)
            except openai.APIStatusError as error:
                _log.info("item-not-removed", status=error.status_code, code=error.code)

    async def files(self, conversation: str) -> list[str]:
        """The files that it remembers, oldest first."""
        try:
            kept = _files_in(await self._retrieve(conversation))
        except openai.APIStatusError as error:
            if error.status_code not in _NOT_KEPT:
                raise
            kept = []
        return kept or self._not_kept.get(conversation, [])

    async def remember(self, conversation: str, files: Sequence[str]) -> None:
        """Remember these files, and no others. Where the server does not, this process does."""
        try:
            found = await self._retrieve(conversation)
            kept = found.metadata if isinstance(found.metadata, Mapping) else {}
            rest = {name: str(value) for name, value in kept.items() if not name.startswith(_FILES)}
            update = partial(self._client.conversations.update, conversation, metadata={**rest, **_remembered(files)})
            await patiently(update, self._patience, repeatable=True)
        except openai.APIStatusError as error:
            if error.status_code not in _NOT_KEPT:
                raise
            _log.info("files-not-remembered", status=error.status_code, code=error.code)
            self._not_kept[conversation] = list(files)

    async def _retrieve(self, conversation: str) -> Conversation:
        return await patiently(
            partial(self._client.conversations.retrieve, conversation), self._patience, repeatable=True
        )

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


def _files_in(conversation: Conversation) -> list[str]:
    metadata = conversation.metadata if isinstance(conversation.metadata, Mapping) else {}
    places = sorted(name for name in metadata if name.startswith(_FILES))
    return [file for place in places for file in str(metadata[place]).split(",") if file]


def _remembered(files: Sequence[str]) -> dict[str, str]:
    """Ids of files as metadata, the newest where there are too many."""
    places: list[str] = []
    for file in files[-CONTAINER_FILES:]:
        if places and len(places[-1]) + len(file) < METADATA_VALUE:
            places[-1] += f",{file}"
        else:
            places.append(file)
    return {f"{_FILES}{place:02}": value for place, value in enumerate(places[-_PLACES:])}


def _open_calls(items: Sequence[ConversationItem]) -> list[str]:
    """The calls, and the requests for approval, that nobody answered."""
    answered = {item.call_id for item in items if item.type == "function_call_output"}
    answered |= {approval_call(item.approval_request_id) for item in items if item.type == "mcp_approval_response"}
    return [call.id for call in wanted_calls(items) if call.id not in answered]


def answer_to(asked: Sequence[str], items: Sequence[ConversationItem]) -> list[str]:
    """What the assistant says in `items` (oldest first) right after somebody said all that was `asked`.

    Empty where it has not answered. Nothing asked means that the items begin with the answer.
    """
    spoken = [item for item in items if isinstance(item, ConversationMessage)]
    for start in range(len(spoken) - len(asked)):
        end = start + len(asked)
        if _says(spoken[start:end], asked):
            answer = _assistants_run(spoken[end:])
            if answer:
                return answer
    return []


def unanswered(asked: Sequence[str], items: Sequence[ConversationItem]) -> list[ConversationMessage]:
    """The messages at the end of `items` (oldest first) that are all that was `asked`, where no more than the beginning
    of an answer follows, or calls of tools and what they came to. Empty where there are none such."""
    users = [place for place, item in enumerate(items) if isinstance(item, ConversationMessage) and item.role == "user"]
    if not asked or not users:
        return []
    newest = users[-1] + 1
    calls = [place for place, item in enumerate(items) if item.type in _WAITING]
    since = items[max([newest, *(place + 1 for place in calls)]) :]
    if any(isinstance(item, ConversationMessage) and item.status == "completed" for item in since):
        return []
    spoken = [item for item in items[:newest] if isinstance(item, ConversationMessage)][-len(asked) :]
    return spoken if _says(spoken, asked) else []


def _says(messages: Sequence[ConversationMessage], texts: Sequence[str]) -> bool:
    return [without_notes(text_of(message)) for message in messages] == [without_notes(text) for text in texts]


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

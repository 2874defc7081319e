"""/conversations and their items: https://developers.openai.com/api/reference, "Conversations"."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bot.playground.openai import schemas
from bot.playground.openai.calls import Call, page
from bot.playground.openai.errors import conversation_locked
from bot.playground.openai.items import input_items, resolve, shown
from bot.playground.openai.records import Conversation, Json, new_id
from bot.playground.openai.seen_files import check_items

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bot.playground.openai.router import Route
    from bot.playground.openai.state import State


class ConversationEndpoints:
    """Creates, shows, changes and deletes conversations and what is in them."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> Iterator[Route]:
        """Method, path, endpoint."""
        conversation = "/conversations/{conversation}"
        yield "POST", "/conversations", self.create
        yield "GET", conversation, self.retrieve
        yield "POST", conversation, self.update
        yield "DELETE", conversation, self.delete
        yield "POST", f"{conversation}/items", self.create_items
        yield "GET", f"{conversation}/items", self.list_items
        yield "GET", f"{conversation}/items/{{item}}", self.retrieve_item
        yield "DELETE", f"{conversation}/items/{{item}}", self.delete_item

    async def create(self, call: Call) -> Json:
        body = call.checked(schemas.CONVERSATION_CREATE)
        check_items(self._state, body.get("items") or (), "items")
        items = resolve(input_items(body.get("items")), self._known())
        conversation = Conversation(id=new_id("conv_"), created_at=self._state.now, metadata=body.get("metadata") or {})
        self._state.conversations[conversation.id] = conversation
        self._state.items[conversation.id] = {item["id"]: item for item in items}
        return conversation.wire()

    async def retrieve(self, call: Call) -> Json:
        return self._find(call).wire()

    async def update(self, call: Call) -> Json:
        changes = call.checked(schemas.CONVERSATION_UPDATE)
        conversation = replace(self._find(call), metadata=changes["metadata"])
        self._state.conversations[conversation.id] = conversation
        return conversation.wire()

    async def delete(self, call: Call) -> Json:
        """Deletes the conversation; its items stay, as the reference says, though no endpoint shows them."""
        conversation = self._find_unlocked(call)
        del self._state.conversations[conversation.id]
        return {"id": conversation.id, "object": "conversation.deleted", "deleted": True}

    async def create_items(self, call: Call) -> Json:
        conversation = self._find_unlocked(call)
        body = call.checked(schemas.ITEMS_CREATE)
        check_items(self._state, body["items"], "items")
        items = resolve(input_items(body["items"]), self._known())
        self._state.items[conversation.id] |= {item["id"]: item for item in items}
        ends = {"first_id": items[0]["id"], "last_id": items[-1]["id"]}
        return {"object": "list", "data": items, **ends, "has_more": False}

    async def list_items(self, call: Call) -> Json:
        include = call.include()
        items = self._state.items[self._find(call).id].items()
        return page(call, {key: shown(item, include) for key, item in items}, "item", backwards=False)

    async def retrieve_item(self, call: Call) -> Json:
        return shown(self._find_item(call), call.include())

    async def delete_item(self, call: Call) -> Json:
        conversation = self._find_unlocked(call)
        del self._state.items[conversation.id][self._find_item(call)["id"]]
        return conversation.wire()

    def _known(self) -> dict[str, Json]:
        return {key: item for items in self._state.items.values() for key, item in items.items()}

    def _find(self, call: Call) -> Conversation:
        return self._state.find(self._state.conversations, call.path("conversation"), "conversation")

    def _find_unlocked(self, call: Call) -> Conversation:
        conversation = self._find(call)
        if conversation.id in self._state.locked:
            raise conversation_locked()
        return conversation

    def _find_item(self, call: Call) -> Json:
        items = self._state.items[self._find(call).id]
        return self._state.find(items, call.path("item"), "item")

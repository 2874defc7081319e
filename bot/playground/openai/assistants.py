"""/assistants: https://developers.openai.com/api/reference, "Assistants"."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bot.playground.openai import schemas
from bot.playground.openai.calls import Call, changes, page
from bot.playground.openai.records import Assistant, Json, new_id
from bot.playground.openai.vector_store_files import resolve_resources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bot.playground.openai.router import Route
    from bot.playground.openai.state import Options, State


class AssistantEndpoints:
    """Creates, shows, changes and deletes assistants."""

    def __init__(self, state: State, options: Options) -> None:
        self._state = state
        self._options = options

    def routes(self) -> Iterator[Route]:
        """Method, path, endpoint."""
        yield "POST", "/assistants", self.create
        yield "GET", "/assistants", self.list
        yield "GET", "/assistants/{assistant}", self.retrieve
        yield "POST", "/assistants/{assistant}", self.update
        yield "DELETE", "/assistants/{assistant}", self.delete

    async def create(self, call: Call) -> Json:
        body = call.checked(schemas.ASSISTANT_CREATE)
        self._options.check_model(body["model"])
        fields = {name: value for name, value in body.items() if value is not None}
        fields["tool_resources"] = resolve_resources(self._state, body.get("tool_resources"))
        assistant = Assistant(id=new_id("asst_"), created_at=self._state.now, **fields)
        self._state.assistants[assistant.id] = assistant
        return assistant.wire()

    async def list(self, call: Call) -> Json:
        shown = {key: each.wire() for key, each in self._state.assistants.items()}
        return page(call, shown, "assistant")

    async def retrieve(self, call: Call) -> Json:
        return self._find(call).wire()

    async def update(self, call: Call) -> Json:
        assistant = self._find(call)
        body = call.checked(schemas.ASSISTANT_UPDATE)
        if body.get("model"):
            self._options.check_model(body["model"])
        if body.get("tool_resources"):
            body = {**body, "tool_resources": resolve_resources(self._state, body["tool_resources"])}
        updated = replace(assistant, **changes(body))
        self._state.assistants[assistant.id] = updated
        return updated.wire()

    async def delete(self, call: Call) -> Json:
        assistant = self._find(call)
        del self._state.assistants[assistant.id]
        return {"id": assistant.id, "object": "assistant.deleted", "deleted": True}

    def _find(self, call: Call) -> Assistant:
        return self._state.find(self._state.assistants, call.path("assistant"), "assistant")


class ModelEndpoints:
    """/models: the models that the server says it has."""

    def __init__(self, options: Options) -> None:
        self._options = options

    def routes(self) -> Iterator[Route]:
        """Method, path, endpoint."""
        yield "GET", "/models", self.list
        yield "GET", "/models/{model}", self.retrieve

    async def list(self, _call: Call) -> Json:
        there = [name for name in self._options.models if name not in self._options.switches.retired]
        return {"object": "list", "data": [_model(name) for name in there]}

    async def retrieve(self, call: Call) -> Json:
        self._options.check_model(call.path("model"))
        return _model(call.path("model"))


def _model(name: str) -> Json:
    return {"id": name, "object": "model", "created": 1_760_000_000, "owned_by": "bobbin-playground"}

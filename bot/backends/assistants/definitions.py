"""Assistants on a server that keeps them: made once, updated when their file changes, never twice."""

import asyncio
import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from typing import Any

import openai
from openai.types import beta

from bot.backends.assistants.functions import hosted_tools
from bot.backends.limits import ASSISTANT_DESCRIPTION, ASSISTANT_NAME, PAGE
from bot.backends.retries import Patience, patiently
from bot.backends.vector_stores import VectorStores
from bot.engine.ports import Assistant

#: Metadata by which Bobbin knows its own: the key, and a hash of the definition.
_KEY, _DEFINITION = "bobbin_assistant", "bobbin_definition"
#: What a server shows for an assistant that does not set these.
_DEFAULTS = {"temperature": 1.0, "top_p": 1.0, "reasoning_effort": None, "response_format": "auto"}


class Definitions:
    """The server is the truth: an assistant is found by its metadata, so a lost database makes no second one."""

    def __init__(self, client: openai.AsyncOpenAI, patience: Patience, stores: VectorStores) -> None:
        self._client = client
        self._patience = patience
        self._stores = stores
        self._known: dict[str, tuple[str, str]] = {}
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def ensure(self, assistant: Assistant) -> str:
        """The server's id of an assistant that is as its file says. Raises openai.APIError, and what
        `VectorStores.ensure` raises."""
        async with self._locks[assistant.key]:
            store = await self._stores.ensure(assistant) if "file_search" in assistant.tools else None
            definition = _hash(assistant, store)
            known, assistant_id = self._known.get(assistant.key, ("", ""))
            if known != definition:
                assistant_id = await self._make_or_update(assistant, store)
                self._known[assistant.key] = (definition, assistant_id)
            return assistant_id

    def forget(self, assistant: Assistant, assistant_id: str) -> None:
        """The server no longer has this one: make it again at the next need, unless that has been done."""
        if self._known.get(assistant.key, ("", ""))[1] == assistant_id:
            del self._known[assistant.key]

    def forget_store(self, assistant: Assistant) -> None:
        """The server may no longer have what the assistant searches: look again at the next need."""
        self._stores.forget(assistant)

    async def _make_or_update(self, assistant: Assistant, store: str | None) -> str:
        found = await patiently(lambda: self._find(assistant.key), self._patience, repeatable=True)
        if found is None:
            make = partial(self._client.beta.assistants.create, **_parameters(assistant, store))
            made = await patiently(make, self._patience, done=lambda: self._find(assistant.key))
            return made.id
        if (found.metadata or {}).get(_DEFINITION) != _hash(assistant, store):
            await patiently(lambda: self._update(found, assistant, store), self._patience, repeatable=True)
        if store is not None or _searches(found):
            # Only now does nobody search the old one any more.
            await self._stores.drop_others(assistant, store or "")
        return found.id

    async def _find(self, key: str) -> beta.Assistant | None:
        async for assistant in self._client.beta.assistants.list(limit=PAGE, order="asc"):
            if (assistant.metadata or {}).get(_KEY) == key:
                return assistant
        return None

    async def _update(self, found: beta.Assistant, assistant: Assistant, store: str | None) -> beta.Assistant:
        parameters = _parameters(assistant, store)
        # What the file no longer sets has to be taken back; what was never set is not mentioned.
        for name, default in _DEFAULTS.items():
            if name not in parameters and getattr(found, name, None) not in (None, default):
                parameters[name] = default if name == "response_format" else None
        if store is None and _searches(found):
            parameters["tool_resources"] = {"file_search": {"vector_store_ids": []}}
        return await self._client.beta.assistants.update(found.id, **parameters)


def _parameters(assistant: Assistant, store: str | None) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "name": assistant.name[:ASSISTANT_NAME],
        "description": assistant.description[:ASSISTANT_DESCRIPTION],
        "instructions": assistant.instructions,
        "model": assistant.model,
        "tools": hosted_tools(assistant),
        "metadata": {_KEY: assistant.key, _DEFINITION: _hash(assistant, store)},
    }
    settings = {
        "temperature": assistant.temperature,
        "top_p": assistant.top_p,
        "reasoning_effort": assistant.reasoning_effort,
        "response_format": _response_format(assistant.response_format),
        "tool_resources": {"file_search": {"vector_store_ids": [store]}} if store else None,
    }
    return parameters | {name: value for name, value in settings.items() if value is not None}


def _response_format(wanted: str | Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A schema comes with its name, as {"name": ..., "schema": ...}."""
    if wanted is None:
        return None
    return {"type": wanted} if isinstance(wanted, str) else {"type": "json_schema", "json_schema": dict(wanted)}


def _searches(found: beta.Assistant) -> bool:
    search = found.tool_resources.file_search if found.tool_resources else None
    return bool(search and search.vector_store_ids)


def _hash(assistant: Assistant, store: str | None) -> str:
    said = [
        assistant.name,
        assistant.description,
        assistant.instructions,
        assistant.model,
        hosted_tools(assistant),
        assistant.temperature,
        assistant.top_p,
        assistant.reasoning_effort,
        _response_format(assistant.response_format),
        store,
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()

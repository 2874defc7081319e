"""Assistants on a server that keeps them: made once, updated when their file changes, never twice."""

import asyncio
import hashlib
import json
from collections import defaultdict
from typing import Any

import openai
from openai.types import beta

from bot.backends.limits import ASSISTANT_DESCRIPTION, ASSISTANT_NAME, PAGE
from bot.backends.retries import Patience, patiently
from bot.backends.run_functions import hosted_tools
from bot.engine.ports import Assistant

#: Metadata by which Bobbin knows its own: the key, and a hash of the definition.
_KEY, _DEFINITION = "bobbin_assistant", "bobbin_definition"
#: What a server shows for an assistant without a temperature of its own.
_DEFAULT_TEMPERATURE = 1.0


class Definitions:
    """The server is the truth: an assistant is found by its metadata, so a lost database makes no second one."""

    def __init__(self, client: openai.AsyncOpenAI, patience: Patience) -> None:
        self._client = client
        self._patience = patience
        self._known: dict[str, tuple[str, str]] = {}
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def ensure(self, assistant: Assistant) -> str:
        """The server's id of an assistant that is as its file says. Raises openai.APIError."""
        definition = _hash(assistant)
        async with self._locks[assistant.key]:
            known, assistant_id = self._known.get(assistant.key, ("", ""))
            if known != definition:
                assistant_id = await self._make_or_update(assistant)
                self._known[assistant.key] = (definition, assistant_id)
            return assistant_id

    def forget(self, assistant: Assistant, assistant_id: str) -> None:
        """The server no longer has this one: make it again at the next need, unless that has been done."""
        if self._known.get(assistant.key, ("", ""))[1] == assistant_id:
            del self._known[assistant.key]

    async def _make_or_update(self, assistant: Assistant) -> str:
        found = await patiently(lambda: self._find(assistant.key), self._patience, repeatable=True)
        if found is None:
            made = await patiently(
                lambda: self._make(assistant), self._patience, done=lambda: self._find(assistant.key)
            )
            return made.id
        if (found.metadata or {}).get(_DEFINITION) != _hash(assistant):
            await patiently(lambda: self._update(found, assistant), self._patience, repeatable=True)
        return found.id

    async def _find(self, key: str) -> beta.Assistant | None:
        async for assistant in self._client.beta.assistants.list(limit=PAGE, order="asc"):
            if (assistant.metadata or {}).get(_KEY) == key:
                return assistant
        return None

    async def _make(self, assistant: Assistant) -> beta.Assistant:
        return await self._client.beta.assistants.create(**_parameters(assistant))

    async def _update(self, found: beta.Assistant, assistant: Assistant) -> beta.Assistant:
        parameters = _parameters(assistant)
        # What the file no longer sets has to be taken back; what was never set is not mentioned.
        if assistant.temperature is None and found.temperature not in (None, _DEFAULT_TEMPERATURE):
            parameters["temperature"] = None
        if assistant.reasoning_effort is None and getattr(found, "reasoning_effort", None) is not None:
            parameters["reasoning_effort"] = None
        return await self._client.beta.assistants.update(found.id, **parameters)


def _parameters(assistant: Assistant) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "name": assistant.name[:ASSISTANT_NAME],
        "description": assistant.description[:ASSISTANT_DESCRIPTION],
        "instructions": assistant.instructions,
        "model": assistant.model,
        "tools": hosted_tools(assistant),
        "metadata": {_KEY: assistant.key, _DEFINITION: _hash(assistant)},
    }
    if assistant.temperature is not None:
        parameters["temperature"] = assistant.temperature
    if assistant.reasoning_effort is not None:
        parameters["reasoning_effort"] = assistant.reasoning_effort
    return parameters


def _hash(assistant: Assistant) -> str:
    said = [
        assistant.name,
        assistant.description,
        assistant.instructions,
        assistant.model,
        hosted_tools(assistant),
        assistant.temperature,
        assistant.reasoning_effort,
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()

"""A running local server with a real client, as the tests of the server use them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from openai import APIStatusError, AsyncOpenAI

from bot.playground.openai import LocalOpenAI, ScriptedBrain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from openai.types.responses import Response

MODEL = "gpt-6.1-terra"


@dataclass(frozen=True)
class Pair:
    """A server and its client, which never retries."""

    server: LocalOpenAI
    client: AsyncOpenAI

    async def assistant_and_thread(self, question: str = "ping", **fields: Any) -> tuple[str, str]:
        """The ids of a new assistant and of a new thread that holds the question."""
        assistant = await self.client.beta.assistants.create(model=MODEL, **fields)
        thread = await self.client.beta.threads.create(messages=[{"role": "user", "content": question}])
        return assistant.id, thread.id


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[Pair]:
    """The pair; without a brain of its own the server answers everything with three words."""
    options.setdefault("brain", ScriptedBrain(lambda _: "pong and more"))
    async with (
        LocalOpenAI(**options) as server,
        AsyncOpenAI(api_key="sk-local", base_url=server.url, max_retries=0) as client,
    ):
        yield Pair(server, client)


def loose(of_the_sdk: object) -> Any:
    """An object of the SDK without its unions: a test names the kind that it expects by the fields it reads."""
    return of_the_sdk


def citations(response: Response) -> list[Any]:
    """All annotations of the response's texts."""
    messages = [item for item in response.output if item.type == "message"]
    return [each for message in messages for part in message.content for each in loose(part).annotations]


@asynccontextmanager
async def refused(status: int, *, code: str | None = None, param: str | None = None, sentence: str = "") -> Any:
    """Expects the block to be refused in OpenAI's form."""
    with pytest.raises(APIStatusError) as caught:
        yield
    error = caught.value
    assert isinstance(error.body, dict)
    assert (error.status_code, error.code, error.param) == (status, code, param), error
    assert sentence in error.body["message"]
    assert error.request_id

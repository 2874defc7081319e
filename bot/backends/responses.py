"""OpenAI today: a conversation for each thread, a response for each run.

https://platform.openai.com/docs/api-reference/responses, https://platform.openai.com/docs/api-reference/conversations
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

import httpx2
import openai
import structlog
from openai.types import responses as types
from openai.types.conversations import ConversationItem

from bot.backends.checks import check_models
from bot.backends.failures import translated
from bot.backends.limits import CONVERSATION_ITEMS, PAGE, RESPONSES_MESSAGE
from bot.backends.response_events import ended_event, output_text, read_stream
from bot.backends.retries import Attempts, Patience, patiently
from bot.engine.ports import (
    Check,
    Message,
    RunEnded,
    RunEvent,
    RunRequest,
    RunStarted,
    RunStatus,
    TextDone,
    ThreadKey,
)
from bot.errors import BackendError, BackendUnsupported, RunBroken, ThreadGone, ThreadLocked

_log = structlog.get_logger()
T = TypeVar("T")

_LOCKED = "conversation_locked"
#: Seconds between two looks at a response.
_POLL = 1.0
_GOING = ("queued", "in_progress")


class ResponsesBackend:
    """An assistant is the instructions, model and tools that go with each run; switching needs nothing else."""

    name = "responses"
    message_limit = RESPONSES_MESSAGE

    def __init__(self, client: openai.AsyncOpenAI, *, patience: Patience | None = None, poll: float = _POLL) -> None:
        """`client` must have `max_retries=0`; `poll` is in seconds."""
        self._client = client
        self._patience = patience or Patience()
        self._poll = poll

    async def close(self) -> None:
        await self._client.close()

    async def check(self, models: Sequence[str]) -> Sequence[Check]:
        """What `bobbin doctor` asks."""
        try:
            await self._client.models.list()
        except openai.APIError as error:
            return [Check("backend responses", translated(error).sentence)]
        return [Check("backend responses", None), *await check_models(self._client, models)]

    # Threads

    async def create_thread(self, key: ThreadKey, history: Sequence[Message]) -> str:
        first, rest = history[:CONVERSATION_ITEMS], history[CONVERSATION_ITEMS:]
        metadata = {"slack_team": key.team, "slack_channel": key.channel, "slack_ts": key.ts}
        try:
            conversation = await patiently(
                lambda: self._client.conversations.create(items=[_item(m) for m in first], metadata=metadata),
                self._patience,
                # A conversation that nobody points at costs nothing and is never answered.
                repeatable=True,
            )
            for start in range(0, len(rest), CONVERSATION_ITEMS):
                items = [_item(message) for message in rest[start : start + CONVERSATION_ITEMS]]
                await self._unlocked(
                    lambda items=items: self._client.conversations.items.create(conversation.id, items=items)  # type: ignore[misc]
                )
        except openai.APIError as error:
            raise await self._explained(error, "", "") from error
        return conversation.id

    # Runs

    async def run(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        try:
            finished = await self._finished_before(request)
            if finished is not None:
                for event in finished:
                    yield event
                return
            stream = await self._unlocked(lambda: patiently(lambda: self._create(request), self._patience))
            run_id: str | None = None
            broke = False
            try:
                async for event in read_stream(stream):
                    if isinstance(event, RunStarted):
                        run_id = event.backend_run
                    yield event
                    if isinstance(event, RunEnded):
                        return
            except (openai.APIConnectionError, httpx2.HTTPError) as error:
                broke = True
                _log.info("stream-broke", run=request.run, error=type(error).__name__)
            finally:
                await stream.close()
            for event in await self._looked_up(request, run_id, broke=broke):
                yield event
        except openai.APIError as error:
            raise await self._explained(error, request.backend_thread, request.assistant.model) from error

    async def cancel(self, request: RunRequest) -> None:
        """Closing the stream is what ends a response that does not run in the background; the run's generator does."""

    async def _create(self, request: RunRequest) -> openai.AsyncStream[types.ResponseStreamEvent]:
        stream: openai.AsyncStream[types.ResponseStreamEvent] = await self._client.responses.create(
            **_parameters(request), stream=True
        )
        return stream

    async def _finished_before(self, request: RunRequest) -> list[RunEvent] | None:
        """What an earlier attempt came to: None where it left no answer, so that this one may be made."""
        if request.attempt == 1:
            return None
        if request.backend_run:
            response = await self._ended(request.backend_run)
            if response is not None and response.status in ("completed", "incomplete"):
                return [RunStarted(response.id), TextDone(output_text(response)), ended_event(response)]
        return await self._answer_in_conversation(request)

    async def _looked_up(self, request: RunRequest, run_id: str | None, *, broke: bool) -> list[RunEvent]:
        """The stream ended before the response did: the response, or the conversation, tells whether it completed."""
        response = await self._ended(run_id) if run_id else None
        # A broken connection is what cancels a response that does not run in the background.
        if response is not None and not (broke and response.status == "cancelled"):
            text = output_text(response)
            return [TextDone(text), ended_event(response)] if text else [ended_event(response)]
        found = await self._answer_in_conversation(request)
        if found is None:
            raise RunBroken("The connection to the model server broke in the middle of the answer.")
        return found

    async def _ended(self, response_id: str) -> types.Response | None:
        """Look at a response until it has ended; None where the server does not have it. The engine's deadline
        ends this, if the response does not."""
        while True:
            try:
                response = await patiently(
                    lambda: self._client.responses.retrieve(response_id), self._patience, repeatable=True
                )
            except openai.NotFoundError:
                return None
            if response.status not in _GOING:
                return response
            await asyncio.sleep(self._poll)

    async def _answer_in_conversation(self, request: RunRequest) -> list[RunEvent] | None:
        """A response's items are added to its conversation when it completes: if the last thing said there is an
        answer to this request's messages, the run had completed."""
        page = await patiently(
            lambda: self._client.conversations.items.list(request.backend_thread, limit=PAGE, order="desc"),
            self._patience,
            repeatable=True,
        )
        said = [item for item in page.data if item.type == "message"]
        answers: list[str] = []
        while said and said[0].type == "message" and said[0].role == "assistant":
            answers.insert(0, _said(said.pop(0)))
        asked = [_said(item) for item in reversed(said[: len(request.messages)])]
        if not answers or asked != [message.text for message in request.messages]:
            return None
        return [TextDone("\n\n".join(answers)), RunEnded(RunStatus.COMPLETED)]

    async def _unlocked(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call, after whatever else works on the conversation is done. Its refusal says that nothing was."""
        attempts = Attempts(self._patience)
        while True:
            try:
                return await call()
            except openai.BadRequestError as error:
                if error.code != _LOCKED:
                    raise
                if not await attempts.pause():
                    raise ThreadLocked(
                        "Something else is at work in this conversation on the server. Please try again in a minute."
                    ) from error

    async def _explained(self, error: openai.APIError, conversation: str, model: str) -> BackendError:
        """What a refusal means: a 404 can be the conversation's, the model's, or the whole protocol's."""
        if not isinstance(error, openai.NotFoundError) or error.code == "model_not_found":
            return translated(error, model)
        if not conversation:
            return _no_responses()
        try:
            await self._client.conversations.retrieve(conversation)
        except openai.NotFoundError:
            if "conversation" in str(error.message).lower() or error.param == "conversation":
                return ThreadGone("The conversation is gone from the server.")
            return _no_responses()
        except openai.APIError as second:
            return translated(second, model)
        return translated(error, model)


def _no_responses() -> BackendError:
    return BackendUnsupported(
        "this server does not offer the Responses and Conversations API; set BOBBIN_BACKEND to one that it offers"
    )


def _parameters(request: RunRequest) -> dict[str, Any]:
    assistant = request.assistant
    parameters: dict[str, Any] = {
        "model": assistant.model,
        "conversation": request.backend_thread,
        "input": [_item(message) for message in request.messages],
        "instructions": f"{assistant.instructions}\n\n{request.context}",
        "store": True,
        # The Assistants API left the oldest out by itself; Responses refuses by default.
        "truncation": "auto",
        "safety_identifier": request.asker,
        "metadata": {"bobbin_run": request.run},
    }
    if assistant.tools:
        parameters["tools"] = [_tool(tool) for tool in assistant.tools]
    if assistant.temperature is not None:
        parameters["temperature"] = assistant.temperature
    if assistant.reasoning_effort is not None:
        parameters["reasoning"] = {"effort": assistant.reasoning_effort}
    return parameters


def _tool(name: str) -> dict[str, Any]:
    return {"type": name, "container": {"type": "auto"}} if name == "code_interpreter" else {"type": name}


def _item(message: Message) -> Any:
    return {"type": "message", "role": message.role, "content": message.text}


def _said(item: ConversationItem) -> str:
    assert item.type == "message"
    return "\n\n".join(part.text for part in item.content if part.type in ("input_text", "output_text", "text"))

"""OpenAI today: a conversation for each thread, a response for each run."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import openai

from bot.backends.checks import check_models
from bot.backends.conversations import Conversations, has_unanswered
from bot.backends.failures import check_lengths, once_answering, translated
from bot.backends.limits import RESPONSES_MESSAGE
from bot.backends.response_runs import ResponseRuns
from bot.backends.retries import LOCK_PATIENCE, Patience
from bot.engine.ports import (
    Check,
    Message,
    RunEnded,
    RunEvent,
    RunRequest,
    RunStarted,
    RunStatus,
    TextDelta,
    TextDone,
    ThreadKey,
)
from bot.errors import BackendError, BackendUnsupported, ContextOverflow, ThreadGone

#: Seconds between two looks at a response.
_POLL = 1.0
#: Seconds of silence after which a stream counts as broken. A response in the foreground ends with its stream, and a
#: model may think for minutes without a word.
_SILENCE = 600.0
#: Stands before the newest item of the conversation, in place of a response's id, until there is one.
_AFTER = "after:"


class ResponsesBackend:
    """An assistant is the instructions, model and tools that go with each run; switching needs nothing else.

    A run's first RunStarted names the conversation's newest item: should the process die before the response's id is
    known, the items after it tell whether there was a response.
    """

    name = "responses"
    message_limit = RESPONSES_MESSAGE

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        *,
        background: bool = False,
        patience: Patience | None = None,
        lock_patience: Patience = LOCK_PATIENCE,
        poll: float = _POLL,
        silence: float = _SILENCE,
    ) -> None:
        """`client` must have `max_retries=0`; `background` has the server go on with responses that nobody listens
        to (https://platform.openai.com/docs/guides/background); `poll` and `silence` (see ResponseRuns) are in
        seconds."""
        patience = patience or Patience()
        self._client = client
        self._conversations = Conversations(client, patience, lock_patience)
        self._runs = ResponseRuns(
            client, patience, self._conversations, background=background, poll=poll, silence=silence
        )

    async def close(self) -> None:
        await self._client.close()

    async def check(self, models: Sequence[str]) -> Sequence[Check]:
        """Whether the server is there, accepts the key, speaks the protocol, and has these models."""
        name = f"backend {self.name}"
        try:
            # Conversations cannot be listed, and one that is not there is no news.
            conversation = await self._client.conversations.create()
            await self._client.conversations.delete(conversation.id)
        except openai.APIError as error:
            return [Check(name, (await self._explained(error)).sentence)]
        return [Check(name, None), *await check_models(self._client, models)]

    async def create_thread(self, key: ThreadKey, history: Sequence[Message]) -> str:
        try:
            return await self._conversations.create(key, history)
        except openai.APIError as error:
            raise await self._explained(error) from error

    async def run(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        check_lengths(request.messages, self.message_limit)
        answering = False
        try:
            async with aclosing(self._events(request)) as events:
                async for event in events:
                    answering = answering or isinstance(event, TextDelta | TextDone)
                    yield event
        except openai.APIError as error:
            explained = await self._explained(error, request)
            raise (once_answering(explained) if answering else explained) from error
        except ContextOverflow as error:
            if not answering:
                raise
            raise once_answering(error) from error

    async def cancel(self, request: RunRequest) -> None:
        if request.backend_run is None or _bookmark(request) is not None:
            return
        try:
            await self._runs.cancel(request.backend_run)
        except openai.APIError as error:
            raise translated(error) from error

    async def _events(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        messages = [message for message in request.messages if message.text.strip()]
        earlier = await self._earlier(request, messages)
        if earlier is None:
            after = await self._conversations.last_item(request.backend_thread)
            yield RunStarted(_AFTER + after)
            if request.attempt > 1:
                messages = await self._not_there_yet(request, messages)
            earlier = self._runs.make(request, messages, after)
        async with aclosing(earlier) as events:
            async for event in events:
                yield event

    async def _earlier(self, request: RunRequest, messages: Sequence[Message]) -> AsyncGenerator[RunEvent, None] | None:
        """What an earlier attempt came to; None where it left nothing, so that the response may be made."""
        after = _bookmark(request)
        if after is not None:
            found = await self._runs.find(request, messages, after)
            return _told(found.text) if found else None
        if request.backend_run is None:
            return None
        response = await self._runs.retrieve(request.backend_run)
        if response is None or response.status == "cancelled":
            # It ended with the process that listened to it, and the conversation has nothing of it.
            return None
        return self._runs.take_up(request, response)

    async def _not_there_yet(self, request: RunRequest, messages: list[Message]) -> list[Message]:
        """The messages that the conversation does not have: all, or none where an earlier run left them with half
        an answer."""
        newest = await self._conversations.items_after(request.backend_thread, "", messages=len(messages))
        return [] if has_unanswered([message.text for message in messages], newest) else messages

    async def _explained(self, error: openai.APIError, request: RunRequest | None = None) -> BackendError:
        """What a refusal means: a 404 can be the model's, the conversation's, or the whole protocol's."""
        assistant = request.assistant if request else None
        if not isinstance(error, openai.NotFoundError) or error.code == "model_not_found":
            return translated(error, assistant)
        if request is None or _unknown_route(error):
            return BackendUnsupported(
                "this server does not offer OpenAI's Responses and Conversations; set BOBBIN_BACKEND to another"
            )
        try:
            await self._client.conversations.retrieve(request.backend_thread)
        except openai.NotFoundError:
            return ThreadGone("The conversation is gone from the server.")
        except openai.APIError as second:
            return translated(second, assistant)
        return translated(error, assistant)


async def _told(text: str) -> AsyncGenerator[RunEvent, None]:
    yield TextDone(text)
    yield RunEnded(RunStatus.COMPLETED)


def _bookmark(request: RunRequest) -> str | None:
    """The item after which the run's items come, where no response's id was known; empty for the very first."""
    run = request.backend_run
    return run.removeprefix(_AFTER) if run is not None and run.startswith(_AFTER) else None


def _unknown_route(error: openai.NotFoundError) -> bool:
    """Whether the server does not know the path: OpenAI says so, others answer without OpenAI's envelope."""
    return "Invalid URL" in str(error.message) or error.type is None

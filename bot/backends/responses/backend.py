"""OpenAI today: a conversation for each thread, a response for each run."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import openai
from openai.types import responses as types
from openai.types.conversations import Message as ConversationMessage

from bot.backends.checks import check_models, unreachable
from bot.backends.failures import check_lengths, lacks_model, once_answering, translated
from bot.backends.limits import AUDIO_BYTES, RESPONSES_MESSAGE
from bot.backends.moderation import Moderation
from bot.backends.responses.conversations import Conversations, has_unanswered
from bot.backends.responses.events import output_of
from bot.backends.responses.files import ResponseFiles, crowded_out, file_problem
from bot.backends.responses.items import wanted_calls
from bot.backends.responses.parameters import Asked, output_item
from bot.backends.responses.runs import ResponseRuns
from bot.backends.retries import LOCK_PATIENCE, Patience
from bot.backends.transcription import transcribed
from bot.backends.vector_stores import VectorStores, lacks_store
from bot.engine.ports import (
    Ability,
    Assistant,
    Attachment,
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
    ToolOutput,
)
from bot.errors import BackendError, BackendUnsupported, ContextOverflow, RunBroken, ThreadGone

#: Seconds between two looks at a response.
_POLL = 1.0
#: Seconds of silence after which a stream counts as broken. A response in the foreground ends with its stream, and a
#: model may think for minutes without a word.
_SILENCE = 600.0
#: Stands before the id of the item after which a run's items come.
_AFTER = "after:"


class ResponsesBackend:
    """An assistant is the instructions, model and tools that go with each run; switching needs nothing else.

    A run's first RunStarted names the conversation's newest item, the second the response too: should the process die
    before the response's id is known, the items after it tell whether there was a response.
    """

    name = "responses"
    message_limit = RESPONSES_MESSAGE
    recording_limit = AUDIO_BYTES
    abilities = frozenset(Ability)

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
        self._patience = patience
        self._conversations = Conversations(client, patience, lock_patience)
        self._files = ResponseFiles(client, patience)
        self._stores = VectorStores(client, patience)
        self._moderation = Moderation(client, patience)
        self._runs = ResponseRuns(
            client,
            patience,
            self._conversations,
            self._files,
            background=background,
            poll=poll,
            silence=silence,
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
        except openai.APIConnectionError as error:
            return [Check(name, unreachable(self._client, error))]
        except openai.APIError as error:
            return [Check(name, (await self._explained(error)).sentence)]
        return [Check(name, None), *await check_models(self._client, models)]

    def file_problem(
        self,
        assistant: Assistant,
        name: str,  # noqa: ARG002
        media_type: str,
        size: int,
        before: int = 0,
    ) -> str | None:
        return file_problem(assistant, media_type, size, before)

    async def transcribe(self, audio: Attachment) -> str:
        try:
            return await transcribed(self._client, self._patience, audio)
        except openai.APIError as error:
            raise translated(error) from error

    async def create_thread(self, key: ThreadKey, history: Sequence[Message], assistant: Assistant) -> str:  # noqa: ARG002
        try:
            said = [message for message in history if message.text.strip() or message.files]
            # Files of long ago that only code could open are known by name: a container is the next run's own.
            items = [(await self._files.input_of(message))[0] for message in said]
            return await self._conversations.create(key, items)
        except openai.APIError as error:
            raise await self._explained(error) from error

    async def run(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        check_lengths(request.messages, self.message_limit)
        answering = False
        try:
            async with aclosing(self._moderation.around(request, self._events(request))) as events:
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

    async def cancel(self, request: RunRequest, shown: str = "") -> RunEnded | None:
        mark = _Mark.of(request)
        if mark is None:
            return None
        try:
            ended = await self._runs.cancel(mark.response) if mark.response else None
            await self._conversations.answer_calls(request.backend_thread)
            await self._keep_asked(request, mark.after, shown)
        except openai.NotFoundError:
            return None  # with its conversation, the run is gone
        except openai.APIError as error:
            raise translated(error) from error
        return ended

    async def _keep_asked(self, request: RunRequest, after: str, shown: str) -> None:
        """A response that is cancelled leaves nothing in its conversation, and people refer to what they asked."""
        asked = _spoken(request)
        newer = await self._conversations.items_after(request.backend_thread, after, messages=len(asked))
        if asked and not any(isinstance(item, ConversationMessage) for item in newer):
            answer = [Message("", "assistant", shown)] if shown.strip() else []
            await self._conversations.say(request.backend_thread, [*asked, *answer])

    async def _events(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        messages = [] if request.outputs else _spoken(request)
        earlier = await self._earlier(request, messages)
        if earlier is None:
            after = await self._conversations.last_item(request.backend_thread)
            yield RunStarted(_AFTER + after)
            if request.attempt > 1 and not request.outputs:
                messages = await self._not_there_yet(request, messages)
            asked = await self._asked(request, messages)
            earlier = self._marked(self._runs.make(request, asked, messages, after), after)
        async with aclosing(earlier) as events:
            async for event in events:
                yield event

    async def _asked(self, request: RunRequest, messages: Sequence[Message]) -> Asked:
        """What the next response is asked: the posts with their files, or what the calls before came to."""
        items: list[Any] = [output_item(output) for output in request.outputs]
        for_code: list[str] = []
        crowded = crowded_out(messages)
        for message in messages:
            item, files = await self._files.input_of(message, crowded)
            items.append(item)
            for_code += files
        store = await self._stores.ensure(request.assistant)
        return Asked(items, stores=[store] if store else [], files=for_code)

    async def _marked(self, events: AsyncGenerator[RunEvent, None], after: str) -> AsyncGenerator[RunEvent, None]:
        """A response's events, its start with where it began."""
        async with aclosing(events):
            async for event in events:
                yield RunStarted(f"{event.backend_run} {_AFTER}{after}") if isinstance(event, RunStarted) else event

    async def _earlier(self, request: RunRequest, messages: Sequence[Message]) -> AsyncGenerator[RunEvent, None] | None:
        """What an earlier attempt came to; None where it left nothing, so that the response may be made."""
        mark = _Mark.of(request)
        if mark is None:
            return None
        if mark.response is None:
            found = await self._runs.find(request, messages, mark.after)
            return _told(found.text) if found else None
        response = await self._runs.retrieve(mark.response)
        if response is not None and request.outputs and _waits_for(response, request.outputs):
            return None  # the calls were made since; now their outputs are handed in
        if response is None or response.status == "cancelled":
            # It ended with the process that listened to it, and the conversation has nothing of it.
            return None
        return self._marked(self._runs.take_up(request, response), mark.after)

    async def _not_there_yet(self, request: RunRequest, messages: list[Message]) -> list[Message]:
        """The messages that the conversation does not have: all, or none where an earlier run left them with half
        an answer."""
        newest = await self._conversations.items_after(request.backend_thread, "", messages=len(messages))
        return [] if has_unanswered([message.text for message in messages], newest) else messages

    async def _explained(self, error: openai.APIError, request: RunRequest | None = None) -> BackendError:
        """What a refusal means: a 404 can be the model's, the conversation's, or the whole protocol's."""
        assistant = request.assistant if request else None
        if assistant is not None and assistant.files and lacks_store(error):
            self._stores.forget(assistant)
            return RunBroken(
                "The files that this assistant searches were gone from the server. They are sent again: please try "
                "again."
            )
        if not isinstance(error, openai.NotFoundError) or lacks_model(error):
            return translated(error, assistant)
        if request is None or _unknown_route(error):
            return BackendUnsupported(
                "This server does not offer OpenAI's Responses and Conversations. An admin can set BOBBIN_BACKEND to "
                "another."
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


@dataclass(frozen=True, slots=True)
class _Mark:
    """How far a run got: the response's id, once it is known, and the item after which its items come, empty for the
    very first."""

    response: str | None
    after: str

    @classmethod
    def of(cls, request: RunRequest) -> "_Mark | None":
        if request.backend_run is None:
            return None
        response, _, after = request.backend_run.partition(_AFTER)
        return cls(response.strip() or None, after)


def _waits_for(response: types.Response, outputs: Sequence[ToolOutput]) -> bool:
    return bool({call.id for call in wanted_calls(output_of(response))} & {output.call for output in outputs})


def _spoken(request: RunRequest) -> list[Message]:
    """The messages that say something: servers refuse empty ones."""
    return [message for message in request.messages if message.text.strip() or message.files]


def _unknown_route(error: openai.NotFoundError) -> bool:
    """Whether the server does not know the path: OpenAI says so, others answer without OpenAI's envelope."""
    return "Invalid URL" in str(error.message) or error.type is None

"""OpenAI today: a conversation for each thread, a response for each run."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import takewhile

import openai
from openai.types import responses as types
from openai.types.conversations import ConversationItem
from openai.types.conversations import Message as ConversationMessage

from bot.backends.checks import check_models, unreachable
from bot.backends.failures import lacks_model, translated
from bot.backends.guarded import guarded
from bot.backends.limits import AUDIO_BYTES, CONTAINER_FILES, CONVERSATION_ITEMS, RESPONSES_MESSAGE
from bot.backends.moderation import Moderation
from bot.backends.responses.conversations import Conversations, text_of, unanswered
from bot.backends.responses.events import output_of
from bot.backends.responses.files import ResponseFiles, crowded_out, file_problem
from bot.backends.responses.items import wanted_calls
from bot.backends.responses.parameters import Asked, output_item
from bot.backends.responses.refusals import without_refused
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
    TextDone,
    ThreadKey,
    ToolOutput,
)
from bot.errors import BackendError, BackendUnsupported, RunBroken, ThreadGone

#: Seconds between two looks at a response.
_POLL = 1.0
#: Seconds of silence after which a stream counts as broken. A response in the foreground ends with its stream, and a
#: model may think for minutes without a word.
_SILENCE = 600.0
#: Seconds that a response in the foreground gets to end whose stream is over.
_LINGERING = 8.0
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
        lingering: float = _LINGERING,
    ) -> None:
        """`client` must have `max_retries=0`; `background` has the server go on with responses that nobody listens
        to (https://platform.openai.com/docs/guides/background); `poll`, `silence` and `lingering` (see
        ResponseRuns) are in seconds."""
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
            lingering=lingering,
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

    async def create_thread(self, key: ThreadKey, history: Sequence[Message], assistant: Assistant) -> str:
        try:
            said = [message for message in history if message.text.strip() or message.files]
            if assistant.moderation:
                said = await self._moderation.allowed(said)
            given = await self._given(said)
            # A file that the server refuses is left out, and named in its message.
            while True:
                try:
                    return await self._conversations.create(key, given.items, given.files)
                except openai.BadRequestError as error:
                    # Places in a later call's items are not those in the history.
                    param = error.param if len(given.items) <= CONVERSATION_ITEMS else None
                    less = without_refused(given, error.code, error.message, param)
                    if less is None:
                        raise
                    given = less
        except openai.APIError as error:
            raise await self._explained(error) from error

    def run(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        async def explained(error: openai.APIError) -> BackendError:
            return await self._explained(error, request)

        events = self._moderation.around(request, self._events(request))
        return guarded(request, self.message_limit, events, explained)

    async def cancel(self, request: RunRequest, shown: str = "") -> RunEnded | None:
        mark = _Mark.of(request)
        if mark is None:
            return None
        try:
            ended = await self._runs.cancel(mark.response) if mark.response else None
            await self._conversations.answer_calls(request.backend_thread, request.outputs)
            await self._keep_asked(request, mark.after, shown)
        except openai.NotFoundError:
            return None  # with its conversation, the run is gone
        except openai.APIError as error:
            raise translated(error) from error
        return ended

    async def _keep_asked(self, request: RunRequest, after: str, shown: str) -> None:
        """A response that did not complete leaves nothing in its conversation, and people refer to what they asked. Its
        calls, and an earlier attempt, may have left it there."""
        asked = _spoken(request)
        newest = await self._conversations.items_after(request.backend_thread, "", messages=len(asked))
        kept = unanswered([message.text for message in asked], newest)
        newer = [item for item in _after(newest, after) if isinstance(item, ConversationMessage)]
        if not asked or (newer and not kept):
            return  # it was answered after all
        rest = _unsaid(shown, newest)
        answer = [Message("", "assistant", rest)] if rest else []
        missing = [] if kept or request.outputs else asked
        await self._conversations.say(request.backend_thread, [*missing, *answer])

    async def _events(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        messages = [] if request.outputs else _spoken(request)
        earlier = await self._earlier(request, messages)
        if earlier is None:
            if request.attempt > 1 and not request.outputs:
                messages = await self._not_there_yet(request, messages)
            after = await self._conversations.last_item(request.backend_thread)
            yield RunStarted(_AFTER + after)
            earlier = self._marked(self._made(request, messages, after), after)
        async with aclosing(earlier) as events:
            async for event in events:
                yield event

    async def _made(
        self, request: RunRequest, messages: Sequence[Message], after: str
    ) -> AsyncGenerator[RunEvent, None]:
        """A new response's events."""
        asked = await self._asked(request, messages)
        async with self._stores.searched(request.assistant) as store:
            asked = replace(asked, stores=[store] if store else [])
            async with aclosing(self._runs.make(request, asked, messages, after)) as events:
                async for event in events:
                    yield event

    async def _asked(self, request: RunRequest, messages: Sequence[Message]) -> Asked:
        """What the next response is asked: the posts with their files, or what the calls before came to."""
        runs_code = "code_interpreter" in request.assistant.tools
        given = await self._given(messages, code=runs_code)
        files: Sequence[str] = given.files
        if runs_code:
            # A container has what its response is given: those of earlier posts too.
            known = await self._conversations.files(request.backend_thread)
            files = [*known, *given.files][-CONTAINER_FILES:]
            if given.files:
                await self._conversations.remember(request.backend_thread, files)
        outputs = [output_item(output) for output in request.outputs]
        return replace(given, items=[*outputs, *given.items], files=files)

    async def _given(self, messages: Sequence[Message], *, code: bool = True) -> Asked:
        """Messages as items, with their files uploaded; `code` says whether there is some to open them."""
        crowded = crowded_out(messages)
        given = [await self._files.given(message, crowded, code=code) for message in messages]
        return Asked(
            [each.item for each in given],
            files=[file for each in given for file in each.for_code],
            names={file: name for each in given for file, name in each.names.items()},
            unused=tuple(problem for each in given for problem in each.unused),
        )

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
        """The messages that the conversation does not have: all, or none where an earlier run left them with half an
        answer or with what its calls came to."""
        newest = await self._conversations.items_after(request.backend_thread, "", messages=len(messages))
        kept = unanswered([message.text for message in messages], newest)
        if not kept or all(map(_is_whole, kept, messages)):
            return [] if kept else messages
        # It was cut off before its files were there.
        await self._conversations.remove(request.backend_thread, kept)
        return messages

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


def _after(items: Sequence[ConversationItem], item: str) -> Sequence[ConversationItem]:
    """The items after the one with this id; all of them where it is not among them."""
    place = next((place for place, each in enumerate(items) if item and each.id == item), -1)
    return items[place + 1 :]


def _unsaid(shown: str, items: Sequence[ConversationItem]) -> str:
    """What was shown of an answer, without what the newest items say of it already."""
    spoken = [item for item in items if isinstance(item, ConversationMessage)]
    said = list(takewhile(lambda message: message.role == "assistant", reversed(spoken)))
    for message in reversed(said):
        shown = shown.strip().removeprefix(text_of(message))
    return shown.strip()


def _is_whole(kept: ConversationMessage, message: Message) -> bool:
    """Whether a message was kept with its files, or with a word on them."""
    parts = [part.type for part in kept.content or []]
    return not message.files or text_of(kept) != message.text or not {"input_image", "input_file"}.isdisjoint(parts)


def _waits_for(response: types.Response, outputs: Sequence[ToolOutput]) -> bool:
    return bool({call.id for call in wanted_calls(output_of(response))} & {output.call for output in outputs})


def _spoken(request: RunRequest) -> list[Message]:
    """The messages that say something: servers refuse empty ones."""
    return [message for message in request.messages if message.text.strip() or message.files]


def _unknown_route(error: openai.NotFoundError) -> bool:
    """Whether the server does not know the path: OpenAI says so, others answer without OpenAI's envelope."""
    return "Invalid URL" in str(error.message) or error.type is None

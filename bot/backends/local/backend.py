"""Servers that keep no conversation: Bobbin keeps it, and sends it with every run.

For Ollama, vLLM, llama.cpp and LM Studio, and for organisations with zero data retention. Only what those servers share
of the Responses API is used: model, input, instructions, functions, stream, temperature, top_p, max_output_tokens
(https://docs.ollama.com/api/openai-compatibility).
"""

import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

import openai
import structlog
from openai.types import responses as types

from bot.backends.checks import check_models, unreachable
from bot.backends.failures import lacks_model, needs_other_model, translated
from bot.backends.guarded import guarded
from bot.backends.limits import CHARACTERS_PER_TOKEN
from bot.backends.local.approach import Approach
from bot.backends.local.conversation import Conversation, Histories
from bot.backends.local.exchanges import (
    Exchange,
    Item,
    answer,
    asks_already,
    call_of,
    calls_of,
    is_open,
    outputs_of,
    said_in,
    trimmed,
)
from bot.backends.local.input import Form, sent
from bot.backends.local.messages import file_problem, inputs_of, item_of
from bot.backends.local.parameters import ANSWER_TOKENS, room_of, settings_of
from bot.backends.responses.events import (
    ResponseProgress,
    answer_of,
    ended_event,
    failed_for_its_model,
    failure_of,
    output_of,
    read_stream,
    spent,
    usage_of,
)
from bot.backends.retries import Patience, patiently
from bot.backends.streaming import BREAKS, StreamedCall, stream_timeout
from bot.engine.ports import (
    Ability,
    Assistant,
    Attachment,
    CallsWanted,
    Check,
    FilesUnused,
    Message,
    RunEnded,
    RunEvent,
    RunRequest,
    RunStarted,
    RunStatus,
    TextDone,
    ThreadKey,
    ToolCall,
)
from bot.errors import BackendError, BackendUnsupported, ContextOverflow, PostTooLong, RunBroken

_log = structlog.get_logger()

#: Seconds without an event after which a stream counts as broken: a model on a small machine takes its time.
_SILENCE = 600.0
_Opened = openai.AsyncStream[types.ResponseStreamEvent] | types.Response


class LocalBackend:
    """A thread is a list of items in Bobbin's database, a run an exchange in it: what was asked, what tools said, and
    the answer, kept as soon as each is known."""

    name = "local"
    recording_limit = 0
    abilities = frozenset(
        {
            Ability.FUNCTIONS,
            Ability.TEMPERATURE,
            Ability.TOP_P,
            Ability.MAX_OUTPUT_TOKENS,
            Ability.TOOL_CHOICE,
            Ability.FALLBACK_MODELS,
        }
    )

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        histories: Histories,
        *,
        context_tokens: int,
        patience: Patience | None = None,
        silence: float = _SILENCE,
    ) -> None:
        """`client` must have `max_retries=0`; `context_tokens` is what the model can read and write at once."""
        self._client = client
        self._histories = histories
        self._context = context_tokens
        self._patience = patience or Patience()
        self._silence = stream_timeout(silence)
        self._streamed: StreamedCall[types.ResponseStreamEvent] = StreamedCall()
        #: What models turned out not to take, by their names.
        self._forms: dict[str, Form] = {}
        self.message_limit = max(context_tokens - ANSWER_TOKENS, 1) * CHARACTERS_PER_TOKEN

    async def close(self) -> None:
        await self._client.close()

    async def check(self, models: Sequence[str]) -> Sequence[Check]:
        """Whether the server is there, accepts the key, and has these models."""
        try:
            await self._client.models.list()
        except openai.APIConnectionError as error:
            return [Check("backend local", unreachable(self._client, error))]
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            return [Check("backend local", translated(error).sentence)]
        except openai.APIError as error:
            # That a server does not list its models is no news; check_models tells what else is wrong.
            _log.debug("models-not-listed", error=type(error).__name__)
        return [Check("backend local", None), *await check_models(self._client, models)]

    def file_problem(self, assistant: Assistant, name: str, media_type: str, size: int, before: int = 0) -> str | None:  # noqa: ARG002
        # Beside others a text is cut, never refused: bytes do not tell how much those before it take of the room.
        return file_problem(media_type, size, self.message_limit)

    async def transcribe(self, audio: Attachment) -> str:  # noqa: ARG002 - nothing can listen
        raise BackendUnsupported("recordings cannot be written down with this backend")

    async def create_thread(self, key: ThreadKey, history: Sequence[Message], assistant: Assistant) -> str:  # noqa: ARG002
        thread = f"local-{uuid.uuid4().hex}"
        said = [await item_of(message, self.message_limit // 2) for message in history if _says(message)]
        await Conversation.begin(self._histories, thread, said)
        return thread

    def run(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        async def explained(error: openai.APIError) -> BackendError:
            return _explained(error, request.assistant)

        events = self._events(request)
        return guarded(request, self.message_limit, events, explained)

    async def cancel(self, request: RunRequest, shown: str = "") -> RunEnded | None:
        """Nobody goes on with it: closing the stream was its end. What was asked stays, calls are answered."""
        conversation = await Conversation.read(self._histories, request.backend_thread)
        mine = conversation.exchange(request.run)
        if mine is None or not is_open(mine):
            return None
        items = outputs_of(calls_of(mine), request.outputs)
        # `shown` is all of the run's text, and what came before a call is kept already.
        if new := shown.removeprefix(said_in(mine)).strip():
            items.append(answer(new))
        await conversation.add(request.run, items)
        return None

    async def _events(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        yield RunStarted(request.run)
        conversation = await Conversation.read(self._histories, request.backend_thread)
        mine = conversation.exchange(request.run)
        if mine is None:
            await self._ask(request, conversation)
        elif not is_open(mine):
            # An earlier attempt got its answer and kept it; then the process died.
            yield TextDone(said_in(mine))
            yield RunEnded(RunStatus.COMPLETED)
            return
        elif calls := calls_of(mine):
            if not {call.id for call in calls} & {output.call for output in request.outputs}:
                yield CallsWanted(calls)
                return
            await conversation.add(request.run, outputs_of(calls, request.outputs))
        async with aclosing(self._answer(request, conversation)) as events:
            async for event in events:
                yield event

    async def _ask(self, request: RunRequest, conversation: Conversation) -> None:
        """Keep what people wrote, unless a retry finds it. Calls that earlier runs left without their outputs would
        make every request fail."""
        for key, earlier in conversation.exchanges.items():
            if left := calls_of(earlier):
                await conversation.add(key, outputs_of(left, ()))
        room = room_of(settings_of(request), self._context)
        items = await inputs_of([message for message in request.messages if _says(message)], room)
        if request.attempt == 1 or not asks_already(list(conversation.exchanges.values()), items):
            if Exchange(tuple(items)).tokens > room:
                raise _too_long(room)
            await conversation.add(request.run, items)

    async def _answer(self, request: RunRequest, conversation: Conversation) -> AsyncGenerator[RunEvent, None]:
        mine = conversation.exchange(request.run) or Exchange(())
        approach = Approach(request.assistant, self._forms, mine.items)
        told = bool(request.outputs)
        while True:
            opened = await self._opened(request, conversation, approach)
            if approach.unseen and not told:
                told = True
                yield FilesUnused(tuple(f"{name}: the model server does not take it" for name in approach.unseen))
            progress = ResponseProgress()
            async with aclosing(self._heard(request, opened, progress)) as events:
                async for event in events:
                    yield event
            if failed_for_its_model(progress) and approach.pass_over():
                for used in spent(progress.ended):
                    yield used
                continue
            refusal = _refusal(progress)
            if refusal is None:
                approach.remember()
            elif approach.simplify(refusal, conversation.items):
                continue
            break
        for last in await self._concluded(request, conversation, progress):
            yield last

    async def _heard(
        self, request: RunRequest, opened: _Opened, progress: ResponseProgress
    ) -> AsyncGenerator[RunEvent, None]:
        """The response's events but for its end, which `progress` has then."""
        if isinstance(opened, types.Response):
            progress.ended = opened
            return
        try:
            async for event in read_stream(opened, progress):
                if not isinstance(event, RunStarted):
                    yield event
        except BREAKS as error:
            _log.info("stream-broke", run=request.run, error=type(error).__name__)
            progress.broke = True
            progress.words = str(error)
        finally:
            await opened.close()

    async def _opened(self, request: RunRequest, conversation: Conversation, approach: Approach) -> _Opened:
        """The response, with as much of the conversation as the model can read, by the first model that there is."""
        settings = settings_of(request)
        while True:
            items = self._fitting(settings, conversation, approach)
            parameters = settings | {"model": approach.model, "input": sent(items, approach.form)}
            patience = self._patience if approach.last_model else self._patience.in_haste
            try:
                return await patiently(partial(self._create, parameters), patience)
            except openai.APIStatusError as error:
                if needs_other_model(error) and approach.pass_over():
                    continue
                if isinstance(_explained(error, request.assistant), ContextOverflow):
                    gave_way = approach.shorten()
                else:
                    gave_way = approach.simplify_after(error, items)
                if not gave_way:
                    raise

    async def _create(self, parameters: dict[str, Any]) -> _Opened:
        create = partial(self._client.responses.with_raw_response.create, **parameters, timeout=self._silence)
        made = await self._streamed.make(create)
        if isinstance(made, openai.AsyncStream):
            return made
        if "output" not in made:
            raise RunBroken("The model server's answer cannot be read. Please try again.")
        return types.Response.construct(**made)

    def _fitting(self, settings: dict[str, Any], conversation: Conversation, approach: Approach) -> list[Item]:
        """As much of the conversation as the model can read beside the rest."""
        room = room_of(settings, self._context, approach.halvings)
        items = trimmed(list(conversation.exchanges.values()), room)
        if items is None:
            raise _too_long(room)
        return items

    async def _concluded(
        self, request: RunRequest, conversation: Conversation, progress: ResponseProgress
    ) -> list[RunEvent]:
        """The last events; what was answered is kept first."""
        response, shown = progress.ended, progress.transcript.text
        if progress.error is not None:
            raise progress.error
        if response is None:
            # Some servers end their stream without a word; a cut is something else.
            if progress.broke or not shown:
                raise RunBroken(
                    "The connection to the model server broke in the middle of the answer. Please try again."
                )
            await conversation.add(request.run, [answer(shown)])
            return [RunEnded(RunStatus.COMPLETED, model=request.assistant.model)]
        if response.status == "failed" and not shown:
            failure = failure_of(response)
            if isinstance(failure, ContextOverflow):
                raise failure
        whole = response.status in ("completed", None)
        text = progress.transcript.settle(answer_of(response), final=response.status == "completed")
        said = text if text is not None else shown
        # Of an answer that was cut off or failed, nobody knows whether its calls are whole.
        calls = _own_ids(request, response) if whole else ()
        items = [answer(said, cut=not whole)] if said else []
        if whole or response.status == "incomplete":
            await conversation.add(request.run, [*items, *map(call_of, calls)])
        told: list[RunEvent] = [] if text is None else [TextDone(text)]
        if calls:
            return [*told, CallsWanted(calls, usage_of(response), response.model)]
        return [*told, ended_event(response)]


def _own_ids(request: RunRequest, response: types.Response) -> tuple[ToolCall, ...]:
    """The calls of a response under ids that no other call of the thread has: some servers begin anew each time."""
    wanted = [item for item in output_of(response) if item.type == "function_call"]
    mark = uuid.uuid5(uuid.NAMESPACE_OID, f"{request.run} {response.id}").hex[:12]
    return tuple(ToolCall(f"call_{mark}_{n}", item.name, item.arguments or "{}") for n, item in enumerate(wanted))


def _says(message: Message) -> bool:
    return bool(message.text.strip() or message.files)


def _too_long(room: int) -> PostTooLong:
    return PostTooLong(
        f"That is more than this model can read at once (about {max(room, 0) * CHARACTERS_PER_TOKEN:,} "
        "characters). Please shorten it, or send it in parts."
    )


def _refusal(progress: ResponseProgress) -> str | None:
    """What a server said that refused a request within its stream, before any answer; None where it took it."""
    if progress.transcript.text or progress.told:
        return None
    if progress.error is not None or progress.broke:
        return progress.words
    response = progress.ended
    if response is None or response.status != "failed":
        return None
    return str(response.error.message) if response.error else ""


def _explained(error: openai.APIError, assistant: Assistant) -> BackendError:
    said = str(error.message).lower()
    if "context" in said and ("length" in said or "exceed" in said or "window" in said or "size" in said):
        return ContextOverflow("This conversation is too long for the model. Reset the thread, or start a new one.")
    if isinstance(error, openai.NotFoundError) and not lacks_model(error):
        return BackendUnsupported(
            "This server does not offer the Responses API. An admin can set OPENAI_BASE_URL to another."
        )
    return translated(error, assistant)
